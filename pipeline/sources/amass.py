"""AMASS: find the motions under a folder, read one. Stage *index*."""

from __future__ import annotations

import hashlib
import math
import os
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.config import canonical_json, fingerprint
from actionpose.errors import UserError
from actionpose.files import sha256_file
from pipeline.body.dmpls import N_DMPLS
from pipeline.body.resample import snap_rate
from pipeline.body.smplh import normalise_gender
from pipeline.config import DataConfig
from pipeline.engine.item import Item, ItemError, Rows, Skip
from pipeline.engine.manifest import MotionRow
from pipeline.engine.stage import Stage
from pipeline.sources import facts
from pipeline.untrusted.npz import Header, Npz, NpzError, open_npz
from pipeline.untrusted.sniff import sniff

POSE_WIDTH = 156
MAX_FRAMES = 3_000_000
"""Seven hours at 120 Hz; a file that announces more is broken or hostile."""

_SMALL = 64  # entries: more than any rate, gender or person needs
_DOWNLOAD = "download it again as 'SMPL+H G' from the AMASS site"


# --- finding ----------------------------------------------------------------------------------


def motion_files(root: Path) -> Iterator[Path]:
    """Every `.npz` under the root, sorted; litter of operating systems left out.

    Raises:
        UserError: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise UserError(f"there is no AMASS folder {root}", "give the folder that holds the datasets: --amass DIR")
    found = False
    for folder, subfolders, names in os.walk(root, followlinks=True):
        subfolders.sort()
        for name in sorted(names):
            if name.endswith(".npz") and not name.startswith("._"):
                found = True
                yield Path(folder) / name
    if not found:
        raise UserError(
            f"there is no .npz file under {root}",
            "unpack the AMASS archives there: DATASET/SUBJECT/NAME_poses.npz; `ap-data demo` makes data without AMASS",
        )


def motion_id(relative: Path) -> str:
    """`dataset/subject/name` from the last three parts of a path, without `_poses.npz`."""
    parts = relative.parts[-3:]
    return "/".join((*parts[:-1], parts[-1].removesuffix(".npz").removesuffix("_poses")))


def index_items(root: Path) -> list[Item]:
    """One item per file; the cost is a guess at hashing it."""
    items = []
    for path in motion_files(root):
        relative = path.relative_to(root)
        size, time_ns = (path.stat().st_size, path.stat().st_mtime_ns) if path.is_file() else (0, 0)
        data = {"source": relative.as_posix(), "bytes": size, "mtime_ns": time_ns}
        items.append(Item(id=motion_id(relative), data=data, cost=0.002 + size / 1e9))
    return _without_repeats(items)


def _without_repeats(items: list[Item]) -> list[Item]:
    """A path that ends like an earlier one keeps its own id, so that both are seen and the second is refused."""
    seen: dict[str, str] = {}
    out = []
    for item in items:
        if item.id in seen:
            item = Item(item.data["source"], {**item.data, "repeats": seen[item.id]}, item.cost)
        seen.setdefault(item.id, item.data["source"])
        out.append(item)
    return out


# --- reading ----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Motion:
    """One motion at its stored rate: SMPL+H parameters, AMASS world frame (z up).

    poses (T, 156) float64 axis-angle, radians; trans (T, 3) float64 metres; betas (16,) float64; dmpls (T, 8) float64,
    None when not asked for or not in the file. Of the stored frames, each `every`-th was read: poses stand
    every / rate seconds apart.
    """

    poses: NDArray[np.float64]
    trans: NDArray[np.float64]
    betas: NDArray[np.float64]
    gender: str
    fps: float
    every: int = 1
    dmpls: NDArray[np.float64] | None = None


def read_motion(path: Path, *, every: int = 1, dmpls: bool = False) -> Motion:
    """Read one `*_poses.npz`, only the members and frames that are needed, never an object array.

    Args:
        path: the file.
        every: keep only each n-th frame; the others are looked at, and must be finite too.
        dmpls: also the soft-tissue coefficients, where the file has them.

    Raises:
        Skip: a file that is no motion.
        ItemError: damaged, another edition, wrong widths, not finite, no frames, absurd rate.
    """
    with _opened(path) as archive:
        head = _header(path, archive)
        _check_width(path, archive, "trans", head.frames, 3)
        _numbers(path, archive, "betas", limit=3 * head.frames + 300)
        soft = dmpls and "dmpls" in archive.names
        if soft:
            _check_width(path, archive, "dmpls", head.frames, N_DMPLS)
        poses, trans = (_finite(path, archive, name, every) for name in ("poses", "trans"))
        betas = _finite(path, archive, "betas").reshape(-1)[:16]
        soft_tissue = _finite(path, archive, "dmpls", every) if soft else None
    return Motion(
        poses=poses,
        trans=trans,
        betas=np.pad(betas, (0, 16 - len(betas))),
        gender=head.gender,
        fps=head.fps,
        every=every,
        dmpls=soft_tissue,
    )


def stored_rate(path: Path) -> float:
    """The rate written in a motion file, Hz.

    Raises:
        Skip: a file that is no motion.
        ItemError: a motion we cannot use.
    """
    with _opened(path) as archive:
        return _header(path, archive).fps


def _finite(path: Path, archive: Npz, name: str, every: int = 1) -> NDArray[np.float64]:
    """Each n-th row of a member, after a look at all of them: damage between the rows is damage too."""
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit float64 becomes infinite, and is refused
        array = np.asarray(archive.read(name), dtype=np.float64)
        sound = np.isfinite(array.sum())  # one sum is several times faster than a test of every number
    if not sound and not np.isfinite(array).all():
        frames = sorted({int(place[0]) for place in np.argwhere(~np.isfinite(np.atleast_1d(array)))})
        raise ItemError("not finite", f"{path}: {name} is not finite in {len(frames)} frames, first {frames[0]}")
    return array[::every] if every > 1 else array


@dataclass(frozen=True)
class _Head:
    frames: int
    fps: float
    gender: str
    betas: int


@contextmanager
def _opened(path: Path) -> Iterator[Npz]:
    """The archive.

    Raises:
        ItemError: not a zip, cut short, or not readable; also when a member turns out to be.
    """
    try:
        if sniff(path) == "web page":
            raise ItemError("a web page", f"{path} is a web page saved as .npz; {_DOWNLOAD}")
        with open_npz(path) as archive:
            yield archive
    except OSError as error:
        raise ItemError("cannot be read", f"{path}: {error.strerror or error}") from error
    except NpzError as error:
        raise ItemError("damaged", f"{path} is cut short or no npz ({error}); {_DOWNLOAD}") from error


def _header(path: Path, archive: Npz) -> _Head:
    """What can be known without unpacking the poses.

    Raises:
        Skip: a file that is no motion.
        ItemError: a motion we cannot use.
    """
    names = archive.names
    if "mocap_frame_rate" in names or "surface_model_type" in names:
        raise ItemError(
            "SMPL-X edition",
            f"{path} is of the SMPL-X edition; the regressor needs SMPL+H vertices: download 'SMPL+H G'",
        )
    if not {"poses", "trans"} <= names:
        raise Skip("no motion inside", f"{path} holds {', '.join(sorted(names)[:12]) or 'nothing'}, no poses")
    if missing := {"betas", "mocap_framerate"} - names:
        raise ItemError("keys missing", f"{path} lacks {', '.join(sorted(missing))}")
    poses = _numbers(path, archive, "poses", limit=MAX_FRAMES * POSE_WIDTH)
    if poses.dtype.kind != "f" or len(poses.shape) != 2 or poses.shape[1] != POSE_WIDTH:
        raise ItemError("wrong width", f"{path}: poses is {poses.dtype} {poses.shape}, not float (T, {POSE_WIDTH})")
    if not 1 <= poses.shape[0] <= MAX_FRAMES:
        raise ItemError("absurd length", f"{path} announces {poses.shape[0]} frames")
    _numbers(path, archive, "mocap_framerate", limit=_SMALL)
    fps = float(_small(path, archive, "mocap_framerate").reshape(-1)[0])
    if not (np.isfinite(fps) and 1 <= fps <= 1000):
        raise ItemError("absurd rate", f"{path} says {fps} Hz")
    betas = math.prod(_announced(path, archive, "betas").shape)
    gender = _gender(_small(path, archive, "gender")) if "gender" in names else ""
    return _Head(poses.shape[0], fps, gender, betas)


def _gender(stored: NDArray[Any]) -> str:
    """The stored gender, or nothing when the file holds no such word (`keypoints.missing_gender` decides then)."""
    if stored.dtype.kind == "U":
        # Python itself breaks on numbers that are no letters.
        letters = stored.astype(stored.dtype.newbyteorder("=")).reshape(-1).view(np.uint32)
        if (letters > sys.maxunicode).any():
            return ""
    try:
        return normalise_gender(stored)
    except UserError:
        return ""


def _announced(path: Path, archive: Npz, name: str) -> Header:
    """What a member announces, from its header alone."""
    try:
        header = archive.header(name)
    except KeyError as error:
        raise ItemError("damaged", f"{path}: {name} is listed but not there; {_DOWNLOAD}") from error
    if header.dtype.hasobject:
        raise ItemError("Python objects inside", f"{path}: {name} is an object array, which is never unpickled")
    return header


def _numbers(path: Path, archive: Npz, name: str, limit: int) -> Header:
    """Header of a member that must hold numbers, at most `limit` of them: unpacking it is safe then."""
    header = _announced(path, archive, name)
    if header.dtype.kind not in "fiu":
        raise ItemError("wrong type", f"{path}: {name} holds {header.dtype}, not numbers")
    if math.prod(header.shape) > limit:
        raise ItemError("absurd length", f"{path}: {name} announces {header.shape}")
    return header


def _check_width(path: Path, archive: Npz, name: str, frames: int, width: int) -> None:
    shape = _numbers(path, archive, name, limit=width * MAX_FRAMES).shape
    if shape != (frames, width):
        raise ItemError("wrong width", f"{path}: {name} has shape {shape}, not ({frames}, {width})")


def _small(path: Path, archive: Npz, name: str) -> NDArray[Any]:
    header = _announced(path, archive, name)
    if math.prod(header.shape) not in range(1, _SMALL + 1) or header.bytes > 1000 * _SMALL:
        raise ItemError("wrong width", f"{path}: {name} has {header.dtype} of shape {header.shape}")
    return archive.read(name)


# --- stage index ------------------------------------------------------------------------------


def motion_row(item: Item, root: Path, *, rate_overrides: bool) -> MotionRow:
    """What one file's headers say; nothing large is read, and the checksum is left empty.

    Raises:
        Skip: a file that is no motion.
        ItemError: a motion we cannot use.
    """
    relative = Path(item.data["source"])
    path = root / relative
    if reason := facts.not_a_motion(path.name):
        raise Skip("not a motion", f"{relative}: {reason}")
    if "repeats" in item.data:
        raise ItemError("same motion twice", f"{relative} has the dataset, subject and name of {item.data['repeats']}")
    if not path.is_file():
        raise ItemError("cannot be read", f"{relative} is no file: a link that leads nowhere, or a device")
    if len(relative.parts) < 3:
        raise ItemError("not in a dataset folder", f"{relative} should stand as DATASET/SUBJECT/{relative.name}")
    with _opened(path) as archive:
        head = _header(path, archive)
    dataset, subject = relative.parts[-3], relative.parts[-2]
    rate = facts.TrueRate(snap_rate(head.fps))
    if rate_overrides:
        rate = facts.overridden_rate(dataset, subject, head.fps) or rate
    return MotionRow(
        motion_id=item.id,
        source=relative.as_posix(),
        dataset=dataset,
        subject=subject,
        gender=head.gender,
        frames=head.frames,
        fps_stored=head.fps,
        fps_true=rate.fps,
        rate_note=rate.note or ("snapped to a whole number" if rate.fps != head.fps else ""),
        duration_s=round((head.frames - 1) / rate.fps, 6),
        betas=head.betas,
        bytes=item.data["bytes"],
        sha256="",
    )


def index_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """Look at one file: is it a motion, how long, at which rate, and what is its checksum."""
    root = Path(context["amass"])
    row = motion_row(item, root, rate_overrides=context["rate_overrides"])
    return {"motions": [replace(row, sha256=sha256_file(root / row.source))]}


def _fingerprint_of(items: Iterable[Item]) -> str:
    """`fingerprint` of the list of [source, bytes, mtime_ns], which is never in memory as a whole."""
    digest = hashlib.sha256(b"[")
    for number, item in enumerate(items):
        row = canonical_json([item.data["source"], item.data["bytes"], item.data["mtime_ns"]])
        digest.update(f"{',' if number else ''}{row}".encode())
    digest.update(b"]")
    return "sha256:" + digest.hexdigest()


def index_stage(config: DataConfig, items: list[Item]) -> tuple[Stage, dict[str, Any]]:
    """The stage and the context its workers get."""
    overrides = config.keypoints.rate_overrides
    payload = {
        "rate_overrides": overrides,
        "known_rates": fingerprint(facts.table("amass")["rate_override"]) if overrides else "",
        "files": len(items),
        "bytes": sum(item.data["bytes"] for item in items),
        "listing": _fingerprint_of(items),
    }
    stage = Stage(name="index", version=1, tables=("motions",), work=index_one, payload=payload, row_per_item="motions")
    return stage, {"amass": str(Path(config.inputs.amass).resolve()), "rate_overrides": overrides}

"""AMASS: find the motions under a folder, read one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.files import require_file
from actionpose.sniff import sniff
from actionpose.walk import Unreadable, walk
from pipeline.body.dmpls import N_DMPLS
from pipeline.body.smplh import normalise_gender
from pipeline.engine.item import ItemError, Skip
from pipeline.untrusted.npz import Header, NotSupported, Npz, NpzError, open_npz

POSE_WIDTH = 156
MAX_FRAMES = 3_000_000
"""Seven hours at 120 Hz; a file that announces more is broken or hostile."""

SMPLX_WIDTH = 165
RATE_KEYS = ("mocap_framerate", "mocap_frame_rate")
"""AMASS's own key, and the one that the SMPL-X edition and files of other making use."""
LARGEST = {"trans": 1e4, "poses": 1e3, "betas": 1e2, "dmpls": 1e3}
"""Metres from the origin, radians of a turn, deviations of a shape; what is beyond is another unit, or damage."""

_SMALL = 64  # entries: more than any rate, gender or person needs
_DOWNLOAD = "download it again as 'SMPL+H G' from the AMASS site"
_NO_MOTION = {
    "web page": _DOWNLOAD,
    "Git LFS pointer": "run 'git lfs pull' in its repository",
    "packed archive": "unpack it first",
}


def motion_files(root: Path) -> Iterator[Path | Unreadable]:
    """Every `.npz` under the root, sorted, without `._*` of macOS; and folders that cannot be read.

    Raises:
        UserError: no such folder, or nothing in it.
    """
    if not root.is_dir():
        raise UserError(f"there is no AMASS folder {root}", "give the folder that holds the datasets: --amass DIR")
    found = False
    for place in walk(root):
        if isinstance(place, Unreadable) or (place.suffix == ".npz" and not place.name.startswith("._")):
            found = True
            yield place
    if not found:
        raise UserError(
            f"there is no .npz file under {root}",
            "unpack the AMASS archives there: DATASET/SUBJECT/NAME_poses.npz; `ap-data demo` makes data without AMASS",
        )


def motion_id(relative: Path) -> str:
    """`dataset/subject/name` from the last three parts of a path, without `_poses.npz`."""
    parts = relative.parts[-3:]
    return "/".join((*parts[:-1], parts[-1].removesuffix(".npz").removesuffix("_poses")))


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


@dataclass(frozen=True)
class MotionHeader:
    """What a motion file says without unpacking its poses: `fps` as stored; `gender` empty when it does not say."""

    frames: int
    fps: float
    gender: str
    betas: int


@dataclass(frozen=True, eq=False)
class MotionFile:
    """An open motion file. Made by `open_motion`."""

    path: Path
    header: MotionHeader
    archive: Npz

    def read(self, *, every: int = 1, dmpls: bool = False) -> Motion:
        """Only the members and frames that are needed, never an object array.

        Args:
            every: keep only each n-th frame; the others are looked at, and must be finite too.
            dmpls: also the soft-tissue coefficients, where the file has them.

        Raises:
            ItemError: damaged, wrong widths, not finite, beyond what any person does.
        """
        path, archive, head = self.path, self.archive, self.header
        _check_width(path, archive, "trans", head.frames, 3)
        _numbers(path, archive, "betas", limit=3 * head.frames + 300)
        soft = dmpls and "dmpls" in archive.names
        if soft:
            _check_width(path, archive, "dmpls", head.frames, N_DMPLS)
        poses, trans = (_sane(path, archive, name, every) for name in ("poses", "trans"))
        betas = _sane(path, archive, "betas").reshape(-1)[:16]
        return Motion(
            poses=poses,
            trans=trans,
            betas=np.pad(betas, (0, 16 - len(betas))),
            gender=head.gender,
            fps=head.fps,
            every=every,
            dmpls=_sane(path, archive, "dmpls", every) if soft else None,
        )


@contextmanager
def open_motion(path: Path) -> Iterator[MotionFile]:
    """Open one `*_poses.npz` and check its header; arrays are read when asked for.

    Raises:
        Skip: a file that is not a motion.
        ItemError: damaged, another edition, wrong widths, no frames, absurd rate.
    """
    with _opened(path) as archive:
        yield MotionFile(path, _header(path, archive), archive)


def read_motion(path: Path, *, every: int = 1, dmpls: bool = False) -> Motion:
    """Read one `*_poses.npz`; arguments and errors as `open_motion` and `MotionFile.read`."""
    with open_motion(path) as file:
        return file.read(every=every, dmpls=dmpls)


def _sane(path: Path, archive: Npz, name: str, every: int = 1) -> NDArray[np.float64]:
    """Each n-th row of a member, after a look at all of them: damage between the rows is damage too."""
    with np.errstate(over="ignore", invalid="ignore"):  # what does not fit float64 becomes infinite, and is refused
        array = np.asarray(archive.read(name), dtype=np.float64)
        sound = np.isfinite(array.sum())  # one sum is several times faster than a test of every number
    if not sound and not np.isfinite(array).all():
        frames = sorted({int(place[0]) for place in np.argwhere(~np.isfinite(np.atleast_1d(array)))})
        raise ItemError("not finite", f"{path}: {name} is not finite in {len(frames)} frames, first {frames[0]}")
    kept = array[::every] if every > 1 else array
    if (largest := float(np.abs(kept).max(initial=0.0))) > LARGEST[name]:
        raise ItemError("absurd value", f"{path}: {name} holds {largest:.3g}; no motion needs that")
    return kept


@contextmanager
def _opened(path: Path) -> Iterator[Npz]:
    """The archive.

    Raises:
        ItemError: not a zip, cut short, or not readable; also when a member turns out to be.
    """
    try:
        require_file(path)
    except UserError as error:
        raise ItemError("cannot be read", error.message) from error
    try:
        if (content := sniff(path)) in _NO_MOTION:
            raise ItemError(f"a {content}", f"{path} is a {content} saved as .npz; {_NO_MOTION[content]}")
        with open_npz(path) as archive:
            yield archive
    except OSError as error:
        raise ItemError("cannot be read", f"{path}: {error.strerror or error}") from error
    except NpzError as error:
        reason = "not supported" if isinstance(error, NotSupported) else "damaged"
        raise ItemError(reason, f"{path} cannot be read ({error}); {_DOWNLOAD}") from error


def _header(path: Path, archive: Npz) -> MotionHeader:
    """What can be known without unpacking the poses.

    Raises:
        Skip: a file that is not a motion.
        ItemError: a motion we cannot use.
    """
    names = archive.names
    if "poses" in names and "trans" not in names:
        raise ItemError("keys missing", f"{path} holds poses and lacks trans, the place of the body")
    if "poses" not in names:
        if "surface_model_type" in names:
            raise _smplx(path)
        raise Skip("no motion inside", f"{path} holds {', '.join(sorted(names)[:12]) or 'nothing'}, no poses")
    poses = _numbers(path, archive, "poses", limit=MAX_FRAMES * POSE_WIDTH)
    if poses.shape[1:] == (SMPLX_WIDTH,) or _says_smplx(path, archive):
        raise _smplx(path)
    rate_keys = [key for key in RATE_KEYS if key in names] or [RATE_KEYS[0]]
    if missing := {"betas", *rate_keys} - names:
        near = [name for name in sorted(names) if "rate" in name.lower() or "fps" in name.lower()]
        hint = f"; if {near[0]} is its rate, name it {RATE_KEYS[0]}" if near and rate_keys[0] in missing else ""
        raise ItemError("keys missing", f"{path} lacks {', '.join(sorted(missing))}{hint}")
    if poses.dtype.kind != "f" or len(poses.shape) != 2 or poses.shape[1] != POSE_WIDTH:
        raise ItemError("wrong width", f"{path}: poses is {poses.dtype} {poses.shape}, not float (T, {POSE_WIDTH})")
    if not 1 <= poses.shape[0] <= MAX_FRAMES:
        raise ItemError("absurd length", f"{path} announces {poses.shape[0]} frames")
    for key in rate_keys:
        _numbers(path, archive, key, limit=_SMALL)
    rates = np.unique(np.concatenate([_small(path, archive, key).reshape(-1) for key in rate_keys]))
    fps = float(rates[0])
    if len(rates) > 1:
        raise ItemError(
            "absurd rate", f"{path} says {', '.join(f'{rate:.12g}' for rate in rates[:4])} Hz, not one rate"
        )
    if not (np.isfinite(fps) and 1 <= fps <= 1000):
        raise ItemError("absurd rate", f"{path} says {fps} Hz")
    shape = _announced(path, archive, "betas").shape
    if len(shape) > 1 and shape[0] not in (1, 0) and shape[-1] > 1:
        raise ItemError("wrong width", f"{path}: betas is {shape}, a shape for each frame; a body has one, (16,)")
    betas = math.prod(shape)
    gender = _gender(_small(path, archive, "gender")) if "gender" in names else ""
    return MotionHeader(poses.shape[0], fps, gender, betas)


def _says_smplx(path: Path, archive: Npz) -> bool:
    if "surface_model_type" not in archive.names:
        return False
    return "smplx" in str(_small(path, archive, "surface_model_type").reshape(-1)[0]).lower()


def _smplx(path: Path) -> ItemError:
    return ItemError(
        "SMPL-X edition", f"{path} is of the SMPL-X edition; the regressor needs SMPL+H vertices: download 'SMPL+H G'"
    )


def _gender(stored: NDArray[Any]) -> str:
    """The stored gender, or nothing when the file holds no such word (`keypoints.missing_gender` decides then)."""
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

"""DMPL soft tissue: find the directions of a gender, and recognise what people give in their place.

AMASS files carry eight coefficients a frame; the directions they go along come from the SMPL site. Off by default:
the paper does not mention them, and seventeen joints deep in the body move little.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.sniff import refuse_wrong_content
from pipeline.body.smplh import model_kind, normalise_gender
from pipeline.untrusted.npz import NpzError, open_npz

N_DMPLS = 8

DOWNLOAD = (
    "register at https://smpl.is.tue.mpg.de and download 'DMPLs compatible with SMPL'; it unpacks to "
    "dmpls/{female,male,neutral}/model.npz. Or leave soft tissue out: -o keypoints.dmpls=false"
)


@dataclass(frozen=True, kw_only=True, eq=False)
class SoftTissue:
    """The directions of one gender. Compared by identity: the same file gives the same object.

    Attributes:
        dirs: (V, 3, 8) float64, metres per unit of coefficient, read-only.
        sha256: digest of the file, `sha256:<hex>`.
        path: where it was read from.
    """

    dirs: NDArray[np.float64]
    sha256: str
    path: Path


def find_dmpls(folder: str | Path, gender: str) -> Path:
    """Return the DMPL file of that gender.

    Args:
        folder: holds `dmpls/<gender>/model.npz` or `<gender>/model.npz`; or the file itself.
        gender: female, male or neutral.

    Raises:
        UserError: no folder given, or nothing there.
    """
    if not str(folder):
        raise UserError("keypoints.dmpls is on, but no DMPL files are given", f"give --dmpls DIR; {DOWNLOAD}")
    root, gender = Path(folder), normalise_gender(gender)
    if root.is_file():
        return root
    tried = [
        root / "dmpls" / gender / "model.npz",
        root / gender / "model.npz",
        root / "body_models" / "dmpls" / gender / "model.npz",
    ]
    found = next((path for path in tried if path.is_file()), None)
    if found is None:
        raise UserError(f"no {gender} DMPL file in {root}: {tried[0]} is missing", f"--dmpls DIR; {DOWNLOAD}")
    return found


def load_dmpls(folder: str | Path, gender: str, n_vertices: int) -> SoftTissue:
    """Read and check the directions of a gender; one copy per file and process.

    Args:
        folder: as for `find_dmpls`.
        gender: female, male or neutral.
        n_vertices: of the body they are for.

    Raises:
        UserError: missing, damaged, something else, or of another body; says what to get.
    """
    path = find_dmpls(folder, gender)
    stat = path.stat()
    soft = _load_cached(path.resolve(), stat.st_mtime_ns, stat.st_size)
    if len(soft.dirs) != n_vertices:
        raise UserError(f"{path} is for {len(soft.dirs)} vertices, the body has {n_vertices}", DOWNLOAD)
    return soft


@lru_cache(maxsize=3)
def _load_cached(path: Path, mtime_ns: int, size: int) -> SoftTissue:
    refuse_wrong_content(path, DOWNLOAD)
    try:
        with open_npz(path) as archive:
            if "eigvec" not in archive.names:
                raise UserError(f"{path} {_instead(archive)}", DOWNLOAD)
            header = archive.header("eigvec")
            if header.dtype.kind != "f" or len(header.shape) != 3 or header.shape[1] != 3:
                raise UserError(f"{path}: eigvec is {header.dtype} {header.shape}, expected float (V, 3, 8)", DOWNLOAD)
            if header.shape[2] < N_DMPLS:
                raise UserError(f"{path} has {header.shape[2]} directions, AMASS has {N_DMPLS} coefficients", DOWNLOAD)
            dirs = np.array(archive.read("eigvec")[:, :, :N_DMPLS], dtype=np.float64, order="C")
    except (NpzError, KeyError, IndexError) as error:
        raise UserError(f"{path} cannot be read ({error})", f"download it again: {DOWNLOAD}") from error
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", DOWNLOAD) from error
    if not np.isfinite(dirs).all():
        raise UserError(f"{path}: eigvec has values that are not finite", f"download it again: {DOWNLOAD}")
    dirs.setflags(write=False)
    return SoftTissue(dirs=dirs, sha256=sha256_file(path), path=path)


def _instead(archive: Any) -> str:
    """What a file without `eigvec` is."""
    if "posedirs" in archive.names and "v_template" in archive.names:
        shape = archive.header("posedirs").shape
        kind = model_kind(shape[-1] if shape else 0, archive.header("v_template").shape[0])
        return f"is the {kind or 'body'} model itself, not the DMPL directions (it goes to --body)"
    if "poses" in archive.names:
        return "is a motion, not DMPL directions"
    return f"holds no DMPL directions: it lacks eigvec, and has {', '.join(sorted(archive.names)[:8]) or 'nothing'}"

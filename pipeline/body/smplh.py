"""The SMPL+H body: find the model file, recognise every look-alike, read only what is needed.

Only numpy arrays are read (`allow_pickle=False`): the extended SMPL+H `model.npz` of the MANO site,
which is what AMASS was fitted with (16 betas, hands in absolute pose, no `hands_*` keys).

Legend: V vertices (6890 in the licensed model), J = 52 joints, 459 = 51 joints x 9 rotation entries.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actionpose.characters import shell_word
from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.plain_npz import NotPlain, npz_arrays, npz_names
from actionpose.sniff import refuse_wrong_content, sniff

GENDERS: tuple[str, ...] = ("female", "male", "neutral")
N_BETAS = 16
N_POSE_FEATURES = 459

_FINGERS = tuple(f"{finger}{i}" for finger in ("index", "middle", "pinky", "ring", "thumb") for i in (1, 2, 3))
BODY_JOINT_NAMES: tuple[str, ...] = (
    *("pelvis", "left_hip", "right_hip", "spine1", "left_knee", "right_knee", "spine2"),
    *("left_ankle", "right_ankle", "spine3", "left_foot", "right_foot", "neck"),
    *("left_collar", "right_collar", "head", "left_shoulder", "right_shoulder"),
    *("left_elbow", "right_elbow", "left_wrist", "right_wrist"),
    *(f"left_{name}" for name in _FINGERS),
    *(f"right_{name}" for name in _FINGERS),
)
"""The 52 joints of SMPL+H in the order of AMASS pose columns (joint j has columns 3j to 3j + 2)."""

BODY_PARENTS: tuple[int, ...] = (
    *(-1, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 9, 12, 13, 14, 16, 17, 18, 19),
    *(20, 22, 23, 20, 25, 26, 20, 28, 29, 20, 31, 32, 20, 34, 35),
    *(21, 37, 38, 21, 40, 41, 21, 43, 44, 21, 46, 47, 21, 49, 50),
)
"""Parent of each joint; the root has -1. Parents come before their children."""

N_BODY_JOINTS = len(BODY_JOINT_NAMES)

DOWNLOAD = (
    "register at https://mano.is.tue.mpg.de and download 'Extended SMPL+H model' (smplh.tar.xz); "
    "it unpacks to smplh/{female,male,neutral}/model.npz. "
    "To try everything without a licence: ap-data demo --out DIR"
)
_KEYS = ("v_template", "shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
_LOOKALIKES = {207: "SMPL (24 joints, no hands)", 486: "SMPL-X", 135: "a MANO hand"}


@dataclass(frozen=True, kw_only=True, eq=False)
class SmplhModel:
    """One gender of SMPL+H; all arrays float64, read-only, in metres, y up, facing +z, left = +x.

    Compared and hashed by identity: `load_body` returns the same object for the same file.

    Attributes:
        v_template: rest vertices (V, 3).
        shapedirs: shape blend shapes (V, 3, 16), metres per unit of beta.
        posedirs: pose correctives (V, 3, 459); column 9 (j - 1) + 3 r + c belongs to entry (r, c) of
            the rotation of joint j minus identity.
        J_regressor: rest joints from rest vertices (52, V).
        weights: skinning weights (V, 52), rows sum to one.
        parents: (52,) int64, -1 for the root.
        faces: triangles (F, 3) int64.
        gender: female, male or neutral.
        sha256: digest of the file, `sha256:<hex>`.
        path: where it was read from.
    """

    v_template: NDArray[np.float64]
    shapedirs: NDArray[np.float64]
    posedirs: NDArray[np.float64]
    J_regressor: NDArray[np.float64]
    weights: NDArray[np.float64]
    parents: NDArray[np.int64]
    faces: NDArray[np.int64]
    gender: str
    sha256: str
    path: Path


def normalise_gender(value: object) -> str:
    """Return `female`, `male` or `neutral` from whatever a motion file holds.

    Accepts text, bytes, arrays with one element, any case, first letters (`f`, `m`, `n`), and the literal text
    `b'female'` that careless conversion leaves in some files.

    Raises:
        UserError: it is none of the three.
    """
    item = _only(value) if isinstance(value, np.ndarray | np.generic | list | tuple) else value
    text = item.decode("utf-8", "replace") if isinstance(item, bytes) else str(item)
    text = text.strip().strip("\0").lower()
    if text[:2] in ("b'", 'b"'):
        text = text[2:-1]
    named = {**{gender: gender for gender in GENDERS}, **{gender[0]: gender for gender in GENDERS}}
    if text not in named:
        raise UserError(f"unknown gender '{text[:40]}'", "expected female, male or neutral")
    return named[text]


def _only(value: object) -> object:
    """The one element of an array; empty when it has none or several, or numbers that are no letters."""
    try:
        flat = np.asarray(value).reshape(-1)
    except ValueError:  # lists of unequal length
        return ""
    if flat.size != 1:
        return ""
    if flat.dtype.kind == "U" and flat.dtype.itemsize:
        letters = flat.astype(flat.dtype.newbyteorder("=")).view(np.uint32)
        if (letters > sys.maxunicode).any():  # on which Python itself breaks
            return ""
    return flat[0]


def find_body(folder: str | Path, gender: str) -> Path:
    """Return the model file of that gender.

    Args:
        folder: a folder holding `smplh/<gender>/model.npz`, `<gender>/model.npz` or
            `SMPLH_<GENDER>.npz` (upper and lower case are the same), or the file itself.
        gender: female, male or neutral.

    Raises:
        UserError: nothing there, or the given file names another gender.
    """
    root, gender = Path(folder), normalise_gender(gender)
    if root.is_file():
        stated = gender_in_name(root)
        if stated not in (None, gender):
            raise UserError(
                f"{root} is the {stated} body, but the motion needs the {gender} one",
                "give the folder that holds all genders instead of one file",
            )
        return root
    tried = [
        root / "smplh" / gender / "model.npz",
        root / gender / "model.npz",
        root / f"SMPLH_{gender.upper()}.npz",
        root / "smplh" / f"SMPLH_{gender.upper()}.npz",
        root / "body_models" / "smplh" / gender / "model.npz",
    ]
    if root.name.lower() == gender:
        tried.append(root / "model.npz")
    for wanted in tried:
        found = _ignoring_case(root, wanted.relative_to(root).parts)
        if found is not None:
            return found
    raise _no_body(root, gender, tried[0])


def available_genders(folder: str | Path) -> tuple[str, ...]:
    """Return the genders whose model file is present, in the order of `GENDERS`."""
    present = []
    for gender in GENDERS:
        try:
            find_body(folder, gender)
        except UserError:
            continue
        present.append(gender)
    return tuple(present)


def load_body(folder_or_file: str | Path, gender: str) -> SmplhModel:
    """Read and check the SMPL+H model of a gender; one copy per file and process.

    Args:
        folder_or_file: as for `find_body`.
        gender: anything `normalise_gender` takes.

    Raises:
        UserError: missing, damaged, another body model, or inconsistent; says which, and what to get.
    """
    gender = normalise_gender(gender)
    path = find_body(folder_or_file, gender)
    stat = path.stat()
    return _load_cached(path.resolve(), gender, stat.st_mtime_ns, stat.st_size)


@lru_cache(maxsize=len(GENDERS))
def _load_cached(path: Path, gender: str, mtime_ns: int, size: int) -> SmplhModel:
    raw = _read_members(path)
    _check_kind(path, raw)
    checked = {key: _as_float64(path, key, raw[key]) for key in _KEYS[:5]}
    # A file padded with zero columns for other tools still carries its 16 directions first.
    checked["shapedirs"] = np.ascontiguousarray(checked["shapedirs"][:, :, :N_BETAS])
    faces = raw["f"].astype(np.int64)
    parents = _parents(path, raw["kintree_table"])
    _check_values(path, checked, faces)
    for array in (*checked.values(), parents, faces):
        array.setflags(write=False)
    return SmplhModel(**checked, parents=parents, faces=faces, gender=gender, sha256=sha256_file(path), path=path)


def model_kind(pose_features: int, n_vertices: int) -> str:
    """`SMPL+H`, or the look-alike with that many columns in its posedirs; empty when unknown."""
    if pose_features == N_POSE_FEATURES:
        return "SMPL+H" if n_vertices != 10475 else "SMPL-X"
    return _LOOKALIKES.get(pose_features) or ("SMPL-X" if n_vertices == 10475 else "")


def _read_members(path: Path) -> dict[str, NDArray[np.generic]]:
    pickled = (
        f"see what it holds, without running it: ap-data convert-model {shell_word(str(path))} --dry-run. The SMPLH "
        f"pickles of the MANO site have 10 shape coefficients where AMASS needs 16; instead of those, {DOWNLOAD}"
    )
    refuse_wrong_content(path, DOWNLOAD, pickled=pickled)
    try:
        if sniff(path) != "zip":
            raise UserError(f"{path} is {_other(path)}, not a body model", DOWNLOAD)
        present = npz_names(path)
        if missing := [key for key in _KEYS if key not in present]:
            raise _missing_keys(path, missing, sorted(present))
        return npz_arrays(path, _KEYS)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except NotPlain as error:
        raise UserError(f"{path} cannot be read: {error}", f"download it again: {DOWNLOAD}") from error


def _other(path: Path) -> str:
    with open(path, "rb") as handle:
        return "a single array" if handle.read(6) == b"\x93NUMPY" else "another kind of file"


def _missing_keys(path: Path, missing: list[str], present: list[str]) -> UserError:
    if "eigvec" in present:
        return UserError(f"{path} holds DMPL soft-tissue directions, not the body itself", DOWNLOAD)
    if any(name.lower().endswith(".pkl") for name in present):
        return UserError(f"{path} is an archive of pickles ({', '.join(present[:3])})", DOWNLOAD)
    if "poses" in present or "trans" in present:
        return UserError(f"{path} is a motion, not a body model", "give the body model with --body DIR")
    return UserError(f"{path} is not an SMPL+H model: it lacks {', '.join(missing)}", DOWNLOAD)


def _check_kind(path: Path, raw: dict[str, NDArray[np.generic]]) -> None:
    """Say which other model it is before any shape mismatch can confuse."""
    posedirs, vertices = raw["posedirs"], raw["v_template"]
    width = posedirs.shape[-1] if posedirs.ndim else 0
    other = model_kind(width, vertices.shape[0] if vertices.ndim else 0)
    if other not in ("SMPL+H", ""):
        raise UserError(
            f"{path} is {other}, not SMPL+H (its posedirs have {width} columns, "
            f"SMPL+H has {N_POSE_FEATURES}; {vertices.shape[0]} vertices)",
            DOWNLOAD,
        )
    n = vertices.shape[0] if vertices.ndim else 0
    betas = raw["shapedirs"].shape[-1] if raw["shapedirs"].ndim else 0
    if betas < N_BETAS:
        raise UserError(
            f"{path} has {betas} shape coefficients; AMASS bodies have {N_BETAS}, and the first {betas} "
            "alone would be another person",
            DOWNLOAD,
        )
    expected = {
        "v_template": (n, 3),
        "shapedirs": (n, 3, betas),
        "posedirs": (n, 3, N_POSE_FEATURES),
        "J_regressor": (N_BODY_JOINTS, n),
        "weights": (n, N_BODY_JOINTS),
        "kintree_table": (2, N_BODY_JOINTS),
        "f": (raw["f"].shape[0] if raw["f"].ndim else 0, 3),
    }
    for key, shape in expected.items():
        if raw[key].shape != shape:
            raise UserError(f"{path}: {key} has shape {raw[key].shape}, expected {shape}", DOWNLOAD)


def _as_float64(path: Path, key: str, array: NDArray[np.generic]) -> NDArray[np.float64]:
    if not np.issubdtype(array.dtype, np.floating):
        raise UserError(f"{path}: {key} is {array.dtype}, expected floating-point numbers", DOWNLOAD)
    wide = np.ascontiguousarray(array, dtype=np.float64)
    if not np.isfinite(wide).all():
        raise UserError(f"{path}: {key} has values that are not finite", f"download it again: {DOWNLOAD}")
    return wide


def _check_values(path: Path, arrays: dict[str, NDArray[np.float64]], faces: NDArray[np.int64]) -> None:
    vertices, weights = arrays["v_template"], arrays["weights"]
    joints = arrays["J_regressor"] @ vertices
    wrong = {
        "rows of weights do not sum to one": bool(np.abs(weights.sum(axis=1) - 1.0).max() > 1e-3),
        "faces point past the last vertex": bool(faces.min() < 0 or faces.max() >= len(vertices)),
        "the body is not 0.5 to 2.5 metres tall along y": not 0.5 < np.ptp(vertices[:, 1]) < 2.5,
        "joints lie outside the body": bool(
            (joints < vertices.min(axis=0)).any() or (joints > vertices.max(axis=0)).any()
        ),
        "the left hip is not on the side of +x": bool(joints[1, 0] <= joints[2, 0]),
    }
    for sentence, holds in wrong.items():
        if holds:
            raise UserError(f"{path}: {sentence}", f"this is not the original file; {DOWNLOAD}")


def _parents(path: Path, kintree: NDArray[np.generic]) -> NDArray[np.int64]:
    # The root's parent is 2^32 - 1 in an unsigned table, -1 in a signed one.
    parents = kintree[0].astype(np.int64)
    parents[0] = -1
    wrong = np.flatnonzero(parents != np.array(BODY_PARENTS))
    if wrong.size:
        j = int(wrong[0])
        raise UserError(
            f"{path}: joint {j} ({BODY_JOINT_NAMES[j]}) is attached to joint {parents[j]}, "
            f"expected {BODY_PARENTS[j]}: not the SMPL+H skeleton",
            DOWNLOAD,
        )
    return parents


def gender_in_name(path: Path) -> str | None:
    """The gender that a file or its folder is named after, if any."""
    words = f"{path.parent.name} {path.stem}".lower().replace("_", " ").split()
    return next((gender for gender in GENDERS if gender in words), None)


def _ignoring_case(folder: Path, parts: tuple[str, ...]) -> Path | None:
    """Walk down name by name; an exact match wins over one that differs in case."""
    place = folder
    for part in parts:
        if not (place / part).exists():
            entries = sorted(place.iterdir()) if place.is_dir() else []
            match = next((entry for entry in entries if entry.name.lower() == part.lower()), None)
            if match is None:
                return None
            place = match
        else:
            place = place / part
    return place if place.is_file() else None


def _no_body(root: Path, gender: str, tried: Path) -> UserError:
    if not root.exists():
        return UserError(f"the body model folder {root} does not exist", f"point to it with --body DIR; {DOWNLOAD}")
    pickles = [found.name for depth in ("", "*/", "*/*/") for found in sorted(root.glob(f"{depth}*.pkl"))][:3]
    also = f"; it holds pickles ({', '.join(pickles)}), which are other editions" if pickles else ""
    return UserError(
        f"no {gender} SMPL+H body in {root}: {tried} is missing{also}",
        f"point elsewhere with --body DIR, or {DOWNLOAD}",
    )

"""What lifting gives: poses with everything needed to understand them, and the files it is written to.

Rows are one person in one frame, sorted by person, then frame. What lies in the picture has y downwards and one unit
for both axes: pixels where the input was in pixels or the picture's size is known. Shape letters: N rows.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Flags, Floats
from actionpose.errors import UserError
from actionpose.files import atomic_path, require_file, write_text
from actionpose.lift.read_json import load_json
from actionpose.plain_npz import NotPlain, npz_arrays
from actionpose.skeleton import JOINT_NAMES, PARENTS

CAMERA = "camera: x right, y down, z away from the camera"
FORMATS = ("npz", "json", "motionbert")
SCHEMA = "actionpose-lift"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Lifted:
    """Lifted poses.

    Attributes:
        poses_3d: (N, 17, 3) float32, relative to the pelvis, in `units`; NaN where a joint is neither valid nor filled.
        poses_2d: (N, 17, 2) float32, the detections in Human3.6M order, in the picture; NaN where hidden.
        confidence: (N, 17) float32 of the detections; 0 where hidden.
        valid: (N, 17) bool: the joint was seen in this frame.
        filled: (N, 17) bool: the joint was not seen, and the model completed it (`fill`, `predict`).
        predicted: (N,) bool: the row lies after the person's last frame (`predict`).
        frame_index: (N,) int64 number of the frame in the film.
        timestamps: (N,) float64 seconds.
        track_id: (N,) int64 the person.
        root_2d: (N, 2) float32 pelvis in the picture; on a straight line where hidden.
        scale_2d: (N,) float32 picture units for a metre at the person. Seen from far away, a joint lies in the picture
            at root_2d + scale_2d * (x, y) of the camera's frame.
        fps: frames a second of the film.
        coordinate_system: axes of `poses_3d`.
        units: of `poses_3d`.
        root: what `poses_3d` are relative to.
        scale_source: where the length of a metre comes from.
        model: facts about the model.
        tool_version: of this toolkit.
        verdicts: how the input was understood.
        warnings: what looks wrong, and how it was noticed.
        picture: unit and size of the picture, as it was understood.
    """

    poses_3d: Floats
    poses_2d: Floats
    confidence: Floats
    valid: Flags
    filled: Flags
    predicted: Flags
    frame_index: NDArray[np.int64]
    timestamps: Floats
    track_id: NDArray[np.int64]
    root_2d: Floats
    scale_2d: Floats
    fps: float
    coordinate_system: str = CAMERA
    units: str = "metres"
    root: str = JOINT_NAMES[0]
    scale_source: str = ""
    model: Mapping[str, Any] = field(default_factory=dict)
    tool_version: str = ""
    verdicts: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    picture: Mapping[str, Any] = field(default_factory=dict)
    joint_names: tuple[str, ...] = JOINT_NAMES
    parents: tuple[int, ...] = PARENTS

    def __len__(self) -> int:
        return len(self.frame_index)

    @property
    def people(self) -> tuple[int, ...]:
        """Ids of the people in it."""
        return tuple(dict.fromkeys(self.track_id.tolist()))

    def person(self, track: int) -> Lifted:
        """The rows of one person."""
        mine = self.track_id == track
        rows = {name: getattr(self, name)[mine] for name in ROWS}
        return Lifted(**{**self.__dict__, **rows})


ROWS = (
    *("poses_3d", "poses_2d", "confidence", "valid", "filled", "predicted", "frame_index", "timestamps"),
    *("track_id", "root_2d", "scale_2d"),
)
"""The arrays of N rows."""

_ROW_TYPES: Mapping[str, type] = {
    **dict.fromkeys(("valid", "filled", "predicted"), np.bool_),
    **dict.fromkeys(("frame_index", "track_id"), np.int64),
    "timestamps": np.float64,
}
"""Types of the rows; the others are float32."""

_TEXTS = ("coordinate_system", "units", "root", "scale_source", "tool_version")


def save(lifted: Lifted, path: Path, format: str | None = None) -> None:
    """Write a result.

    Args:
        lifted: the poses.
        path: the file; it appears whole or not at all.
        format: one of `FORMATS`; None: what the name ends in, npz otherwise. `motionbert` is the bare array that
            MotionBERT's own script writes: (T, 17, 3), x and y in screen units at their place in the picture.

    Raises:
        UserError: several people in a format that holds one; the file cannot be written.
    """
    format = format or ("json" if path.suffix == ".json" else "npz")
    if format == "motionbert":
        array = motionbert_array(lifted)
        with atomic_path(path) as aside, open(aside, "wb") as handle:
            np.save(handle, array)
        return
    if format == "json":
        write_text(path, json.dumps(_plain(as_dict(lifted)), ensure_ascii=False) + "\n")
        return
    members: dict[str, Any] = {
        name: json.dumps(value, ensure_ascii=False) if isinstance(value, dict) else value
        for name, value in as_dict(lifted).items()
    }
    with atomic_path(path) as aside, open(aside, "wb") as handle:
        np.savez_compressed(handle, **members)


def as_dict(lifted: Lifted) -> dict[str, Any]:
    """The result as named arrays and texts, in the order of the file."""
    return {
        **{name: getattr(lifted, name) for name in ROWS},
        "joint_names": np.array(lifted.joint_names),
        "parents": np.array(lifted.parents, dtype=np.int64),
        "fps": np.float64(lifted.fps),
        **{name: getattr(lifted, name) for name in _TEXTS},
        "model": dict(lifted.model),
        "picture": dict(lifted.picture),
        "verdicts": np.array(lifted.verdicts, dtype=str),
        "warnings": np.array(lifted.warnings, dtype=str),
        "schema": SCHEMA,
        "version": np.int64(VERSION),
    }


def load(path: Path) -> Lifted:
    """Read a result that `save` wrote as npz or JSON.

    Raises:
        UserError: not there, damaged, or another file.
    """
    require_file(path)
    try:
        with open(path, "rb") as handle:
            head = handle.read(2)
        if head[:1] in (b"{", b"["):
            return _from_members(load_json(path), path)
        if head != b"PK":
            raise UserError(f"{path} is not a result of `ap-lift run`", "give the file that its -o names")
        return _from_members(npz_arrays(path), path)
    except UserError:
        raise
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except NotPlain as error:
        raise UserError(
            f"{path} cannot be read as a result of `ap-lift run`: {error}", "lift the clip again"
        ) from error
    except (LookupError, TypeError, ValueError, OverflowError) as error:  # arrays and texts of other kinds
        raise UserError(f"{path} is not a result of `ap-lift run`, or damaged", "lift the clip again") from error


def _from_members(members: Any, path: Path) -> Lifted:
    if not isinstance(members, Mapping) or str(members.get("schema")) != SCHEMA:
        raise UserError(f"{path} is not a result of `ap-lift run`", "give the file that its -o names")
    if int(members["version"]) > VERSION:
        raise UserError(f"{path} was written by a newer version", "update actionpose")
    found: dict[str, Any] = {name: np.asarray(members[name], _ROW_TYPES.get(name, np.float32)) for name in ROWS}
    found |= {name: str(members[name]) for name in _TEXTS}
    for name in ("model", "picture"):
        found[name] = members[name] if isinstance(members[name], dict) else json.loads(str(members[name]))
    found |= {name: tuple(map(str, np.asarray(members[name]).tolist())) for name in ("verdicts", "warnings")}
    return Lifted(**found, fps=float(members["fps"]))


def model_of(path: Path) -> Path | None:
    """Where the model of a result is, or was; None when the file is not a result."""
    try:
        model = load(path).model.get("path") if path.suffix in (".npz", ".json") else None
    except UserError:
        return None
    return Path(str(model)) if model else None


def _plain(value: Any) -> Any:
    """JSON's types; numbers that are not finite become null, floats keep nine digits."""
    if isinstance(value, np.ndarray):
        return _plain(value.tolist()) if value.dtype.kind == "f" else value.tolist()
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return float(f"{value:.9g}") if math.isfinite(value) else None
    return value


def motionbert_array(lifted: Lifted) -> Floats:
    """(T, 17, 3) float32 of one person: x, y in screen units where the person stands, z in the same unit.

    Raises:
        UserError: several people, or poses in a world instead of a camera's frame.
    """
    if len(lifted.people) > 1:
        raise UserError(
            f"MotionBERT's format holds one person, and there are {len(lifted.people)}", "choose one: --person ID"
        )
    if lifted.coordinate_system != CAMERA:
        raise UserError("MotionBERT's format is in the camera's frame", "leave --up out")
    width, height = lifted.picture.get("width") or 0, lifted.picture.get("height") or 0
    scale, root = lifted.scale_2d.astype(np.float64), lifted.root_2d.astype(np.float64)
    if lifted.picture.get("units") == "screen":
        width, height, root = 2.0, 2.0, root + 1.0
    elif not width:  # without a picture, its width is what the person moves in
        low, high = np.nanmin(root, axis=0), np.nanmax(root, axis=0)
        width = height = float((high - low).max() + 2 * np.nanmedian(scale))
        root = root - (low + high) / 2 + width / 2
    poses = lifted.poses_3d * scale[:, None, None] * (2.0 / width)
    place = root * (2.0 / width) - np.array([1.0, height / width])
    poses[..., :2] += place[:, None]
    return poses.astype(np.float32)

"""The writer for a file's ending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from actionpose.errors import UserError
from actionpose.export.bvh import write_bvh
from actionpose.export.clip import Clip, clip_of
from actionpose.export.glb import write_glb
from actionpose.export.tables import write_c3d, write_csv, write_trc
from actionpose.lift.result import Lifted

Notes = tuple[str, ...]

CLIPS: Mapping[str, Callable[[Clip, Path], Notes]] = {
    ".bvh": write_bvh,
    ".trc": write_trc,
    ".c3d": write_c3d,
    ".glb": write_glb,
}
"""Formats of one person."""

MODELS = (".onnx", ".pt2")
"""Formats of a model."""

SUFFIXES = (*CLIPS, ".csv", *MODELS)


def export_clip(lifted: Lifted, path: Path, person: int | None = None) -> Notes:
    """Write a result in the format that the file's name ends in; what was done to it.

    Args:
        lifted: the result.
        path: the file to write.
        person: whom, in formats of one person.

    Raises:
        UserError: an ending that is not a format of clips; hidden joints; several people.
    """
    suffix = path.suffix.lower()
    if suffix == ".csv":
        return write_csv(lifted, path)
    if suffix not in CLIPS:
        raise UserError(
            f"{path}: '{suffix}' is not a format of clips",
            "use " + ", ".join((*CLIPS, ".csv")) + "; models go to .onnx or .pt2",
        )
    return CLIPS[suffix](clip_of(lifted, person), path)

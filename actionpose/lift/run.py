"""From keypoints to a result: what was understood is lifted, brought to metres and checked.

from actionpose.lift.run import lift
lifted = lift("keypoints.json", fps=25)            # by the shipped model
lifted.poses_3d                      # (N, 17, 3) metres, relative to the pelvis
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift import sanity
from actionpose.lift.complete import NOT_SEEN, Stretch, root_in_picture
from actionpose.lift.detections import Detections
from actionpose.lift.join import join
from actionpose.lift.read import read_keypoints
from actionpose.lift.read_arrays import Objects, from_array
from actionpose.lift.result import CAMERA, Lifted
from actionpose.lift.scale import Known, estimate_up, known_length
from actionpose.lift.source import LiftModel, device_of, open_model
from actionpose.lift.understand import LiftOptions, Understood, prepare
from actionpose.lift.windows import lift_grids
from actionpose.skeleton import ROOT

Keypoints = str | os.PathLike[str] | Sequence[str | os.PathLike[str]] | NDArray[Any]


def lift(
    keypoints: Keypoints,
    model: str | os.PathLike[str] | LiftModel | None = None,
    *,
    device: str = "auto",
    objects: Objects | None = None,
    tool_version: str = "",
    **options: Any,
) -> Lifted:
    """Lift 2D keypoints to 3D.

    Args:
        keypoints: a file, a folder of one file a frame, the files of such a folder, or an array
            (T, K, 2 or 3) or (T, P, K, 2 or 3) with P people.
        model: a run, a checkpoint, a MotionBERT file, or a model that `open_model` loaded; None: the shipped model.
        device: "auto", "cpu", "cuda" or "cuda:N"; not used for a model that is loaded.
        objects: opens VideoPose3D's files (`read_arrays.read_npz`).
        tool_version: written into the result.
        options: fields of `LiftOptions`.

    Raises:
        UserError: keypoints or model that cannot be used; the message names the file, the value and the next move.
        TypeError: an option that does not exist.
    """
    chosen = LiftOptions(**options)
    found = read(keypoints, objects)
    if not isinstance(model, LiftModel):
        model = open_model(None if model is None else Path(model), device_of(device))
    return dataclasses.replace(lift_detections(found, model, chosen), tool_version=tool_version)


def read(keypoints: Keypoints, objects: Objects | None = None) -> Detections:
    """Keypoints from wherever they are; see `lift`."""
    if isinstance(keypoints, np.ndarray):
        return from_array(keypoints, "the array")
    paths = [keypoints] if isinstance(keypoints, str | os.PathLike) else keypoints
    return read_keypoints([Path(path) for path in paths], objects)


def lift_detections(found: Detections, source: LiftModel, options: LiftOptions) -> Lifted:
    """Lift what was read; see `lift`."""
    _check_prediction(options, source)
    scale = known_length(options.height_m, options.bone)
    ready = prepare(found, source, options)
    poses = lift_grids(
        ready.grids, ready.sizes, source, flip=options.flip, batch=options.batch, progress=options.progress
    )
    completes = options.fill or options.predict > 0
    rows = [_rows(s, pose, size, completes) for s, pose, size in zip(ready.stretches, poses, ready.sizes, strict=True)]
    columns = {name: np.concatenate([part[name] for part in rows]) for name in rows[0]}
    return _finish(columns, ready.known, source, options, scale)


def _check_prediction(options: LiftOptions, source: LiftModel) -> None:
    furthest = source.frames / 2 / source.fps
    if options.predict > furthest:
        raise UserError(
            f"--predict {options.predict:g}: this model sees {source.frames} frames at once, so it can look "
            f"{furthest:.2g} s ahead",
            f"give at most {furthest:.2g}, or a model of longer windows",
        )


def _rows(stretch: Stretch, pose: Floats, sizes: Floats, completes: bool) -> dict[str, Any]:
    """The rows of a stretch, before metres and masks."""
    poses = stretch.at_rows(pose)
    seen = stretch.row != NOT_SEEN
    confidence = np.where(seen[:, None], stretch.track.confidence[stretch.row], 0.0)
    points = np.where(confidence[..., None] > 0, stretch.track.points[stretch.row], np.nan)
    return {
        "poses_3d": join(poses, confidence > 0, stretch.seconds) if completes else poses,
        "poses_2d": points,
        "confidence": confidence,
        "valid": confidence > 0,
        "predicted": stretch.predicted,
        "frame_index": stretch.frame,
        "timestamps": stretch.seconds,
        "track_id": np.full(len(stretch.frame), stretch.track.person),
        "root_2d": root_in_picture(stretch),
        "scale_2d": stretch.at_rows(sizes),
    }


def _finish(
    columns: dict[str, Any], known: Understood, source: LiftModel, options: LiftOptions, scale: tuple[Known, str]
) -> Lifted:
    """Metres, world, masks and the facts."""
    poses, valid = columns["poses_3d"], columns["valid"]
    completed = np.isfinite(poses).all(axis=-1)
    axes = CAMERA
    for person in np.unique(columns["track_id"]):
        mine = columns["track_id"] == person
        judged = mine & valid.any(axis=1)
        factor = scale[0].factor(poses[judged])
        poses[mine] *= factor
        columns["scale_2d"][mine] /= factor
        known.warnings += sanity.check_result(int(person), columns["timestamps"][mine], poses[mine], valid[mine])
    if options.up:
        up = estimate_up(poses[valid.any(axis=1)])
        poses, axes = poses @ up.rotation.T, f"world: x right, y away from the camera, z up; {up.says}"
        known.verdicts.append(up.says)
    filled = completed & ~valid & (options.fill | columns["predicted"][:, None])
    shown = valid | filled
    shown[:, ROOT] = completed[:, ROOT]  # the origin
    columns["poses_3d"] = np.where(shown[..., None], poses, np.nan)
    columns["filled"] = filled
    floats = ("poses_3d", "poses_2d", "confidence", "root_2d", "scale_2d")
    columns |= {name: columns[name].astype(np.float32) for name in floats}
    return Lifted(
        **columns,
        fps=known.fps,
        coordinate_system=axes,
        scale_source=scale[1],
        model=source.facts,
        verdicts=tuple(known.verdicts),
        warnings=tuple(known.warnings),
        picture={"units": known.picture.units, "width": known.picture.width, "height": known.picture.height,
                 "y_up_in_file": known.picture.y_up},
    )  # fmt: skip

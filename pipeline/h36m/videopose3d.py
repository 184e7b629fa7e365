"""`data_3d_h36m.npz` and `data_2d_h36m_*.npz`, the files of VideoPose3D: world positions, and detections in pixels.

`positions_3d` is subject → take → (T, 32, 3) world metres; `positions_2d` is subject → take → four (T, 17, 2) in the
order of the cameras. Where the cameras stood is in neither (`pipeline.h36m.extrinsics`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.arrays import Array, Float32s, Floats
from actionpose.errors import UserError
from actionpose.schema import VideoFacts
from actionpose.skeleton import LEFT, N_JOINTS, RIGHT
from actionpose.walk import written_name
from pipeline.h36m.cameras import Camera, Extrinsics, cameras, project, world_to_camera
from pipeline.h36m.extrinsics import Places
from pipeline.h36m.takes import action_names, screen_pose, skipped
from pipeline.pack.benchmark import BenchmarkMotion, Rejected, Unfit
from pipeline.sources import facts
from pipeline.untrusted.pickles import load_objects, numbers

Takes = Mapping[str, Mapping[str, Any]]

LAYOUT_3D, LAYOUT_2D = "videopose3d-3d", "videopose3d-2d"
PROTOCOL = "h36m-a"
WHERE = "VideoPose3D's data page explains how to make data_3d_h36m.npz and the detections that belong to it"

_STORED_JOINTS = 32
_NEAREST_M = 0.1
_EXACT_PIXELS = 0.05
_DETECTORS = ("cpn", "hrnet", "hr", "sh", "detectron", "vitpose", "openpose", "gt")


@dataclass(frozen=True, kw_only=True)
class Detections2D:
    """2D of all takes: subject → take → four arrays; `name` as far as the file says it."""

    file: str
    name: str
    takes: Takes


def read_positions(path: Path) -> Takes:
    """`positions_3d`.

    Raises:
        UserError: refused or damaged, or not subject → take → array.
    """
    return _takes(path, load_objects(path, "positions_3d"), "positions_3d")


def read_detections(path: Path) -> Detections2D:
    """`positions_2d`, checked for its joints.

    Raises:
        UserError: as `read_positions`; joints of another layout.
    """
    takes = _takes(path, load_objects(path, "positions_2d"), "positions_2d")
    metadata = load_objects(path, "metadata")
    try:
        joints, sides, layout = _joints_of(metadata if isinstance(metadata, dict) else {})
    except (ValueError, TypeError) as error:
        raise UserError(f"{path}: its metadata cannot be read: {error}", WHERE) from error
    if joints != N_JOINTS or sides != [sorted(LEFT), sorted(RIGHT)]:
        raise UserError(
            f"{path} has {joints} joints of layout '{layout}', left {sides[0]}: not the 17 of Human3.6M",
            "use detections that were made for Human3.6M's joints, such as data_2d_h36m_cpn_ft_h36m_dbb.npz",
        )
    words = re.split(r"[^a-z0-9]+", path.stem.lower())
    return Detections2D(
        file=written_name(path.name), name=next((d for d in _DETECTORS if d in words), "detected"), takes=takes
    )


def _joints_of(metadata: Mapping[str, Any]) -> tuple[int, list[list[int]], str]:
    """Number of joints, those of the left and of the right, and the layout's name."""
    left, right = metadata.get("keypoints_symmetry", (LEFT, RIGHT))
    sides = [sorted(int(joint) for joint in side) for side in (left, right)]
    return int(metadata.get("num_joints", N_JOINTS)), sides, str(metadata.get("layout_name", "h36m"))


def _takes(path: Path, loaded: Any, member: str) -> Takes:
    if not isinstance(loaded, dict) or not all(isinstance(takes, dict) for takes in loaded.values()):
        raise UserError(f"{path}: {member} is not subject → take → array", WHERE)
    return loaded


def motions(
    source: str, positions: Takes, places: Places, detections: Detections2D | None
) -> Iterator[BenchmarkMotion | Rejected]:
    """Each take seen by each of the four cameras, world taken into the camera's frame.

    Without detections the 2D is the projection, lens distortion included.
    """
    for subject in sorted(positions):
        for take in sorted(positions[subject]):
            for camera in cameras():
                yield _motion(source, positions, places, detections, subject, take, camera)


def _motion(
    source: str,
    positions: Takes,
    places: Places,
    detections: Detections2D | None,
    subject: str,
    take: str,
    camera: Camera,
) -> BenchmarkMotion | Rejected:
    motion_id = f"h36m/{subject}_{str(take).replace(' ', '_')}.{camera.id}"
    try:
        split, action = _split_of(subject), _action_of(take)
        place = places.at.get((subject, camera.id))
        if place is None:
            raise Unfit("no camera", f"the cameras file has no {camera.id} of {subject}")
        points = _in_camera(positions[subject][take], place)
        seen = project(points, camera)
        pose2d, source_2d = _seen(detections, subject, take, camera, seen)
    except Unfit as verdict:
        return verdict.rejected(motion_id)
    unit_mm = float(facts.table("h36m")["camera_scale"]["unit_mm"])
    skip = skipped(PROTOCOL, subject, take)
    fps = float(facts.table("h36m")["fps"])
    return BenchmarkMotion(
        motion_id=motion_id,
        dataset="Human3.6M",
        subject=subject,
        split=split,
        action=action,
        source=source,
        fps_stored=fps,
        fps_true=fps,
        pose2d=pose2d,
        pose3d=(points * (1000.0 / unit_mm)).astype(np.float32),
        facts=VideoFacts(
            width=camera.width,
            height=camera.height,
            camera=camera.id,
            take=take,
            target="camera",
            unit_mm=unit_mm,
            unit_from="constant",
            protocols=(PROTOCOL,),
            source_2d=source_2d,
            skip=skip,
        ),
    )


def _split_of(subject: str) -> str:
    for split, subjects in facts.table("h36m")["split"].items():
        if subject in subjects:
            return str(split)
    raise Unfit("unknown subject", f"'{subject}' is in neither split")


def _action_of(take: str) -> str:
    """The action of a take such as `Walking 1`: the text before the first blank, under the metadata's name."""
    first = re.split(r"[ _]", str(take), maxsplit=1)[0]
    for row in facts.table("h36m")["action"]:
        if first in (row["name"], *row["aliases"]):
            return action_names()[row["number"]]
    raise Unfit("unknown action", f"'{take}' begins with no action of the dataset")


def _numbers(value: Any) -> Array:
    try:
        return numbers(value)
    except ValueError as error:
        raise Unfit("unreadable", str(error)) from error


def _in_camera(stored: Any, place: Extrinsics) -> Floats:
    points = _numbers(stored)
    if points.ndim != 3 or points.shape[1:] not in ((_STORED_JOINTS, 3), (N_JOINTS, 3)):
        raise Unfit("wrong shape", f"positions are {points.dtype} {points.shape}, expected (T, {_STORED_JOINTS}, 3)")
    if points.shape[1] == _STORED_JOINTS:
        points = points[:, facts.table("h36m")["joints"]]
    if not points.size or not np.isfinite(points).all():
        raise Unfit("not finite" if points.size else "no frames", f"positions of {len(points)} frames")
    turned = world_to_camera(points.astype(np.float64), place)
    if not (turned[..., 2] > _NEAREST_M).all():
        raise Unfit("behind the camera", f"a joint is {turned[..., 2].min():.2f} m in front of the camera")
    return turned


def _seen(
    detections: Detections2D | None, subject: str, take: str, camera: Camera, projected: Floats
) -> tuple[Float32s, str]:
    """2D with confidence, and its name; detections have to agree with where the joints are projected to."""
    if detections is None:
        return screen_pose(projected, 1.0, camera), "gt"
    views = detections.takes.get(subject, {}).get(take)
    if not isinstance(views, list | tuple) and not (isinstance(views, np.ndarray) and views.ndim):
        views = ()
    if len(views) <= camera.number:
        raise Unfit("no detections", f"{detections.file} has no {subject} {take} of camera {camera.number}")
    pixels = _numbers(views[camera.number])
    if pixels.ndim != 3 or pixels.shape[1] != N_JOINTS or pixels.shape[2] not in (2, 3):
        raise Unfit("wrong shape", f"detections are {pixels.shape}, expected (T, {N_JOINTS}, 2)")
    n = len(projected)
    if len(pixels) < n:
        raise Unfit("detections too short", f"{len(pixels)} frames of 2D for {n} of 3D")
    pixels = pixels[:n]
    if not np.isfinite(pixels).all():
        raise Unfit("not finite", f"2D of {int((~np.isfinite(pixels)).any(axis=(1, 2)).sum())} frames")
    apart = float(np.median(np.linalg.norm(pixels[..., :2] - projected, axis=-1)))
    if not apart <= facts.table("h36m")["agreement"]["pixels"]:
        raise Unfit("cameras do not fit", f"2D and projected 3D are {apart:.0f} pixels apart in the median")
    name = "gt" if apart < _EXACT_PIXELS else detections.name
    return screen_pose(pixels[..., :2], pixels[..., 2] if pixels.shape[2] == 3 else 1.0, camera), name

"""Keypoints to orthographic views: the cameras of each clip. Stage *project-2d*.

The 2D pose of a view is the first two channels of the camera-frame pose; nothing is lost, so nothing is stored
twice: the stage writes the headings, shards carry them, and 2D is made where it is read.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.arrays import Float32s
from actionpose.files import atomic_path
from actionpose.geometry import (
    SCREEN_PER_METRE,
    camera_matrix,
    camera_to_screen,
    facing_heading,
    screen_centre,
    to_camera,
    view_angles,
)
from actionpose.skeleton import JOINT_NAMES
from pipeline.body.keypoint_file import read_keypoints
from pipeline.config import DataConfig, ProjectConfig
from pipeline.engine.item import Item, Rows
from pipeline.engine.manifest import ClipRow, KeypointRow, ViewRow
from pipeline.engine.row_index import lookup
from pipeline.engine.stage import Stage


def clip_frames(frames: Float32s, clip: ClipRow) -> Float32s:
    """The frames of a clip out of its motion's, its gap left out."""
    span = frames[clip.start : clip.stop]
    if clip.gap_start == clip.gap_stop:
        return span
    return np.concatenate([span[: clip.gap_start], span[clip.gap_stop :]])


def heading_of(frames: Float32s, config: ProjectConfig) -> tuple[float, str]:
    """Heading in radians and where it is from, by the settings."""
    return (0.0, "world") if config.heading == "world" else facing_heading(frames)


def view_row(row_id: str, motion_id: str, frames: Float32s, config: ProjectConfig) -> ViewRow:
    """The cameras of these frames, and how large the person's path appears in each."""
    heading, how = heading_of(frames, config)
    extents: list[float] = []
    for view in config.views:
        flat = to_camera(frames, camera_matrix(view, heading))[..., :2].reshape(-1, 2)
        extents += [round(float(side), 4) for side in np.ptp(flat, axis=0)]
    return ViewRow(id=row_id, motion_id=motion_id, heading=round(heading, 9), heading_from=how, extent_m=extents)


def project_file(source: Path, output: Path, config: ProjectConfig) -> dict[str, Any]:
    """`ap-data project-2d FILE -o OUT`: the views of one file that `ap-data keypoints` wrote.

    Writes pose3d_cam (V, T, 17, 3) float32 metres, camera frame (x right, y down, z away); pose2d (V, T, 17, 2),
    its first two channels: an orthographic camera; pose2d_screen (V, T, 17, 2), the same in screen units, which
    is (pose2d - screen_centre) * screen_per_metre; and the view table: views (V,), cameras (V, 3, 3) from world
    to camera, yaw_pitch_deg (V, 2), heading, heading_from.

    Raises:
        UserError: it is not such a file, or a view is unknown.
    """
    frames, fps = read_keypoints(source)
    heading, how = heading_of(frames, config)
    cameras = np.stack([camera_matrix(view, heading) for view in config.views])
    pose3d = np.stack([to_camera(frames, camera) for camera in cameras]).astype(np.float32)
    centres = np.stack([screen_centre(pose) for pose in pose3d])
    screen = np.stack([camera_to_screen(pose, centre) for pose, centre in zip(pose3d, centres, strict=True)])
    arrays: dict[str, Any] = {
        "pose2d": pose3d[..., :2],
        "pose3d_cam": pose3d,
        "pose2d_screen": screen[..., :2].astype(np.float32),
        "screen_centre": centres,
        "screen_per_metre": np.float64(SCREEN_PER_METRE),
        "views": np.array(config.views),
        "cameras": cameras,
        "yaw_pitch_deg": np.array([view_angles(view) for view in config.views]),
        "heading": np.float64(heading),
        "heading_from": np.array(how),
        "fps": np.float64(fps),
        "joint_names": np.array(JOINT_NAMES),
    }
    with atomic_path(output) as aside, open(aside, "wb") as handle:
        np.savez(handle, **arrays)
    return {"frames": len(frames), "views": list(config.views), "heading": heading, "heading_from": how}


# --- stage project-2d -------------------------------------------------------------------------


def project_items(keypoints: Iterable[KeypointRow]) -> list[Item]:
    """One item per motion; its worker looks up the clips."""
    return [Item(row.motion_id, {"file": row.file}, cost=0.003 + row.frames * 1e-5) for row in keypoints]


def project_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """The view rows of one motion and its clips."""
    frames = np.load(Path(context["keypoints"]) / item.data["file"], allow_pickle=False)
    config: ProjectConfig = context["config"]
    rows = [view_row(item.id, item.id, frames, config)]
    for clip in lookup(context["clips"]).rows(item.id, ClipRow):
        rows.append(view_row(clip.clip_id, item.id, clip_frames(frames, clip), config))
    return {"views": list({row.id: row for row in rows}.values())}


def project_stage(
    config: DataConfig, keypoints_folder: Path, keypoints_content: str, clips: Path, pairs_content: str
) -> tuple[Stage, dict[str, Any]]:
    """The stage and the context its workers get."""
    for view in config.project.views:
        view_angles(view)
    payload = {
        "project": asdict(config.project),
        "keypoints": keypoints_content,
        "pairs": pairs_content,
    }
    stage = Stage(name="project-2d", version=1, tables=("views",), work=project_one, payload=payload)
    context = {"config": config.project, "keypoints": str(keypoints_folder.resolve()), "clips": str(clips.resolve())}
    return stage, context

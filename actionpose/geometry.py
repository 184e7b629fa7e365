"""Frames of reference, in plain NumPy: screen units, root-relative poses, mirroring, cameras.

World frame (AMASS): metres, z up. Camera frame: metres, x to the right, y down, z away from the camera.
Screen units: x in [-1, 1] over the image width, y with the same unit (width decides the scale).
"""

from __future__ import annotations

import math

import numpy as np

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.skeleton import FLIP_ORDER, ROOT

SCREEN_PER_METRE = 0.298
"""Orthographic screen units per metre: MotionBERT's factor for AMASS; the paper names none."""

VIEW_YAW_PITCH: dict[str, tuple[float, float]] = {
    "front": (0.0, 0.0),
    "side": (90.0, 0.0),
    "back": (180.0, 0.0),
}
"""Named views as (yaw, pitch) in degrees: the position of the camera relative to the front."""

MIN_FACING = 0.3
"""With a mean facing shorter than this the directions cancel out and one frame decides."""


def pixel_to_screen(xy: Floats, width: float, height: float) -> Floats:
    """Pixels (..., 2) to screen units: x' = 2x/w - 1, y' = 2y/w - h/w. The width scales both axes."""
    return xy * (2.0 / width) - np.array([1.0, height / width])


def unit(vectors: Floats) -> Floats:
    """Vectors (..., C) at length one; zeros stay."""
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


def root_relative(pose: Floats) -> Floats:
    """Subtract the pelvis from every joint, frame by frame; (..., 17, C) in, same shape out."""
    return pose - pose[..., ROOT : ROOT + 1, :]


FASTEST_JOINT = 60.0
"""m/s relative to the pelvis; a hand in a throw reaches about 25, so beyond this the units or the rate are wrong."""


def fastest_joint(points: Floats, fps: float) -> float:
    """Largest speed of a joint relative to the pelvis, m/s; 0 for a single frame."""
    if len(points) < 2:
        return 0.0
    relative = points - points[:, ROOT : ROOT + 1]
    return float(np.linalg.norm(np.diff(relative, axis=0), axis=-1).max() * fps)


def flip(pose: Floats) -> Floats:
    """Mirror a pose (..., 17, C) left to right: negate channel 0 and swap paired joints.

    The mirror is the plane x = 0; a confidence channel travels with its joint. Its own inverse.
    """
    mirrored = pose[..., FLIP_ORDER, :].copy()
    mirrored[..., 0] *= -1
    return mirrored


def facing_directions(pose_world: Floats) -> Floats:
    """Horizontal facing of each frame, (T, 17, 3) metres z-up → (T, 2).

    The vector left hip - right hip, turned a quarter to the front; unit length where the hips are level,
    shorter the more they tilt, so that the length says how far the direction can be trusted.
    """
    across = pose_world[:, 4] - pose_world[:, 1]
    length = np.maximum(np.linalg.norm(across, axis=-1, keepdims=True), 1e-8)
    left = (across / length)[:, :2]
    return np.stack([left[:, 1], -left[:, 0]], axis=-1)


def facing_heading(pose_world: Floats) -> tuple[float, str]:
    """The heading of a clip, radians from the world's -y axis, and how it was found.

    Rotating the clip about z by minus this angle makes the person face -y, towards the front camera;
    the person's left is then +x. `mean`: the mean facing over the clip, all frames weighted equally. `level`:
    that mean is shorter than `MIN_FACING` (turning round, tumbling), so the frame nearest the middle with
    level hips decides.

    Args:
        pose_world: (T, 17, 3), metres, z up.
    """
    facing = facing_directions(pose_world)
    lengths = np.linalg.norm(facing, axis=-1)
    mean = (facing / np.maximum(lengths, 1e-8)[:, None]).mean(axis=0)
    how = "mean"
    if np.hypot(*mean) < MIN_FACING:
        how = "level"
        middle = (len(facing) - 1) / 2
        level = np.flatnonzero(lengths > 0.9)
        candidates = level if len(level) else np.flatnonzero(lengths == lengths.max())
        mean = facing[candidates[np.argmin(np.abs(candidates - middle))]]
    return float(math.atan2(mean[0], -mean[1])), how


# --- cameras ----------------------------------------------------------------------------------


def rotation_z(angle: float) -> Floats:
    """Rotation by `angle` radians about the world's up axis, (3, 3) float64, acting on column vectors."""
    c, s = math.cos(angle), math.sin(angle)
    return np.array([[c, -s, 0.0], [s, c, 0.0], [0.0, 0.0, 1.0]])


def view_angles(view: str) -> tuple[float, float]:
    """Yaw and pitch in degrees of a view: a name (`front`, `side`, `back`) or `yaw+045`, `yaw-030pitch+15`.

    Raises:
        UserError: neither.
    """
    if view in VIEW_YAW_PITCH:
        return VIEW_YAW_PITCH[view]
    body, _, pitch = view.removeprefix("yaw").partition("pitch")
    try:
        if not view.startswith("yaw"):
            raise ValueError(view)
        return float(body), float(pitch or 0.0)
    except ValueError as error:
        names = ", ".join(VIEW_YAW_PITCH)
        raise UserError(f"unknown view '{view}'", f"use {names}, or yaw+45, or yaw-30pitch+15 (degrees)") from error


def view_matrix(view: str) -> Floats:
    """Camera of a view for a person who faces -y: world → camera, (3, 3) float64, determinant +1.

    front: (x, y, z) → (x, -z, y). side: (x, y, z) → (y, -z, -x), the camera on the person's left.
    """
    yaw, pitch = (math.radians(a) for a in view_angles(view))
    front = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]])
    c, s = math.cos(pitch), math.sin(pitch)
    tilt = np.array([[1.0, 0.0, 0.0], [0.0, c, -s], [0.0, s, c]])
    return np.round(tilt @ front @ rotation_z(-yaw), 15) + 0.0


def camera_matrix(view: str, heading: float = 0.0) -> Floats:
    """World → camera for a person with this heading: the heading is taken out, then the view applied."""
    return view_matrix(view) @ rotation_z(-heading)


def to_camera(pose_world: Floats, camera: Floats) -> Floats:
    """Apply a (3, 3) camera to (..., 3) world points; metres stay metres."""
    return pose_world @ np.asarray(camera, dtype=pose_world.dtype).T


def screen_centre(pose_cam: Floats) -> Floats:
    """The camera-frame point that becomes the screen's centre: the pelvis' mean over the clip, (3,)."""
    return pose_cam[:, ROOT].mean(axis=0)


def camera_to_screen(pose_cam: Floats, centre: Floats, scale: float = SCREEN_PER_METRE) -> Floats:
    """Orthographic pixel step: (..., 3) metres to screen units; x, y are the 2D, z shares their scale."""
    return (pose_cam - centre) * scale

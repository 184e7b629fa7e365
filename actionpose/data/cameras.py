"""Any camera: a clip filmed from a random side, height and distance, and brought to the model's size and place.

The picture goes through the rule that lifting applies to anybody's keypoints (`place`), so that a network trained on
these clips gets in training what it gets in use. The target is the pose in the camera's axes, at the size that the
rule gave the picture.

Everything is on the CPU. Shape suffixes: B clips, T frames, J joints. World frame: metres, z up. Camera frame: x right,
y down, z away.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from actionpose.arrays import Floats
from actionpose.data import rng
from actionpose.data.camera_config import CameraConfig
from actionpose.data.definitions import as_detected, draw_layouts, draw_offsets
from actionpose.data.place import sizes_of, to_model
from actionpose.skeleton import FLIP_ORDER, N_JOINTS, PARENTS, ROOT

NEAREST_M = 1.0
"""No joint comes closer to a perspective camera: it steps back."""

BODY, YAW, PITCH, ROLL, FLAT, DISTANCE, ASIDE, SIZE, PLACE = range(301, 310)
"""Tell a clip's draws apart."""


class Filmed(NamedTuple):
    """A batch of clips as the network gets them.

    Attributes:
        pose2d: (B, T, J, 3) x, y in screen units and confidence 1.
        pose3d: (B, T, J, 3) root-relative screen units in the camera's axes.
        factor: (B,) by how much `pose3d` is larger than at `unit` screen units a metre.
    """

    pose2d: Tensor
    pose3d: Tensor
    factor: Tensor


def film(
    world_BTJ3: Tensor,
    valid_BT: Tensor,
    key_B: Tensor,
    config: CameraConfig,
    *,
    unit: float,
    fps: float,
    training: bool = True,
) -> Filmed:
    """Film clips, each with a camera of its own.

    Args:
        world_BTJ3: metres, z up.
        valid_BT: bool, False on padding, which repeats the last frame.
        key_B: int64 (`rng.keys`), which decides everything that is drawn.
        config: what is drawn.
        unit: screen units a metre.
        fps: frames a second.
        training: with the further errors of size and place, and the target at the picture's size; else without
            these, and at true size.
    """
    body = with_proportions(world_BTJ3, key_B, config.proportions)
    weight = (valid_BT / valid_BT.sum(dim=1, keepdim=True))[..., None]
    body = body - (weight * body[:, :, ROOT]).sum(dim=1)[:, None, None]
    axes = camera_axes(*draw_angles(key_B, config))
    # Sums, not a matrix product, whose last digits depend on the machine's BLAS.
    joints = (body.unsqueeze(-2) * axes[:, None, None]).sum(dim=-1)
    seen = joints
    if config.definitions:
        layout = draw_layouts(key_B)
        seen = as_detected(joints, layout, draw_offsets(key_B, layout, config.offset))
    picture, metre = picture_of(seen, joints[:, :, ROOT, 2], key_B, config)
    size_error = config.size_error * training * rng.normal(key_B, SIZE)
    pose2d, factor = at_size_and_place(picture, metre, valid_BT, size_error.exp(), unit=unit, fps=fps)
    pose2d[..., :2] += (config.place_error * training * unit * rng.normal(key_B, PLACE, (2,)))[:, None, None]
    if not training:
        factor = torch.ones_like(factor)
    pose3d = (joints - joints[:, :, ROOT : ROOT + 1]) * (unit * factor)[:, None, None, None]
    return Filmed(pose2d, pose3d, factor)


def with_proportions(pose_BTJ3: Tensor, key_B: Tensor, deviation: float) -> Tensor:
    """People of other proportions in the same pose: bones longer or shorter, both sides alike."""
    if deviation == 0:
        return pose_BTJ3
    stretch = (deviation * rng.normal(key_B, BODY, (N_JOINTS,))).exp()
    stretch = stretch[:, torch.arange(N_JOINTS).minimum(torch.tensor(FLIP_ORDER))]
    out = pose_BTJ3.clone()
    for joint in range(1, N_JOINTS):
        parent = PARENTS[joint]
        bone = pose_BTJ3[:, :, joint] - pose_BTJ3[:, :, parent]
        out[:, :, joint] = out[:, :, parent] + bone * stretch[:, joint, None, None]
    return out


def draw_angles(key_B: Tensor, config: CameraConfig) -> tuple[Tensor, Tensor, Tensor]:
    """Yaw, pitch and roll, (B,) radians each."""
    low, high = (math.radians(angle) for angle in config.pitch)
    yaw = 2 * math.pi * rng.uniform(key_B, YAW)
    pitch = low + (high - low) * rng.uniform(key_B, PITCH)
    return yaw, pitch, math.radians(config.roll) * rng.normal(key_B, ROLL)


def camera_axes(yaw_B: Tensor, pitch_B: Tensor, roll_B: Tensor) -> Tensor:
    """World to camera, (B, 3, 3), acting on column vectors; without roll `geometry.view_matrix` of that yaw and pitch.

    A positive roll turns the picture clockwise.
    """
    zero, one = torch.zeros_like(yaw_B), torch.ones_like(yaw_B)

    def matrix(*rows: tuple[Tensor, Tensor, Tensor]) -> Tensor:
        return torch.stack([torch.stack(row, dim=-1) for row in rows], dim=-2)

    cy, sy, cp, sp, cr, sr = (f(a) for a in (yaw_B, pitch_B, roll_B) for f in (torch.cos, torch.sin))
    level = matrix((cy, sy, zero), (zero, zero, -one), (-sy, cy, zero))
    tilt = matrix((one, zero, zero), (zero, cp, -sp), (zero, sp, cp))
    turn = matrix((cr, -sr, zero), (sr, cr, zero), (zero, zero, one))
    return turn @ tilt @ level


def picture_of(seen_BTJ3: Tensor, root_depth_BT: Tensor, key_B: Tensor, config: CameraConfig) -> tuple[Tensor, Tensor]:
    """Picture coordinates (B, T, J, 2), and how long a metre at the pelvis is in them, (B, T).

    The unit is that of a metre at the camera's distance from the person's mean place.

    Args:
        seen_BTJ3: joints in camera axes, metres from the person's mean place.
        root_depth_BT: of the pelvis, likewise.
        key_B: decides distance and direction.
        config: their ranges.
    """
    near, far = (math.log(distance) for distance in config.distance)
    distance = (near + (far - near) * rng.uniform(key_B, DISTANCE)).exp()
    distance = distance.maximum(NEAREST_M - seen_BTJ3[..., 2].amin(dim=(1, 2)))
    aside = distance[:, None] * torch.tan(math.radians(config.aside) * rng.normal(key_B, ASIDE, (2,)))
    flat_B = rng.uniform(key_B, FLAT) < config.orthographic

    def enlarged(depth: Tensor) -> Tensor:
        to_clip = (slice(None), *(None,) * (depth.ndim - 1))
        return torch.where(flat_B[to_clip], 1.0, distance[to_clip] / (distance[to_clip] + depth))

    picture = (seen_BTJ3[..., :2] + aside[:, None, None]) * enlarged(seen_BTJ3[..., 2])[..., None]
    return picture, enlarged(root_depth_BT)


def at_size_and_place(
    picture_BTJ2: Tensor, metre_BT: Tensor, valid_BT: Tensor, error_B: Tensor, *, unit: float, fps: float
) -> tuple[Tensor, Tensor]:
    """Pictures as lifting shows them to the model (`place`), (B, T, J, 3), and the size that a pose has there, (B,).

    By lifting's own code, clip by clip.

    Args:
        picture_BTJ2: picture coordinates.
        metre_BT: length of a metre at the pelvis in them.
        valid_BT: bool, False on padding.
        error_B: what the sizes are multiplied by.
        unit: screen units a metre.
        fps: frames a second.
    """
    pictures, metres, errors = (x.double().numpy() for x in (picture_BTJ2, metre_BT, error_B))
    out = np.empty((*pictures.shape[:3], 3), dtype=np.float32)
    factor = np.empty(len(pictures), dtype=np.float32)
    for clip, frames in enumerate(valid_BT.sum(dim=1).tolist()):
        points: Floats = pictures[clip, :frames]
        sure = np.ones(points.shape[:2])
        sizes = sizes_of(points, sure, fps) * errors[clip]
        out[clip, :frames] = to_model(points, sure, sizes, unit)
        out[clip, frames:] = out[clip, frames - 1]
        factor[clip] = np.exp(np.log(metres[clip, :frames] / sizes).mean())
    return torch.from_numpy(out), torch.from_numpy(factor)

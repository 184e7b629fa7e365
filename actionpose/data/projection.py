"""From frames as stored to what the network sees: projection, centring, mirroring and size, for a whole batch.

Everything runs on the device its input is on. On a CPU, NumPy does it with a frame's numbers in one row, several
times as fast; the plain form is what a GPU runs and what tests hold the fast one against.

Shape suffixes: B clips, T frames, J joints.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from actionpose.skeleton import FLIP_ORDER, N_JOINTS, ROOT

_FLIP_COLUMNS = np.array([3 * joint + axis for joint in FLIP_ORDER for axis in range(3)])
"""Where the numbers of a mirrored row of joints come from."""

_REPEAT = np.tile(np.eye(3, dtype=np.float32), N_JOINTS)
"""(3, 51): a product with it repeats a joint for all joints, exactly and several times as fast as `np.tile`."""


def root_relative(pose_BTJ3: Tensor) -> Tensor:
    """Each frame's pelvis at the origin."""
    return pose_BTJ3 - pose_BTJ3[:, :, ROOT : ROOT + 1]


def project(
    frames_BTJ3: Tensor, camera_B33: Tensor, valid_BT: Tensor, pelvis_B3: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Orthographic 2D with confidence 1, and root-relative 3D, of world frames.

    Args:
        frames_BTJ3: metres, world frame.
        camera_B33: world to screen, acting on column vectors, the scale in it.
        valid_BT: bool, False on padding.
        pelvis_B3: world point that becomes the screen's centre; None: the pelvis' mean over the valid frames.

    Returns:
        pose2d (B, T, J, 3) x, y in screen units and confidence; pose3d (B, T, J, 3) root-relative screen units.
    """
    if frames_BTJ3.device.type == "cpu":
        return _project_rows(frames_BTJ3, camera_B33, valid_BT, pelvis_B3)
    return _project_plain(frames_BTJ3, camera_B33, valid_BT, pelvis_B3)


def _project_plain(
    frames_BTJ3: Tensor, camera_B33: Tensor, valid_BT: Tensor, pelvis_B3: Tensor | None
) -> tuple[Tensor, Tensor]:
    def turned(points: Tensor, camera: Tensor) -> Tensor:
        # Sums, not a matrix product: a GPU would round its factors to ten bits, which is millimetres.
        return (points.unsqueeze(-2) * camera).sum(dim=-1)

    screen = turned(frames_BTJ3, camera_B33[:, None, None])
    if pelvis_B3 is None:
        weight = valid_BT / valid_BT.sum(dim=1, keepdim=True)
        centre = (weight[..., None] * screen[:, :, ROOT]).sum(dim=1)
    else:
        centre = turned(pelvis_B3, camera_B33)
    pose2d = screen - centre[:, None, None]
    pose2d[..., 2].fill_(1.0)
    return pose2d, root_relative(screen)


def _project_rows(
    frames_BTJ3: Tensor, camera_B33: Tensor, valid_BT: Tensor, pelvis_B3: Tensor | None
) -> tuple[Tensor, Tensor]:
    """The same in NumPy. Sums over rows of 51 numbers are several times faster than over rows of three."""
    B, T, J, _ = frames_BTJ3.shape
    camera = camera_B33.numpy()
    to_screen = np.ascontiguousarray(camera.transpose(0, 2, 1))
    screen = np.matmul(frames_BTJ3.numpy().reshape(B, T * J, 3), to_screen).reshape(B, T, J * 3)
    root = np.ascontiguousarray(screen[:, :, :3])
    if pelvis_B3 is None:
        valid = valid_BT.numpy()
        weight = (valid / valid.sum(axis=1, keepdims=True)).astype(np.float32)
        centre = np.matmul(weight[:, None], root)[:, 0]
    else:
        centre = np.matmul(camera, pelvis_B3.numpy()[:, :, None])[:, :, 0]
    pose2d = screen - np.tile(centre, J)[:, None]
    pose2d[:, :, 2::3] = 1.0
    screen -= np.matmul(root, _REPEAT)
    return torch.from_numpy(pose2d).view(B, T, J, 3), torch.from_numpy(screen).view(B, T, J, 3)


def mirror(pose_BTJ3: Tensor, flipped_B: Tensor) -> Tensor:
    """Mirror some clips of a batch: negate channel 0 and swap left and right joints."""
    return _mirror_rows(pose_BTJ3, flipped_B) if pose_BTJ3.device.type == "cpu" else _mirror_plain(pose_BTJ3, flipped_B)


@functools.cache
def _mirroring(device: torch.device) -> tuple[Tensor, Tensor]:
    """Sign of each channel and order of the joints, made once per device: a copy in every step waits for a GPU."""
    return torch.tensor([-1.0, 1.0, 1.0], device=device), torch.tensor(FLIP_ORDER, device=device)


def _mirror_plain(pose_BTJ3: Tensor, flipped_B: Tensor) -> Tensor:
    sign, order = _mirroring(pose_BTJ3.device)
    # `where` and not a mask as index: that would wait for the GPU to say how many there are.
    return torch.where(flipped_B[:, None, None, None], pose_BTJ3.index_select(2, order) * sign, pose_BTJ3)


def _mirror_rows(pose_BTJ3: Tensor, flipped_B: Tensor) -> Tensor:
    """The same, clip by clip in the cache, with a frame's numbers in one row."""
    rows = pose_BTJ3.flatten(2).numpy()
    out = rows.copy()
    for clip in np.flatnonzero(flipped_B.numpy()):
        np.take(rows[clip], _FLIP_COLUMNS, axis=1, out=out[clip], mode="clip")
        np.negative(out[clip, :, ::3], out=out[clip, :, ::3])
    return torch.from_numpy(out).view(pose_BTJ3.shape)


def both_ways(lift: Callable[[Tensor], Tensor], pose2d_BTJ3: Tensor) -> Tensor:
    """Mean of what a lifter gives for clips and, mirrored back, for their mirror images, (B, T, J, 3) (MotionBERT)."""
    everyone = torch.ones(len(pose2d_BTJ3), dtype=torch.bool, device=pose2d_BTJ3.device)
    return (lift(pose2d_BTJ3) + mirror(lift(mirror(pose2d_BTJ3, everyone)), everyone)) / 2


def zoomed(pose2d: Tensor, pose3d: Tensor, unit_mm: Tensor, factor_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Clips at another size on the screen; in millimetres they stay what they are."""
    size = factor_B[:, None, None, None]
    return torch.cat([pose2d[..., :2] * size, pose2d[..., 2:]], dim=-1), pose3d * size, unit_mm / factor_B

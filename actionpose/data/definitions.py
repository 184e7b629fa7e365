"""Where detectors put the joints that Human3.6M defines otherwise, simulated on 3D poses for training.

A detector's layout lacks some of the 17 joints, and lifting derives them (`lift/layouts.py`); the same rules are
applied here. Annotators of one data set place a joint consistently, but not where Human3.6M has it, so each clip also
gets an offset for every joint that stays with the body.

Shape suffixes: B clips, T frames, J joints. Any right-handed frame, metres.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from actionpose.data import rng
from actionpose.skeleton import FLIP_ORDER, JOINT_NAMES, LEFT, N_JOINTS, RIGHT

DERIVED: Mapping[str, tuple[str, ...]] = {
    "h36m-17": (),
    "coco-17": ("pelvis", "thorax", "spine", "nose", "head"),
    "body-25": ("thorax", "spine", "nose", "head"),
    "halpe-26": ("spine", "nose"),
    "posetrack-17": ("pelvis", "spine", "nose"),
}
"""Joints that are not where Human3.6M has them. COCO's stand for OpenPose's 18, MediaPipe's and COCO-WholeBody's."""

SHARES = (0.25, 0.40, 0.15, 0.15, 0.05)
"""How often each is drawn."""

SPREAD = (1.0,) * 1 + (2.5, 1.0, 1.0) * 2 + (1.0,) * 4 + (1.5, 1.0, 1.0) * 2
"""Of a joint's offset: hips and shoulders, which are felt and not seen, vary most between data sets."""

NOSE, EARS = (0.146, 0.125), (0.150, -0.012)
"""Nose and middle of the ears: metres from the thorax (towards the top of the head, forward) where that is `TO_HEAD`
away; `benchmarks/detector_files.py` says the same."""

TO_HEAD = 0.27
HEAD_REACH = 1.58
"""As in `lift/layouts.py`."""

LAYOUT_STREAM, OFFSET_STREAM = 311, 312

_AT = {name: number for number, name in enumerate(JOINT_NAMES)}


def as_detected(pose_BTJ3: Tensor, layout_B: Tensor, offset_BJ3: Tensor) -> Tensor:
    """The 17 joints as lifting derives them from detectors' joints, (B, T, 17, 3).

    Args:
        pose_BTJ3: joints of Human3.6M.
        layout_B: int64, index into `DERIVED`.
        offset_BJ3: metres to the person's left, up along the trunk and forward (`draw_offsets`).
    """
    member = torch.tensor([[name in derived for name in JOINT_NAMES] for derived in DERIVED.values()])
    is_derived = member[layout_B][:, None, :, None]
    out = pose_BTJ3 + torch.einsum("bjk,btkc->btjc", offset_BJ3, trunk_axes(pose_BTJ3))
    shoulders = (out[:, :, _AT["left_shoulder"]] + out[:, :, _AT["right_shoulder"]]) / 2
    nose, ears = _face(pose_BTJ3)
    shift = out - pose_BTJ3
    derived = out.clone()
    derived[:, :, _AT["pelvis"]] = (out[:, :, _AT["left_hip"]] + out[:, :, _AT["right_hip"]]) / 2
    derived[:, :, _AT["thorax"]] = shoulders
    derived[:, :, _AT["nose"]] = nose + shift[:, :, _AT["nose"]]
    derived[:, :, _AT["head"]] = shoulders + HEAD_REACH * (ears + shift[:, :, _AT["head"]] - shoulders)
    out = torch.where(is_derived, derived, out)
    middle = (out[:, :, _AT["pelvis"]] + out[:, :, _AT["thorax"]]) / 2
    out[:, :, _AT["spine"]] = torch.where(is_derived[:, :, _AT["spine"]], middle, out[:, :, _AT["spine"]])
    return out


def draw_layouts(key_B: Tensor) -> Tensor:
    """(B,) int64, index into `DERIVED`."""
    edges = torch.tensor(SHARES).cumsum(0)[:-1]
    return (rng.uniform(key_B, LAYOUT_STREAM)[:, None] >= edges).sum(dim=1)


def draw_offsets(key_B: Tensor, layout_B: Tensor, deviation: float) -> Tensor:
    """(B, 17, 3) metres left, up, forward: alike on both sides of the body, none in Human3.6M's own layout."""
    spread = torch.tensor(SPREAD)[:, None] * deviation
    offset = spread * rng.normal(key_B, OFFSET_STREAM, (N_JOINTS, 3))
    sided = torch.zeros(N_JOINTS, dtype=torch.bool)
    sided[list(LEFT + RIGHT)] = True
    offset[..., 0] = torch.where(sided, offset[..., 0], 0.0)
    mirrored = offset[:, list(FLIP_ORDER)] * offset.new_tensor([-1.0, 1.0, 1.0])
    right = torch.zeros_like(sided)
    right[list(RIGHT)] = True
    offset = torch.where(right[:, None], mirrored, offset)
    return offset * (layout_B > 0)[:, None, None]


def trunk_axes(pose_BTJ3: Tensor) -> Tensor:
    """(B, T, 3, 3), rows of unit length: to the person's left, up along the trunk, forward."""
    hips = pose_BTJ3[:, :, _AT["left_hip"]] - pose_BTJ3[:, :, _AT["right_hip"]]
    shoulders = pose_BTJ3[:, :, _AT["left_shoulder"]] - pose_BTJ3[:, :, _AT["right_shoulder"]]
    up = F.normalize(pose_BTJ3[:, :, _AT["thorax"]] - pose_BTJ3[:, :, _AT["pelvis"]], dim=-1)
    return _axes(hips + shoulders, up)


def _axes(left: Tensor, up: Tensor) -> Tensor:
    """Left (straightened), up (of unit length) and forward."""
    left = F.normalize(left - up * (left * up).sum(dim=-1, keepdim=True), dim=-1)
    return torch.stack([left, up, torch.linalg.cross(left, up)], dim=-2)


def _face(pose_BTJ3: Tensor) -> tuple[Tensor, Tensor]:
    """Nose and middle of the ears, (B, T, 3) each."""
    thorax = pose_BTJ3[:, :, _AT["thorax"]]
    shoulders = (pose_BTJ3[:, :, _AT["left_shoulder"]] + pose_BTJ3[:, :, _AT["right_shoulder"]]) / 2
    reach = pose_BTJ3[:, :, _AT["head"]] - thorax
    size = torch.linalg.vector_norm(reach, dim=-1, keepdim=True)
    axes = _axes(pose_BTJ3[:, :, _AT["left_shoulder"]] - shoulders, reach / size.clamp(min=1e-6))
    up, forward = axes[:, :, 1], axes[:, :, 2]
    scale = size / TO_HEAD
    return thorax + scale * (NOSE[0] * up + NOSE[1] * forward), thorax + scale * (EARS[0] * up + EARS[1] * forward)

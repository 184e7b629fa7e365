"""Human3.6M-17: the one joint order that every array of this project uses.

Order and parents as in MotionBERT, VideoPose3D and mmpose (right leg first). The 17-joint set of
MPI-INF-3DHP has another order and is permuted to this one when it is read.
"""

from __future__ import annotations

from collections.abc import Mapping

JOINT_NAMES: tuple[str, ...] = (
    "pelvis",
    "right_hip",
    "right_knee",
    "right_ankle",
    "left_hip",
    "left_knee",
    "left_ankle",
    "spine",
    "thorax",
    "nose",
    "head",
    "left_shoulder",
    "left_elbow",
    "left_wrist",
    "right_shoulder",
    "right_elbow",
    "right_wrist",
)
N_JOINTS = len(JOINT_NAMES)
ROOT = 0

PARENTS: tuple[int, ...] = (-1, 0, 1, 2, 0, 4, 5, 0, 7, 8, 9, 8, 11, 12, 8, 14, 15)
"""Parent of each joint; the root has -1."""

BONES: tuple[tuple[int, int], ...] = tuple((p, j) for j, p in enumerate(PARENTS) if p >= 0)
"""The 16 (parent, child) pairs."""

LEFT: tuple[int, ...] = (4, 5, 6, 11, 12, 13)
RIGHT: tuple[int, ...] = (1, 2, 3, 14, 15, 16)
"""Left and right joints, paired in this order."""

_PARTNER = dict(zip(LEFT + RIGHT, RIGHT + LEFT, strict=True))
FLIP_ORDER: tuple[int, ...] = tuple(_PARTNER.get(j, j) for j in range(N_JOINTS))
"""`pose[..., FLIP_ORDER, :]` swaps left and right; its own inverse."""

MPI_3DHP_ORDER: tuple[int, ...] = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
"""`pose_3dhp[..., MPI_3DHP_ORDER, :]` is a pose in Human3.6M order.

MPI-INF-3DHP's 17 joints as P-STMO's files and the benchmark's own code order them: head top, neck, right arm, left
arm, right leg, left leg, pelvis, spine, head. Thorax, nose and head are only nearly the same places (its neck, head,
head top).
"""

BODY_PARTS: dict[str, tuple[int, ...]] = {
    "head": (9, 10),
    "arms": (11, 12, 13, 14, 15, 16),
    "legs": (2, 3, 5, 6),
    "hips": (0, 1, 4),
    "upper": (7, 8, 9, 10, 11, 12, 13, 14, 15, 16),
    "lower": (0, 1, 2, 3, 4, 5, 6),
}
"""The paper's six parts (Figure 3 names them; their members are only drawn there).

They overlap: `upper` and `lower` together are the whole body, the other four are the pieces a
camera most often loses. The thorax is left to `upper` alone, so that a hidden head still shows the neck.
"""

BONE_METRES: Mapping[str, float] = {
    "right_hip": 0.113,
    "right_knee": 0.383,
    "right_ankle": 0.438,
    "left_hip": 0.113,
    "left_knee": 0.383,
    "left_ankle": 0.438,
    "spine": 0.306,
    "thorax": 0.240,
    "nose": 0.122,
    "head": 0.177,
    "left_shoulder": 0.193,
    "left_elbow": 0.258,
    "left_wrist": 0.233,
    "right_shoulder": 0.193,
    "right_elbow": 0.258,
    "right_wrist": 0.233,
}
"""Length of the bone that ends in a joint, metres: medians over the open motion and the demo world."""

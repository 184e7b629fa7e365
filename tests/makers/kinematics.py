"""Forward kinematics of the demo's skeleton, to check what its motion does."""

from __future__ import annotations

import numpy as np

from actionpose.arrays import Floats
from pipeline.demo.rig import PARENTS, Rig


def forward(rig: Rig, rotations: Floats, pelvis: Floats) -> tuple[Floats, Floats]:
    """Chain local rotations (T, 22, 3, 3) from the pelvis (T, 3).

    Returns:
        Joint positions (T, 22, 3) and global rotations (T, 22, 3, 3).
    """
    offsets = rig.offsets
    places = np.empty((*rotations.shape[:2], 3))
    turns = np.empty_like(rotations)
    places[:, 0], turns[:, 0] = pelvis, rotations[:, 0]
    for joint, parent in enumerate(PARENTS[1:], start=1):
        turns[:, joint] = turns[:, parent] @ rotations[:, joint]
        places[:, joint] = places[:, parent] + turns[:, parent] @ offsets[joint]
    return places, turns

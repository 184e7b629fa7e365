"""Limbs whose depth the 2D does not tell: both wrists, or both ankles, in one place of the image and apart in depth.

The paper's Figure 1: clapping seen from the side, hands that cross in front of the body. Which of the two is nearer
cannot be seen in the frame itself; a model must know it from the motion around it, or from what is being done.

Shape suffixes: n frames, M limbs.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Float64s, Floats
from actionpose.skeleton import JOINT_NAMES

PAIRS = tuple((JOINT_NAMES.index(f"left_{joint}"), JOINT_NAMES.index(f"right_{joint}")) for joint in ("wrist", "ankle"))
"""Left and right joint of each limb, as rows of a pose."""

NEAR_MM = 100.0
"""Joints that are nearer than this in the image overlap: about the width of a hand or a foot."""

APART_MM = 150.0
"""Joints that are farther apart in depth than this are not in one place."""


def ambiguous(target_n: NDArray[Any]) -> NDArray[np.bool_]:
    """Which limbs of which frames are ambiguous, (n, 2): wrists and ankles.

    Args:
        target_n: (n, 17, 3) millimetres; x and y in the image plane, z along the line of sight.
    """
    between = _between(np.asarray(target_n, dtype=np.float64))
    return (np.linalg.norm(between[..., :2], axis=-1) < NEAR_MM) & (np.abs(between[..., 2]) > APART_MM)


def errors(predicted_n: Floats, target_n: Floats) -> tuple[Float64s, NDArray[np.bool_]]:
    """Of every ambiguous limb the mean error of its two joints, (M,), and whether the nearer one is nearer, (M,).

    Args:
        predicted_n: (n, 17, 3) millimetres, root-relative.
        target_n: the same for the ground truth.
    """
    chosen = ambiguous(target_n)
    of_joint = np.linalg.norm(predicted_n - target_n, axis=-1)
    of_limb = np.stack([of_joint[:, list(pair)].mean(axis=1) for pair in PAIRS], axis=1)
    ordered = np.sign(_between(predicted_n)[..., 2]) == np.sign(_between(target_n)[..., 2])
    return of_limb[chosen], ordered[chosen]


def _between(pose_n: Floats) -> Floats:
    """From the left to the right joint of each limb, (n, 2, 3)."""
    return np.stack([pose_n[:, right] - pose_n[:, left] for left, right in PAIRS], axis=1)

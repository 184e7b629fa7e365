"""Limbs are ambiguous where they overlap in the image and are apart in depth, and there the nearer one counts."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.evaluate import ambiguous
from actionpose.evaluate.scoring import Scores, score_video
from actionpose.skeleton import JOINT_NAMES

LEFT, RIGHT = (JOINT_NAMES.index(f"{side}_wrist") for side in ("left", "right"))


def pose(*, across: float, depth: float) -> np.ndarray:
    """One frame whose wrists are so far apart across the image and along it; its ankles are a metre apart across."""
    out = np.zeros((1, 17, 3))
    out[0, RIGHT] = (across, 0, depth)
    out[0, JOINT_NAMES.index("right_ankle")] = (1000, 0, 0)
    return out


@pytest.mark.parametrize(
    ("across", "depth", "hit"), [(99, 151, True), (99, -151, True), (101, 151, False), (99, 149, False)]
)
def test_a_limb_is_ambiguous_when_it_overlaps_in_the_image_and_is_apart_in_depth(across, depth, hit):
    assert ambiguous.ambiguous(pose(across=across, depth=depth)).tolist() == [[hit, False]]


def test_errors_are_of_the_two_joints_and_order_is_by_depth():
    target = pose(across=0, depth=200)
    right = target.copy()
    right[0, LEFT] += (30, 0, 0)
    swapped = target.copy()
    swapped[0, LEFT, 2], swapped[0, RIGHT, 2] = 200, 0
    assert [x.tolist() for x in ambiguous.errors(right, target)] == [[15.0], [True]]
    assert [x.tolist() for x in ambiguous.errors(swapped, target)] == [[200.0], [False]]


def test_a_prediction_that_puts_both_at_one_depth_has_not_told_them_apart():
    flat = pose(across=0, depth=0)
    assert ambiguous.errors(flat, pose(across=0, depth=200))[1].tolist() == [False]


def test_scores_of_videos_hold_their_ambiguous_limbs():
    clear, unclear = pose(across=500, depth=0), np.repeat(pose(across=10, depth=300), 3, axis=0)
    parts = [score_video(p, p, np.arange(len(p)), motion=0) for p in (clear, unclear)]
    assert [len(part.ambiguous) for part in parts] == [0, 3]
    joined = Scores.joined(parts)
    assert joined.ambiguous.tolist() == [0, 0, 0]
    assert joined.ordered.all()

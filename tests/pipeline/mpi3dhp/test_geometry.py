"""Joint orders of MPI-INF-3DHP: there and back, and seen in the poses."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from actionpose.skeleton import FLIP_ORDER, LEFT, PARENTS, RIGHT
from pipeline.mpi3dhp.geometry import from_h36m, joint_order, to_h36m
from pipeline.sources.facts import table
from tests.makers.mpi3dhp import content

FACTS = table("mpi_inf_3dhp")


def test_the_permutation_goes_both_ways_and_keeps_sides_and_bones():
    order = FACTS["joints"]["to_h36m"]
    assert sorted(order) == list(range(17))
    pose = np.random.default_rng(0).normal(size=(5, 17, 3))
    np.testing.assert_array_equal(from_h36m(to_h36m(pose)), pose)
    np.testing.assert_array_equal(to_h36m(from_h36m(pose)), pose)
    assert sorted(order[joint] for joint in LEFT) == sorted(FACTS["joints"]["left"])
    assert sorted(order[joint] for joint in RIGHT) == sorted(FACTS["joints"]["right"])
    names = FACTS["joints"]["names"]
    for joint, other in enumerate(FLIP_ORDER):
        ours, theirs = names[order[joint]], names[order[other]]
        assert theirs == ours.replace("left", "#").replace("right", "left").replace("#", "right")
    for joint, parent in enumerate(PARENTS):
        assert FACTS["joints"]["parents"][order[joint]] == (order[parent] if parent >= 0 else -1)


def test_the_joint_order_is_seen_in_the_poses(files: Path):
    pose = content(files / "data_test_3dhp.npz")["TS1"]["data_3d"].astype(float)
    assert joint_order(pose) == "3dhp"
    assert joint_order(to_h36m(pose)) == "h36m"
    assert joint_order(pose[:, ::-1]) is None

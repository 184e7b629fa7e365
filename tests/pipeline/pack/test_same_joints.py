"""2D is held against 3D joint by joint: exchanged joints, units and axes are named; honest 2D is left alone."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.skeleton import N_JOINTS
from pipeline.pack.same_joints import EXCHANGES, TURNED, Agreement, distances, verdict
from tests.makers.shards import REST


def camera_poses(frames: int = 300, seed: int = 0, yaw: float = 0.6) -> np.ndarray:
    """Someone who sways, bends and waves, (n, 17, 3), camera frame: x right, y down, z away."""
    rng = np.random.default_rng(seed)
    t = np.linspace(0, 12, frames)[:, None, None]
    sway = 0.12 * np.sin(t * rng.uniform(0.5, 2, (1, N_JOINTS, 3)) + rng.uniform(0, 6, (1, N_JOINTS, 3)))
    world = np.asarray(REST)[None] + sway
    turn = yaw + 0.4 * np.sin(t[:, 0, 0] / 3)
    c, s = np.cos(turn), np.sin(turn)
    x = c[:, None] * world[..., 0] - s[:, None] * world[..., 1]
    away = s[:, None] * world[..., 0] + c[:, None] * world[..., 1] + 4
    return np.stack([x, -world[..., 2], away], axis=-1)


def seen(pose: np.ndarray, seed: int = 0, noise: float = 0.01, perspective: bool = True) -> np.ndarray:
    """What a camera makes of it, with a detector's error, in screen units."""
    depth = pose[..., 2:] if perspective else 4.0
    xy = 1.5 * pose[..., :2] / depth + np.array([0.2, -0.1])
    return xy + np.random.default_rng(seed).normal(size=xy.shape) * noise


@pytest.mark.parametrize("yaw", [0.0, 0.8, 1.57, 2.5, 3.14, 4.4])
@pytest.mark.parametrize("noise", [0.0, 0.01, 0.03])
def test_honest_2d_is_left_alone_from_any_side_and_with_a_detectors_errors(yaw, noise):
    pose = camera_poses(yaw=yaw)
    assert verdict(distances(seen(pose, noise=noise), pose)) == ""


@pytest.mark.parametrize("yaw", [0.0, 0.8, 1.57, 2.5])
@pytest.mark.parametrize("name", EXCHANGES)
def test_every_exchange_of_joints_is_named(name, yaw):
    pose = camera_poses(yaw=yaw)
    wrong = seen(pose)[:, list(EXCHANGES[name])]
    said = verdict(distances(wrong, pose))
    mirrored = name == "left and right exchanged" and "x mirrored" in said  # from the side nobody can tell them apart
    assert mirrored or f"better with {name}:" in said


def test_what_wrong_joint_mappings_do_is_looked_for():
    """The tests above go through the table, and would miss what is not in it."""
    sides = {f"left and right{part} exchanged" for part in ("", " leg", " arm")}
    neighbours = {"knees and ankles exchanged", "hips and knees exchanged", "elbows and wrists exchanged"}
    assert sides | neighbours | {"arms and legs exchanged", "pelvis and head exchanged"} <= set(EXCHANGES)
    assert set(TURNED) == {"y upside down", "x mirrored", "x and y exchanged"}


def test_joints_that_nearly_coincide_may_be_exchanged():
    """Somebody with their legs together, from the side: what the exchange would gain is less than can be told."""
    pose = camera_poses()
    pose[:, [4, 5, 6]] = pose[:, [1, 2, 3]] + [0.015, 0, 0]
    legs = list(EXCHANGES["left and right leg exchanged"])
    found = distances(seen(pose, noise=0.0, perspective=False)[:, legs], pose)
    assert found["left and right leg exchanged"] < 0.5 * found["as is: left and right leg exchanged"]
    assert verdict(found) == ""


@pytest.mark.parametrize("name", TURNED)
def test_a_wrong_axis_is_named(name):
    pose = camera_poses()
    wrong = seen(pose) @ np.asarray(TURNED[name], dtype=float)
    assert verdict(distances(wrong, pose)) != ""


@pytest.mark.parametrize("unit", [1 / 1000, 1 / 960, 0.1, 50, 500])
def test_another_unit_is_named(unit):
    pose = camera_poses()
    assert "times the size" in verdict(distances(seen(pose) * unit, pose))


def test_one_bad_video_does_not_condemn_a_split_and_a_bad_split_is_named():
    all_seen = Agreement()
    legs = list(EXCHANGES["left and right leg exchanged"])
    for number in range(5):
        pose = camera_poses(seed=number, yaw=number)
        all_seen.add("train", seen(pose)[:, legs] if number == 2 else seen(pose), pose)
        all_seen.add("test", seen(pose)[:, legs], pose)
    assert list(all_seen.verdicts()) == ["test"]


def test_frames_that_show_nothing_are_no_evidence():
    assert verdict(distances(np.zeros((5, N_JOINTS, 2)), camera_poses(5))) == ""
    assert verdict(distances(np.zeros((0, N_JOINTS, 2)), np.zeros((0, N_JOINTS, 3)))) == ""


@pytest.mark.parametrize(("after", "believed"), [(0.11, False), (0.09, True)])
def test_an_exchange_is_believed_when_it_halves_the_distance(after: float, believed: bool):
    names = (*EXCHANGES, *TURNED)
    found = {"scale": 1.0, "": 0.2}
    found |= {f"{kind}{name}": 0.2 for name in names for kind in ("as is: ", "all: ", "")}
    found |= {"elbows and wrists exchanged": after, "all: elbows and wrists exchanged": after}
    assert ("better with elbows and wrists exchanged" in verdict(found)) == believed

"""Fast frames are those in which a wrist or ankle moves fast relative to the pelvis, whatever the whole body does."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.evaluate.protocols import PROTOCOLS
from actionpose.evaluate.scoring import score_video, summarise
from actionpose.shards import ShardSet
from actionpose.skeleton import JOINT_NAMES
from tests.makers.shards import edit, make_benchmark, make_shards

WRIST, KNEE = JOINT_NAMES.index("left_wrist"), JOINT_NAMES.index("left_knee")


def video(moves: dict[int, float], *, frames: int = 6) -> np.ndarray:
    """A standing person; joints move along x by so many mm a frame."""
    pose = np.zeros((frames, 17, 3))
    pose[:] = np.arange(17)[:, None] * 50.0
    for joint, step in moves.items():
        pose[:, joint, 0] += step * np.arange(frames)
    return pose


def test_only_wrists_and_ankles_count_and_only_against_the_pelvis():
    everywhere = dict.fromkeys(range(17), 90.0)
    for moves, expected in (({WRIST: 80.0}, 80.0), ({KNEE: 80.0}, 0.0), (everywhere, 0.0)):
        truth = video(moves)
        stride = score_video(truth, truth, np.arange(6), motion=0).stride
        assert np.isnan(stride[0])
        np.testing.assert_allclose(stride[1:], expected, atol=1e-9)


def test_a_gap_is_no_speed():
    truth = video({WRIST: 80.0})
    stride = score_video(truth, truth, np.array([0, 1, 2, 7, 8, 9]), motion=0).stride
    assert np.isnan(stride).tolist() == [True, False, False, True, False, False]


def test_a_result_has_the_error_of_its_fast_frames(shards):
    found = ShardSet(shards)  # 30 frames a second: 67 mm a frame are 2 m/s
    slow, fast = video({WRIST: 60.0}), video({WRIST: 70.0})
    parts = [score_video(pose, pose, np.arange(6), motion=0) for pose in (slow, fast)]
    moved = fast.copy()
    moved[1:, WRIST, 1] += 170.0  # 10 mm in the mean of 17 joints
    parts.append(score_video(moved, fast, np.arange(6), motion=0))
    result = summarise(type(parts[0]).joined(parts), found, PROTOCOLS["orthographic"])
    assert result.fast == {"mpjpe_mm": 5.0, "p_mpjpe_mm": result.fast["p_mpjpe_mm"], "frames": 10}
    assert result.fast["p_mpjpe_mm"] > 0


def test_speeds_are_those_of_the_stored_frames_whatever_rate_the_source_had(tmp_path):
    folder = make_shards(tmp_path / "shards", lengths=(30,) * 8)
    edit(folder, motions__fps_true=[120.0] * 8)
    found = ShardSet(folder)
    slow, faster = video({WRIST: 60.0}), video({WRIST: 61.0})
    result = summarise(score_video(faster, slow, np.arange(6), motion=0), found, PROTOCOLS["orthographic"])
    assert found.fps == 30
    assert result.fast is not None
    assert result.fast["frames"] == 0
    assert result.velocity_mm == pytest.approx(1 / 17)
    assert result.velocity_mm_s == pytest.approx(30 / 17)
    benchmark = ShardSet(make_benchmark(tmp_path / "benchmark", "h36m-b"))
    assert set(benchmark.rates) == {50.0}

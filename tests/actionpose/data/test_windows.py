"""Windows are cut as published code cuts them, and the loader hands out exactly the frames that they name."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from actionpose.data.batches import Assembler, cut_frames
from actionpose.data.samples import DataConfig, motion_samples
from actionpose.data.windows import every_start, source_frames, split_clips
from actionpose.shards import ShardSet
from tests.makers.shards import make_shards

LENGTHS = (20, 33, 47, 60, 26, 41, 55, 18)


@pytest.fixture(scope="module")
def shards(tmp_path_factory):
    return ShardSet(make_shards(tmp_path_factory.mktemp("windows") / "shards", LENGTHS))


def test_motionbert_cuts_full_windows_stretches_short_videos_and_forgets_the_last():
    # Measured on the published code: 23 frames give four windows, 4 frames one stretched, 10 one, the last 3 none.
    assert split_clips((23, 4, 10, 3), 10, 4) == [
        *((0, start, 10) for start in (0, 4, 8, 12)),
        (1, 0, 4),
        (2, 0, 10),
    ]
    assert split_clips((3, 0, 10), 10, 10) == [(0, 0, 3), (2, 0, 10)]


def test_3dhp_has_a_window_at_every_multiple_of_the_stride():
    cut = every_start((100, 5), 81, 9)
    assert [start for video, start, _ in cut if video == 0] == list(range(0, 100, 9))
    assert [span for video, _, span in cut if video == 0][2:5] == [81, 73, 64]
    assert cut[-1] == (1, 0, 5)
    assert every_start((10,), 81, 9)[-1] == (0, 9, 1)  # one frame, repeated


def test_stretching_rounds_down_and_uses_every_frame():
    np.testing.assert_array_equal(source_frames(0, 4, 10, 4), [0, 0, 0, 1, 1, 2, 2, 2, 3, 3])
    np.testing.assert_array_equal(source_frames(5, 1, 4, 6), [5, 5, 5, 5])
    for span in range(1, 30):
        assert set(source_frames(3, span, 30, 40)) == set(range(3, 3 + span))


def test_beyond_an_end_the_frame_there_is_repeated():
    np.testing.assert_array_equal(source_frames(-2, 5, 5, 100), [0, 0, 0, 1, 2])
    np.testing.assert_array_equal(source_frames(97, 5, 5, 100), [97, 98, 99, 99, 99])


@pytest.mark.parametrize(("cut", "rule"), [("split-clips", split_clips), ("every-start", every_start)])
def test_the_loader_hands_out_the_frames_of_the_windows(shards, cut, rule):
    config = DataConfig(clip_frames=32, stride=16, cut=cut, detections="clean", flip=False, views=("front",))
    table = motion_samples(shards, config)
    windows = rule(LENGTHS, 32, 16)
    assert [(int(m), int(s), int(n)) for m, s, n in zip(table.motion, table.offset, table.span, strict=True)] == windows
    assert set(table.length.tolist()) == {32}
    ids = np.arange(len(table))
    frames = cut_frames(table, ids)
    for got, (motion, start, span) in zip(frames, windows, strict=True):
        whole = shards.motion_frames(motion)
        np.testing.assert_array_equal(got, whole[source_frames(start, span, 32, len(whole))])
    batch = Assembler(table=table)(ids, 0)
    assert batch["valid"].all()
    assert batch["pose2d"].shape == (len(table), 32, 17, 3)


def test_windows_that_reach_beyond_a_motion_repeat_its_edge(shards):
    table = motion_samples(shards, DataConfig(clip_frames=32, stride=32, views=("front",)))
    moved = dataclasses.replace(table, offset=table.offset - 5, first=table.first - 5)
    frames = cut_frames(moved, np.arange(len(table)))
    whole = shards.motion_frames(0)
    np.testing.assert_array_equal(frames[0, :6], np.repeat(whole[:1], 6, axis=0))
    np.testing.assert_array_equal(frames[0, 5:20], whole[:15])


def test_covering_every_frame_stays_the_default(shards):
    config = DataConfig(clip_frames=32, stride=16)
    assert config.cut == "cover"
    table = motion_samples(shards, config)
    seen = {
        (int(m), int(o) + k) for m, o, n in zip(table.motion, table.offset, table.length, strict=True) for k in range(n)
    }
    assert seen == {(m, k) for m, n in enumerate(LENGTHS) for k in range(n)}
    np.testing.assert_array_equal(table.span, table.length)

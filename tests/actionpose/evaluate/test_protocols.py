"""Each protocol counts the frames, and averages them, as the published code it is named after."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

from actionpose.data.batches import Assembler
from actionpose.data.samples import DataConfig
from actionpose.errors import UserError
from actionpose.evaluate import metrics
from actionpose.evaluate.lifting import EvalConfig, held_out, score, summarise
from actionpose.evaluate.protocols import PROTOCOLS, Cut, protocol_of, windowing_of
from actionpose.evaluate.result import Result
from actionpose.evaluate.scoring import score_video, table_rows
from actionpose.shards import ShardSet
from actionpose.train.runtime import Runtime
from tests.makers.shards import FACTS, VALID, benchmark_video, make_benchmark, make_shards, write_benchmark_shards

CPU = Runtime(device=torch.device("cpu"), bf16=False)
DATA = DataConfig(clip_frames=16, stride=16)
EVAL = EvalConfig(flip_tta=False, split="test")


@pytest.fixture(scope="module", params=["h36m-b", "h36m-a", "3dhp"])
def shards(request, tmp_path_factory):
    return ShardSet(make_benchmark(tmp_path_factory.mktemp("protocols") / request.param, request.param))


@pytest.fixture(scope="module")
def h36m(tmp_path_factory):
    """Protocol B with a take to skip and a video shorter than a window."""
    videos = [benchmark_video("h36m-b", number, frames) for number, frames in enumerate((40, 33, 50, 10, 32))]
    videos[2]["extra"]["skip"] = {"h36m-b": "damaged ground truth"}
    return ShardSet(write_benchmark_shards(tmp_path_factory.mktemp("b") / "shards", videos))


@pytest.fixture(scope="module")
def mpi(tmp_path_factory):
    return ShardSet(make_benchmark(tmp_path_factory.mktemp("mpi") / "shards", "3dhp"))


class Answer:
    """A lifter that has seen the answers of every window, and may add to them."""

    def __init__(self, table, change=lambda pose: pose):
        self.batch = Assembler(table=table, augment=False)(np.arange(len(table)), 0)
        self.change = change

    def __call__(self, pose2d, valid):
        known = {clip.numpy().tobytes(): n for n, clip in enumerate(self.batch["pose2d"][:, : pose2d.shape[1]])}
        rows = [known[clip.numpy().tobytes()] for clip in pose2d]
        return self.change(self.batch["pose3d"][rows, : pose2d.shape[1]].clone())


def measured(shards, config=EVAL, data=DATA, change=lambda pose: pose):
    table = held_out(shards, data, config)
    return summarise(score(Answer(table, change), table, config, CPU), table).to_json(), table


# --- windows ----------------------------------------------------------------------------------


def counted(protocol, windowing, frames, size, *, drop=None, valid=None):
    p = PROTOCOLS[protocol]
    drop = p.drop_tails if drop is None else drop
    valid = np.arange(frames) if valid is None else np.asarray(valid)
    return Cut(protocol=p, windowing=windowing, size=size, drop_tails=drop).counted(frames, valid).tolist()


def test_protocol_b_drops_what_follows_the_last_full_window():
    assert counted("h36m-b", "stitched", 25, 10) == list(range(20))
    assert counted("h36m-b", "stitched", 25, 10, drop=False) == list(range(25))
    assert counted("h36m-b", "stitched", 20, 10) == list(range(20))


def test_protocol_b_stretches_a_short_video_and_counts_a_repeated_frame_once():
    cut = Cut(protocol=PROTOCOLS["h36m-b"], windowing="stitched", size=10, drop_tails=True)
    [window] = cut.windows(4, np.arange(4))
    assert (window.span, window.length) == (4, 10)
    frames, places = window.counted(4, np.arange(4))
    assert frames.tolist() == [0, 1, 2, 3]
    assert places.tolist() == [2, 4, 7, 9]  # the last of 0 0 0 1 1 2 2 2 3 3


def test_protocol_a_counts_the_overlap_of_the_last_chunk_twice():
    assert counted("h36m-a", "chunks", 25, 10) == [*range(10), *range(10, 20), *range(15, 25)]
    assert counted("h36m-a", "chunks", 20, 10) == list(range(20))
    assert counted("h36m-a", "chunks", 4, 10) == list(range(4))


@pytest.mark.parametrize(("protocol", "windowing"), [("h36m-a", "every-frame"), ("3dhp", "centre")])
def test_a_window_around_every_frame_counts_its_middle(protocol, windowing):
    assert counted(protocol, windowing, 25, 9) == list(range(25))
    cut = Cut(protocol=PROTOCOLS[protocol], windowing=windowing, size=81, drop_tails=False)
    windows = cut.windows(200, np.array([0, 100, 199]))
    assert [(w.start, w.first, w.stop) for w in windows] == [(-40, 40, 41), (60, 40, 41), (159, 40, 41)]


def test_benchmarks_are_measured_on_test_where_nothing_else_is_asked_for(mpi):
    assert EvalConfig().split == "val"
    table = held_out(mpi, DATA, EvalConfig())
    assert table.config.split == "test"
    assert set(mpi.motions["split"][np.unique(table.motion)]) == {"test"}


def test_3dhp_scores_valid_frames_with_all_frames_around_them(mpi):
    table = held_out(mpi, DATA, EVAL)
    first = int(np.flatnonzero(mpi.motions["subject"] == "TS1")[0])
    rows = np.flatnonzero(table.motion == first)
    assert [int(table.counted(int(row))[0][0]) for row in rows] == [3, 4, 5, 6, 7, 8, 9, 20]
    batch = Assembler(table=table, augment=False)(rows, 0)
    whole = mpi.motion_frames(first, "pose2d")
    # Around frame 3: five times the first frame more, then all frames, invalid ones too.
    np.testing.assert_array_equal(batch["pose2d"][0].numpy(), whole[[0] * 5 + list(range(11))])
    stitched = held_out(mpi, DATA, dataclasses.replace(EVAL, windowing="stitched"))
    every = [f for row in np.flatnonzero(stitched.motion == first) for f in stitched.counted(int(row))[0].tolist()]
    assert every == [3, 4, 5, 6, 7, 8, 9, 20]


def test_valid_runs_are_half_open_and_all_frames_count_without_them():
    runs = tuple((first, stop) for first, stop in VALID["TS1"])
    assert dataclasses.replace(FACTS, valid=runs).valid_frames(48).tolist() == [3, 4, 5, 6, 7, 8, 9, 20]
    assert FACTS.valid_frames(3).tolist() == [0, 1, 2]
    assert dataclasses.replace(FACTS, valid=()).valid_frames(3).tolist() == []


# --- means ------------------------------------------------------------------------------------


@pytest.mark.parametrize(("protocol", "last"), [("h36m-b", ["actions", "frames"]), ("3dhp", ["frames", "sequences"])])
def test_the_table_ends_with_both_means(protocol, last, h36m, mpi):
    result, _ = measured(mpi if protocol == "3dhp" else h36m, change=lambda pose: pose * 0.9)
    rows = table_rows(Result.from_json(result))[-2:]
    assert [row["what"].rpartition(" ")[2] for row in rows] == last
    means = result["mpjpe_mm"], result["sequence_mean"]["mpjpe_mm"] if protocol == "3dhp" else result["frame_mpjpe_mm"]
    assert tuple(row["mpjpe_mm"] for row in rows) == means


def test_damaged_takes_are_excluded_and_listed(h36m):
    result, table = measured(h36m)
    assert table.skipped == {"h36m/s_09_act_04_subact_01_ca_01": "damaged ground truth"}
    assert result["skipped"] == table.skipped
    assert set(result["actions"]) == {"Directions", "Discussion", "Greeting", "Phoning"}
    assert result["frames"] == 32 + 32 + 10 + 32
    assert result["left_out"] == 8 + 1
    assert (result["source_2d"], result["target"], result["unit_from"]) == ("sh", "image-2.5d", "stored")


def test_motion_errors_take_neighbouring_frames_of_one_video_only():
    rng = np.random.default_rng(0)
    g = rng.normal(size=(7, 17, 3))
    p = g + rng.normal(size=g.shape)
    frames = np.array([0, 1, 2, 3, 2, 3, 9])
    scores = score_video(p, g, frames, motion=4)
    p0, g0 = p - p[:, :1], g - g[:, :1]
    np.testing.assert_allclose(scores.velocity, metrics.mpjve(p0, g0)[[0, 1, 2, 4]])
    np.testing.assert_allclose(scores.acceleration, metrics.acceleration_error(p0, g0)[[0, 1]])
    assert set(scores.velocity_motion) == {4}


def test_every_protocol_reports_all_errors(shards):
    result, _ = measured(shards, change=lambda pose: pose * 0.9)
    keys = {
        "mpjpe_mm",
        "p_mpjpe_mm",
        "n_mpjpe_mm",
        "velocity_mm",
        "velocity_mm_s",
        "acceleration_mm",
        "frames",
        "protocol",
    }
    assert keys <= set(result)
    assert ({"pck", "auc"} <= set(result)) == (result["protocol"] == "3dhp")
    assert result["n_mpjpe_mm"] < 1e-3 < result["mpjpe_mm"]


def test_errors_do_not_depend_on_batches(shards):
    table = held_out(shards, DATA, EVAL)
    config = [dataclasses.replace(EVAL, batch=size) for size in (1, 50)]
    one, many = (score(Answer(table, lambda pose: pose * 0.9), table, c, CPU) for c in config)
    for name in ("motion", "error", "aligned", "velocity", "acceleration"):
        np.testing.assert_array_equal(getattr(one, name), getattr(many, name))


# --- which protocol ---------------------------------------------------------------------------


def test_shards_name_the_protocol(shards):
    name = shards.motions["extra"][0]["protocols"][0]
    assert protocol_of(shards).name == name
    assert held_out(shards, DATA, EVAL).cut.protocol is PROTOCOLS[name]


def test_a_protocol_the_shards_do_not_permit_is_refused_with_what_would(h36m, tmp_path):
    with pytest.raises(UserError) as caught:
        protocol_of(h36m, "h36m-a")
    assert "image-2.5d" in caught.value.message
    assert "--protocol h36m-b" in caught.value.hint
    assert "VideoPose3D" in caught.value.hint
    motion = ShardSet(make_shards(tmp_path / "motion", lengths=(20,)))
    with pytest.raises(UserError, match="--protocol orthographic"):
        protocol_of(motion, "3dhp")
    with pytest.raises(UserError, match="h36m-b"):
        protocol_of(motion, "h36m")


def test_two_datasets_in_one_folder_are_measured_one_at_a_time(tmp_path):
    videos = [benchmark_video("h36m-b", 0, 20), benchmark_video("3dhp", 0, 20)]
    both = ShardSet(write_benchmark_shards(tmp_path / "both", videos))
    with pytest.raises(UserError, match="one dataset at a time"):
        held_out(both, DATA, EVAL)
    assert held_out(both, DATA, dataclasses.replace(EVAL, subjects_include=("S9",))).cut.protocol.name == "h36m-b"


def test_shards_that_permit_no_protocol_say_what_they_hold(tmp_path):
    video = benchmark_video("3dhp", 0, 20)
    video["extra"] |= {"protocols": [], "target": "metric"}
    shards = ShardSet(write_benchmark_shards(tmp_path / "shards", [video]))
    with pytest.raises(UserError, match=r"permits no protocol \(target metric"):
        held_out(shards, DATA, EVAL)


def test_a_windowing_belongs_to_its_protocol(h36m):
    with pytest.raises(UserError, match="stitched"):
        windowing_of(PROTOCOLS["h36m-b"], "centre")
    with pytest.raises(ValueError, match="does not belong"):
        EvalConfig(protocol="3dhp", windowing="chunks")
    assert windowing_of(PROTOCOLS["h36m-a"]) == "chunks"
    assert windowing_of(PROTOCOLS["3dhp"]) == "centre"


def test_a_folder_where_nothing_counts_is_refused(tmp_path):
    video = benchmark_video("3dhp", 0, 20)
    video["extra"]["valid"] = []
    shards = ShardSet(write_benchmark_shards(tmp_path / "shards", [video]))
    with pytest.raises(UserError, match="no frame that 3dhp counts"):
        held_out(shards, DATA, EVAL)

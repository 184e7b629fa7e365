"""The writer that every benchmark reader shares: what it lets in, how it fills shards, what a stopped run leaves."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.shards import ShardSet
from pipeline.pack.benchmark import BenchmarkFile, BenchmarkMotion, Rejected, write_benchmark
from tests.makers.shards import FACTS


def video(number, frames=40, split="train", **facts):
    rng = np.random.default_rng(number)
    pose2d, pose3d = rng.normal(size=(2, frames, 17, 3)).astype(np.float32)
    return BenchmarkMotion(
        motion_id=f"h36m/{number}",
        dataset="Human3.6M",
        subject=f"S{number}",
        split=split,
        action="Eating",
        source="file",
        fps_stored=50.0,
        fps_true=50.0,
        pose2d=pose2d,
        pose3d=pose3d,
        facts=replace(FACTS, **facts),
    )


def write(out, motions, **options):
    source = BenchmarkFile(path=Path("file"), layout="made", sentence="made up", sha256="sha256:0")
    return write_benchmark(
        out, motions, stage="build-made", fps=50.0, licence="none", sources=[source], **{"max_frames": 100, **options}
    )


def test_videos_come_back_with_every_word_and_frame(tmp_path):
    videos = [
        video(1),
        video(2, split="test", unit_mm=[1.5] * 40, valid=((3, 8), (20, 40))),
        video(3, 70),
        video(4, 30),
    ]
    written = write(tmp_path / "s", videos)
    shards = ShardSet(tmp_path / "s")
    assert [(row["file"], row["motions"]) for row in written.index["shards"]] == [
        ("train-00000.h5", 1),  # 40 and 70 frames do not fit 100
        ("train-00001.h5", 2),
        ("test-00000.h5", 1),
    ]
    for number, name in enumerate(shards.motions["motion_id"]):
        (want,) = (v for v in videos if v.motion_id == name)
        assert np.array_equal(shards.motion_frames(number), want.pose3d)
        assert np.array_equal(shards.motion_frames(number, "pose2d"), want.pose2d)
        assert shards.videos[number] == want.facts
    rows = [json.loads(line) for line in (tmp_path / "s/manifests/videos.jsonl").read_text().splitlines()]
    assert [row["frames_valid"] for row in rows] == [40, 25, 70, 30]
    assert [path.name for path in (tmp_path / "s").iterdir() if path.name.startswith(".")] == []


BAD = {
    "not finite": lambda v: replace(v, pose2d=np.full_like(v.pose2d, np.nan)),
    "wrong shape": lambda v: replace(v, pose2d=v.pose2d[:-1]),
    "no frames": lambda v: replace(v, pose2d=v.pose2d[:0], pose3d=v.pose3d[:0]),
    "unknown split": lambda v: replace(v, split="val"),
    "same id twice": lambda v: replace(v, motion_id="h36m/1"),
    "no scale": lambda v: replace(v, facts=replace(v.facts, unit_mm=[1.0] * 39)),
    "its own reason": lambda v: Rejected(motion_id=v.motion_id, reason="its own reason", message="as told"),
}


@pytest.mark.parametrize("reason", BAD)
def test_what_does_not_fit_is_rejected_with_its_reason_and_the_others_continue(tmp_path, reason):
    written = write(tmp_path / "s", [video(1), BAD[reason](video(2)), video(3)])
    assert written.failures == {"build-made": {reason: 1}}
    assert list(ShardSet(tmp_path / "s").motions["motion_id"]) == ["h36m/1", "h36m/3"]
    (row,) = [json.loads(line) for line in (tmp_path / "s/manifests/failures.jsonl").read_text().splitlines()]
    assert (row["reason"], row["stage"]) == (reason, "build-made")
    assert row["message"]


def test_when_no_video_can_be_used_there_is_no_folder(tmp_path):
    with pytest.raises(UserError, match="none of 1 videos"):
        write(tmp_path / "s", [BAD["not finite"](video(1))])
    assert not (tmp_path / "s").exists()


def test_a_build_that_stops_half_way_leaves_the_old_shards_and_can_be_done_again(tmp_path):
    before = write(tmp_path / "s", [video(1)]).index

    def stopping():
        yield video(1)
        yield video(2)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "s", stopping(), settings={"other": 1})
    assert ShardSet(tmp_path / "s").index == before
    again = write(tmp_path / "s", [video(1), video(2)], settings={"other": 1})
    assert again.fresh
    clean = write(tmp_path / "clean", [video(1), video(2)], settings={"other": 1})
    assert again.index == clean.index
    names = [path.relative_to(tmp_path / "clean") for path in (tmp_path / "clean").rglob("*") if path.is_file()]
    assert all((tmp_path / "s" / n).read_bytes() == (tmp_path / "clean" / n).read_bytes() for n in names)


def test_current_shards_are_not_read_again_but_damaged_ones_are(tmp_path):
    def never():
        raise AssertionError("read although nothing changed")
        yield

    write(tmp_path / "s", [video(1)])
    assert not write(tmp_path / "s", never()).fresh
    (tmp_path / "s/train-00000.h5").write_bytes(b"")
    assert write(tmp_path / "s", [video(1)]).fresh
    assert ShardSet(tmp_path / "s").motion_frames(0).shape == (40, 17, 3)


def test_one_video_at_a_time_is_held(tmp_path):
    alive = []

    def counted():
        for number in range(6):
            one = video(number)
            alive.append(one.pose3d)
            yield one
            # The writer asks for the next only when the frames of this one are on the disk.
            waiting = list((tmp_path / "s.partial").glob(".train.pose3d.frames"))
            assert waiting
            assert waiting[0].stat().st_size >= one.pose3d.nbytes

    write(tmp_path / "s", counted(), max_frames=10_000)
    assert len(alive) == 6


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "s/notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds no shards"):
        write(tmp_path / "s", [video(1)])
    assert (tmp_path / "s/notes.txt").read_text() == "mine"


@pytest.mark.parametrize("name", ["motion_id", "subject", "action"])
def test_a_name_that_cannot_be_written_costs_its_video_alone(tmp_path, name):
    written = write(tmp_path / "s", [video(1), replace(video(2), **{name: "h36m/\0x\ud800"}), video(3)])
    assert list(ShardSet(tmp_path / "s").motions["motion_id"]) == ["h36m/1", "h36m/3"]
    assert written.failures == {"build-made": {"unwritable name": 1}}

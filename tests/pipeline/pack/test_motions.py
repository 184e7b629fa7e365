"""What the stages say of a motion is what a reader of its shard finds."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import numpy as np

from actionpose.data.batches import cut_frames
from actionpose.data.samples import DataConfig, pair_samples
from actionpose.schema import Summary
from actionpose.shards import ShardSet, write_index, write_shard
from pipeline.config import PairConfig
from pipeline.pack.motions import shard_tables
from pipeline.sources.babel import parse_sequence
from pipeline.stages.pairing import Clock, plan_sequence
from tests.makers.worlds import framed, label

FRAMES, FPS = 300, 30.0
LATE = framed(label("walk", 2, 4, 0), label("transition", 4, 5, 1), label("sit", 5, 10, 2))
"""A transition whose clip does not begin with its motion."""


def test_a_transition_without_the_frames_between_holds_the_frames_of_a_and_b_and_no_others(tmp_path: Path):
    config = PairConfig(transition="cut")
    (parsed,) = parse_sequence("7", "train", LATE, config)
    planned = plan_sequence(parsed, "KIT/1/a", Clock(FPS, FRAMES), config)
    (pair,) = [pair for pair in planned.pairs if pair.kind == "transition"]
    clip = {**asdict(planned.clips[pair.clip_id]), "heading": 0.0, "pairs": [asdict(pair)]}
    facts = {"motion_id": "KIT/1/a", "dataset": "KIT", "subject": "1", "source": "a.npz", "gender": "neutral"}
    motion = {**facts, "fps_stored": FPS, "fps_true": FPS, "checksum": "none"}
    entry = {"motion": motion, "file": "", "frames": FRAMES, "heading": 0.0, "clips": [clip]}
    pose = np.broadcast_to(np.arange(FRAMES, dtype=np.float32)[:, None, None], (FRAMES, 17, 3))
    row = write_shard(tmp_path / "train-00000.h5", tables=shard_tables("train", [entry]), pose3d=[pose])
    write_index(
        tmp_path, kind="motion-text", fps=FPS, views=["front"], shards=[row], summary=Summary(), provenance={},
        licence="",
    )  # fmt: skip
    expected = [*range(60, 120), *range(150, 300)]
    shards = ShardSet(tmp_path)
    assert shards.clip_frames(0)[:, 0, 0].tolist() == expected
    table = pair_samples(shards, DataConfig(clip_frames=243))
    assert cut_frames(table, np.array([0]))[0, :, 0, 0].tolist() == expected
    middle = pair_samples(shards, DataConfig(clip_frames=40))
    assert cut_frames(middle, np.array([0]))[0, :, 0, 0].tolist() == [*range(100, 120), *range(150, 170)]

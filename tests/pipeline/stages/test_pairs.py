"""Labels meet their motion only where its length agrees with BABEL's and its split is the one it had."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.config import DataConfig, Inputs, RunOptions
from pipeline.engine.item import ItemError
from pipeline.engine.journal import JOURNAL, Journal
from pipeline.engine.manifest import MotionRow
from pipeline.engine.runner import Runner, attempt
from pipeline.engine.stage import run_stage
from pipeline.stages.pairs import pair_items, pairs_context, pairs_one, pairs_stage
from tests.makers.worlds import WALK_TO_SIT, write_labels


def motion(source: str) -> MotionRow:
    dataset, subject, _ = source.split("/")[-3:]
    return MotionRow(
        motion_id=source.removesuffix("_poses.npz"),
        source=source,
        dataset=dataset,
        subject=subject,
        gender="male",
        frames=100,
        fps_stored=120.0,
        fps_true=120.0,
        rate_note="",
        duration_s=0.8,
        betas=16,
        bytes=1,
        checksum="",
    )


@pytest.mark.parametrize(
    ("frames", "stored", "verdict"),
    [(1000, 100.0, ""), (1024, 100.0, ""), (1026, 100.0, "length disagrees with BABEL"), (1000, 120.0, "length")],
)
def test_a_motion_that_lasts_otherwise_than_babel_says_is_refused(tmp_path, frames, stored, verdict):
    """Ten seconds by BABEL; a quarter of a second is allowed. Another edition's rate is found out so."""
    write_labels(tmp_path, train={"7": WALK_TO_SIT}, val={"7": WALK_TO_SIT})
    row = replace(motion("KIT/1/a_poses.npz"), frames=frames, fps_stored=stored, fps_true=stored)
    config = DataConfig()
    item, in_val = items = pair_items(tmp_path, config)
    context = pairs_context(config, items, [row])
    if verdict:
        with pytest.raises(ItemError, match=verdict) as error:
            pairs_one(item, context, tmp_path)
        assert "BABEL says 10.00 s" in error.value.message
        return
    assert len(pairs_one(item, context, tmp_path)["pairs"]) == 4
    with pytest.raises(ItemError, match="motion in two splits"):
        pairs_one(in_val, context, tmp_path)


def test_a_motion_stays_in_its_first_split_when_a_killed_run_continues(tmp_path):
    write_labels(tmp_path, train={"7": WALK_TO_SIT}, val={"7": WALK_TO_SIT})
    config = DataConfig(inputs=Inputs(babel=str(tmp_path)))
    rows = [replace(motion("KIT/1/a_poses.npz"), frames=1000, fps_stored=100.0, fps_true=100.0)]
    items = pair_items(tmp_path, config)
    stage, context = pairs_stage(config, items, rows, "sha256:0")
    with Runner(RunOptions()) as runner:
        whole = run_stage(stage, items, context, tmp_path / "whole", runner)
        partial = stage.folder(tmp_path / "killed").with_name(f"{whole.folder.name}.partial")
        partial.mkdir(parents=True)
        done = attempt(pairs_one, items[0], context, partial)
        with open(partial / JOURNAL, "w", encoding="utf-8") as journal:
            Journal(partial).append(done, journal)
        stage, context = pairs_stage(config, items, rows, "sha256:0")
        continued = run_stage(stage, items, context, tmp_path / "killed", runner)
    assert whole.failures == {"motion in two splits": 1}
    assert continued.meta == whole.meta

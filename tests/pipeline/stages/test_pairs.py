"""Labels meet their motion only where its length agrees with BABEL's and its split is the one it had."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.config import DataConfig
from pipeline.engine.item import ItemError
from pipeline.engine.manifest import MotionRow
from pipeline.stages.pairs import pair_items, pairs_context, pairs_one
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
    context = pairs_context(config, [row])
    item, in_val = pair_items(tmp_path, config)
    if verdict:
        with pytest.raises(ItemError, match=verdict) as error:
            pairs_one(item, context, tmp_path)
        assert "BABEL says 10.00 s" in error.value.message
        return
    assert len(pairs_one(item, context, tmp_path)["pairs"]) == 4
    with pytest.raises(ItemError, match="motion in two splits"):
        pairs_one(in_val, context, tmp_path)

"""The clips that an evaluation keeps are in the millimetres that it scores."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from actionpose.config import load_config
from actionpose.evaluate.lifting import held_out
from actionpose.evaluate.predictions import target_mm
from actionpose.model.action_pose import ActionPose
from actionpose.runs.keep import keep_clips
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train.runtime import Runtime
from tests.makers.shards import make_benchmark, tiny


def test_kept_clips_have_the_unit_of_every_frame_where_a_benchmark_has_one(tmp_path: Path):
    shards = ShardSet(make_benchmark(tmp_path / "shards", "h36m-b", lengths=(40, 33)))
    recipe = load_config(Recipe, overrides=tiny())
    table = held_out(shards, recipe.data, recipe.eval)
    assert len(set(shards.videos[0].units(np.arange(40)).ravel())) == 40
    torch.manual_seed(0)
    runtime = Runtime(device=torch.device("cpu"), bf16=False)
    kept = keep_clips(ActionPose(recipe.pose).eval(), recipe, table, runtime, masks=True, about={})
    assert len(kept) == len(table) == 2
    for sample, motion in enumerate(table.motion.tolist()):
        frames = table.offset[sample] + np.arange(table.length[sample])
        np.testing.assert_allclose(kept.target[kept.part(sample)], target_mm(shards, motion, frames), rtol=1e-5)
    seen, truth = kept.seen[kept.part(0)], kept.target[kept.part(0)]  # the 2D is the pose's own x and y
    np.testing.assert_allclose(seen - seen[:, :1], truth[..., :2], atol=0.01)
    assert kept.masked.shape == (3, 32, 17, 3)

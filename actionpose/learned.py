"""What pretraining taught a model about actions, measured on held-out clips."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from actionpose.batching import Assembler, detector
from actionpose.data import SampleTable, pair_samples
from actionpose.model import ActionPose
from actionpose.recipe import Recipe
from actionpose.retrieval import Retrieval, text_motion_retrieval
from actionpose.runtime import Runtime
from actionpose.shards import ShardSet


def what_it_learned(model: ActionPose, recipe: Recipe, shards: ShardSet, runtime: Runtime) -> dict[str, Any]:
    """Search both ways over the labelled clips of the split."""
    chosen = held_out_pairs(recipe, shards)
    assemble = Assembler(table=chosen, detect=detector(recipe.data), augment=False)
    texts = [str(text) for text in shards.pairs["text"][chosen.pair]]
    order = chosen.length.argsort(kind="stable")
    poses: list[Tensor] = []
    with torch.inference_mode(), runtime.exact():
        for at in range(0, len(order), recipe.eval.batch):
            batch = runtime.move(assemble(order[at : at + recipe.eval.batch], 0))
            poses.append(model.embed_pose(batch["pose2d"], batch["valid"]).cpu())
        ordered = [texts[i] for i in order.tolist()]
        words = model.embed_text(ordered).cpu()
    both = text_motion_retrieval(torch.cat(poses).numpy(), words.numpy(), ordered)
    return {"retrieval": {name: _retrieval_row(way) for name, way in both.items()}}


def _retrieval_row(found: Retrieval) -> dict[str, Any]:
    return {
        **{f"r{k}": value for k, value in found.recall.items()},
        "median_rank": found.median_rank,
        "candidates": found.gallery,
        "queries": found.queries,
        "chance": {f"r{k}": value for k, value in found.chance.items()},
    }


def held_out_pairs(recipe: Recipe, shards: ShardSet) -> SampleTable:
    """Labelled windows of the split to measure on."""
    config = recipe.eval
    chosen = dataclasses.replace(
        recipe.data,
        split=config.split,
        subjects_include=config.subjects_include,
        subjects_exclude=config.subjects_exclude,
    )
    return pair_samples(shards, chosen)

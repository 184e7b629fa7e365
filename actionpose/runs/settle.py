"""What is put in order on whole training clips when an epoch or a run ends: the token's statistics, and the heads."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import torch

from actionpose.arrays import Ints
from actionpose.data.batch import Batch
from actionpose.data.batches import Assembler, detector
from actionpose.data.samples import SampleTable
from actionpose.data.texts import Texts
from actionpose.model.action_pose import ActionPose
from actionpose.model.text_encoder import in_parts
from actionpose.progress import Progress
from actionpose.runs.recipe import Recipe
from actionpose.train.heads import Settled, fit_heads
from actionpose.train.left import Chore
from actionpose.train.runtime import Runtime

SETTLED_CLIPS = 1024
"""So many give a mean to a thirtieth of the deviation, in seconds."""


def settling(recipe: Recipe, table: SampleTable, model: ActionPose, runtime: Runtime) -> Chore[None] | None:
    """Keeps the token's statistics over whole training clips, for evaluation; None where none are used."""
    standardise = model.pose_pool.standardise if model.pose_pool is not None else None
    if standardise is None:
        return None
    chosen = _some(table, SETTLED_CLIPS, recipe.run.seed)

    def settle() -> None:
        with torch.no_grad(), runtime.exact():
            batches = whole_clips(recipe, table, chosen, runtime, "settling class-token statistics")
            standardise.keep(model.pose.token(batch["pose2d"], batch["valid"]) for batch in batches)

    return Chore(settle, clips=len(chosen))


def finishing(
    recipe: Recipe, table: SampleTable, model: ActionPose, texts: Texts | None, runtime: Runtime
) -> Chore[None] | None:
    """Fits the heads to the token that pretraining ended with; None where that is not asked for."""
    if not recipe.heads.steps or texts is None:
        return None

    def finish() -> None:
        assert model.pose_pool is not None
        assert model.text_pool is not None
        settled = settle_tokens(recipe, table, model, texts, runtime)
        fit_heads(
            model.pose_pool, model.text_pool, settled, recipe.heads, recipe.loss.temperature, seed=recipe.run.seed
        )

    return Chore(finish, clips=min(recipe.heads.clips, len(table)))


def settle_tokens(recipe: Recipe, table: SampleTable, model: ActionPose, texts: Texts, runtime: Runtime) -> Settled:
    """Tokens of at most `heads.clips` windows, and the vectors of all texts of the table."""
    assert model.text is not None
    chosen = _some(table, recipe.heads.clips, recipe.run.seed)
    with torch.no_grad(), runtime.exact():
        batches = whole_clips(recipe, table, chosen, runtime, "computing tokens for the heads")
        token_NJC = torch.cat([model.pose.token(batch["pose2d"], batch["valid"]) for batch in batches])
        vocabulary = texts.vocabulary
        text_UE = torch.cat([model.text(part) for part in in_parts(vocabulary)])
    pairs = table.pair[chosen].tolist()
    true_NU = torch.zeros(len(pairs), len(texts.vocabulary), dtype=torch.bool)
    for row, pair in zip(true_NU, pairs, strict=True):
        row[list(texts.excluded(pair))] = True
    own_N = torch.tensor([texts.number(pair) for pair in pairs])
    device = runtime.device
    return Settled(token_NJC=token_NJC, text_UE=text_UE, own_N=own_N.to(device), true_NU=true_NU.to(device))


def whole_clips(recipe: Recipe, table: SampleTable, chosen: Ints, runtime: Runtime, what: str) -> Iterator[Batch]:
    """Batches of these samples as evaluation sees them: whole, with a detector's errors, never mirrored.

    `what` is done with them: for the line about progress.
    """
    assemble = Assembler(table=table, detect=detector(recipe.data), augment=False)
    with Progress(what, total=len(chosen), unit="clip") as progress:
        for ids in np.array_split(chosen, math.ceil(len(chosen) / recipe.eval.batch)):
            yield runtime.move(assemble(ids, 0))
            progress.advance(len(ids))


def _some(table: SampleTable, count: int, seed: int) -> Ints:
    """So many samples of the table, drawn without replacement; ascending."""
    return np.sort(np.random.default_rng(seed).permutation(len(table))[:count])

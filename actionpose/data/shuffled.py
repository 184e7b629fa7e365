"""A control for what texts add: shards whose labels are permuted among the same clips.

Everything else is as it was: the same motions, the same labels as often as before, the same negatives to tell them
from. Only what a label says about its clip is lost, so whatever such a pretraining gains, it does not gain from texts.
"""

from __future__ import annotations

import copy

import numpy as np
from numpy.typing import NDArray

from actionpose.shards import ShardSet

TEXT_COLUMNS = ("text", "raw", "text_a", "text_b", "act_cat", "concurrent")
"""What travels with a label; where a clip begins and what kind it is stays with the clip."""


def with_shuffled_labels(shards: ShardSet, pairs: NDArray[np.integer]) -> ShardSet:
    """The same shards, the labels of these pairs permuted among them; the deal is always the same.

    Args:
        shards: left as they are.
        pairs: (N,) rows of `shards.pairs`.
    """
    chosen = np.asarray(pairs, dtype=np.int64)
    permuted = chosen[np.random.default_rng(len(chosen)).permutation(len(chosen))]
    other = copy.copy(shards)
    other.pairs = dict(shards.pairs)
    for name in TEXT_COLUMNS:
        column = shards.pairs[name].copy()
        column[chosen] = shards.pairs[name][permuted]
        other.pairs[name] = column
    return other

"""How well motions find their texts and texts their motions: recall at k, median rank, and what chance would give.

Shape suffixes: N clips, U distinct texts, D features, Q queries, G gallery items.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Ints = NDArray[np.int64]
Flags = NDArray[np.bool_]

TOP_K = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class Retrieval:
    """One direction of search.

    Attributes:
        recall: k -> per cent of queries with a correct item among the first k.
        chance: k -> the same for a gallery in random order.
        median_rank: of the first correct item; 1 is best.
        queries: how many were asked.
        gallery: how many items were searched.
    """

    recall: dict[int, float]
    chance: dict[int, float]
    median_rank: float
    queries: int
    gallery: int


def text_motion_retrieval(
    pose_ND: Floats, text_UD: Floats, true_NU: Flags, *, chunk: int = 1024
) -> dict[str, Retrieval]:
    """Both directions between N clips and U distinct texts.

    A text finds every clip it is true of, and a clip every text that is true of it.

    Args:
        pose_ND: clip embeddings.
        text_UD: text embeddings.
        true_NU: bool, whether the text is true of the clip; at least one in each row and column.
        chunk: queries compared at a time; bounds memory.

    Returns:
        "text_to_motion" and "motion_to_text".
    """
    if true_NU.shape != (len(pose_ND), len(text_UD)) or not true_NU.size:
        raise ValueError(f"{len(pose_ND)} clips, {len(text_UD)} texts, but truth of {true_NU.shape}")
    return {
        "text_to_motion": summarise(text_UD, pose_ND, true_NU.T, chunk=chunk),
        "motion_to_text": summarise(pose_ND, text_UD, true_NU, chunk=chunk),
    }


def truth(labels: Sequence[Collection[str]], vocabulary: Sequence[str]) -> Flags:
    """Which of the U texts are true of each clip: (N, U) bool. Labels outside the vocabulary are left out."""
    place = {text: number for number, text in enumerate(vocabulary)}
    true_NU = np.zeros((len(labels), len(vocabulary)), dtype=bool)
    for row, of_clip in zip(true_NU, labels, strict=True):
        row[[place[text] for text in of_clip if text in place]] = True
    return true_NU


def summarise(query_QD: Floats, gallery_GD: Floats, correct_QG: Flags, *, chunk: int = 1024) -> Retrieval:
    """Search the gallery for every query."""
    rank_Q = ranks(query_QD, gallery_GD, correct_QG, chunk=chunk)
    by_chance = {k: chance(correct_QG.sum(axis=1), correct_QG.shape[1], k) for k in TOP_K}
    return Retrieval(
        recall={k: 100.0 * float(np.mean(rank_Q <= k)) for k in TOP_K},
        chance={k: 100.0 * float(np.mean(found)) for k, found in by_chance.items()},
        median_rank=float(np.median(rank_Q)),
        queries=correct_QG.shape[0],
        gallery=correct_QG.shape[1],
    )


def ranks(query_QD: Floats, gallery_GD: Floats, correct_QG: Flags, *, chunk: int = 1024) -> Ints:
    """Rank (from 1) of each query's best correct item by dot product: (Q,).

    Wrong items that tie with it come first, so that embeddings which are all equal score worst, not best.
    A query without any correct item gets rank G + 1.
    """
    gallery = np.asarray(gallery_GD, dtype=np.float64)
    rank_Q = np.empty(len(query_QD), dtype=np.int64)
    for start in range(0, len(rank_Q), chunk):
        rows = slice(start, start + chunk)
        # einsum, not @: its sums do not depend on how many rows are computed together, so ties stay ties.
        score = np.einsum("qd,gd->qg", np.asarray(query_QD[rows], dtype=np.float64), gallery)
        rank_Q[rows] = first_correct(score, correct_QG[rows])
    return rank_Q


def first_correct(score_QG: Floats, correct_QG: Flags) -> Ints:
    """Rank (from 1) of the best correct item of each row, wrong ones that tie with it first; G + 1 without any."""
    best = np.where(correct_QG, score_QG, -np.inf).max(axis=1, keepdims=True)
    # Not `>=`: a score that is no number must count against the model.
    rank = 1 + (~(score_QG < best) & ~correct_QG).sum(axis=1)
    return np.where(correct_QG.any(axis=1), rank, correct_QG.shape[1] + 1)


def chance(correct_Q: Ints, gallery: int, k: int) -> Floats:
    """(Q,) probability that k of `gallery` items drawn at random hold one of the `correct_Q` right ones."""
    step = np.arange(min(k, gallery))
    missed = np.clip((gallery - correct_Q[:, None] - step) / (gallery - step), 0.0, 1.0)
    return 1.0 - missed.prod(axis=1)

"""How well motions find their texts and texts their motions: recall at k, median rank, and what chance would give.

Shape suffixes: N clips, U distinct texts, D features, Q queries, G gallery items.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.floating]
Labels = NDArray[np.int64]

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
    pose_ND: Floats, text_ND: Floats, texts: Sequence[str], *, chunk: int = 1024
) -> dict[str, Retrieval]:
    """Both directions over N pairs of clip and text.

    Equal texts are one text: a text finds every clip that bears it, and a clip searches the U distinct texts.

    Args:
        pose_ND: clip embeddings.
        text_ND: embedding of each clip's text, in the same order.
        texts: the texts themselves.
        chunk: queries compared at a time; bounds memory at chunk x N.

    Returns:
        "text_to_motion" and "motion_to_text".
    """
    if not len(pose_ND) == len(text_ND) == len(texts) > 0:
        raise ValueError(f"{len(pose_ND)} clips, {len(text_ND)} text embeddings, {len(texts)} texts")
    _, first, label_N = np.unique(np.asarray(texts, dtype=object), return_index=True, return_inverse=True)
    text_UD, label_N = np.asarray(text_ND)[first], label_N.astype(np.int64)
    label_U = np.arange(len(first), dtype=np.int64)
    return {
        "text_to_motion": summarise(text_UD, pose_ND, label_U, label_N, chunk=chunk),
        "motion_to_text": summarise(pose_ND, text_UD, label_N, label_U, chunk=chunk),
    }


def summarise(
    query_QD: Floats, gallery_GD: Floats, label_Q: Labels, label_G: Labels, *, chunk: int = 1024
) -> Retrieval:
    """Search the gallery for every query; an item is correct when its label equals the query's."""
    rank_Q = ranks(query_QD, gallery_GD, label_Q, label_G, chunk=chunk)
    correct_Q = np.bincount(label_G, minlength=int(label_Q.max()) + 1)[label_Q]
    return Retrieval(
        recall={k: 100.0 * float(np.mean(rank_Q <= k)) for k in TOP_K},
        chance={k: 100.0 * float(np.mean(_chance(correct_Q, len(label_G), k))) for k in TOP_K},
        median_rank=float(np.median(rank_Q)),
        queries=len(label_Q),
        gallery=len(label_G),
    )


def ranks(query_QD: Floats, gallery_GD: Floats, label_Q: Labels, label_G: Labels, *, chunk: int = 1024) -> Labels:
    """Rank (from 1) of each query's best correct item by dot product: (Q,).

    Wrong items that tie with it come first, so that embeddings which are all alike score last, not first.
    A query without any correct item gets rank G + 1.
    """
    gallery = np.asarray(gallery_GD, dtype=np.float64)
    rank_Q = np.empty(len(label_Q), dtype=np.int64)
    for start in range(0, len(label_Q), chunk):
        rows = slice(start, start + chunk)
        # einsum, not @: its sums do not depend on how many rows are computed together, so ties stay ties.
        score = np.einsum("qd,gd->qg", np.asarray(query_QD[rows], dtype=np.float64), gallery)
        correct = label_Q[rows, None] == label_G[None, :]
        best = np.where(correct, score, -np.inf).max(axis=1, keepdims=True)
        rank_Q[rows] = 1 + ((score >= best) & ~correct).sum(axis=1)
        rank_Q[rows][~correct.any(axis=1)] = len(label_G) + 1
    return rank_Q


def _chance(correct_Q: Labels, gallery: int, k: int) -> Floats:
    """Probability that k of `gallery` items drawn at random hold one of the `correct_Q` right ones."""
    step = np.arange(min(k, gallery))
    missed = np.clip((gallery - correct_Q[:, None] - step) / (gallery - step), 0.0, 1.0)
    return 1.0 - missed.prod(axis=1)

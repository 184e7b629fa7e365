"""How well motions find their texts and texts their motions, and how well clips are named among a set of labels.

Recall at k, median rank, accuracy of the first k answers; beside each, what chance would give.

Shape suffixes: N clips, U distinct texts or labels, D features, Q queries, G gallery items.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np

from actionpose.arrays import Flags, Floats, Ints

TOP_K = (1, 5, 10)
NAMED_K = (1, 5)
CHUNK = 1024
"""Rows compared at a time; bounds memory."""


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


def text_motion_retrieval(pose_ND: Floats, text_UD: Floats, true_NU: Flags) -> dict[str, Retrieval]:
    """Both directions between N clips and U distinct texts.

    A text finds every clip it is true of, and a clip every text that is true of it.

    Args:
        pose_ND: clip embeddings.
        text_UD: text embeddings.
        true_NU: bool, whether the text is true of the clip; at least one in each row and column.

    Returns:
        "text_to_motion" and "motion_to_text".
    """
    if true_NU.shape != (len(pose_ND), len(text_UD)) or not true_NU.size:
        raise ValueError(f"{len(pose_ND)} clips, {len(text_UD)} texts, but truth of {true_NU.shape}")
    return {
        "text_to_motion": search(text_UD, pose_ND, true_NU.T),
        "motion_to_text": search(pose_ND, text_UD, true_NU),
    }


def truth(labels: Sequence[Collection[str]], vocabulary: Sequence[str]) -> Flags:
    """Which of the U texts are true of each clip: (N, U) bool. Labels outside the vocabulary are left out."""
    place = {text: number for number, text in enumerate(vocabulary)}
    true_NU = np.zeros((len(labels), len(vocabulary)), dtype=bool)
    for row, of_clip in zip(true_NU, labels, strict=True):
        row[[place[text] for text in of_clip if text in place]] = True
    return true_NU


def search(query_QD: Floats, gallery_GD: Floats, correct_QG: Flags) -> Retrieval:
    """Search the gallery for every query."""
    rank_Q = ranks(query_QD, gallery_GD, correct_QG)
    by_chance = {k: chance(correct_QG.sum(axis=1), correct_QG.shape[1], k) for k in TOP_K}
    return Retrieval(
        recall={k: 100.0 * float(np.mean(rank_Q <= k)) for k in TOP_K},
        chance={k: 100.0 * float(np.mean(found)) for k, found in by_chance.items()},
        median_rank=float(np.median(rank_Q)),
        queries=correct_QG.shape[0],
        gallery=correct_QG.shape[1],
    )


def ranks(query_QD: Floats, gallery_GD: Floats, correct_QG: Flags, *, chunk: int = CHUNK) -> Ints:
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
    # Not `>=`: a score that is not a number must count against the model.
    rank = 1 + (~(score_QG < best) & ~correct_QG).sum(axis=1)
    return np.where(correct_QG.any(axis=1), rank, correct_QG.shape[1] + 1)


def chance(correct_Q: Ints, gallery: int, k: int) -> Floats:
    """(Q,) probability that k of `gallery` items drawn at random hold one of the `correct_Q` right ones."""
    step = np.arange(min(k, gallery))
    missed = np.clip((gallery - correct_Q[:, None] - step) / (gallery - step), 0.0, 1.0)
    return 1.0 - missed.prod(axis=1)


# --- naming -----------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Per cent of clips whose first k answers hold a label that is true of them, by k.

    Attributes:
        top: over clips; frequent labels weigh more.
        balanced: mean over labels of the share of the label's clips whose first k answers hold that very label.
        chance: `top` of answers in random order.
        frequent: `top` of answering the most frequent labels of these very clips, always: the best that can be had
            without looking at a clip.
        frequent_balanced: `balanced` of that.
        labels: how many there were to choose from.
        clips: how many were named.
    """

    top: dict[int, float]
    balanced: dict[int, float]
    chance: dict[int, float]
    frequent: dict[int, float]
    frequent_balanced: dict[int, float]
    labels: int
    clips: int


def zero_shot(pose_ND: Floats, label_UD: Floats, true_NU: Flags) -> Naming:
    """Name clips by the nearest label embeddings.

    Args:
        pose_ND: clip embeddings.
        label_UD: embeddings of the labels.
        true_NU: bool, which labels are true of a clip, at least one; any of them counts.
    """
    score_NU = np.einsum("nd,ud->nu", np.asarray(pose_ND, np.float64), np.asarray(label_UD, np.float64))
    return naming(score_NU, true_NU)


def naming(score_NU: Floats, true_NU: Flags) -> Naming:
    """Accuracies from a score for each clip and label; wrong labels that tie with a right one come first.

    Raises:
        ValueError: no clips, or a clip of which no label is true.
    """
    if not true_NU.size or not true_NU.any(axis=1).all():
        raise ValueError("every clip needs a true label")
    clips, labels = true_NU.shape
    # Ties in frequency go to the earlier label: a constant answer, as it should be.
    order = np.argsort(-true_NU.sum(axis=0), kind="stable")
    place = np.empty(labels)
    place[order] = np.arange(labels)
    blind_NU = np.broadcast_to(-place, true_NU.shape)
    known = true_NU.sum(axis=1)
    return Naming(
        top={k: _share(first_correct(score_NU, true_NU) <= k) for k in NAMED_K},
        balanced=_by_label(score_NU, true_NU),
        chance={k: _share(chance(known, labels, k)) for k in NAMED_K},
        frequent={k: _share(first_correct(blind_NU, true_NU) <= k) for k in NAMED_K},
        frequent_balanced=_by_label(blind_NU, true_NU),
        labels=labels,
        clips=clips,
    )


def _share(hit_N: Flags | Floats) -> float:
    return 100.0 * float(np.mean(hit_N))


def _by_label(score_NU: Floats, true_NU: Flags) -> dict[int, float]:
    """By k: mean, over the labels that occur, of the share of their clips that are given this very label."""
    count = true_NU.sum(axis=0)
    clip, label = np.nonzero(true_NU)
    rank = np.empty(len(clip), dtype=np.int64)
    for at in range(0, len(clip), CHUNK):
        rows = slice(at, at + CHUNK)
        score = score_NU[clip[rows]]
        own = np.take_along_axis(score, label[rows, None], axis=1)
        rank[rows] = (~(score < own)).sum(axis=1)  # itself included
    shares = {k: np.bincount(label[rank <= k], minlength=len(count))[count > 0] / count[count > 0] for k in NAMED_K}
    return {k: _share(share) for k, share in shares.items()}

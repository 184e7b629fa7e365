"""Naming a clip among a set of labels: how often the first k answers hold a true one, and what knowing nothing gives.

Shape suffixes: N clips, U labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actionpose.retrieval import Flags, Floats, Ints, chance, first_correct, ranks

TOP_K = (1, 5)


@dataclass(frozen=True, kw_only=True)
class Naming:
    """Per cent of clips whose first k answers hold a label that is true of them, by k.

    Attributes:
        top: over clips; frequent labels weigh more.
        balanced: mean over labels of the same among the label's clips; every label weighs the same.
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
    return naming(ranks(pose_ND, label_UD, true_NU), true_NU)


def naming(rank_N: Ints, true_NU: Flags) -> Naming:
    """Accuracies from the rank (from 1) of each clip's best true label.

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
    blind = first_correct(np.broadcast_to(-place, true_NU.shape), true_NU)
    known = true_NU.sum(axis=1)
    return Naming(
        top={k: _share(rank_N <= k) for k in TOP_K},
        balanced={k: _by_label(rank_N <= k, true_NU) for k in TOP_K},
        chance={k: _share(chance(known, labels, k)) for k in TOP_K},
        frequent={k: _share(blind <= k) for k in TOP_K},
        frequent_balanced={k: _by_label(blind <= k, true_NU) for k in TOP_K},
        labels=labels,
        clips=clips,
    )


def _share(hit_N: Flags | Floats) -> float:
    return 100.0 * float(np.mean(hit_N))


def _by_label(hit_N: Flags, true_NU: Flags) -> float:
    """Mean over the labels that occur."""
    count = true_NU.sum(axis=0)
    hits = (true_NU & hit_N[:, None]).sum(axis=0)
    return _share(hits[count > 0] / count[count > 0])

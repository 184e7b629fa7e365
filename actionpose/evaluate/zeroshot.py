"""Naming a clip among a set of labels: how often the first k answers hold a true one, and what knowing nothing gives.

Shape suffixes: N clips, U labels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actionpose.evaluate.retrieval import Flags, Floats, chance, first_correct

TOP_K = (1, 5)
CHUNK = 1024


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
        top={k: _share(first_correct(score_NU, true_NU) <= k) for k in TOP_K},
        balanced=_by_label(score_NU, true_NU),
        chance={k: _share(chance(known, labels, k)) for k in TOP_K},
        frequent={k: _share(first_correct(blind_NU, true_NU) <= k) for k in TOP_K},
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
    shares = {k: np.bincount(label[rank <= k], minlength=len(count))[count > 0] / count[count > 0] for k in TOP_K}
    return {k: _share(share) for k, share in shares.items()}

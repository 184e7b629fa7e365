"""How often each label is there, how often to draw it, and which pairs a cap keeps: pure functions.

The paper leaves the long tail of labels to its loss. These numbers offer the usual remedy: draw a pair with a
weight proportional to its label's count^-0.5, so that a label a hundred times as frequent is seen ten times as often.
"""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.manifest import LabelRow

EXPONENT = -0.5


def sampling_weights(texts: Sequence[str], exponent: float = EXPONENT) -> NDArray[np.float64]:
    """(N,) weights proportional to count^exponent of each pair's text; their mean is 1.

    Exponent 0 weighs all pairs alike, -1 all labels alike.
    """
    counts = Counter(texts)
    weights = np.array([counts[text] ** exponent for text in texts], dtype=np.float64)
    return weights / weights.mean() if len(weights) else weights


def capped(pair_ids: Sequence[str], texts: Sequence[str], cap: int, seed: int = 0) -> NDArray[np.bool_]:
    """(N,) which pairs stay when each label keeps at most `cap` of them.

    The choice hangs on (seed, pair id) alone: another order or a larger data set does not reshuffle it.

    Raises:
        ValueError: a cap under 1.
    """
    if cap < 1:
        raise ValueError(f"a cap of {cap} would keep nothing")
    of_label: dict[str, list[int]] = defaultdict(list)
    for number, text in enumerate(texts):
        of_label[text].append(number)
    keep = np.zeros(len(texts), dtype=bool)
    for numbers in of_label.values():
        keep[sorted(numbers, key=lambda n: (_draw(seed, pair_ids[n]), pair_ids[n]))[:cap]] = True
    return keep


def _draw(seed: int, pair_id: str) -> bytes:
    return hashlib.sha256(f"{seed}/{pair_id}".encode()).digest()


def label_rows(pairs: Iterable[tuple[str, str, int]], fps: float, exponent: float = EXPONENT) -> list[LabelRow]:
    """The histogram of labels with their weights, in order of text.

    Args:
        pairs: (text, split, frames) of every pair.
        fps: frames per second.
        exponent: see `sampling_weights`.
    """
    train: Counter[str] = Counter()
    val: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for text, split, length in pairs:
        (train if split == "train" else val)[text] += 1
        frames[text] += length
    mean = sum(n * n**exponent for n in train.values()) / max(train.total(), 1)
    return [
        LabelRow(
            text=text,
            train=train[text],
            val=val[text],
            hours=round(frames[text] / fps / 3600, 6),
            weight=round(train[text] ** exponent / mean, 6) if train[text] else 0.0,
        )
        for text in sorted(frames)
    ]

"""How often each label is there, how often to draw it, and which pairs a cap leaves out: pure functions."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable

from actionpose.balance import label_weights
from pipeline.engine.manifest import LabelRow


def beyond_cap(pairs: Iterable[tuple[str, str]], cap: int, seed: int = 0) -> set[str]:
    """Ids of the pairs to leave out so that each label keeps at most `cap` of them.

    The choice hangs on (seed, pair id) alone: another order or a larger data set does not reshuffle it.

    Args:
        pairs: (pair id, text) of every pair.
        cap: pairs that a label may keep.
        seed: another one keeps other pairs.

    Raises:
        ValueError: a cap under 1.
    """
    if cap < 1:
        raise ValueError(f"a cap of {cap} would keep nothing")
    of_label: dict[str, list[tuple[bytes, str]]] = defaultdict(list)
    for pair_id, text in pairs:
        of_label[text].append((_draw(seed, pair_id), pair_id))
    return {pair_id for drawn in of_label.values() for _, pair_id in sorted(drawn)[cap:]}


def _draw(seed: int, pair_id: str) -> bytes:
    return hashlib.sha256(f"{seed}/{pair_id}".encode()).digest()


def label_rows(pairs: Iterable[tuple[str, str, int]], fps: float) -> list[LabelRow]:
    """The histogram of labels with their weights, in order of text.

    Args:
        pairs: (text, split, frames) of every pair.
        fps: frames per second.
    """
    train: Counter[str] = Counter()
    val: Counter[str] = Counter()
    frames: Counter[str] = Counter()
    for text, split, length in pairs:
        (train if split == "train" else val)[text] += 1
        frames[text] += length
    weights = label_weights(train)
    return [
        LabelRow(
            text=text,
            train=train[text],
            val=val[text],
            hours=round(frames[text] / fps / 3600, 6),
            weight=round(weights.get(text, 0.0), 6),
        )
        for text in sorted(frames)
    ]

"""How often to draw each label: the one formula behind `manifests/labels.jsonl` and `data.balance`.

Labels have a long tail, which the paper leaves to its loss. The usual remedy is to draw a pair with a weight
proportional to its label's count^-0.5, so that a label a hundred times as frequent is seen ten times as often.
"""

from __future__ import annotations

from collections.abc import Mapping

EXPONENT = -0.5


def label_weights(counts: Mapping[str, int]) -> dict[str, float]:
    """Weight of each pair of a label, proportional to count^-0.5; over all pairs the mean is 1.

    Args:
        counts: label → its pairs; labels without any have weight 0.
    """
    total = sum(counts.values())
    mean = sum(n * n**EXPONENT for n in counts.values() if n) / max(total, 1)
    return {text: n**EXPONENT / mean if n else 0.0 for text, n in counts.items()}

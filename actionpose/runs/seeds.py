"""Comparing runs over seeds: what runs of one seed share falls out of their difference.

Runs of one seed have the same order of samples and the same detections. The spread of the paired differences says how
sure a change is, which the spread of either side does not.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

T_95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228)
"""Student's t for 1, 2, … degrees of freedom, two-sided 95 %; more than ten are counted as ten, on the safe side."""


@dataclass(frozen=True, kw_only=True)
class Change:
    """Some runs against others, paired by seed.

    Attributes:
        seeds: those that both sides have; the differences are over them.
        mean: mean difference; None without a shared seed.
        spread: sample standard deviation of the differences; None for fewer than two.
        margin: half of the 95 % confidence interval of the mean (Student's t); None for fewer than two.
        lower: in how many of them the first side is lower.
    """

    seeds: tuple[int, ...]
    mean: float | None
    spread: float | None
    margin: float | None
    lower: int


def paired(mine: Mapping[int, float], theirs: Mapping[int, float]) -> Change:
    """Differences mine - theirs (seed → number), over the seeds that both have."""
    seeds = tuple(seed for seed in mine if seed in theirs)
    changes = [mine[seed] - theirs[seed] for seed in seeds]
    mean, spread = mean_and_spread(changes)
    margin = None if spread is None else T_95[min(len(changes) - 1, len(T_95)) - 1] * spread / len(changes) ** 0.5
    return Change(seeds=seeds, mean=mean, spread=spread, margin=margin, lower=sum(change < 0 for change in changes))


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; None without values, and for the spread of one."""
    return (
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
    )

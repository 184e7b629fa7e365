"""Comparing runs over seeds: what runs of one seed share falls out of their difference.

Runs of one seed have the same order of samples and the same detections. The spread of the paired differences says how
sure a change is, which the spread of either side does not.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Change:
    """Some runs against others, paired by seed.

    Attributes:
        seeds: those that both sides have; the differences are over them.
        mean: mean difference; None without a shared seed.
        spread: sample standard deviation of the differences; None for fewer than two.
        lower: in how many of them the first side is lower.
    """

    seeds: tuple[int, ...]
    mean: float | None
    spread: float | None
    lower: int


def paired(mine: Mapping[int, float], theirs: Mapping[int, float]) -> Change:
    """Differences mine - theirs (seed → number), over the seeds that both have."""
    seeds = tuple(seed for seed in mine if seed in theirs)
    changes = [mine[seed] - theirs[seed] for seed in seeds]
    mean, spread = mean_and_spread(changes)
    return Change(seeds=seeds, mean=mean, spread=spread, lower=sum(change < 0 for change in changes))


def mean_and_spread(values: Sequence[float]) -> tuple[float | None, float | None]:
    """Mean and sample standard deviation; None without values, and for the spread of one."""
    return (
        statistics.fmean(values) if values else None,
        statistics.stdev(values) if len(values) > 1 else None,
    )

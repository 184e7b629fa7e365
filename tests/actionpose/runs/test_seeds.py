"""Runs are compared seed by seed, with the interval that the paired differences allow."""

from __future__ import annotations

import math
import statistics

import pytest
from scipy import stats

from actionpose.runs.seeds import T_95, paired


def test_the_interval_is_students_over_the_paired_differences():
    mine, theirs = {0: 60.0, 1: 66.0, 2: 61.0, 3: 1.0}, {0: 62.0, 1: 67.5, 2: 63.5, 9: 5.0}
    change = paired(mine, theirs)
    differences = [-2.0, -1.5, -2.5]
    low, high = stats.t.interval(0.95, 2, loc=-2.0, scale=statistics.stdev(differences) / math.sqrt(3))
    assert change.seeds == (0, 1, 2)
    assert change.mean == -2.0
    assert change.margin == pytest.approx((high - low) / 2, rel=1e-3)
    assert paired({0: 1.0}, {0: 2.0}).margin is None


def test_the_table_of_students_t_is_right():
    assert [round(float(stats.t.ppf(0.975, df)), 3) for df in range(1, len(T_95) + 1)] == list(T_95)

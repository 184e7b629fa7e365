"""Weights follow count^-0.5, caps keep the same pairs whatever else there is, and the histogram adds up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from actionpose.balance import label_weights
from pipeline.pack.sampling import beyond_cap, label_rows

TEXTS = ["walk"] * 100 + ["sit"] * 25 + ["NA"]
PAIRS = [(f"{n}:0", text) for n, text in enumerate(TEXTS)]


def test_a_label_a_hundred_times_as_frequent_is_drawn_ten_times_as_often():
    counts = Counter(TEXTS)
    weights = label_weights(counts)
    assert counts["walk"] * weights["walk"] / weights["NA"] == pytest.approx(10)
    assert counts["sit"] * weights["sit"] / weights["NA"] == pytest.approx(5)
    assert sum(counts[text] * weight for text, weight in weights.items()) == pytest.approx(len(TEXTS))


def test_no_pairs_no_weights():
    assert label_weights({}) == {}
    assert label_weights({"null": 0}) == {"null": 0.0}
    assert beyond_cap([], 3) == set()


def test_a_cap_keeps_that_many_of_each_label():
    gone = beyond_cap(PAIRS, 30)
    assert Counter(text for key, text in PAIRS if key not in gone) == {"walk": 30, "sit": 25, "NA": 1}


def test_what_a_cap_keeps_hangs_on_the_pair_alone():
    gone = beyond_cap(PAIRS, 30)
    order = np.random.default_rng(0).permutation(len(PAIRS))
    assert beyond_cap([PAIRS[n] for n in order], 30) == gone
    assert beyond_cap(PAIRS[:60], 30) <= gone  # fewer pairs: those that stayed among more still stay
    assert beyond_cap(PAIRS, 30, seed=1) != gone


def test_a_cap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="would keep nothing"):
        beyond_cap([("a", "walk")], 0)


def test_label_rows_add_up():
    pairs = [(text, "train", 90) for text in TEXTS] + [("walk", "val", 30), ("null", "val", 60)]
    rows = {row.text: row for row in label_rows(pairs, 30.0)}
    assert list(rows) == sorted(rows)
    assert (rows["walk"].train, rows["walk"].val, rows["null"].train) == (100, 1, 0)
    assert rows["walk"].hours == pytest.approx((100 * 3 + 1) / 3600, abs=1e-6)
    weights = label_weights(Counter(TEXTS))
    assert {text: rows[text].weight for text in weights} == pytest.approx(weights, abs=1e-6)
    assert rows["null"].weight == 0

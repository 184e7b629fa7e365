"""Weights follow count^-0.5, caps keep the same pairs whatever else there is, and the histogram adds up."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from pipeline.sampling import capped, label_rows, sampling_weights

TEXTS = ["walk"] * 100 + ["sit"] * 25 + ["NA"]


def test_a_label_a_hundred_times_as_frequent_is_drawn_ten_times_as_often():
    weights = sampling_weights(TEXTS)
    share = {text: weights[[t == text for t in TEXTS]].sum() for text in set(TEXTS)}
    assert share["walk"] / share["NA"] == pytest.approx(10)
    assert share["sit"] / share["NA"] == pytest.approx(5)
    assert weights.mean() == pytest.approx(1)


@pytest.mark.parametrize(("exponent", "share"), [(0.0, 100), (-1.0, 1)])
def test_exponents_span_from_all_pairs_alike_to_all_labels_alike(exponent: float, share: float):
    weights = sampling_weights(TEXTS, exponent)
    assert weights[:100].sum() / weights[-1] == pytest.approx(share)


def test_no_pairs_no_weights():
    assert sampling_weights([]).shape == (0,)
    assert capped([], [], 3).shape == (0,)


def test_a_cap_keeps_that_many_of_each_label():
    ids = [f"{n}:0" for n in range(len(TEXTS))]
    keep = capped(ids, TEXTS, 30)
    assert Counter(t for t, k in zip(TEXTS, keep, strict=True) if k) == {"walk": 30, "sit": 25, "NA": 1}


def test_what_a_cap_keeps_hangs_on_the_pair_alone():
    ids = [f"{n}:0" for n in range(len(TEXTS))]
    kept = {ids[n] for n in np.flatnonzero(capped(ids, TEXTS, 30))}
    order = np.random.default_rng(0).permutation(len(ids))
    again = capped([ids[n] for n in order], [TEXTS[n] for n in order], 30)
    assert {ids[n] for n in order[again]} == kept
    smaller = capped(ids[:60], TEXTS[:60], 30)  # fewer pairs: those that stay were not thrown out before
    assert {ids[n] for n in np.flatnonzero(smaller)} >= kept & set(ids[:60])
    assert {ids[n] for n in np.flatnonzero(capped(ids, TEXTS, 30, seed=1))} != kept


def test_a_cap_of_nothing_is_refused():
    with pytest.raises(ValueError, match="would keep nothing"):
        capped(["a"], ["walk"], 0)


def test_label_rows_add_up():
    pairs = [(text, "train", 90) for text in TEXTS] + [("walk", "val", 30), ("null", "val", 60)]
    rows = {row.text: row for row in label_rows(pairs, 30.0)}
    assert list(rows) == sorted(rows)
    assert (rows["walk"].train, rows["walk"].val, rows["null"].train) == (100, 1, 0)
    assert rows["walk"].hours == pytest.approx((100 * 3 + 1) / 3600, abs=1e-6)
    weights = dict(zip(TEXTS, sampling_weights(TEXTS), strict=True))
    assert {text: rows[text].weight for text in weights} == pytest.approx(weights, abs=1e-6)
    assert rows["null"].weight == 0

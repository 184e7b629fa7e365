"""Ridge regression finds a linear relation, whichever form it is solved in."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.evaluate import ridge
from actionpose.evaluate.retrieval import text_motion_retrieval


def data(clips: int, features: int, seed: int = 0):
    rng = np.random.default_rng(seed)
    weight = rng.normal(size=(features, 5))
    feature = rng.normal(size=(clips, features)) * rng.uniform(0.1, 10, size=features) + 3
    return feature, feature @ weight + 7


def test_held_out_clips_find_their_own_target_when_the_relation_is_linear():
    feature, target = data(200, 12)
    found = ridge.fit(feature[:150], target[:150], penalty=1e-6)
    both = text_motion_retrieval(found.predict(feature[150:]), found.directions(target[150:]), np.eye(50, dtype=bool))
    assert both["text_to_motion"].recall[1] == both["motion_to_text"].recall[1] == 100


def test_fewer_clips_than_features_give_the_same_answer_as_the_usual_form():
    feature, target = data(20, 30)
    found = ridge.fit(feature, target, penalty=3.0)
    x = (feature - feature.mean(axis=0)) / feature.std(axis=0)
    usual = np.linalg.solve(x.T @ x + 3.0 * np.eye(30), x.T @ (target - target.mean(axis=0)))
    np.testing.assert_allclose(found.weight, usual, rtol=1e-8, atol=1e-10)


def test_a_feature_that_never_changes_is_ignored():
    feature, target = data(50, 6)
    constant = np.concatenate([feature, np.full((50, 1), 4.0)], axis=1)
    with_it, without = ridge.fit(constant, target), ridge.fit(feature, target)
    np.testing.assert_allclose(with_it.predict(constant), without.predict(feature), atol=1e-9)
    assert np.isfinite(with_it.predict(constant + 1)).all()


def test_a_clip_without_any_direction_stays_finite():
    feature, target = data(10, 3)
    found = ridge.fit(feature, target)
    assert np.isfinite(found.predict(feature.mean(axis=0, keepdims=True))).all()
    assert found.directions(target).shape == (10, 5)
    assert np.linalg.norm(found.directions(target), axis=1) == pytest.approx(1)

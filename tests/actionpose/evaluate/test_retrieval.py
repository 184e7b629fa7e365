"""Retrieval counts what a plain sort would count, and cannot be fooled by ties or repeats."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.evaluate.retrieval import ranks, search, text_motion_retrieval, truth


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def plain_rank(score: np.ndarray, correct: np.ndarray) -> int:
    """Sort and walk down the list."""
    order = sorted(range(len(score)), key=lambda i: (-score[i], correct[i]))
    return 1 + next(place for place, item in enumerate(order) if correct[item])


def test_perfect_embeddings_are_found_first_in_both_directions(rng):
    pose = np.eye(12)
    result = text_motion_retrieval(pose, pose, np.eye(12, dtype=bool))
    for direction in result.values():
        assert direction.recall == {1: 100.0, 5: 100.0, 10: 100.0}
        assert direction.median_rank == 1
        assert direction.chance[1] == pytest.approx(100 / 12)
        assert direction.chance[10] == pytest.approx(100 * 10 / 12)


def test_ranks_equal_a_plain_sort_in_any_chunk(rng):
    queries, gallery = rng.normal(size=(23, 4)), rng.normal(size=(40, 4))
    label_q, label_g = rng.integers(0, 6, 23), np.concatenate([np.arange(6), rng.integers(0, 6, 34)])
    correct = label_q[:, None] == label_g
    whole = ranks(queries, gallery, correct)
    expected = [plain_rank(gallery @ q, label_g == label) for q, label in zip(queries, label_q, strict=True)]
    assert whole.tolist() == expected
    for chunk in (1, 7, 23):
        np.testing.assert_array_equal(ranks(queries, gallery, correct, chunk=chunk), whole)


def test_equal_texts_count_as_the_same_text():
    # Two clips walk; each lies nearest to the other's text copy, which is the same text.
    pose = np.array([[1.0, 0.0], [0.9, 0.1], [0.0, 1.0]])
    text = np.array([[0.0, 1.0], [1.0, 0.0]])
    result = text_motion_retrieval(pose, text, truth([["walk"], ["walk"], ["sit"]], ["sit", "walk"]))
    assert result["motion_to_text"].gallery == 2
    assert result["text_to_motion"].queries == 2
    assert result["motion_to_text"].recall[1] == 100.0
    assert result["text_to_motion"].recall[1] == 100.0
    # "walk" has two right clips among three, "sit" one.
    assert result["text_to_motion"].chance[1] == pytest.approx(100 * (2 / 3 + 1 / 3) / 2)


def test_embeddings_that_are_all_equal_score_last():
    result = text_motion_retrieval(np.ones((20, 3)), np.ones((20, 3)), np.eye(20, dtype=bool))
    for direction in result.values():
        assert direction.recall == {1: 0.0, 5: 0.0, 10: 0.0}
        assert direction.median_rank == 20


def test_random_embeddings_stay_near_chance(rng):
    N = 600
    true = np.arange(N)[:, None] % 30 == np.arange(30)
    result = text_motion_retrieval(rng.normal(size=(N, 8)), rng.normal(size=(30, 8)), true)["motion_to_text"]
    assert result.chance[5] == pytest.approx(100 * 5 / 30)
    assert abs(result.recall[5] - result.chance[5]) < 6


def test_chance_with_several_right_answers_matches_drawing(rng):
    label_g = np.array([0] * 4 + [1] * 16)
    result = search(np.ones((1, 2)), np.ones((20, 2)), label_g[None] == 0)
    drawn = np.mean([(rng.permutation(label_g)[:5] == 0).any() for _ in range(20_000)])
    assert result.chance[5] == pytest.approx(100 * drawn, abs=1.5)
    assert search(np.ones((1, 2)), np.ones((3, 2)), np.array([[True, False, False]])).chance[5] == 100


def test_a_query_without_a_right_answer_ranks_behind_the_gallery():
    assert ranks(np.ones((1, 2)), np.ones((3, 2)), np.zeros((1, 3), dtype=bool)).tolist() == [4]


def test_lengths_that_differ_are_refused():
    with pytest.raises(ValueError, match="2 clips"):
        text_motion_retrieval(np.ones((2, 3)), np.ones((3, 3)), np.eye(3, dtype=bool))


def test_a_clip_with_several_texts_is_found_by_each_and_finds_any():
    true = truth([["walk", "turn"], ["sit"]], ["sit", "turn", "walk"])
    assert true.tolist() == [[False, True, True], [True, False, False]]
    pose, text = np.eye(2), np.array([[0.0, 1.0], [0.5, 0.0], [1.0, 0.0]])
    result = text_motion_retrieval(pose, text, true)
    assert result["text_to_motion"].recall[1] == result["motion_to_text"].recall[1] == 100
    assert result["motion_to_text"].chance[1] == pytest.approx(100 * (2 / 3 + 1 / 3) / 2)


def test_embeddings_that_are_no_numbers_score_last():
    result = text_motion_retrieval(np.full((20, 3), np.nan), np.ones((20, 3)), np.eye(20, dtype=bool))
    assert [way.median_rank for way in result.values()] == [20, 20]

"""Which frames of a film get rows, and what is said of each."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.lift.complete import NOT_SEEN, Stretch, lay_out
from actionpose.lift.timeline import Track, to_grid

FPS = 30.0


def track(*frames: int) -> Track:
    """A person who is seen in these frames."""
    n = len(frames)
    frame = np.array(frames, dtype=np.int64)
    return Track(person=0, frame=frame, seconds=frame / FPS, points=np.zeros((n, 17, 2)), confidence=np.ones((n, 17)))


def laid(person: Track, *, fill: bool = False, predict: float = 0.0) -> list[Stretch]:
    return lay_out(person, fps=FPS, rate=30.0, longest_gap=0.5, fill=fill, predict=predict)[0]


def test_frames_that_are_filled_are_completed_and_not_predicted():
    (stretch,) = laid(track(*range(5), *range(8, 12)), fill=True, predict=0.1)
    assert stretch.frame.tolist() == list(range(15))
    assert np.flatnonzero(stretch.row == NOT_SEEN).tolist() == [5, 6, 7, 12, 13, 14]
    assert np.flatnonzero(stretch.predicted).tolist() == [12, 13, 14]
    assert np.allclose(stretch.seconds, np.arange(15) / FPS)


def test_a_person_is_predicted_after_the_last_detection_and_not_into_a_gap_at_which_the_film_is_split():
    early, late = laid(track(*range(10), *range(40, 50)), fill=True, predict=0.2)
    assert early.frame.tolist() == list(range(10))
    assert not early.predicted.any()
    assert late.frame.tolist() == list(range(40, 56))
    assert np.flatnonzero(late.predicted).tolist() == [10, 11, 12, 13, 14, 15]


@pytest.mark.parametrize("rate", [30.0, 25.0, 50.0])
def test_a_joint_is_masked_as_soon_as_it_is_hidden_and_the_last_detection_is_held(rate):
    person = track(*range(20))
    person.confidence[11:, 4] = 0.0
    grid = to_grid(person, rate, 1 / FPS)
    last = person.seconds[10]
    assert (grid.confidence[:, 4] > 0).tolist() == (grid.seconds < last + 1e-6).tolist()
    assert (grid.confidence[:, 5] == 1).all()
    assert grid.seconds[-1] >= person.seconds[-1] - 1e-6


def test_frames_that_a_detector_skips_on_purpose_are_neither_filled_nor_predicted():
    (stretch,) = laid(track(0, 3, 6, 9, 15, 18), fill=True, predict=0.2)
    assert stretch.frame.tolist() == [0, 3, 6, 9, 12, 15, 18, 21, 24]
    assert np.flatnonzero(stretch.row == NOT_SEEN).tolist() == [4, 7, 8]
    assert np.flatnonzero(stretch.predicted).tolist() == [7, 8]
    assert np.allclose(stretch.seconds, stretch.frame / FPS)

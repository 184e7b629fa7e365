"""Which frames a result has: those with detections, and on request those between them and after them.

Shape letters: M rows of a stretch, T frames of its grid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats, Ints
from actionpose.lift.timeline import TimeGrid, Track, from_grid, split, step_of, to_grid

NOT_SEEN = -1


@dataclass(frozen=True, kw_only=True)
class Stretch:
    """A stretch of one person: what is lifted, and the rows that come out of it.

    Attributes:
        track: the detections.
        grid: the same at the rate of lifting, predicted frames masked at its end.
        frame: (M,) frame numbers of the rows.
        seconds: (M,) their times.
        row: (M,) row of `track` behind each, NOT_SEEN for one that is completed.
        predicted: (M,) whether it lies after the last detection.
    """

    track: Track
    grid: TimeGrid
    frame: Ints
    seconds: Floats
    row: Ints
    predicted: NDArray[np.bool_]

    def at_rows(self, values: Floats) -> Floats:
        """Values of the grid (T, …) at the rows' times."""
        return from_grid(self.grid.seconds, values, self.seconds)


def lay_out(
    track: Track, *, fps: float, rate: float, longest_gap: float, fill: bool, predict: float
) -> tuple[list[Stretch], int]:
    """Split a person at long gaps and lay each stretch on its grid; also the number of gaps split at.

    Args:
        track: one person.
        fps: frames a second of the film.
        rate: frames a second of the grids.
        longest_gap: seconds; a longer gap splits.
        fill: rows for missing frames, too.
        predict: seconds after the last frame that get rows.
    """
    step = step_of(track, fps)
    # Frames that a detector leaves out on purpose are not gaps.
    parts = split(track, max(longest_gap, 1.5 * step))
    stretches = [
        _stretch(part, fps, rate, step, fill, predict if number == len(parts) - 1 else 0.0)
        for number, part in enumerate(parts)
    ]
    return stretches, len(parts) - 1


def _stretch(part: Track, fps: float, rate: float, step: float, fill: bool, predict: float) -> Stretch:
    stride = max(1, round(step * fps))
    frame = part.frame
    if fill:
        frame = np.union1d(frame, np.arange(frame[0], frame[-1] + 1, stride))
    seconds = np.interp(frame, part.frame, part.seconds)
    row = np.full(len(frame), NOT_SEEN, dtype=np.int64)
    row[np.searchsorted(frame, part.frame)] = np.arange(len(part.frame))
    grid = to_grid(part, rate, step)
    ahead = round(predict * fps / stride)
    if ahead:
        later = np.arange(1, ahead + 1)
        frame = np.append(frame, part.frame[-1] + later * stride)
        seconds = np.append(seconds, part.seconds[-1] + later * stride / fps)
        grid = _longer(grid, rate, float(seconds[-1]))
        row = np.append(row, np.full(ahead, NOT_SEEN))
    predicted = frame > part.frame[-1]
    return Stretch(track=part, grid=grid, frame=frame, seconds=seconds, row=row, predicted=predicted)


def _longer(grid: TimeGrid, rate: float, end: float) -> TimeGrid:
    """The grid with masked frames up to a time."""
    more = max(0, int(np.ceil((end - grid.seconds[-1]) * rate - 1e-6)))
    return TimeGrid(
        seconds=np.append(grid.seconds, grid.seconds[-1] + np.arange(1, more + 1) / rate),
        points=np.concatenate([grid.points, np.zeros((more, 17, 2))]),
        confidence=np.concatenate([grid.confidence, np.zeros((more, 17))]),
    )


def root_in_picture(stretch: Stretch) -> Floats:
    """(M, 2) the pelvis in the picture: as detected, on a straight line between, standing still outside."""
    points, confidence = stretch.track.points, stretch.track.confidence
    seen = confidence[:, 0] > 0
    if seen.any():
        place, when = points[seen, 0], stretch.track.seconds[seen]
    else:  # no pelvis in any frame: the middle of what is seen
        weight = (confidence > 0)[..., None]
        place, when = (points * weight).sum(axis=1) / np.maximum(weight.sum(axis=1), 1), stretch.track.seconds
    return np.stack([np.interp(stretch.seconds, when, place[:, axis]) for axis in range(2)], axis=1)

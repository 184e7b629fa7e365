"""Time: from detections at numbered frames to an even grid at the model's rate, gaps marked, and back.

Frames count by their numbers, never by their order. Where a joint is missing for a moment it is drawn on a straight
line; where it is missing for longer it is masked, which the model was trained for; where a person is missing for
longer than the model ever saw masked, the film is split there.

Shape letters: N rows of one person, T grid frames.
"""

from __future__ import annotations

import dataclasses
import itertools
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline

from actionpose.arrays import Floats, Ints

SAME_RATE = 0.02
"""Rates this close count as one: over the 8 seconds of a window their frames stay within a sixth of a second."""

BRIDGED_S = 0.1
"""A joint that is missing for no longer is interpolated; else it is masked."""


@dataclass(frozen=True, kw_only=True)
class Track:
    """One person, frames ascending and each once.

    Attributes:
        person: the id.
        frame: (N,) frame numbers.
        seconds: (N,) their times.
        points: (N, 17, 2) picture coordinates, 0 where hidden.
        confidence: (N, 17).
    """

    person: int
    frame: Ints
    seconds: Floats
    points: Floats
    confidence: Floats

    def rows(self, first: int, stop: int) -> Track:
        """A stretch of it."""
        part = slice(first, stop)
        rows = {name: getattr(self, name)[part] for name in ("frame", "seconds", "points", "confidence")}
        return dataclasses.replace(self, **rows)


@dataclass(frozen=True, kw_only=True)
class TimeGrid:
    """A stretch of a track at the model's rate.

    Attributes:
        seconds: (T,) evenly spaced times.
        points: (T, 17, 2), 0 where masked.
        confidence: (T, 17), 0 where masked.
    """

    seconds: Floats
    points: Floats
    confidence: Floats


def make_track(
    person: int, frame: Ints, seconds: Floats, points: Floats, confidence: Floats
) -> tuple[Track, list[str]]:
    """Sort the rows of a person by frame number; of two with one number the surer counts. Also what was done."""
    notes = []
    if (np.diff(frame) < 0).any():
        notes.append(f"person {person}: frames were not in order and are sorted by number")
    order = np.lexsort((-confidence.sum(axis=1), frame))
    first = np.append(True, np.diff(frame[order]) > 0)
    if not first.all():
        notes.append(f"person {person}: {(~first).sum()} frames occur twice; the one with higher confidence is used")
    keep = order[first]
    seen = confidence[keep].any(axis=1)
    if not seen.all():
        notes.append(f"person {person}: {(~seen).sum()} frames without any joint are gaps")
    keep = keep[seen]
    track = Track(
        person=person,
        frame=frame[keep],
        seconds=seconds[keep],
        points=points[keep].astype(np.float64),
        confidence=confidence[keep].astype(np.float64),
    )
    return track, notes


def split(track: Track, longest_gap: float) -> list[Track]:
    """Stretches without a gap longer than so many seconds."""
    borders = np.flatnonzero(np.diff(track.seconds) > longest_gap + 1e-9) + 1
    edges = [0, *borders.tolist(), len(track.frame)]
    return [track.rows(a, b) for a, b in itertools.pairwise(edges) if b > a]


def step_of(track: Track, fps: float) -> float:
    """Usual seconds between detections: a detector may look at every fifth frame only."""
    return float(np.median(np.diff(track.seconds))) if len(track.frame) > 1 else 1.0 / fps


def rate_for(fps: float, model_fps: float) -> float:
    """The rate of the grid: the film's own where it is as good as the model's, else the model's."""
    return fps if abs(fps / model_fps - 1.0) <= SAME_RATE else model_fps


def to_grid(track: Track, rate: float, step: float) -> TimeGrid:
    """A stretch on an even grid from its first to its last frame.

    Args:
        track: the stretch.
        rate: grid frames a second.
        step: usual seconds between detections; holes of up to 1.5 of them are not gaps.
    """
    start, end = float(track.seconds[0]), float(track.seconds[-1])
    count = int(np.floor((end - start) * rate + 1e-6)) + 1
    if (end - start) * rate > count - 1 + 1e-3:
        count += 1  # one frame beyond, so that the last detection lies between two
    at = start + np.arange(count) / rate
    bridge = max(BRIDGED_S, 1.5 * step) + 1e-6
    when = np.minimum(at, end)  # a grid frame beyond the last detection holds it
    points, confidence = np.zeros((count, 17, 2)), np.zeros((count, 17))
    for joint in range(17):
        seen = track.confidence[:, joint] > 0
        if seen.any():
            _sample(
                track.seconds[seen], track.points[seen, joint], track.confidence[seen, joint], when, bridge,
                points[:, joint], confidence[:, joint],
            )  # fmt: skip
    return TimeGrid(seconds=at, points=points, confidence=confidence)


def _sample(
    seconds: Floats, points: Floats, sure: Floats, at: Floats, bridge: float, out: Floats, out_sure: Floats
) -> None:
    """One joint at the grid's times: as it is where one falls on a detection, else between its two neighbours."""
    right = np.searchsorted(seconds, at - 1e-6)
    left = np.clip(right - 1, 0, len(seconds) - 1)
    right = np.clip(right, 0, len(seconds) - 1)
    hit = np.abs(seconds[right] - at) < 1e-6
    left = np.where(hit, right, left)
    outside = (at < seconds[0] - 1e-6) | (at > seconds[-1] + 1e-6)
    usable = ~outside & (seconds[right] - seconds[left] <= bridge)
    span = seconds[right] - seconds[left]
    share = np.where(span > 0, (at - seconds[left]) / np.maximum(span, 1e-12), 0.0).clip(0.0, 1.0)
    out[usable] = (points[left] + (points[right] - points[left]) * share[:, None])[usable]
    out_sure[usable] = np.minimum(sure[left], sure[right])[usable]


def from_grid(grid_seconds: Floats, values: Floats, at: Floats) -> Floats:
    """Values of an even grid at other times, by a cubic spline; at the grid's own times they are what they are.

    Args:
        grid_seconds: (T,), ascending.
        values: (T, …); NaN where not known, which then stays so nearby.
        at: (M,) times; those outside take the nearest end.
    """
    inside = np.clip(at, grid_seconds[0], grid_seconds[-1])
    if len(grid_seconds) < 2:
        return np.repeat(values[:1], len(at), axis=0)
    nearest = np.clip(
        np.rint((inside - grid_seconds[0]) / (grid_seconds[1] - grid_seconds[0])).astype(int), 0, len(values) - 1
    )
    if np.abs(grid_seconds[nearest] - inside).max(initial=0.0) < 1e-6:
        return values[nearest]
    known = np.asarray(np.isfinite(values).reshape(len(values), -1).all(axis=1))
    found = CubicSpline(grid_seconds[known], values[known], axis=0)(inside)
    found[~known[nearest]] = np.nan
    return found

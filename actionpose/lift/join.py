"""Completed joints joined to the seen ones: the model says how they move, the seen frames beside them where they are.

What a model gives for a masked joint lies a few centimetres beside what it gives for the same joint once seen, so
completed poses, taken as they are, jump where a gap begins and ends. docs/results.md has what joining gains.

Shape letters: M rows of one person, R of them in which a joint is hidden.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats

SPEED_S = 0.1
"""Seconds over which speeds are taken."""

COASTS_S = 0.2
"""Where the seen joint and the completed one differ in speed, the difference dies away with this time constant."""


def join(poses: Floats, seen: NDArray[np.bool_], seconds: Floats) -> Floats:
    """Poses whose hidden joints continue the seen ones without a jump.

    Between two seen rows the completed joint is moved by what it is off at both, linearly in between. After the last
    seen row (and before the first) it sets out from there with the speed it had, and goes on as the model says.

    Args:
        poses: (M, 17, 3) the model's.
        seen: (M, 17) the joint was detected in that row.
        seconds: (M,) ascending.
    """
    joined = poses.copy()
    for joint in np.flatnonzero(seen.any(axis=0) & ~seen.all(axis=0)):
        edges = np.flatnonzero(np.diff(np.concatenate([[True], seen[:, joint], [True]]).astype(np.int8)))
        for first, stop in edges.reshape(-1, 2).tolist():
            joined[first:stop, joint] += _moved(poses[:, joint], first, stop, seconds)
    return joined


def _moved(path: Floats, first: int, stop: int, seconds: Floats) -> Floats:
    """(R, 3) by how much the hidden rows [first, stop) of one joint's path (M, 3) are to be moved."""
    if first == 0:
        return _coasting(path[::-1], len(path) - stop, len(path), -seconds[::-1])[::-1]
    if stop == len(path):
        return _coasting(path, first, stop, seconds)
    before, after = path[first - 1], path[stop]
    ends = np.array([first, stop - 1])
    share = (seconds[ends] - seconds[first - 1]) / (seconds[stop] - seconds[first - 1])
    off = before + share[:, None] * (after - before) - path[ends]
    inside = (seconds[first:stop] - seconds[first]) / max(seconds[stop - 1] - seconds[first], 1e-9)
    return off[0] + inside[:, None] * (off[1] - off[0])


def _coasting(path: Floats, first: int, stop: int, seconds: Floats) -> Floats:
    """(R, 3): the last of a path is hidden."""
    start = int(np.searchsorted(seconds, seconds[first - 1] - SPEED_S - 1e-6))
    end = min(int(np.searchsorted(seconds, seconds[first] + SPEED_S - 1e-6)), stop - 1)
    speed = _speed(path, first, end, seconds)
    faster = _speed(path, start, first - 1, seconds) - speed
    after = (seconds[first:stop] - seconds[first - 1])[:, None]
    off = path[first - 1] + after[0] * speed - path[first]
    return off + faster * COASTS_S * (1 - np.exp(-after / COASTS_S))


def _speed(path: Floats, start: int, end: int, seconds: Floats) -> Floats:
    return (path[end] - path[start]) / max(float(seconds[end] - seconds[start]), 1e-9)

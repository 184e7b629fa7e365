"""Any frame rate to any other on the time axis: frame k is at time k / fps, whatever the source rate.

A third of AMASS is 100, 150 or 250 Hz and cannot be strided to 30. Where the ratio is an integer,
frames are picked untouched; otherwise rotations are interpolated on the sphere and places linearly,
at the true time. Pure functions of arrays.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from pipeline.body.rotations import slerp_vectors

SNAP = 1e-4
"""Rates within 0.01 % of an integer are that integer: 59.99999 and 120.00005 are clock noise."""

MAX_FPS = 1000.0
_ON_GRID = 1e-6  # of a source frame: nearer than this, the source frame itself is taken
_BLOCK = 256


def snap_rate(fps: float) -> float:
    """Return the rate in Hz, rounded when it is within 0.01 % of an integer (59.94 stays 59.94).

    Raises:
        UserError: not finite, not positive, or above 1000 Hz.
    """
    fps = float(fps)
    if not 0.0 < fps <= MAX_FPS:  # also false for nan
        raise UserError(f"a frame rate of {fps:g} Hz makes no sense", f"expected more than 0, up to {MAX_FPS:g}")
    nearest = round(fps)
    return float(nearest) if nearest and abs(fps - nearest) <= SNAP * nearest else fps


def frame_times(n_in: int, fps_in: float, fps_out: float) -> NDArray[np.float64]:
    """Return the times (T,) in seconds of the resampled frames: k / fps_out up to the last source frame.

    Args:
        n_in: number of source frames, at least one.
        fps_in: true source rate, Hz; snapped.
        fps_out: target rate, Hz; snapped.

    Raises:
        UserError: no frames, or a rate that makes no sense.
    """
    fps_in, fps_out = snap_rate(fps_in), snap_rate(fps_out)
    if n_in < 1:
        raise UserError("the motion has no frames", "leave the file out")
    last = int(np.floor((n_in - 1) / fps_in * fps_out + 1e-6))
    return np.arange(last + 1) / fps_out


def exact_stride(fps_in: float, fps_out: float) -> int:
    """Which frames are picked untouched: each n-th; 0 when the rates do not divide and frames are interpolated.

    Raises:
        UserError: a rate that makes no sense.
    """
    ratio = snap_rate(fps_in) / snap_rate(fps_out)
    # 59.94 over 29.97 is 2, give or take a bit
    return round(ratio) if round(ratio) and abs(ratio - round(ratio)) < 1e-9 * ratio else 0


def resample_motion(poses: Floats, trans: Floats, fps_in: float, fps_out: float) -> tuple[Floats, Floats]:
    """Resample joint rotations and root translation.

    Equal rates return the input, integer ratios a strided view of it, both bit for bit. Otherwise
    rotations go along the shortest arc between the two neighbouring frames and `trans` linearly; a
    frame that falls on a source frame is that frame. Vectors keep the turn count of the source (roots
    in AMASS reach 4.5 rad), so they stay continuous where it is.

    Args:
        poses: (T_in, 3 J) axis-angle, radians.
        trans: (T_in, 3), metres.
        fps_in: true source rate, Hz.
        fps_out: target rate, Hz; may be higher than the source.

    Returns:
        poses (T, 3 J) and trans (T, 3) in the dtypes given, T = len(frame_times(...)).

    Raises:
        UserError: no frames, or a rate that makes no sense.
    """
    if len(poses) != len(trans):
        raise ValueError(f"{len(poses)} poses and {len(trans)} translations")
    stride, low, share = _source_places(len(poses), fps_in, fps_out)
    if stride:
        return poses[::stride], trans[::stride]
    return _between_rotations(poses, low, share), _between(trans, low, share)


def resample_linear(values: Floats, fps_in: float, fps_out: float) -> Floats:
    """Resample (T_in, D) quantities that add up (translations, soft-tissue coefficients), linearly.

    Same frames, same exactness and errors as `resample_motion`.
    """
    stride, low, share = _source_places(len(values), fps_in, fps_out)
    return values[::stride] if stride else _between(values, low, share)


def _source_places(n_in: int, fps_in: float, fps_out: float) -> tuple[int, NDArray[np.intp], NDArray[np.float64]]:
    """Return (stride, or 0; source frame before each output frame; share of the way to the next)."""
    n_out = len(frame_times(n_in, fps_in, fps_out))
    if stride := exact_stride(fps_in, fps_out):
        return stride, np.arange(0), np.zeros(0)
    place = np.arange(n_out) * snap_rate(fps_in) / snap_rate(fps_out)
    nearest = np.rint(place)
    place = np.where(np.abs(place - nearest) < _ON_GRID, nearest, place)
    place = np.minimum(place, n_in - 1)
    low = np.floor(place).astype(np.intp)
    return 0, low, place - low


def _between(values: Floats, low: NDArray[np.intp], share: NDArray[np.float64]) -> Floats:
    high = np.minimum(low + 1, len(values) - 1)
    first = values[low].astype(np.float64)
    first += share[:, None] * (values[high] - first)
    return first.astype(values.dtype)


def _between_rotations(poses: Floats, low: NDArray[np.intp], share: NDArray[np.float64]) -> Floats:
    result = poses[low]
    moving = np.flatnonzero(share)
    for start in range(0, len(moving), _BLOCK):
        at = moving[start : start + _BLOCK]
        first = poses[low[at]].astype(np.float64)
        second = poses[low[at] + 1].astype(np.float64)
        # Joints that do not turn (the constant hands of most files) are done already.
        joints = np.flatnonzero((first != second).reshape(len(at), -1, 3).any(axis=(0, 2)))
        columns = (3 * joints[:, None] + np.arange(3)).reshape(-1)
        shape = (len(at), len(joints), 3)
        turned = slerp_vectors(first[:, columns].reshape(shape), second[:, columns].reshape(shape), share[at, None])
        result[at[:, None], columns] = turned.reshape(len(at), -1)
    return result

"""Curves in time for the demo's motion: keyed curves without overshoot, easing, smoothing, slow drift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actionpose.arrays import Floats


def ease(u: Floats | float) -> Floats:
    """The minimum-jerk rise from 0 (u <= 0) to 1 (u >= 1)."""
    u = np.clip(u, 0.0, 1.0)
    return u**3 * (10 - 15 * u + 6 * u**2)


def keyed(t: Floats, keys: Sequence[tuple[float, ...]]) -> Floats:
    """Run smoothly through keys and never past them (monotone cubics after Fritsch and Carlson).

    Args:
        t: times (T,); outside the keys the first or last value holds.
        keys: rows (time, value, ...) with rising times.

    Returns:
        (T,) for rows of one value, else (T, values).
    """
    table = np.asarray(keys, dtype=np.float64)
    at, values = table[:, 0], table[:, 1:]
    gap = np.diff(at)[:, None]
    slope = np.diff(values, axis=0) / gap
    tangent = np.zeros_like(values)
    before, after = slope[:-1], slope[1:]
    both = before * after
    # The harmonic mean of the neighbours' slopes, and rest wherever the curve turns back.
    tangent[1:-1] = np.where(both > 0, 2 * both / np.where(both > 0, before + after, 1.0), 0.0)
    span = np.clip(np.searchsorted(at, t, side="right") - 1, 0, len(at) - 2)
    width = gap[span]
    u = np.clip((t - at[span])[:, None] / width, 0.0, 1.0)
    curve = (
        (1 + 2 * u) * (1 - u) ** 2 * values[span]
        + u * (1 - u) ** 2 * width * tangent[span]
        + u**2 * (3 - 2 * u) * values[span + 1]
        - u**2 * (1 - u) * width * tangent[span + 1]
    )
    return curve[:, 0] if values.shape[1] == 1 else curve


def smooth(values: Floats, sigma: float) -> Floats:
    """Average over time (axis 0) with a Gaussian of `sigma` frames; the ends are held."""
    reach = max(1, round(3 * sigma))
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / max(sigma, 1e-3)) ** 2)
    weights /= weights.sum()
    padded = _hold_ends(values, reach)
    columns = padded.reshape(len(padded), -1)
    done = [np.convolve(column, weights, mode="valid") for column in columns.T]
    return np.stack(done, axis=-1).reshape(values.shape)


def lowest_near(values: Floats, reach: int) -> Floats:
    """The least value (T,) within `reach` frames on either side."""
    windows = np.lib.stride_tricks.sliding_window_view(_hold_ends(values, reach), 2 * reach + 1)
    return windows.min(axis=-1)


def _hold_ends(values: Floats, reach: int) -> Floats:
    pad = [(reach, reach), *[(0, 0)] * (values.ndim - 1)]
    return np.pad(values, pad, mode="edge")


def drift(t: Floats, rng: np.random.Generator, columns: int, slowest: float = 7.0) -> Floats:
    """Slow aimless movement (T, columns) of about unit size: four sines with keyed periods and phases."""
    periods = rng.uniform(1.3, slowest, (4, 1, columns))
    phases = rng.uniform(0, 2 * np.pi, (4, 1, columns))
    weights = np.sqrt(periods / periods.sum(0))
    return (weights * np.sin(2 * np.pi * t[None, :, None] / periods + phases)).sum(0)

"""Errors of 3D poses, per frame, so that a protocol can pool frames, actions or sequences as it defines.

All take arrays (..., T, 17, 3) of equal shape, in any one unit (millimetres by habit), compute in float64
and loop over nothing. Nothing is made root-relative here; that belongs to a protocol.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

PCK_JOINTS = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
"""The 14 joints MPI-INF-3DHP counts, in Human3.6M order: all but pelvis, spine and nose (its 'head')."""

PCK_THRESHOLD_MM = 150.0
AUC_THRESHOLDS_MM = tuple(float(t) for t in range(0, 151, 5))
"""31 thresholds. 0 is one of them and never met, so a perfect prediction scores 96.77 %."""


def _pair(predicted: ArrayLike, target: ArrayLike) -> tuple[Array, Array]:
    p, g = np.asarray(predicted, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if p.shape != g.shape or p.ndim < 2 or p.shape[-1] != 3:
        raise ValueError(f"poses of shape {p.shape} and {g.shape} cannot be compared")
    return p, g


def joint_errors(predicted: ArrayLike, target: ArrayLike) -> Array:
    """Distance of every joint from its target: (..., T, J)."""
    p, g = _pair(predicted, target)
    return np.linalg.norm(p - g, axis=-1)


def mpjpe(predicted: ArrayLike, target: ArrayLike) -> Array:
    """Mean distance over all joints of a frame (the root counts): (..., T)."""
    return joint_errors(predicted, target).mean(axis=-1)


def n_mpjpe(predicted: ArrayLike, target: ArrayLike) -> Array:
    """MPJPE after the factor per frame that fits the prediction best: (..., T)."""
    p, g = _pair(predicted, target)
    square = (p * p).sum(axis=(-2, -1), keepdims=True)
    factor = (p * g).sum(axis=(-2, -1), keepdims=True) / np.where(square > 0, square, 1.0)
    return mpjpe(factor * p, g)


def p_mpjpe(predicted: ArrayLike, target: ArrayLike) -> Array:
    """MPJPE after the best rotation, scale and shift per frame (Procrustes; no reflection): (..., T)."""
    p, g = _pair(predicted, target)
    return mpjpe(procrustes(p, g), g)


def procrustes(predicted: ArrayLike, target: ArrayLike) -> Array:
    """Move, turn and scale each predicted frame onto its target in the least-squares sense.

    Frames whose joints all coincide have no orientation or size and land on the target's centre.
    """
    p, g = _pair(predicted, target)
    p_centre, g_centre = p.mean(axis=-2, keepdims=True), g.mean(axis=-2, keepdims=True)
    p0, g0 = p - p_centre, g - g_centre
    u, s, vt = np.linalg.svd(np.swapaxes(g0, -1, -2) @ p0)
    # A reflection would fit better where the determinant is negative: turn its weakest axis back.
    sign = np.where(np.linalg.det(u) * np.linalg.det(vt) < 0, -1.0, 1.0)
    u[..., :, -1] *= sign[..., None]
    s[..., -1] *= sign
    square = (p0 * p0).sum(axis=(-2, -1))
    scale = s.sum(axis=-1) / np.where(square > 0, square, 1.0)
    return scale[..., None, None] * (p0 @ np.swapaxes(u @ vt, -1, -2)) + g_centre


def mpjve(predicted: ArrayLike, target: ArrayLike) -> Array:
    """Error of frame-to-frame displacement, mean over joints, per frame step: (..., T - 1)."""
    p, g = _pair(predicted, target)
    return mpjpe(np.diff(p, axis=-3), np.diff(g, axis=-3))


def acceleration_error(predicted: ArrayLike, target: ArrayLike) -> Array:
    """Error of second differences, mean over joints, per frame step squared: (..., T - 2)."""
    p, g = _pair(predicted, target)
    return mpjpe(np.diff(p, n=2, axis=-3), np.diff(g, n=2, axis=-3))


def pck(
    predicted: ArrayLike,
    target: ArrayLike,
    threshold: float = PCK_THRESHOLD_MM,
    joints: tuple[int, ...] = PCK_JOINTS,
) -> Array:
    """Per cent of the chosen joints strictly closer than `threshold`, per frame: (..., T)."""
    return 100.0 * (joint_errors(predicted, target)[..., list(joints)] < threshold).mean(axis=-1)


def auc(
    predicted: ArrayLike,
    target: ArrayLike,
    thresholds: tuple[float, ...] = AUC_THRESHOLDS_MM,
    joints: tuple[int, ...] = PCK_JOINTS,
) -> Array:
    """Mean of PCK over the thresholds, in per cent, per frame: (..., T).

    Joints are sorted into the thresholds once instead of compared with each: an error counts at every
    threshold above it.
    """
    errors = joint_errors(predicted, target)[..., list(joints)]
    ordered = np.sort(np.asarray(thresholds, dtype=np.float64))
    above = len(ordered) - np.searchsorted(ordered, errors, side="right")
    return 100.0 * above.mean(axis=-1) / len(ordered)

"""Errors of 3D poses, per frame, so that a protocol can pool frames, actions or sequences as it defines.

All take arrays (..., T, 17, 3) of equal shape, in any one unit (millimetres by habit), compute in float64
and loop over nothing. They make nothing root-relative; that belongs to a protocol. `mpi_inf_3dhp` at the end is one
whole protocol: the scores of MPI-INF-3DHP's test set from arrays, for any method, with nothing but NumPy.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from actionpose.arrays import Float64s
from actionpose.skeleton import MPI_3DHP_ORDER, ROOT

JointOrder = Literal["h36m", "3dhp"]

PCK_JOINTS = (1, 2, 3, 4, 5, 6, 8, 10, 11, 12, 13, 14, 15, 16)
"""The 14 joints MPI-INF-3DHP counts, in Human3.6M order: all but pelvis, spine and nose (its 'head')."""

PCK_THRESHOLD_MM = 150.0
AUC_THRESHOLDS_MM = tuple(float(t) for t in range(0, 151, 5))
"""31 thresholds. 0 is one of them and never met, so a perfect prediction scores 96.77 %."""


def _pair(predicted: ArrayLike, target: ArrayLike) -> tuple[Float64s, Float64s]:
    p, g = np.asarray(predicted, dtype=np.float64), np.asarray(target, dtype=np.float64)
    if p.shape != g.shape or p.ndim < 2 or p.shape[-1] != 3:
        raise ValueError(f"poses of shape {p.shape} and {g.shape} cannot be compared")
    return p, g


def joint_errors(predicted: ArrayLike, target: ArrayLike) -> Float64s:
    """Distance of every joint from its target: (..., T, J)."""
    p, g = _pair(predicted, target)
    return np.linalg.norm(p - g, axis=-1)


def mpjpe(predicted: ArrayLike, target: ArrayLike) -> Float64s:
    """Mean distance over all joints of a frame (the root counts): (..., T)."""
    return joint_errors(predicted, target).mean(axis=-1)


def n_mpjpe(predicted: ArrayLike, target: ArrayLike) -> Float64s:
    """MPJPE after the factor per frame that fits the prediction best: (..., T)."""
    p, g = _pair(predicted, target)
    square = (p * p).sum(axis=(-2, -1), keepdims=True)
    factor = (p * g).sum(axis=(-2, -1), keepdims=True) / np.where(square > 0, square, 1.0)
    return mpjpe(factor * p, g)


def p_mpjpe(predicted: ArrayLike, target: ArrayLike) -> Float64s:
    """MPJPE after the best rotation, scale and shift per frame (Procrustes; no reflection): (..., T)."""
    p, g = _pair(predicted, target)
    return mpjpe(procrustes(p, g), g)


def procrustes(predicted: ArrayLike, target: ArrayLike) -> Float64s:
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


def mpjve(predicted: ArrayLike, target: ArrayLike) -> Float64s:
    """Error of frame-to-frame displacement, mean over joints, per frame step: (..., T - 1)."""
    p, g = _pair(predicted, target)
    return mpjpe(np.diff(p, axis=-3), np.diff(g, axis=-3))


def acceleration_error(predicted: ArrayLike, target: ArrayLike) -> Float64s:
    """Error of second differences, mean over joints, per frame step squared: (..., T - 2)."""
    p, g = _pair(predicted, target)
    return mpjpe(np.diff(p, n=2, axis=-3), np.diff(g, n=2, axis=-3))


def pck(
    predicted: ArrayLike,
    target: ArrayLike,
    threshold: float = PCK_THRESHOLD_MM,
    joints: tuple[int, ...] = PCK_JOINTS,
) -> Float64s:
    """Per cent of the chosen joints strictly closer than `threshold`, per frame: (..., T)."""
    return 100.0 * (joint_errors(predicted, target)[..., list(joints)] < threshold).mean(axis=-1)


def auc(
    predicted: ArrayLike,
    target: ArrayLike,
    thresholds: tuple[float, ...] = AUC_THRESHOLDS_MM,
    joints: tuple[int, ...] = PCK_JOINTS,
) -> Float64s:
    """Mean of PCK over the thresholds, in per cent, per frame: (..., T).

    Joints are sorted into the thresholds once instead of compared with each: an error counts at every
    threshold above it.
    """
    errors = joint_errors(predicted, target)[..., list(joints)]
    ordered = np.sort(np.asarray(thresholds, dtype=np.float64))
    above = len(ordered) - np.searchsorted(ordered, errors, side="right")
    return 100.0 * above.mean(axis=-1) / len(ordered)


# --- MPI-INF-3DHP -----------------------------------------------------------------------------


def human36m_order(pose: ArrayLike, joints: JointOrder) -> Float64s:
    """A pose (..., 17, 3) in Human3.6M order, whichever of the two orders it came in."""
    array = np.asarray(pose, dtype=np.float64)
    return array[..., list(MPI_3DHP_ORDER), :] if joints == "3dhp" else array


def mpi_inf_3dhp(
    predicted: Mapping[str, ArrayLike], target: Mapping[str, ArrayLike], *, joints: JointOrder = "3dhp"
) -> dict[str, Any]:
    """MPI-INF-3DHP's test scores: MPJPE over 17 joints, PCK at 150 mm and AUC over 14, root-relative, no alignment.

    The same arithmetic as the benchmark's Matlab code (docs/evaluation.md, "3DHP against the Matlab code"): `error <
    threshold` is strict, AUC is the mean of PCK at 0, 5, …, 150 mm, so 96.77 is its maximum.

    Args:
        predicted: sequence name → (n, 17, 3) millimetres, its valid frames in order; the root may be anywhere.
        target: the same names and shapes: `univ_annot3` by the usual protocol. Say so when it is `annot3`.
        joints: order of the joints in both; MPI-INF-3DHP's own, or Human3.6M's.

    Returns:
        `mpjpe_mm`, `pck`, `auc`, `frames` over all frames (the published way), `sequences` with the same for each, and
        `sequence_mean`, their unweighted mean, which some papers print.

    Raises:
        ValueError: no sequence, names or shapes that differ, numbers that are not finite.
    """
    if not target or set(predicted) != set(target):
        raise ValueError(f"sequences predicted: {sorted(predicted)}; to score: {sorted(target)}")
    columns: dict[str, tuple[Float64s, Float64s, Float64s]] = {}
    for name in target:
        p, g = (human36m_order(pose[name], joints) for pose in (predicted, target))
        if p.shape != g.shape or p.ndim != 3 or not len(p):
            raise ValueError(f"{name}: poses of shape {p.shape} and {g.shape} cannot be compared")
        if not (np.isfinite(p).all() and np.isfinite(g).all()):
            raise ValueError(f"{name}: numbers that are not finite")
        p, g = p - p[:, ROOT : ROOT + 1], g - g[:, ROOT : ROOT + 1]
        columns[name] = (mpjpe(p, g), pck(p, g), auc(p, g))
    sequences = {name: _means(*errors) for name, errors in columns.items()}
    pooled = [np.concatenate(parts) for parts in zip(*columns.values(), strict=True)]
    keys = ("mpjpe_mm", "pck", "auc")
    mean = {key: float(np.mean([row[key] for row in sequences.values()])) for key in keys}
    return {**_means(*pooled), "sequences": sequences, "sequence_mean": mean}


def _means(error: Float64s, hits: Float64s, area: Float64s) -> dict[str, Any]:
    return {
        "mpjpe_mm": float(error.mean()), "pck": float(hits.mean()), "auc": float(area.mean()), "frames": len(error)
    }  # fmt: skip

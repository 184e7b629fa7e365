"""Size and place: a person anywhere in the picture and of any size becomes what the model was trained on, and back.

The rule, for every person: coordinates are divided by the person's size in the picture (pixels for a metre of an adult,
from the bones, slow in time) and multiplied by the model's screen units for a metre; then every window is moved so that
its mean pelvis is the centre, as every clip of training is. Both steps follow size and place exactly, so the result
does not depend on them.

Shape letters: T frames, B bones.
"""

from __future__ import annotations

import numpy as np

from actionpose.arrays import Floats
from actionpose.skeleton import BONE_METRES, JOINT_NAMES, ROOT

_MEASURED: tuple[tuple[str, str, float], ...] = (
    ("pelvis", "thorax", 0.535),
    ("thorax", "head", 0.270),
    *((f"{s}_hip", f"{s}_knee", BONE_METRES[f"{s}_knee"]) for s in ("left", "right")),
    *((f"{s}_knee", f"{s}_ankle", BONE_METRES[f"{s}_ankle"]) for s in ("left", "right")),
    *((f"{s}_shoulder", f"{s}_elbow", BONE_METRES[f"{s}_elbow"]) for s in ("left", "right")),
    *((f"{s}_elbow", f"{s}_wrist", BONE_METRES[f"{s}_wrist"]) for s in ("left", "right")),
)
FROM = np.array([JOINT_NAMES.index(a) for a, _, _ in _MEASURED])
TO = np.array([JOINT_NAMES.index(b) for _, b, _ in _MEASURED])
METRES = np.array([length for _, _, length in _MEASURED])

COUNTED = 3
"""The third longest bone counts: a bone in a picture is at most its true length, and single ones may be off."""

BELOW_PELVIS = np.array(
    (0.0, 0.0, 0.38, 0.82, 0.0, 0.38, 0.82, -0.30, -0.54, -0.64, -0.81, -0.49, -0.24, -0.02, -0.49, -0.24, -0.02)
)
"""How far below the pelvis each joint is in people who stand, metres: films of upper bodies show no pelvis."""

HIGH_S, HIGH_SHARE = 4.0, 80
"""Over so many seconds the size is the value that this share (per cent) of the frames stay below."""

SLOW_S = 1.0
"""Deviation, in seconds, of the Gaussian that smooths the size."""


def sizes_of(points: Floats, confidence: Floats, rate: float) -> Floats:
    """A person's size in the picture over time: picture units for a metre, (T,), slow and positive.

    Args:
        points: (T, 17, 2) picture coordinates.
        confidence: (T, 17), 0 where hidden.
        rate: frames a second.
    """
    # Every command imports this module, few measure sizes, and scipy.ndimage takes half a second.
    from scipy.ndimage import gaussian_filter1d, percentile_filter

    each = _frame_sizes(points, confidence)
    seen = np.isfinite(each)
    if not seen.any():
        return np.full(len(each), _box_size(points, confidence))
    frames = np.arange(len(each))
    filled = np.interp(frames, frames[seen], np.log(each[seen]))
    high = percentile_filter(filled, HIGH_SHARE, size=max(1, min(len(filled), round(HIGH_S * rate))), mode="nearest")
    return np.exp(gaussian_filter1d(high, SLOW_S * rate, mode="nearest"))


def _frame_sizes(points: Floats, confidence: Floats) -> Floats:
    """(T,) from each frame alone; NaN where fewer than two bones are seen."""
    seen = (confidence[:, FROM] > 0) & (confidence[:, TO] > 0)
    ratio = np.linalg.norm(points[:, TO] - points[:, FROM], axis=-1) / METRES
    ordered = -np.sort(-np.where(seen, ratio, 0.0), axis=1)
    count = seen.sum(axis=1)
    place = np.clip(np.minimum(COUNTED, count) - 1, 0, None)
    chosen = ordered[np.arange(len(ordered)), place]
    return np.where((count >= 2) & (chosen > 0), chosen, np.nan)


def _box_size(points: Floats, confidence: Floats) -> float:
    """Where no bones are seen: the joints' spread, as if it were a body's height."""
    seen = points[confidence > 0]
    return max(float(np.ptp(seen, axis=0).max(initial=0.0)) / 1.6, 1e-6) if len(seen) else 1.0


def to_model(points: Floats, confidence: Floats, sizes: Floats, unit: float) -> Floats:
    """One window as the model takes it: (T, 17, 3) x, y in its screen units and confidence; masked entries are 0.

    Args:
        points: (T, 17, 2) picture coordinates, y downwards.
        confidence: (T, 17), 0 where masked.
        sizes: (T,) from `sizes_of`.
        unit: the model's screen units for a metre.
    """
    hidden = confidence <= 0
    centre = _centre(points, confidence, sizes)
    screen = (points - centre) * (unit / sizes)[:, None, None]
    screen -= _centre(screen, confidence, np.full(len(sizes), unit))
    return np.concatenate([np.where(hidden[..., None], 0.0, screen), confidence[..., None]], axis=-1)


def _centre(points: Floats, confidence: Floats, metre: Floats) -> Floats:
    """Mean place of the pelvis where it is seen, else where it is in people who stand; `metre` (T,) in those units."""
    with_root = confidence[:, ROOT] > 0
    if with_root.any():
        return points[with_root, ROOT].mean(axis=0)
    below = points.copy()
    below[..., 1] -= BELOW_PELVIS * metre[:, None]
    seen = below[confidence > 0]
    return seen.mean(axis=0) if len(seen) else np.zeros(2)


def to_metres(pose_screen: Floats, unit: float) -> Floats:
    """The model's root-relative screen units as metres of an adult: x right, y down, z away from the camera."""
    return pose_screen / unit

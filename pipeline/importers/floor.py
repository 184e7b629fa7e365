"""Feet on the floor: heights are shifted so that planted soles stand at z = 0, when there is a floor to find."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actionpose.arrays import Floats
from pipeline.importers.figure import NUMBER, Figure

STILL = 0.3
"""Metres per second: a foot that moves slower stands on something."""
NEAR = 0.25
"""Metres: a floor farther from the source's own zero is a staircase, a bar, or another origin; heights are kept."""
_FEET = ("left_ankle", "right_ankle", "left_foot", "right_foot")


@dataclass(frozen=True, kw_only=True)
class Floor:
    """Where feet stand.

    Attributes:
        height: metres from the source's zero to the soles of planted feet; None when no foot is ever planted.
        shift: metres added to all heights.
        planted: share of frames with a planted foot.
        sunk: metres by which the lowest sole is below zero after the shift, 0 when none is.
    """

    height: float | None
    shift: float
    planted: float
    sunk: float


def find_floor(places: Floats, fps: float, figure: Figure, *, policy: str = "auto") -> Floor:
    """Find the floor of a take.

    Args:
        places: (T, 22, 3) world places of the body's joints, metres, z up.
        fps: frames per second.
        figure: the body: how high ankles and toes stand above its soles.
        policy: `auto` shifts when the floor is near zero, `fit` always, `keep` never.
    """
    soles = np.stack([places[:, NUMBER[n], 2] - (figure.joints[NUMBER[n], 1] - figure.sole) for n in _FEET], axis=1)
    planted, heights = _planted(places, soles, fps)
    if policy == "keep" or not len(heights):
        shift, height = 0.0, float(np.median(heights)) if len(heights) else None
    else:
        height = float(np.median(heights))
        shift = -height if policy == "fit" or abs(height) <= NEAR else 0.0
    return Floor(height=height, shift=shift, planted=planted, sunk=max(0.0, -float(soles.min() + shift)))


def _planted(places: Floats, soles: Floats, fps: float) -> tuple[float, Floats]:
    """Share of frames with a planted foot, and the heights of planted soles at the lowest level."""
    if len(places) < 2:
        return 0.0, np.zeros(0)
    feet = places[:, [NUMBER[n] for n in _FEET]]
    speed = np.linalg.norm(np.diff(feet, axis=0), axis=2) * fps
    still = speed < STILL
    lower = np.minimum(soles[1:], soles[:-1])
    heights = np.where(still, lower, np.inf).min(axis=1)
    heights = heights[np.isfinite(heights)]
    if not len(heights):
        return 0.0, heights
    # Steps and boxes stand higher than the floor: what counts is the lowest level at which feet rest.
    level = np.percentile(heights, 10)
    return len(heights) / len(speed), heights[heights < level + 0.1]

"""Inverses of `geometry`'s steps to the screen, for tests that go back."""

from __future__ import annotations

import numpy as np

from actionpose.geometry import SCREEN_PER_METRE


def screen_to_pixel(xy: np.ndarray, width: float, height: float) -> np.ndarray:
    """Inverse of `pixel_to_screen`."""
    return (xy + np.array([1.0, height / width])) * (width / 2.0)


def screen_to_camera(pose_screen: np.ndarray, centre: np.ndarray, scale: float = SCREEN_PER_METRE) -> np.ndarray:
    """Inverse of `camera_to_screen`."""
    return pose_screen / scale + centre

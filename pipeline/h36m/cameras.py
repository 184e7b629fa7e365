"""The four cameras of Human3.6M: world to camera, camera to pixel with and without lens distortion, and 2.5D.

World: metres, z up. Camera: metres (2.5D: millimetres), x right, y down, z away. Pixels: from the upper left corner.
Intrinsics are the same for all subjects and are in manifests/h36m.toml; extrinsics differ for each
subject and come from the user's files (`pipeline.h36m.extrinsics`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from actionpose.arrays import Floats as Array
from actionpose.skeleton import ROOT
from pipeline.sources import facts

BOX_MM = 2000.0
"""Width of the box round the pelvis whose image decides the scale of 2.5D (LCN's convention)."""


@dataclass(frozen=True, kw_only=True)
class Camera:
    """Intrinsics: sizes, focal lengths, centre and distortion in pixels; `number` counts from 0 in every list."""

    number: int
    id: str
    width: int
    height: int
    focal: Sequence[float]
    centre: Sequence[float]
    radial: Sequence[float]
    tangential: Sequence[float]


@dataclass(frozen=True, kw_only=True)
class Extrinsics:
    """Pose of a camera: rotation (3, 3) camera → world, position (3,) in world metres."""

    rotation: Array
    position: Array


@cache
def cameras() -> tuple[Camera, ...]:
    """The four, in the order of every file."""
    return tuple(Camera(number=n, **row) for n, row in enumerate(facts.table("h36m")["camera"]))


def camera_named(name: object) -> Camera | None:
    """A camera by the number it has in the dataset, whatever type a file spells it in; None for an unknown one."""
    text = name.decode("latin1") if isinstance(name, bytes) else str(name)
    return next((camera for camera in cameras() if camera.id == text.strip().partition(".")[0]), None)


def world_to_camera(points: Array, place: Extrinsics) -> Array:
    """(..., 3) world → camera: R transposed times (X - t)."""
    return (points - place.position) @ place.rotation


# --- camera and pixel -------------------------------------------------------------------------


def project(points: Array, camera: Camera, *, distorted: bool = True) -> Array:
    """(..., 3) camera → (..., 2) pixels.

    With u = X/Z, v = Y/Z, r² = u² + v² and q the tangential pair: (u, v)(1 + k₁r² + k₂r⁴ + k₃r⁶ + q·(u, v)) + q r²,
    times f, plus c.
    """
    plane = points[..., :2] / points[..., 2:]
    if distorted:
        square = np.sum(plane**2, axis=-1, keepdims=True)
        q = np.array(camera.tangential)
        radial = sum(k * square**power for power, k in enumerate(camera.radial, start=1))
        plane = plane * (1 + radial + plane @ q[:, None]) + q * square
    return plane * np.array(camera.focal) + np.array(camera.centre)


def pixels_per_mm(root_depth: Array, camera: Camera) -> Array:
    """ρ of 2.5D from the pelvis' depth in mm: a box of 2 m at that depth is so many pixels wide; LCN adds one."""
    return (BOX_MM * camera.focal[0] / np.asarray(root_depth) + 1) / BOX_MM


def image_pose(points_mm: Array, camera: Camera) -> tuple[Array, Array]:
    """2.5D of a pose in the camera's frame.

    Args:
        points_mm: (n, 17, 3), millimetres.
        camera: whose image.

    Returns:
        (n, 17, 3): x, y in pixels without distortion, z = ρ (Z - Z of the pelvis); and mm per pixel, 1/ρ, (n,).
    """
    root = points_mm[:, ROOT, 2]
    scale = pixels_per_mm(root, camera)
    depth = (points_mm[..., 2] - root[:, None]) * scale[:, None]
    return np.concatenate([project(points_mm, camera, distorted=False), depth[..., None]], axis=-1), 1 / scale

"""A triangle mesh as a shaded picture: a z-buffer in plain NumPy, without a graphics driver or a display.

Camera frame as in `geometry`: metres, x to the right, y down, z away. Orthographic.

Legend: V vertices, F faces, N candidates (a face and a pixel of its bounding box), H, W picture size.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats

SUPERSAMPLING = 3
BLOCK = 2_000_000
"""Candidates looked at together; they bound the memory (about 100 bytes each)."""

SKIN = (0.80, 0.80, 0.83)
KEY_LIGHT = (-0.45, -0.60, -0.66)
FILL_LIGHT = (0.80, -0.10, -0.59)


@dataclass(frozen=True, kw_only=True)
class Frame:
    """What part of the camera's plane a picture shows: its centre in metres, its size, and pixels a metre."""

    centre_x: float
    centre_y: float
    width: int
    height: int
    scale: float

    def pixels(self, points: Floats) -> Floats:
        """Camera points (..., 3) to pixel coordinates (..., 2), y down."""
        middle = np.array([self.width / 2, self.height / 2])
        return (points[..., :2] - np.array([self.centre_x, self.centre_y])) * self.scale + middle


def vertex_normals(vertices: Floats, faces: NDArray[np.integer]) -> Floats:
    """Unit normals (V, 3), each the area-weighted mean of its faces; zero for a vertex without a face."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normal = np.cross(b - a, c - a)
    summed = np.zeros(vertices.shape)
    for k in range(3):
        np.add.at(summed, faces[:, k], normal)
    return summed / np.maximum(np.linalg.norm(summed, axis=1, keepdims=True), 1e-12)


def render(vertices: Floats, faces: NDArray[np.integer], frame: Frame, colour: tuple[float, ...] = SKIN) -> Floats:
    """Shade a mesh.

    Args:
        vertices: (V, 3), metres, camera frame.
        faces: (F, 3) vertex numbers, anticlockwise seen from outside in a right-handed frame.
        frame: what the picture shows.
        colour: red, green, blue of the surface, 0 to 1.

    Returns:
        (H, W, 4) float in [0, 1]; alpha is how much of a pixel the body covers.
    """
    s = SUPERSAMPLING
    fine = Frame(
        centre_x=frame.centre_x, centre_y=frame.centre_y,
        width=frame.width * s, height=frame.height * s, scale=frame.scale * s,
    )  # fmt: skip
    faces = np.asarray(faces, dtype=np.int64)
    corners = np.concatenate([fine.pixels(vertices), vertices[:, 2:]], axis=1)
    depth, face, weights = _z_buffer(corners, faces, fine)
    seen = np.isfinite(depth)
    picture = np.zeros((fine.height * fine.width, 4))
    normals = vertex_normals(vertices, faces)[faces[face[seen]]]
    picture[seen, :3] = _shade((normals * weights[seen][..., None]).sum(axis=1), np.asarray(colour))
    picture[seen, 3] = 1.0
    blocks = picture.reshape(frame.height, s, frame.width, s, 4).mean(axis=(1, 3))
    blocks[..., :3] /= np.maximum(blocks[..., 3:], 1e-9)
    return np.clip(blocks, 0.0, 1.0)


def _z_buffer(corners: Floats, faces: NDArray[np.integer], frame: Frame) -> tuple[Floats, NDArray[np.integer], Floats]:
    """For each pixel the nearest depth (inf where nothing is), its face, and the three corner weights there."""
    n = frame.width * frame.height
    depth, nearest, weights = np.full(n, np.inf), np.zeros(n, dtype=np.int64), np.zeros((n, 3))
    limit = np.array([frame.width, frame.height])
    triangle = corners[faces]
    low = np.clip(np.floor(triangle[..., :2].min(axis=1) - 0.5), 0, limit).astype(np.int64)
    high = np.clip(np.ceil(triangle[..., :2].max(axis=1) + 0.5), 0, limit).astype(np.int64)
    size = high - low
    candidates = size[:, 0] * size[:, 1]
    part = np.cumsum(candidates) // BLOCK
    for block in np.unique(part):
        which = np.flatnonzero((part == block) & (candidates > 0))
        face = np.repeat(which, candidates[which])
        index = np.arange(len(face)) - np.repeat(np.cumsum(candidates[which]) - candidates[which], candidates[which])
        x, y = low[face, 0] + index % size[face, 0], low[face, 1] + index // size[face, 0]
        w = _corner_weights(triangle[face], x + 0.5, y + 0.5)
        inside = (w >= -1e-9).all(axis=1)
        face, w, pixel = face[inside], w[inside], (y * frame.width + x)[inside]
        z = (w * triangle[face, :, 2]).sum(axis=1)
        np.minimum.at(depth, pixel, z)
        front = z <= depth[pixel]
        nearest[pixel[front]], weights[pixel[front]] = face[front], w[front]
    return depth, nearest, weights


def _corner_weights(triangle: Floats, x: Floats, y: Floats) -> Floats:
    """Barycentric coordinates (N, 3) of pixel centres; -1 for a triangle seen edge on."""
    (ax, ay), (bx, by), (cx, cy) = ((triangle[:, k, 0], triangle[:, k, 1]) for k in range(3))
    area = (bx - ax) * (cy - ay) - (cx - ax) * (by - ay)
    safe = np.where(np.abs(area) < 1e-12, 1.0, area)
    b = ((x - ax) * (cy - ay) - (cx - ax) * (y - ay)) / safe
    c = ((bx - ax) * (y - ay) - (x - ax) * (by - ay)) / safe
    return np.where((np.abs(area) < 1e-12)[:, None], -1.0, np.stack([1 - b - c, b, c], axis=1))


def _shade(normals: Floats, colour: Floats) -> Floats:
    """Sky and ground light, a key and a fill lamp, and a rim where the surface turns away. (N, 3) in and out."""
    n = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-12)
    n = np.where(n[:, 2:] > 0, -n, n)  # what is visible faces the camera, whichever way its face is wound
    key, fill = (np.asarray(v) / np.linalg.norm(v) for v in (KEY_LIGHT, FILL_LIGHT))
    sky = 0.34 - 0.10 * n[:, 1]
    light = sky + 0.62 * np.clip(n @ key, 0, None) ** 1.15 + 0.16 * np.clip(n @ fill, 0, None)
    half = key + np.array([0.0, 0.0, -1.0])
    shine = 0.10 * np.clip(n @ (half / np.linalg.norm(half)), 0, None) ** 24
    rim = 0.16 * (1.0 + n[:, 2]) ** 3
    return light[:, None] * colour + (shine + rim)[:, None]

"""One motion for human eyes: a shaded body, a GLB file, or characters on a terminal.

matplotlib and trimesh are imported when first used; the terminal picture needs neither.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose import charts
from actionpose.arrays import Floats
from actionpose.charts import INK, SOFT
from actionpose.drawing import HEAD, NOSE, add_strokes, moments, skeleton
from actionpose.extras import needed_for
from actionpose.files import atomic_path
from actionpose.geometry import camera_matrix, facing_heading, to_camera, unit
from actionpose.skeleton import BONES

MOMENTS = 8
PANEL = (440, 600)
"""Width and height of one picture of a body; only their ratio matters."""

LAMP = (-0.45, -0.60, -0.66)
"""Where the light comes from, in the camera's frame, of unit length."""


def draw_mesh_png(
    vertices: Floats, faces: NDArray[np.integer], keypoints: Floats | None, out: Path, *, title: str = ""
) -> None:
    """Draw a body from the front left and from the side, and its skeleton seen through it from the front.

    Args:
        vertices: (V, 3) metres, world frame, z up.
        faces: (F, 3).
        keypoints: (17, 3) of the same pose; without them the body is taken to face -y, and no skeleton is drawn.
        out: a PNG file.
        title: written above.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    heading = 0.0 if keypoints is None else facing_heading(np.asarray(keypoints, dtype=np.float64)[None])[0]
    views = (("from the front left", "yaw+35pitch+8"), ("side", "side"), ("front, keypoints inside", "front"))
    with charts.figure(out, (11.4, 5.9), dpi=120, layout=None) as figure:
        figure.suptitle(title, x=0.02, ha="left", fontsize=13, fontweight="bold", color=INK)
        axes = figure.subplots(1, len(views))
        figure.subplots_adjust(left=0.01, right=0.99, bottom=0.02, top=0.88, wspace=0.02)
        cameras = [camera_matrix(view, heading) for _, view in views]
        bodies = [to_camera(np.asarray(vertices, dtype=np.float64), camera) for camera in cameras]
        wide, high = np.max([np.ptp(body, axis=0)[:2] for body in bodies], axis=0)
        size = max(high / 0.90, wide / 0.96 * PANEL[1] / PANEL[0], 0.3)
        for axis, (name, view), camera, body in zip(axes, views, cameras, bodies, strict=True):
            shown = None if keypoints is None or view != "front" else to_camera(np.asarray(keypoints, float), camera)
            _draw_body(axis, body, faces, shown, size)
            axis.set_title(name, fontsize=10, color=SOFT)


def _draw_body(axis: Any, vertices: Floats, faces: NDArray[np.integer], points: Floats | None, size: float) -> None:
    """The surface in a panel that is `size` metres high, far faces first, so that near ones cover them."""
    from matplotlib.patches import Ellipse

    low, high = vertices.min(axis=0), vertices.max(axis=0)
    x, width = float(low[0] + high[0]) / 2, size * PANEL[0] / PANEL[1]
    ground = float(high[1]) + 0.06 * size  # every panel has its ground at the same height
    for k in range(12):  # a soft shadow is a stack of faint ones
        wide = 0.50 - 0.035 * k
        axis.add_artist(Ellipse((x, high[1] - 0.02), wide, 0.2 * wide, lw=0, color="#000000", alpha=0.022, zorder=1))
    light = _brightness(vertices, faces)
    if points is not None:  # paler, for the skeleton inside to show
        light = 1 - 0.42 * (1 - light)
    order = np.argsort(-vertices[faces, 2].mean(axis=1))
    axis.tripcolor(
        *vertices.T[:2], light, triangles=faces[order], shading="gouraud", cmap="gray", vmin=0, vmax=1, zorder=2
    )
    if points is not None:
        inside = skeleton(points, 1.0, face=False)
        add_strokes(axis, inside, axis.get_window_extent().width / axis.figure.dpi * 72 / width)
    axis.set_xlim(x - width / 2, x + width / 2)
    axis.set_ylim(ground, ground - size)
    axis.set_aspect("equal")
    axis.set_axis_off()


def _brightness(vertices: Floats, faces: NDArray[np.integer]) -> Floats:
    """(V,) from 0 to 1: light from the sky, a lamp on the upper left, and a rim where the surface turns away."""
    a, b, c = (vertices[faces[:, k]] for k in range(3))
    normals: Floats = np.zeros(vertices.shape)
    for k in range(3):
        np.add.at(normals, faces[:, k], np.cross(b - a, c - a))
    normals = unit(np.where(normals[:, 2:] > 0, -normals, normals))  # the seen side, however wound
    lamp = np.clip(normals @ LAMP, 0, None)
    return np.clip(0.31 - 0.08 * normals[:, 1] + 0.5 * lamp + 0.1 * lamp**24 + 0.16 * (1 + normals[:, 2]) ** 3, 0, 1)


def export_glb(vertices: Floats, faces: NDArray[np.integer], out: Path) -> None:
    """Write a mesh as a binary glTF file, which any 3D viewer opens.

    Args:
        vertices: (V, 3) metres, world frame, z up; glTF has y up, so they are turned.
        faces: (F, 3).
        out: a `.glb` file.

    Raises:
        UserError: trimesh is not installed, or the file cannot be written.
    """
    with needed_for("a GLB file", "mesh"):
        import trimesh
    turned = np.asarray(vertices, dtype=np.float32)[:, [0, 2, 1]] * np.array([1, 1, -1], dtype=np.float32)
    mesh = trimesh.Trimesh(turned, np.asarray(faces), process=False)
    mesh.visual = trimesh.visual.TextureVisuals(
        material=trimesh.visual.material.PBRMaterial(
            baseColorFactor=[204, 204, 212, 255], metallicFactor=0.0, roughnessFactor=0.7
        )
    )
    with atomic_path(out) as aside:
        mesh.export(str(aside), file_type="glb")


# --- a terminal -------------------------------------------------------------------------------

_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])
"""Bit of a braille character for each of its 4 x 2 dots."""


def clip_as_text(frames_world: Floats, heading: float, width: int = 60, *, fps: float = 30.0) -> str:
    """A few poses of a clip from the front, drawn with braille characters, their times below.

    Args:
        frames_world: (T, 17, 3) metres, world frame, z up.
        heading: radians.
        width: characters a line, about fifteen for each pose.
        fps: for the times.
    """
    picked = moments(len(frames_world), max(1, min(MOMENTS, width // 15)))
    if not picked:
        return "(no frame)"
    poses = to_camera(np.asarray(frames_world, dtype=np.float64), camera_matrix("front", heading))[picked]
    columns = width // len(picked)
    low, high = poses[..., 1].min(), poses[..., 1].max()
    left, right = poses[..., 0].min(axis=1), poses[..., 0].max(axis=1)
    poses = poses - ((left + right) / 2)[:, None, None] * [1, 0, 0]
    per_metre = min((2 * columns - 4) / max(float((right - left).max()), 0.2), 48 / max(high - low, 0.2))
    rows = int(np.ceil(((high - low) * per_metre + 3) / 4))
    dots = np.zeros((4 * rows, 2 * columns * len(picked)), dtype=bool)
    for k, pose in enumerate(poses):
        x = pose[:, 0] * per_metre + (2 * k + 1) * columns
        y = (pose[:, 1] - low) * per_metre + 1
        _draw_dots(dots, np.stack([x, y], axis=1))
    bits = (dots.reshape(rows, 4, -1, 2) * _DOTS[None, :, None, :]).sum(axis=(1, 3))
    lines = ["".join(chr(0x2800 + int(b)) if b else " " for b in row).rstrip() for row in bits]
    times = "".join(f"{frame / fps:.2f} s".center(columns) for frame in picked)
    return "\n".join([*lines, times.rstrip()])


def _draw_dots(dots: NDArray[np.bool_], points: Floats) -> None:
    for parent, child in BONES:
        a, b = points[parent], points[child]
        n = int(np.abs(b - a).max() * 2) + 2
        line = a + np.linspace(0, 1, n)[:, None] * (b - a)
        _set(dots, line)
    head, size = points[[NOSE, HEAD]].mean(axis=0), np.linalg.norm(points[HEAD] - points[NOSE])
    turn = np.linspace(0, 2 * np.pi, 24)
    _set(dots, head + max(size * 0.75, 1.5) * np.stack([np.cos(turn), np.sin(turn)], axis=1))


def _set(dots: NDArray[np.bool_], points: Floats) -> None:
    x, y = np.floor(points).astype(int).T
    inside = (x >= 0) & (x < dots.shape[1]) & (y >= 0) & (y < dots.shape[0])
    dots[y[inside], x[inside]] = True

"""Pictures show what they are given: figures where they stand, the nearest surface, the same numbers in a GLB."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.errors import UserError
from pipeline.view.pictures import clip_as_text, draw_mesh_png, export_glb
from tests.makers.gltf import Glb
from tests.makers.walker import STANDING, walking

LEFT_RGB, RIGHT_RGB = np.array([0xE0, 0x63, 0x2B]), np.array([0x23, 0x68, 0xC4])


def ball(radius: float = 0.5, n: int = 40) -> tuple[np.ndarray, np.ndarray]:
    """A sphere of latitude rings: vertices and outward faces."""
    polar, round_ = np.meshgrid(np.linspace(0, np.pi, n), np.linspace(0, 2 * np.pi, n), indexing="ij")
    points = np.stack([np.sin(polar) * np.cos(round_), np.sin(polar) * np.sin(round_), np.cos(polar)], -1)
    a = (np.arange(n - 1)[:, None] * n + np.arange(n - 1)).ravel()
    return radius * points.reshape(-1, 3), np.concatenate(
        [np.stack([a, a + n, a + n + 1], 1), np.stack([a, a + n + 1, a + 1], 1)]
    )


def read_png(path: Path) -> np.ndarray:
    image = pytest.importorskip("matplotlib.image")
    return (image.imread(path)[..., :3] * 255).round().astype(int)


def where(picture: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.argwhere(np.abs(picture - colour).max(axis=-1) <= 2)


@pytest.mark.parametrize("package", ["matplotlib", "trimesh"])
def test_a_missing_package_is_named_and_nothing_is_written(
    package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    true_import = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == package:
            raise ModuleNotFoundError(name, name=package)
        return true_import(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    draw = {
        "matplotlib": lambda: draw_mesh_png(*ball(), None, tmp_path / "x.png"),
        "trimesh": lambda: export_glb(*ball(), tmp_path / "x.glb"),
    }[package]
    with pytest.raises(UserError, match=package) as caught:
        draw()
    assert f"actionpose[{ {'matplotlib': 'picture', 'trimesh': 'mesh'}[package] }]" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


# --- the body ---------------------------------------------------------------------------------


def test_a_body_is_lit_from_above_and_its_nearest_surface_is_seen_whatever_the_order_of_faces(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    body, faces = ball(0.9)
    plate = np.array([[-0.3, -2.0, -0.3], [0.3, -1.7, -0.3], [0.3, -2.0, 0.3], [-0.3, -1.7, 0.3]])  # in front of it
    vertices = np.concatenate([body, plate])
    faces = np.concatenate([faces, len(body) + np.array([[0, 1, 2], [0, 2, 3]])])
    pictures = []
    for name, some in (("one", faces), ("other", faces[::-1]), ("ball", faces[:-2])):
        draw_mesh_png(vertices, some, None, tmp_path / f"{name}.png")
        pictures.append(read_png(tmp_path / f"{name}.png"))
    one, other, alone = pictures
    assert (np.abs(one - other).max(axis=-1) > 20).sum() < 100
    assert (np.abs(one - alone).max(axis=-1) > 20).sum() > 1000, "the plate in front is seen"
    column = alone[:, int(one.shape[1] * 5 / 6)].mean(axis=-1)
    ball_rows = np.flatnonzero(column < 235)
    assert column[ball_rows[: len(ball_rows) // 4]].mean() > column[ball_rows[-len(ball_rows) // 4 :]].mean() + 20


def test_the_body_picture_shows_a_surface_and_the_skeleton_inside(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    vertices, faces = ball(0.9)
    out = tmp_path / "body.png"
    draw_mesh_png(vertices + np.array([0, 0, 0.9]), faces, STANDING, out, title="ball")
    picture = read_png(out)
    width = picture.shape[1]
    shaded = (picture.max(axis=-1) < 235).sum(axis=0)
    assert all(shaded[int(width * (k + 0.5) / 3)] > 50 for k in range(3))
    for colour in (LEFT_RGB, RIGHT_RGB):
        columns = where(picture, colour)[:, 1]
        assert len(columns) > 300
        assert columns.min() > width * 2 / 3


def test_a_glb_file_holds_the_body_with_y_up(tmp_path: Path) -> None:
    pytest.importorskip("trimesh")  # which writes it
    vertices, faces = ball()
    vertices[:, 2] *= 3
    export_glb(vertices, faces, tmp_path / "b.glb")
    written, triangles = Glb(tmp_path / "b.glb").mesh()
    np.testing.assert_allclose(np.ptp(written, axis=0), [1, 3, 1], atol=0.01)
    x, y, z = written.T
    np.testing.assert_allclose(np.stack([x, -z, y], axis=1)[triangles], vertices[faces], atol=1e-6)


# --- the terminal -----------------------------------------------------------------------------


def test_the_terminal_picture_fits_its_width_and_shows_each_pose() -> None:
    drawn = clip_as_text(walking(90, heading=0.4), 0.4, width=60)
    *rows, times = drawn.split("\n")
    assert max(map(len, rows)) <= 60
    assert times.split() == ["0.00", "s", "1.00", "s", "1.97", "s", "2.97", "s"]
    for k in range(4):
        cell = "".join(row.ljust(60)[15 * k : 15 * (k + 1)] for row in rows)
        assert sum(0x2800 < ord(c) <= 0x28FF for c in cell) > 25


def test_the_terminal_picture_is_seen_from_the_front() -> None:
    def dots_left_of_the_spine(arm: tuple[int, int], side: float) -> float:
        pose = STANDING.astype(np.float32)[None].copy()
        pose[0, arm] = [[side * 0.5, 0, 1.42], [side * 0.9, 0, 1.42]]
        rows = clip_as_text(pose, 0.0, width=30).split("\n")[:-1]
        dots = [k for row in rows for k, c in enumerate(row) if c != " "]
        spine = np.median([k for row in rows[-3:] for k, c in enumerate(row) if c != " "])
        return sum(k < spine - 3 for k in dots) - sum(k > spine + 3 for k in dots)

    assert dots_left_of_the_spine((15, 16), -1.0) > 5
    assert dots_left_of_the_spine((12, 13), 1.0) < -5


def test_one_frame_and_no_frame_are_drawn_without_an_error() -> None:
    assert "0.00 s" in clip_as_text(walking(1), 0.0)
    assert clip_as_text(walking(1)[:0], 0.0) == "(no frame)"

"""Pictures show what they are given: figures where they stand, the nearest surface, the same numbers in a GLB."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.errors import UserError
from pipeline.view.pictures import clip_as_text, draw_mesh_png, export_glb
from pipeline.view.raster import Frame, render, vertex_normals
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


def test_a_rendered_ball_covers_its_disc_and_is_lit_from_above(tmp_path: Path) -> None:
    vertices, faces = ball(0.5, n=60)
    picture = render(vertices, faces, Frame(centre_x=0, centre_y=0, width=120, height=120, scale=100))
    assert picture[..., 3].sum() == pytest.approx(np.pi * 50**2, rel=0.005)
    assert picture[0, 0, 3] == 0
    assert picture[30, 60, :3].mean() > picture[90, 60, :3].mean() + 0.1


def test_the_nearest_surface_is_seen_whatever_the_order_of_faces() -> None:
    square = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=float)
    near, far = np.c_[square * 0.5, np.full(4, 1.0)], np.c_[square, np.full(4, 2.0)]
    near[:, 2] += 0.9 * near[:, 0]  # tilted, so that its shade differs
    vertices = np.concatenate([near, far])
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]])
    frame = Frame(centre_x=0, centre_y=0, width=40, height=40, scale=20)
    one, two = render(vertices, faces, frame), render(vertices, faces[::-1], frame)
    np.testing.assert_allclose(one, two, atol=1e-12)
    assert abs(one[20, 20, 0] - one[2, 2, 0]) > 0.02
    alone = render(near, faces[:2], frame)
    np.testing.assert_allclose(one[15:25, 15:25], alone[15:25, 15:25], atol=1e-12)


def test_small_blocks_give_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    vertices, faces = ball()
    frame = Frame(centre_x=0, centre_y=0, width=50, height=50, scale=45)
    whole = render(vertices, faces, frame)
    monkeypatch.setattr("pipeline.view.raster.BLOCK", 500)
    np.testing.assert_array_equal(render(vertices, faces, frame), whole)


def test_normals_of_a_ball_point_outwards() -> None:
    vertices, faces = ball(2.0)
    used = np.linalg.norm(vertex_normals(vertices, faces), axis=1) > 0.5
    toward = (vertex_normals(vertices, faces) * vertices).sum(axis=1) / 2.0
    assert np.abs(toward[used]).min() > 0.9


def test_the_body_picture_shows_a_surface_and_the_skeleton_inside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("pipeline.view.raster.SUPERSAMPLING", 1)
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
    trimesh = pytest.importorskip("trimesh")
    vertices, faces = ball()
    vertices[:, 2] *= 3
    export_glb(vertices, faces, tmp_path / "b.glb")
    mesh = trimesh.load(tmp_path / "b.glb", force="mesh", process=False)
    np.testing.assert_allclose(np.ptp(mesh.vertices, axis=0), [1, 3, 1], atol=0.01)
    x, y, z = np.asarray(mesh.vertices).T
    np.testing.assert_allclose(np.stack([x, -z, y], axis=1)[mesh.faces], vertices[faces], atol=1e-6)


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

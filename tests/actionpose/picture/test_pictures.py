"""Pictures of clips are what their names say: a film, a gif; with people where they stand and labels in time."""

from __future__ import annotations

import dataclasses
import os
from pathlib import Path

import numpy as np
import pytest

from actionpose import charts
from actionpose.drawing import LEFT_COLOUR, RIGHT_COLOUR, moments, skeleton
from actionpose.errors import UserError
from actionpose.picture.scene import Label, Person, Scene, Seen, followed
from actionpose.picture.show import show
from tests.makers.walker import STANDING, walking

LEFT_RGB, RIGHT_RGB = (np.array([int(c[k : k + 2], 16) for k in (1, 3, 5)]) for c in (LEFT_COLOUR, RIGHT_COLOUR))


def scene(frames: int = 30, *, heading: float = 0.0, views: tuple[str, ...] = ("yaw+35pitch+14", "front")) -> Scene:
    return Scene(
        title="walk & <wave>", people=(Person(points=walking(frames, heading=heading).astype(float)),), fps=30.0,
        heading=heading, views=views,
    )  # fmt: skip


def with_input(frames: int = 20) -> Scene:
    plain = scene(frames)
    filled = np.zeros((frames, 17), dtype=bool)
    filled[:, 13] = True
    points = plain.people[0].points
    flat = np.stack([points[..., 0], 1.6 - points[..., 2]], axis=-1)
    return dataclasses.replace(
        plain,
        people=(Person(points=points, filled=filled),),
        seen=Seen(points=flat, filled=filled),
        labels=(Label(start_s=0, end_s=0.3, text="walk"), Label(start_s=0.3, end_s=frames / 30, text="wave")),
    )


def read_png(path: Path) -> np.ndarray:
    image = pytest.importorskip("PIL.Image")
    return np.asarray(image.open(path).convert("RGB")).astype(int)


def where(picture: np.ndarray, colour: np.ndarray) -> np.ndarray:
    return np.argwhere(np.abs(picture - colour).max(axis=-1) <= 4)


# --- sheets -----------------------------------------------------------------------------------


def test_the_sheet_has_a_left_and_a_right_side_in_every_row(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    show([with_input()], tmp_path / "clip.png")
    picture = read_png(tmp_path / "clip.png")
    body = picture[160:-120]
    third = len(body) / 3
    for colour in (LEFT_RGB, RIGHT_RGB):
        rows = where(body, colour)[:, 0]
        assert all(((rows > k * third) & (rows < (k + 1) * third)).sum() > 300 for k in range(3))


def test_the_persons_left_is_right_of_the_picture_from_the_front(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    show([scene(1, heading=2.5, views=("front",))], tmp_path / "clip.png")
    picture = read_png(tmp_path / "clip.png")[120:]
    assert where(picture, LEFT_RGB)[:, 1].min() > where(picture, RIGHT_RGB)[:, 1].max()


def test_a_clip_without_frames_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no frame to draw"):
        scene(0)


def test_moments_run_from_the_first_frame_to_the_last() -> None:
    assert moments(100, 4) == [0, 33, 66, 99]
    assert moments(3, 8) == [0, 1, 2]
    assert moments(0, 8) == []


# --- films ------------------------------------------------------------------------------------


def test_an_mp4_is_an_h264_film_that_moves_at_the_clips_rate(tmp_path: Path) -> None:
    av = pytest.importorskip("av")
    show([with_input(10)], tmp_path / "clip.mp4")
    with av.open(str(tmp_path / "clip.mp4")) as film:
        stream = film.streams.video[0]
        pictures = [frame.to_ndarray(format="rgb24").astype(int) for frame in film.decode(stream)]
        assert stream.codec_context.name == "h264"
        assert stream.average_rate == 30
    assert len(pictures) == 10
    assert pictures[0].shape[0] % 2 == pictures[0].shape[1] % 2 == 0
    assert np.abs(pictures[0] - pictures[9]).max() > 100


def test_a_gif_moves_for_as_long_as_the_clip_and_loops(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    show([scene(30)], tmp_path / "clip.gif")
    with image.open(tmp_path / "clip.gif") as gif:
        assert gif.format == "GIF"
        assert gif.n_frames == 15  # viewers show no more than 15 a second
        assert gif.info["loop"] == 0
        shown_ms = 0
        for frame in range(gif.n_frames):
            gif.seek(frame)
            shown_ms += gif.info["duration"]
    assert shown_ms == pytest.approx(1000, abs=60)


@pytest.mark.parametrize("name", ["clip.avi", "clip", "clip.jpeg"])
def test_an_unknown_ending_is_refused_with_those_that_are_possible(name: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        show([scene(2)], tmp_path / name)
    assert ".html, .mp4, .gif or .png" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


# --- what is drawn ----------------------------------------------------------------------------


def test_nearer_limbs_are_painted_over_farther_ones() -> None:
    points = STANDING[:, [0, 2, 1]] * [100, -100, 100]
    points[[12, 13], 2] -= 60  # the left arm in front
    strokes = skeleton(points, 100.0)
    arm = np.flatnonzero((np.abs(strokes.segments[:, 0] - points[12, :2]) < 1e-6).all(axis=1))
    spine = np.flatnonzero((np.abs(strokes.segments[:, 0] - points[7, :2]) < 1e-6).all(axis=1))
    assert arm.min() > spine.max()


def test_completed_joints_are_hollow_and_unknown_ones_absent() -> None:
    points = STANDING[:, [0, 2, 1]] * [100, -100, 100]
    whole = skeleton(points, 100.0)
    filled = np.zeros(17, dtype=bool)
    filled[13] = True
    assert len(skeleton(points, 100.0, filled=filled).widths) == len(whole.widths) + 2  # the wrist and its limb
    points[13] = np.nan
    assert len(skeleton(points, 100.0).widths) == len(whole.widths) - 3  # limb, its edge, joint
    points[:] = np.nan
    assert len(skeleton(points, 100.0).widths) == 0


def test_who_stays_is_not_followed_and_who_walks_is() -> None:
    still = np.repeat(STANDING[None], 60, axis=0)
    still[:, :, 0] += 0.1 * np.sin(np.arange(60))[:, None]
    assert np.ptp(followed(still, 30.0), axis=0).max() == 0
    walk = walking(90).astype(float)
    assert np.abs(followed(walk, 30.0) - walk[:, 0])[20:-20].max() < 0.05


def test_a_part_of_a_scene_keeps_time_and_labels() -> None:
    part = with_input(20).cut(0.2, 0.2)
    assert len(part) == 6
    assert part.first_s == pytest.approx(0.2)
    assert [(round(x.start_s, 3), round(x.end_s, 3), x.text) for x in part.labels] == [
        (0.0, 0.1, "walk"),
        (0.1, 0.2, "wave"),
    ]
    with pytest.raises(UserError, match=r"lasts 0\.67 s"):
        with_input(20).cut(3.0, None)


@pytest.mark.parametrize("name", ["$\\frac$ and $x^$", os.fsdecode(b"caf\xe9"), "a\x1b[31mb"])
def test_a_name_is_drawn_whatever_it_holds(tmp_path: Path, name: str) -> None:
    named = dataclasses.replace(scene(4), title=name, labels=(Label(start_s=0, end_s=0.1, text=name),))
    show([named], tmp_path / "scene.png")
    with charts.figure(tmp_path / "chart.png", (3, 2)) as drawn:
        axis = drawn.subplots()
        axis.plot([0, 1], [0, 1], label=name)
        charts.tidy(axis, title=name)
        axis.legend()
    for picture in ("scene.png", "chart.png"):
        assert read_png(tmp_path / picture).std() > 0

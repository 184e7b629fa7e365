"""A scene as a film: an mp4 or a gif, one frame after the other, in memory that does not grow with its length."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actionpose.charts import INK, SOFT
from actionpose.extras import needed_for
from actionpose.files import atomic_path
from actionpose.picture.board import Board
from actionpose.picture.panels import common_scale, draw_legend, draw_panel, draw_timeline, draw_title, panels_of
from actionpose.picture.scene import Scene

PANEL, HEIGHT, SIDE, TOP = 400.0, 720.0, 40.0, 104.0
MOST_FPS = {"mp4": 60.0, "gif": 15.0}
"""A faster clip is drawn at every second, third, … frame: viewers show gifs no faster."""

ZOOM = {"mp4": 1.0, "gif": 0.75}

Bar = Callable[[Iterable[int]], Iterable[int]]
Pixels = NDArray[np.uint8]


def write_film(scene: Scene, out: Path, kind: str, *, bar: Bar = iter) -> None:
    """Write an mp4 (H.264) or a gif.

    Args:
        scene: what to draw.
        out: the file; it appears whole or not at all.
        kind: "mp4" or "gif".
        bar: wraps the frame numbers, to show progress.

    Raises:
        MissingPackageError: matplotlib, or the encoder (PyAV for mp4, Pillow for gif), is not installed.
    """
    step = max(1, math.ceil(scene.fps / MOST_FPS[kind] - 1e-6))
    numbers = range(0, len(scene), step)
    pictures = _frames(scene, bar(numbers), ZOOM[kind])
    if kind == "mp4":
        _mp4(out, pictures, scene.fps / step)
    else:
        ends_ms = [10 * round(100 * step * (k + 1) / scene.fps) for k in range(len(numbers))]
        _gif(out, pictures, [end - start for start, end in zip([0, *ends_ms], ends_ms, strict=False)])


def _frames(scene: Scene, numbers: Iterable[int], zoom: float) -> Iterator[Pixels]:
    """The pictures (H, W, 3), all of one even size."""
    panels = panels_of(scene)
    timeline = 74.0 if scene.labels else 0.0
    height = HEIGHT - (0 if scene.labels else 60)
    board = Board(2 * SIDE + PANEL * max(len(panels), 2), height, zoom=zoom)
    draw_title(board, scene, SIDE)
    draw_legend(board, scene, board.width - SIDE, height - timeline - 26)
    width = (board.width - 2 * SIDE) / len(panels)
    boxes = [(SIDE + k * width + 6, TOP, width - 12, height - TOP - timeline - 56) for k in range(len(panels))]
    scale = common_scale(panels, boxes[0][2] - 20, boxes[0][3] - 44)
    for panel, (x, y, wide, high) in zip(panels, boxes, strict=True):
        if panel.paper != "#ffffff":
            board.bar(x, y, wide, high, panel.paper, above=0.2)
        board.text(x + 14, y + 24, panel.name, 15, SOFT)
    board.keep()
    for frame in numbers:
        board.wipe()
        for panel, box in zip(panels, boxes, strict=True):
            draw_panel(board, panel, frame, (box[0], box[1] + 30, box[2], box[3] - 34), scale)
        time = f"{scene.first_s + frame / scene.fps:.2f} s"
        board.text(SIDE, height - timeline - 22, time, 15, INK, family="DejaVu Sans Mono")
        if scene.labels:
            draw_timeline(board, scene, SIDE, height - 56, board.width - 2 * SIDE, frame)
        picture = board.pixels()
        yield picture[: picture.shape[0] // 2 * 2, : picture.shape[1] // 2 * 2]


def _mp4(out: Path, pictures: Iterator[Pixels], fps: float) -> None:
    with needed_for("an mp4 file", "picture"):
        import av
    first = next(pictures)
    with atomic_path(out) as aside, av.open(str(aside), "w", format="mp4", options={"movflags": "faststart"}) as film:
        stream = film.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001))
        stream.width, stream.height, stream.pix_fmt = first.shape[1], first.shape[0], "yuv420p"
        stream.options = {"crf": "18", "preset": "veryfast"}
        for picture in itertools.chain([first], pictures):
            film.mux(stream.encode(av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")))
        film.mux(stream.encode())


def _gif(out: Path, pictures: Iterator[Pixels], shown_ms: list[int]) -> None:
    with needed_for("a gif file", "picture"):
        from PIL import Image
    first = next(pictures)
    palette = Image.fromarray(first).quantize(96, method=Image.Quantize.MEDIANCUT)

    def reduced(picture: Pixels) -> Image.Image:
        return Image.fromarray(picture).quantize(palette=palette, dither=Image.Dither.NONE)

    with atomic_path(out) as aside:
        reduced(first).save(
            aside, format="GIF", save_all=True, append_images=map(reduced, pictures), loop=0,
            duration=shown_ms, disposal=1, optimize=False,
        )  # fmt: skip

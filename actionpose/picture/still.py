"""A scene as one picture: eight moments across, the 2D input and every view down, labels over time below."""

from __future__ import annotations

from pathlib import Path

from actionpose.charts import SOFT
from actionpose.drawing import moments
from actionpose.picture.board import Board
from actionpose.picture.panels import common_scale, draw_legend, draw_panel, draw_timeline, draw_title, panels_of
from actionpose.picture.scene import Scene

MOMENTS = 8
WIDTH, ROW, TOP, SIDE = 168.0, 250.0, 112.0, 40.0


def draw_still(scene: Scene, out: Path) -> None:
    """Write a PNG file.

    Raises:
        UserError: matplotlib is not installed, an unknown view, or the file cannot be written.
    """
    panels, picked = panels_of(scene), moments(len(scene), MOMENTS)
    width = max(WIDTH * len(picked), 640.0)
    bottom = 78.0 if scene.labels else 18.0
    board = Board(width + 2 * SIDE, TOP + ROW * len(panels) + bottom, zoom=1.5)
    draw_title(board, scene, SIDE)
    draw_legend(board, scene, board.width - SIDE, 34)
    cell = width / len(picked)
    scale = common_scale(panels, cell, ROW)
    for row, panel in enumerate(panels):
        top = TOP + row * ROW
        if panel.paper != "#ffffff":
            board.bar(SIDE, top - 8, width, ROW - 4, panel.paper, above=0.2)
        board.text(SIDE - 10, top + ROW / 2, panel.name, 14, SOFT, rotation=90, ha="right", va="center")
        for column, frame in enumerate(picked):
            draw_panel(board, panel, frame, (SIDE + column * cell, top, cell, ROW - 12), scale)
    for column, frame in enumerate(picked):
        time = f"{scene.first_s + frame / scene.fps:.2f} s"
        board.text(SIDE + (column + 0.5) * cell, TOP - 16, time, 13, SOFT, ha="center")
    if scene.labels:
        draw_timeline(board, scene, SIDE, board.height - 58, width)
    board.save(out)

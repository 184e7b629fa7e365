"""Labels compared over whole clips, as numbers and as a picture: the paper's Figure 8.

Shape suffixes: W windows, U labels, D shared features.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import softmax

from actionpose.arrays import Floats
from actionpose.charts import SOFT
from actionpose.drawing import moments, skeleton
from actionpose.lift.actions import Embedded, embed_texts
from actionpose.lift.source import LiftModel
from actionpose.picture.board import Board
from actionpose.picture.panels import STRONG, TINTS, shortened

MOMENTS, MOST_BARS = 6, 4
"""Poses of a clip; labels that are drawn, the best ones."""

ROW, THUMB, BARS, SIDE, TOP = 190.0, 105.0, 430.0, 36.0, 64.0


def compare(clips: Sequence[Embedded], source: LiftModel, labels: Sequence[str]) -> list[dict[str, Any]]:
    """How well each label fits each person of each clip.

    Columns: clip, person, label, score (cosine similarity, mean over the clip's windows) and probability (softmax of
    the scores over the labels at the temperature of training).

    Args:
        clips: what is compared.
        source: the model that embedded them.
        labels: at least two phrases.
    """
    text_UD = embed_texts(source, labels)
    rows = []
    for clip in clips:
        for person in dict.fromkeys(clip.person.tolist()):
            scores_U = (clip.features[clip.person == person] @ text_UD.T).mean(axis=0)
            shares_U = softmax(scores_U / source.temperature)
            rows += [
                {"clip": clip.source, "person": int(person), "label": label, "score": round(float(score), 4),
                 "probability": round(float(share), 4)}
                for label, score, share in zip(labels, scores_U, shares_U, strict=True)
            ]  # fmt: skip
    return rows


def draw_comparison(clips: Sequence[Embedded], rows: Sequence[Mapping[str, Any]], out: Path) -> None:
    """Draw moments of every clip's 2D input, and beside them a bar for each label as long as its probability.

    Args:
        clips: as `compare` got them.
        rows: what it returned.
        out: a PNG file.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    people = list(dict.fromkeys((row["clip"], row["person"]) for row in rows))
    board = Board(2 * SIDE + MOMENTS * THUMB + BARS, TOP + ROW * len(people) + 10, zoom=1.5)
    board.text(SIDE, 38, "Similarity of motion and text, softmax over the labels", 20, fontweight="bold")
    for number, (source, person) in enumerate(people):
        clip = next(clip for clip in clips if clip.source == source)
        mine = [row for row in rows if (row["clip"], row["person"]) == (source, person)]
        top = TOP + number * ROW
        board.text(SIDE, top + 14, shortened(Path(source).name, MOMENTS * THUMB, 14), 14, SOFT)
        board.bar(SIDE, top + 22, MOMENTS * THUMB - 16, ROW - 34, "#f2f3f5", above=0.2)
        _thumbnails(board, clip, int(person), top + 28)
        _bars(board, mine, SIDE + MOMENTS * THUMB + 10, top + 22)
    board.save(out)


def _thumbnails(board: Board, clip: Embedded, person: int, top: float) -> None:
    """The person's 2D at evenly spread moments of the longest stretch, at one scale."""
    mine = [stretch.grid for stretch in clip.ready.stretches if stretch.track.person == person]
    grid = max(mine, key=lambda grid: len(grid.seconds))
    points = np.where(grid.confidence[..., None] > 0, grid.points, np.nan)
    seen = np.flatnonzero(np.isfinite(points).all(axis=(1, 2)))
    chosen = seen if len(seen) else np.flatnonzero(np.isfinite(points).any(axis=(1, 2)))
    picked = points[chosen[moments(len(chosen), MOMENTS)]]
    middle = (np.nanmin(picked, axis=1) + np.nanmax(picked, axis=1)) / 2
    reach = np.nanmax(np.abs(picked - middle[:, None]), axis=(0, 1))
    scale = min((THUMB - 24) / (2 * reach[0]), (ROW - 50) / (2 * reach[1]))
    for number, (pose, centre) in enumerate(zip(picked, middle, strict=True)):
        place = np.array([SIDE + (number + 0.5) * THUMB - 8, top + (ROW - 46) / 2])
        flat = np.concatenate([(pose - centre) * scale + place, np.zeros((len(pose), 1))], axis=1)
        board.strokes(skeleton(flat, _metre(pose, scale), paper="#f2f3f5"))


def _metre(pose: Floats, scale: float) -> float:
    """Units of the picture for a metre, from the height that is seen, taken for 1.6 m; only widths depend on it."""
    return float(np.ptp(pose[np.isfinite(pose[:, 1]), 1])) * scale / 1.6


def _bars(board: Board, rows: Sequence[Mapping[str, Any]], x: float, y: float) -> None:
    best = max(rows, key=lambda row: row["probability"])
    if len(rows) > MOST_BARS:
        rows = sorted(rows, key=lambda row: -row["probability"])[:MOST_BARS]
    each, width = min(62.0, (ROW - 34) / len(rows)), BARS - 70
    for number, row in enumerate(rows):
        top, share = y + number * each, float(row["probability"])
        colour = (STRONG if row is best else TINTS)[number % len(STRONG)]
        board.text(x, top + 13, shortened(row["label"], width, 13), 13)
        board.bar(x, top + 19, width, each - 30, "#f2f3f5", above=0.5)
        board.bar(x, top + 19, max(width * share, 3.0), each - 30, colour)
        board.text(x + width + 10, top + 21 + (each - 30) / 2, f"{100 * share:.0f} %", 13, va="center")

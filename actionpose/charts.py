"""Pictures as PNG files, drawn by matplotlib without a display; it is imported only when one is drawn."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

from actionpose.characters import printable
from actionpose.extras import needed_for
from actionpose.files import atomic_path

COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#5a5a5a")
"""Okabe and Ito's, which most colour-blind readers can tell apart."""
INK, SOFT, HAIR = "#1f2430", "#6b7280", "#dfe3ea"
ADVICE = "pip install 'actionpose[picture]'"


def can_draw() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


@contextmanager
def figure(
    out: Path, inches: tuple[float, float], *, dpi: int = 130, layout: Literal["constrained"] | None = "constrained"
) -> Iterator[Any]:
    """A matplotlib figure without a display or any global state; saved whole or not at all.

    Args:
        out: a PNG file.
        inches: width and height.
        dpi: pixels in an inch.
        layout: matplotlib's layout engine; None for a caller that places its axes itself.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    with needed_for("a figure"):
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
        from matplotlib.text import Text
    drawn = Figure(figsize=inches, facecolor="white", layout=layout)
    FigureCanvasAgg(drawn)
    yield drawn
    for text in drawn.findobj(Text):  # names of rows and runs, which may hold anything
        text.set_parse_math(False)
        text.set_text(printable(text.get_text()))
    with atomic_path(out) as aside:
        drawn.savefig(aside, dpi=dpi, format="png")


def tidy(axis: Any, *, x: str = "", y: str = "", title: str = "") -> None:
    """Quiet axes: no box, faint horizontal lines, labels in one size."""
    for side in ("top", "right"):
        axis.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axis.spines[side].set_color(HAIR)
    axis.grid(axis="y", color=HAIR, lw=0.8)
    axis.set_axisbelow(True)
    axis.tick_params(colors=SOFT, labelsize=8)
    axis.set_xlabel(x, fontsize=9, color=SOFT)
    axis.set_ylabel(y, fontsize=9, color=SOFT)
    if title:
        axis.set_title(title, fontsize=10, color=INK, loc="left")

"""A sheet to draw on, in pixels: text, lines, bars and skeletons, through matplotlib and without a display."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.characters import printable
from actionpose.charts import INK
from actionpose.drawing import PAPER, Strokes, add_strokes
from actionpose.extras import needed_for
from actionpose.files import atomic_path

UNITS_PER_INCH = 100


class Board:
    """A sheet `width` by `height` units, x to the right and y down; a unit is `zoom` pixels.

    Raises:
        MissingPackageError: matplotlib is not installed.
    """

    def __init__(self, width: float, height: float, *, zoom: float = 1.0) -> None:
        with needed_for("a picture", "picture"):
            from matplotlib.backends.backend_agg import FigureCanvasAgg
            from matplotlib.figure import Figure
        self.width, self.height = width, height
        self.figure: Any = Figure(
            figsize=(width / UNITS_PER_INCH, height / UNITS_PER_INCH), dpi=zoom * UNITS_PER_INCH, facecolor=PAPER
        )
        self.canvas = FigureCanvasAgg(self.figure)
        self.axis: Any = self.figure.add_axes((0, 0, 1, 1))
        self.axis.set_axis_off()
        self.axis.set_xlim(0, width)
        self.axis.set_ylim(height, 0)
        self.kept: set[Any] = set()
        self.under: Any = None

    @property
    def per_unit(self) -> float:
        """Matplotlib's points for a unit."""
        return 72 / UNITS_PER_INCH

    def text(self, x: float, y: float, text: str, size: float, colour: str = INK, **style: Any) -> Any:
        """Text whose baseline starts at (x, y); `size` in units. It is drawn as it is: a name may hold dollars."""
        more = {"zorder": 6, "parse_math": False, **style}
        return self.axis.text(x, y, printable(text), fontsize=size * self.per_unit, color=colour, **more)

    def bar(self, x: float, y: float, width: float, height: float, colour: str, *, above: float = 1.0) -> None:
        """A filled rectangle with rounded corners."""
        from matplotlib.patches import FancyBboxPatch

        round_ = min(6.0, width / 2, height / 2)
        box = FancyBboxPatch(
            (x + round_, y + round_), max(width - 2 * round_, 1e-3), max(height - 2 * round_, 1e-3),
            boxstyle=f"round,pad={round_}", fc=colour, lw=0, zorder=above,
        )  # fmt: skip
        self.axis.add_patch(box)

    def lines(self, segments: Floats, colours: Any, width: float, *, above: float = 1.5) -> None:
        """Straight lines (S, 2, 2) of one width."""
        from matplotlib.collections import LineCollection

        found = LineCollection(list(segments), colors=colours, linewidths=width * self.per_unit, zorder=above)
        self.axis.add_collection(found, autolim=False)

    def strokes(self, strokes: Strokes, *, above: float = 3.0) -> None:
        """A skeleton."""
        if len(strokes.widths):
            add_strokes(self.axis, strokes, self.per_unit, above=above)

    def keep(self) -> None:
        """What is drawn so far stays under every later picture; it is drawn once."""
        self.canvas.draw()
        self.kept, self.under = set(self.axis.get_children()), self.canvas.copy_from_bbox(self.figure.bbox)

    def wipe(self) -> None:
        """Take away what came after `keep`."""
        for artist in self._new():
            artist.remove()

    def _new(self) -> list[Any]:
        return [child for child in self.axis.get_children() if child not in self.kept]

    def pixels(self) -> NDArray[np.uint8]:
        """(H, W, 3) of what is drawn."""
        if self.under is None:
            self.canvas.draw()
        else:
            self.canvas.restore_region(self.under)
            for artist in sorted(self._new(), key=lambda artist: artist.zorder):
                self.axis.draw_artist(artist)
        return np.asarray(self.canvas.buffer_rgba())[..., :3].copy()

    def save(self, out: Path) -> None:
        """Write a PNG file, whole or not at all."""
        with atomic_path(out) as aside:
            self.figure.savefig(aside, dpi=self.figure.dpi, format="png")

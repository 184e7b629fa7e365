"""Charts as text: small SVG and HTML pieces for the report, drawn without a plotting library.

Colours are CSS classes, so that one drawing serves light and dark pages; every chart is drawn at the width of a
phone column and laid out by the page. All text that comes from data goes through `text`.
"""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 14, 36
MAX_POINTS = 300
SERIES_CLASSES = 6
LOG_RATIO = 30.0
"""Curves that span more than this ratio are drawn on a logarithmic axis."""


def text(value: object) -> str:
    """Escape a value for HTML text and double-quoted attributes."""
    return html.escape(str(value), quote=True)


def number(value: float) -> str:
    """A number for people: thousands separated, small ones with three significant digits."""
    if not math.isfinite(value):
        return "not finite"
    if value == int(value):
        return f"{int(value):,}"
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    digits = max(0, 2 - math.floor(math.log10(abs(value))))
    if digits > 6:
        return f"{value:.2g}"
    return f"{value:.{digits}f}".rstrip("0").rstrip(".") if digits else f"{value:.0f}"


@dataclass(frozen=True, kw_only=True)
class Bar:
    """One row of a bar list; `mark` picks the second colour."""

    label: str
    count: float
    mark: bool = False


def bar_rows(bars: Sequence[Bar]) -> str:
    """Bars with a label before and the count behind, as long as their share of the largest count."""
    largest = max((bar.count for bar in bars), default=0) or 1
    rows = []
    for bar in bars:
        css = "bar second" if bar.mark else "bar"
        share = max(100.0 * bar.count / largest, 0.4 if bar.count else 0.0)
        rows.append(
            f'<div class="row"><span class="row-label" title="{text(bar.label)}">{text(bar.label)}</span>'
            f'<svg class="row-bar" aria-hidden="true"><rect class="{css}" width="{share:.2f}%" height="100%" '
            f'rx="2"/></svg><span class="row-count">{number(bar.count)}</span></div>'
        )
    return f'<div class="rows">{"".join(rows)}</div>'


# --- axes -------------------------------------------------------------------------------------


def nice_ticks(low: float, high: float, count: int = 5) -> list[float]:
    """Round numbers (1, 2, 2.5, 5 times a power of ten) that cover low to high with about `count` steps."""
    if not high > low:
        high = low + 1.0
    raw = (high - low) / max(count, 1)
    power = 10.0 ** math.floor(math.log10(raw))
    step = next(m * power for m in (1.0, 2.0, 2.5, 5.0, 10.0) if m * power >= raw * 0.999)
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(k * step, 12) for k in range(first, last + 1)]


@dataclass(frozen=True, kw_only=True)
class Axis:
    """A scale from data to drawing units; `log` takes the logarithm to base ten first, `whole` marks integers only."""

    low: float
    high: float
    start: float
    stop: float
    log: bool = False
    whole: bool = False

    def __call__(self, value: float) -> float:
        """Position of a value, in drawing units."""
        low, high = (math.log10(v) if self.log else v for v in (self.low, self.high))
        at = math.log10(value) if self.log else value
        return self.start + (at - low) / (high - low) * (self.stop - self.start)

    def ticks(self) -> list[float]:
        """The tick values of the axis, from the lowest to the highest."""
        if not self.log:
            ticks = [t for t in nice_ticks(self.low, self.high) if self.low <= t <= self.high]
            return [t for t in ticks if t == int(t)] if self.whole else ticks
        powers = range(math.floor(math.log10(self.low)), math.ceil(math.log10(self.high)) + 1)
        fine = [t for p in powers for f in (1.0, 2.0, 5.0) if self.low <= (t := f * 10.0**p) <= self.high]
        return fine if len(fine) <= 6 else [10.0**p for p in powers if self.low <= 10.0**p <= self.high]


def _y_axis(low: float, high: float, *, log: bool = False, whole: bool = False) -> Axis:
    if log:
        return Axis(low=low / 1.15, high=high * 1.15, start=HEIGHT - BOTTOM, stop=TOP, log=True)
    ticks = nice_ticks(low, high, 4)
    return Axis(low=ticks[0], high=ticks[-1], start=HEIGHT - BOTTOM, stop=TOP, whole=whole)


def _frame(x: Axis, y: Axis, x_label: str, x_ticks: Sequence[float]) -> list[str]:
    parts = []
    for tick in y.ticks():
        at = y(tick)
        parts.append(f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}"/>')
        parts.append(f'<text class="tick" x="{LEFT - 6}" y="{at + 3.5:.1f}" text-anchor="end">{_short(tick)}</text>')
    for tick in x_ticks:
        at, base = x(tick), HEIGHT - BOTTOM
        parts.append(f'<line class="axis" x1="{at:.1f}" x2="{at:.1f}" y1="{base}" y2="{base + 4}"/>')
        anchor = "end" if at > WIDTH - RIGHT - 8 else "middle"
        parts.append(f'<text class="tick" x="{at:.1f}" y="{base + 15}" text-anchor="{anchor}">{_short(tick)}</text>')
    parts.append(f'<line class="axis" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>')
    parts.append(
        f'<text class="tick" x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 4}" text-anchor="middle">'
        f"{text(x_label)}</text>"
    )
    return parts


def _short(value: float) -> str:
    if value and (abs(value) < 1e-3 or abs(value) >= 1e6):
        mantissa, exponent = f"{value:.0e}".split("e")
        return f"{mantissa}e{int(exponent)}"
    if abs(value) >= 10_000:
        return f"{value / 1000:g}k"
    return f"{value:g}"


def _svg(parts: Sequence[str], label: str) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{text(label)}">'
        f"{''.join(parts)}</svg>"
    )


# --- charts -----------------------------------------------------------------------------------


def histogram(values: NDArray[np.integer], *, x_label: str, label: str, mark: float, mark_text: str) -> str:
    """Columns of how often integer values fall into equal bins, with a dashed line at `mark`.

    Args:
        values: (N,) counts such as clip lengths in frames, N >= 1.
        x_label: label of the axis.
        label: what a screen reader says.
        mark: position of a vertical line; the axis always includes it.
        mark_text: its label.
    """
    top = max(float(values.max()), mark) + 1
    step = next(s for s in (1, 2, 5, 10, 20, 25, 50, 100, 200, 500, 1000, 10**9) if top / s <= 27)
    edges = np.arange(0, math.ceil(top / step) * step + step, step)
    counts, _ = np.histogram(values, bins=edges)
    x = Axis(low=0.0, high=float(edges[-1]), start=LEFT, stop=WIDTH - RIGHT)
    y = _y_axis(0.0, float(counts.max()), whole=True)
    parts = _frame(x, y, x_label, [t for t in nice_ticks(0.0, x.high) if t <= x.high])
    for low, count in zip(edges[:-1].tolist(), counts.tolist(), strict=True):
        if count:
            left, right, up = x(low) + 0.6, x(low + step) - 0.6, y(count)
            parts.append(
                f'<rect class="bar" x="{left:.1f}" y="{up:.1f}" width="{max(right - left, 0.8):.1f}" '
                f'height="{y.start - up:.1f}"><title>{low}–{low + step - 1}: {count:,}</title></rect>'
            )
    at = x(mark)
    anchor, shift = ("end", -5) if at > WIDTH / 2 else ("start", 5)
    parts.append(f'<line class="mark" x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 8}" y2="{HEIGHT - BOTTOM}"/>')
    parts.append(
        f'<text class="mark-text" x="{at + shift:.1f}" y="{TOP}" text-anchor="{anchor}">{text(mark_text)}</text>'
    )
    return _svg(parts, label)


@dataclass(frozen=True, kw_only=True)
class Series:
    """One curve: a name, a colour number, and points whose steps ascend."""

    name: str
    colour: int
    steps: Sequence[float]
    values: Sequence[float]


def line_chart(series: Sequence[Series], *, x_label: str, label: str) -> str:
    """Several curves over one axis; logarithmic when they are positive and span more than `LOG_RATIO`.

    Values that are not finite break the curve. More than `MAX_POINTS` points are averaged in equal groups.
    """
    curves = [(s, *_thin(np.asarray(s.steps, float), np.asarray(s.values, float))) for s in series]
    every = np.concatenate([values[np.isfinite(values)] for _, _, values in curves] or [np.empty(0)])
    if not len(every):
        return '<p class="absent">No finite value was logged.</p>'
    low, high = float(every.min()), float(every.max())
    log = low > 0 and high / low > LOG_RATIO
    y = _y_axis(low if log else min(low, 0.0), high, log=log)
    last = max(float(steps[-1]) for _, steps, _ in curves if len(steps))
    x = Axis(low=0.0, high=last or 1.0, start=LEFT, stop=WIDTH - RIGHT)
    parts = _frame(
        x, y, x_label + (" · log scale" if log else ""), [t for t in nice_ticks(0.0, x.high, 4) if t <= x.high]
    )
    for one, steps, values in curves:
        parts.append(_curve(one, x, y, steps, values))
    return _svg(parts, label)


def _curve(series: Series, x: Axis, y: Axis, steps: NDArray[np.floating], values: NDArray[np.floating]) -> str:
    path, pen_up = [], True
    for step, value in zip(steps.tolist(), values.tolist(), strict=True):
        if not math.isfinite(value) or (y.log and value <= 0):
            pen_up = True
            continue
        path.append(f"{'M' if pen_up else 'L'}{x(step):.1f} {y(value):.1f}")
        pen_up = False
    css = f"line s{series.colour % SERIES_CLASSES}"
    dot = ""
    if sum(p.startswith("L") for p in path) == 0 and path:  # a single point has no line
        spot = path[0][1:].split(" ")
        dot = f'<circle class="dot s{series.colour % SERIES_CLASSES}" cx="{spot[0]}" cy="{spot[1]}" r="3"/>'
    return f'<path class="{css}" d="{" ".join(path)}"><title>{text(series.name)}</title></path>{dot}'


def _thin(
    steps: NDArray[np.floating], values: NDArray[np.floating]
) -> tuple[NDArray[np.floating], NDArray[np.floating]]:
    if len(steps) <= MAX_POINTS:
        return steps, values
    groups = np.array_split(np.arange(len(steps)), MAX_POINTS)
    return np.array([steps[g].mean() for g in groups]), np.array([values[g].mean() for g in groups])


def scatter(points: NDArray[np.floating], colours: Sequence[int], names: Sequence[str], *, label: str) -> str:
    """Dots (N, 2) in a square without axes, since their distances alone mean something.

    Args:
        points: places in any unit.
        colours: (N,) numbers as in `Series`; -1 for grey.
        names: (N,) said when a dot is pointed at.
        label: what a screen reader says.
    """
    low, high = points.min(axis=0), points.max(axis=0)
    places = 10 + (points - low) / max(float((high - low).max()), 1e-12) * (WIDTH - 20)
    order = np.argsort(np.asarray(colours), kind="stable")  # grey ones lie below
    dots = [
        f'<circle class="dot {"rest" if colours[k] < 0 else f"s{colours[k] % SERIES_CLASSES}"}" '
        f'cx="{places[k, 0]:.1f}" cy="{places[k, 1]:.1f}" r="3.4"><title>{text(names[k])}</title></circle>'
        for k in order.tolist()
    ]
    tall = 20 + float(places[:, 1].max() - 10)
    box = f'viewBox="0 0 {WIDTH} {tall:.0f}" role="img" aria-label="{text(label)}"'
    return f'<svg class="chart" {box}>{"".join(dots)}</svg>'


def legend(names: Sequence[str]) -> str:
    """The key to the colours of `line_chart`, in the order of their numbers."""
    items = (
        f'<span class="key"><i class="swatch s{k % SERIES_CLASSES}"></i>{text(name)}</span>'
        for k, name in enumerate(names)
    )
    return f'<p class="legend">{"".join(items)}</p>'


def html_table(head: Sequence[str], rows: Iterable[Sequence[str]], numeric: Iterable[int] = (), css: str = "") -> str:
    """A table of ready-made HTML cells; columns in `numeric` are set to the right."""
    right = set(numeric)
    ths = "".join(f'<th class="num">{h}</th>' if k in right else f"<th>{h}</th>" for k, h in enumerate(head))
    body = []
    for row in rows:
        tds = (f'<td class="num">{c}</td>' if k in right else f"<td>{c}</td>" for k, c in enumerate(row))
        body.append(f"<tr>{''.join(tds)}</tr>")
    return (
        f'<div class="scroll"><table class="{css}"><thead><tr>{ths}</tr></thead>'
        f"<tbody>{''.join(body)}</tbody></table></div>"
    )


def absent(sentence: str) -> str:
    """A sentence that says what is not there."""
    return f'<p class="absent">{text(sentence)}</p>'

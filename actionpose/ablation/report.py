"""What a grid leaves for people and programs: table.json, table.md and ablation.png, also of an unfinished grid."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actionpose import charts
from actionpose.ablation.grid import Grid, Outcome, values_of
from actionpose.ablation.settings import LABELS, differs_by, leaves_out
from actionpose.ablation.table import METRICS, TITLES, markdown, metrics_in, summarise
from actionpose.files import write_text

TABLE_JSON, TABLE_MD, FIGURE = "table.json", "table.md", "ablation.png"
CONDITIONS = ("protocol", "split", "frames", "detections", "flip_tta", "fingerprint", "version")


def report(grid: Grid, outcome: Outcome) -> dict[str, Any]:
    """Write table and figure of what is measured; return the content of `table.json`.

    The figure is left out, and `figure` is None, where matplotlib is not installed or nothing is measured.
    """
    rows = [row.name for row in grid.rows]
    cells = values_of(outcome.results, METRICS)
    against = "baseline" if "baseline" in rows else rows[0]
    table = summarise(cells, rows, grid.config.seeds, against)
    whole: dict[str, Any] = {
        "against": against,
        "rows": {row.name: leaves_out(row) for row in grid.rows},
        "settings": {row.name: differs_by(row) for row in grid.rows},
        "reading": grid.config.reading,
        "conditions": _conditions(outcome.results),
        "table": table,
        "cells": cells,
        "missing": outcome.missing,
        "reason": outcome.reason,
        "figure": None,
    }
    if cells and charts.can_draw():
        draw(grid.out / FIGURE, cells, rows, against)
        whole["figure"] = str(grid.out / FIGURE)
    write_text(grid.out / TABLE_JSON, json.dumps(whole, indent=1, ensure_ascii=False) + "\n")
    write_text(grid.out / TABLE_MD, markdown(table, whole))
    return whole


def _conditions(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The conditions of all measurements, to be listed with the numbers."""
    common: dict[str, Any] = {}
    for key in CONDITIONS:
        values = {json.dumps(row[key]): row[key] for row in results if key in row}
        if values:
            common[key] = next(iter(values.values())) if len(values) == 1 else sorted(values)
    return common


# --- the figure -------------------------------------------------------------------------------


def draw(out: Path, cells: Sequence[Mapping[str, Any]], rows: Sequence[str], against: str) -> None:
    """Left the error of every cell, cells of one seed joined, means as bars; right the differences to `against`.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    metric = metrics_in(cells)[0]
    by_seed: dict[int, dict[str, float]] = {}
    for cell in cells:
        by_seed.setdefault(int(cell["seed"]), {})[str(cell["row"])] = float(cell[metric])
    changes = {
        seed: {row: values[row] - values[against] for row in values if row != against}
        for seed, values in by_seed.items()
        if against in values
    }
    others = [row for row in rows if row != against]
    with charts.figure(out, (2.2 + 1.15 * (len(rows) + len(others)), 3.6)) as figure:
        left, right = figure.subplots(1, 2, width_ratios=(len(rows) + 0.4, max(len(others), 1) + 0.4))
        charts.tidy(left, y=TITLES[metric], title="every seed, and the mean")
        _panel(left, by_seed, rows, ".1f")
        charts.tidy(right, y=f"change of {TITLES[metric]}", title=f"against {LABELS.get(against, against)}, paired")
        right.axhline(0, color=charts.SOFT, lw=1)
        _panel(right, changes, others, "+.2f")
        if by_seed:
            left.legend(fontsize=7, frameon=False, labelcolor=charts.SOFT)


def _panel(axis: Any, by_seed: Mapping[int, Mapping[str, float]], rows: Sequence[str], form: str) -> None:
    for number, seed in enumerate(sorted(by_seed)):
        there = [(at, by_seed[seed][row]) for at, row in enumerate(rows) if row in by_seed[seed]]
        if there:
            colour = charts.COLOURS[number % len(charts.COLOURS)]
            axis.plot(
                *zip(*there, strict=True), color=colour, lw=0.9, alpha=0.6, marker="o", ms=4, label=f"seed {seed}"
            )
    for at, row in enumerate(rows):
        values = [values[row] for values in by_seed.values() if row in values]
        if values:
            mean = sum(values) / len(values)
            axis.hlines(mean, at - 0.28, at + 0.28, color=charts.INK, lw=2.4, zorder=3)
            axis.annotate(f"{mean:{form}}", (at + 0.3, mean), fontsize=8, color=charts.INK, va="center")
    axis.set_xticks(range(len(rows)), [LABELS.get(row, row) for row in rows], fontsize=8)
    axis.set_xlim(-0.6, max(len(rows), 1) - 0.2)

"""The ablation table: means over seeds, differences of cells that share a seed, and their files, also of a part.

table.json, table.md and ablation.png (one for each amount of data) hold what is measured so far.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from actionpose import charts
from actionpose.ablation.folder import portion
from actionpose.ablation.grid import Grid, GridProgress
from actionpose.ablation.settings import LABELS, differs_by, leaves_out
from actionpose.files import write_text
from actionpose.jsonl import write_json
from actionpose.runs.seeds import mean_and_spread, paired

METRICS = ("mpjpe_mm", "p_mpjpe_mm", "pck", "auc", "ambiguous_mm", "fast_mm")
"""Numbers of an evaluation that a table may have; those that no cell has are left out."""

PARTS = {"ambiguous_mm": "ambiguous", "fast_mm": "fast"}
"""Those that are the MPJPE of a part of the frames, and where a result has them."""

Cells = Sequence[Mapping[str, Any]]


def metrics_in(cells: Cells) -> tuple[str, ...]:
    """The metrics that every cell has, MPJPE first."""
    return tuple(name for name in METRICS if cells and all(cell.get(name) is not None for cell in cells))


def over_seeds(cells: Cells, rows: Sequence[str], seeds: Sequence[int], against: str = "") -> list[dict[str, Any]]:
    """One dict per row of the table, in the order of `rows`.

    Args:
        cells: `row`, `seed` and metrics of each finished cell.
        rows: names of all rows, finished or not.
        seeds: all seeds asked for.
        against: the row that differences are taken to; empty: `baseline` if there, else the first.

    Returns:
        `row`, `n`, `seeds`, `missing` and for each metric m: `m` (mean), `m_sd` (standard deviation over seeds,
        n - 1 in the denominator), `m_change`, `m_change_sd` and `m_change_ci` (the same of the differences to
        `against`, over the seeds both have, and half of the mean's 95 % confidence interval), `pairs` (how many those
        are) and `m_lower` (in how many of them the row is lower). What cannot be computed is None.
    """
    against = against or ("baseline" if "baseline" in rows else rows[0])
    names = metrics_in(cells)
    by_row = {row: {int(c["seed"]): c for c in cells if c["row"] == row and c["seed"] in seeds} for row in rows}
    table = []
    for row in rows:
        mine = {seed: by_row[row][seed] for seed in seeds if seed in by_row[row]}
        theirs = by_row[against] if row != against else {}
        line: dict[str, Any] = {
            "row": row,
            "n": len(mine),
            "pairs": len(mine.keys() & theirs.keys()),
            "seeds": list(mine),
            "missing": [seed for seed in seeds if seed not in mine],
        }
        for name in names:
            values, others = ({seed: float(cell[name]) for seed, cell in side.items()} for side in (mine, theirs))
            change = paired(values, others)
            line[name], line[f"{name}_sd"] = mean_and_spread(list(values.values()))
            line[f"{name}_change"], line[f"{name}_change_sd"] = change.mean, change.spread
            line[f"{name}_change_ci"] = change.margin
            line[f"{name}_lower"] = change.lower
        table.append(line)
    return table


# --- for people -------------------------------------------------------------------------------


def terminal_rows(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table for `--format table|csv`: short columns, one line a row."""
    lines = []
    for line in table:
        shown: dict[str, Any] = {"row": line["row"], "n": line["n"]}
        if any(other.get("minutes") for other in table):
            shown = {"minutes": line["minutes"] or "all", **shown}
        for name in (name for name in METRICS if name in line):
            numbers = (line[name + end] for end in ("", "_sd", "_change", "_change_ci"))
            mean, sd, change, margin = (None if number is None else round(number, 2) for number in numbers)
            if name == METRICS[0]:
                lower = f"{line[f'{name}_lower']}/{line['pairs']}" if line["pairs"] else ""
                shown |= {name: mean, "sd": sd, "change": change, "ci95": margin, "lower": lower}
            else:
                shown |= {name: mean, f"{name}_change": change, f"{name}_ci95": margin}
        lines.append(shown)
    return lines


def markdown(table: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """The table as a page: mean ± spread, paired change ± spread (pairs), and what is missing, by name."""
    text = ["# Ablation", ""]
    amounts = list(dict.fromkeys(line.get("minutes", 0.0) for line in table))
    for minutes in amounts:
        if len(amounts) > 1:
            text += [f"## Fine-tuned on {f'{minutes:g} minutes' if minutes else 'all motion'}", ""]
        text += [*_markdown_table([line for line in table if line.get("minutes", 0.0) == minutes], about["rows"]), ""]
    text += [
        f"Differences are to `{about['against']}`, seed by seed. ± of a mean is the standard deviation over seeds, "
        "of a difference its 95 % confidence interval.",
        "",
    ]
    text += [f"- {key}: {value}" for key, value in about["conditions"].items()]
    if about["missing"]:
        text += ["", "Not measured yet: " + ", ".join(about["missing"]) + "."]
    return "\n".join(text) + "\n"


def _markdown_table(table: Sequence[Mapping[str, Any]], rows: Mapping[str, str]) -> list[str]:
    names = [name for name in METRICS if any(name in line for line in table)]
    head = ["row", "what pretraining leaves out", "seeds"]
    for name in names:
        head += [TITLES[name], f"change of {TITLES[name]}, paired"]
    lines = [head, ["---"] * len(head)]
    for line in table:
        cells = [LABELS.get(line["row"], line["row"]), rows.get(line["row"], ""), str(line["n"])]
        for name in names:
            cells.append(_plus_minus(line[name], line[f"{name}_sd"]))
            change = _plus_minus(line[f"{name}_change"], line[f"{name}_change_ci"], sign=True)
            cells.append(f"{change} ({line['pairs']} pairs)" if line["pairs"] else change)
        lines.append(cells)
    return [f"| {' | '.join(cells)} |" for cells in lines]


TITLES = {
    "mpjpe_mm": "MPJPE (mm)",
    "p_mpjpe_mm": "P-MPJPE (mm)",
    "pck": "PCK@150 (%)",
    "auc": "AUC (%)",
    "ambiguous_mm": "MPJPE of ambiguous limbs (mm)",
    "fast_mm": "MPJPE of fast frames (mm)",
}


def _plus_minus(value: float | None, spread: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    text = f"{value:+.2f}" if sign else f"{value:.2f}"
    return f"{text} ± {spread:.2f}" if spread is not None else text


# --- files ------------------------------------------------------------------------------------

TABLE_JSON, TABLE_MD, FIGURE = "table.json", "table.md", Path("ablation.png")
CONDITIONS = ("protocol", "split", "frames", "detections", "flip_tta", "fingerprint", "version")


def write_table(grid: Grid, outcome: GridProgress) -> dict[str, Any]:
    """Write table and figure of what is measured; return the content of `table.json`.

    The figure is left out, and `figure` is None, where matplotlib is not installed or nothing is measured.
    """
    rows = [row.name for row in grid.rows]
    cells = [_cell(found) for found in outcome.results]
    against = "baseline" if "baseline" in rows else rows[0]
    table = [
        {**line, "minutes": minutes}
        for minutes in grid.config.minutes
        for line in over_seeds([c for c in cells if c["minutes"] == minutes], rows, grid.config.seeds, against)
    ]
    whole: dict[str, Any] = {
        "against": against,
        "rows": {row.name: leaves_out(row) for row in grid.rows},
        "settings": {row.name: differs_by(row) for row in grid.rows},
        "reading": grid.config.reading,
        "conditions": common_conditions(outcome.results),
        "table": table,
        "cells": cells,
        "missing": outcome.missing,
        "reason": outcome.reason,
        "figure": None,
    }
    for minutes in grid.config.minutes if charts.can_draw() else ():
        mine = [cell for cell in cells if cell["minutes"] == minutes]
        if mine:
            figure = grid.out / f"{FIGURE.stem}{portion(minutes)}{FIGURE.suffix}"
            draw(figure, mine, rows, against)
            whole["figure"] = whole["figure"] or str(figure)
    write_json(grid.out / TABLE_JSON, whole)
    write_text(grid.out / TABLE_MD, markdown(table, whole))
    return whole


def _cell(found: Mapping[str, Any]) -> dict[str, Any]:
    parts = {name: (found.get(part) or {}).get("mpjpe_mm") for name, part in PARTS.items()}
    numbers = {name: found.get(name, parts.get(name)) for name in METRICS}
    about = {"row": found["row"], "seed": found["seed"], "minutes": found.get("minutes", 0.0)}
    return about | {k: v for k, v in numbers.items() if v is not None}


def common_conditions(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The conditions of all measurements; a list where they differ."""
    common: dict[str, Any] = {}
    for key in CONDITIONS:
        values = {json.dumps(row[key]): row[key] for row in results if key in row}
        if values:
            first, *others = values.values()
            common[key] = [first, *others] if others else first
    return common


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

"""The arithmetic of an ablation table: means over seeds, and differences of cells that share a seed.

Rows of one seed have the same order of samples and the same detections, so effects of a seed that all rows share cancel
of the difference; its spread says how sure a change is, which the spread of a row does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from actionpose.ablation.settings import LABELS
from actionpose.runs.seeds import mean_and_spread, paired

METRICS = ("mpjpe_mm", "p_mpjpe_mm", "pck", "auc")
"""Numbers of an evaluation that a table may have; those that no cell has are left out."""

Cells = Sequence[Mapping[str, Any]]


def metrics_in(cells: Cells) -> tuple[str, ...]:
    """The metrics that every cell has, MPJPE first."""
    return tuple(name for name in METRICS if cells and all(cell.get(name) is not None for cell in cells))


def summarise(cells: Cells, rows: Sequence[str], seeds: Sequence[int], against: str = "") -> list[dict[str, Any]]:
    """One dict per row of the table, in the order of `rows`.

    Args:
        cells: `row`, `seed` and metrics of each finished cell.
        rows: names of all rows, finished or not.
        seeds: all seeds asked for.
        against: the row that differences are taken to; empty: `baseline` if there, else the first.

    Returns:
        `row`, `n`, `seeds`, `missing` and for each metric m: `m` (mean), `m_sd` (standard deviation over seeds,
        n - 1 in the denominator), `m_change` and `m_change_sd` (the same of the differences to `against`, over the
        seeds both have), `pairs` (how many those are) and `m_lower` (in how many of them the row is lower). What
        cannot be computed is None.
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
            line[f"{name}_lower"] = change.lower
        table.append(line)
    return table


# --- for people -------------------------------------------------------------------------------


def terminal_rows(table: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The table for `--format table|csv`: short columns, one line a row."""
    lines = []
    for line in table:
        shown: dict[str, Any] = {"row": line["row"], "n": line["n"]}
        for name in METRICS:
            if name in line:
                shown |= {
                    name: _rounded(line[name]),
                    "sd": _rounded(line[f"{name}_sd"]),
                    "change": _rounded(line[f"{name}_change"]),
                    "change_sd": _rounded(line[f"{name}_change_sd"]),
                    "lower": f"{line[f'{name}_lower']}/{line['pairs']}" if line["pairs"] else "",
                } if name == METRICS[0] else {
                    name: _rounded(line[name]),
                    f"{name}_change": _rounded(line[f"{name}_change"]),
                    f"{name}_change_sd": _rounded(line[f"{name}_change_sd"]),
                }  # fmt: skip
        lines.append(shown)
    return lines


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


def markdown(table: Sequence[Mapping[str, Any]], about: Mapping[str, Any]) -> str:
    """The table as a page: mean ± spread, paired change ± spread (pairs), and what is missing, by name."""
    names = [name for name in METRICS if any(name in line for line in table)]
    head = ["row", "what pretraining leaves out", "seeds"]
    for name in names:
        head += [TITLES[name], f"change of {TITLES[name]}, paired"]
    lines = [" | ".join(head), " | ".join(["---"] * len(head))]
    for line in table:
        cells = [LABELS.get(line["row"], line["row"]), about["rows"].get(line["row"], ""), str(line["n"])]
        for name in names:
            cells.append(_plus_minus(line[name], line[f"{name}_sd"]))
            change = _plus_minus(line[f"{name}_change"], line[f"{name}_change_sd"], sign=True)
            cells.append(f"{change} ({line['pairs']} pairs)" if line["pairs"] else change)
        lines.append(" | ".join(cells))
    text = ["# Ablation", "", *(f"| {line} |" for line in lines), ""]
    text += [f"Differences are to `{about['against']}`, seed by seed; ± is the standard deviation over seeds.", ""]
    text += [f"- {key}: {value}" for key, value in about["conditions"].items()]
    if about["missing"]:
        text += ["", "Not measured yet: " + ", ".join(about["missing"]) + "."]
    return "\n".join(text) + "\n"


TITLES = {"mpjpe_mm": "MPJPE (mm)", "p_mpjpe_mm": "P-MPJPE (mm)", "pck": "PCK@150 (%)", "auc": "AUC (%)"}


def _plus_minus(value: float | None, spread: float | None, *, sign: bool = False) -> str:
    if value is None:
        return "–"
    text = f"{value:+.2f}" if sign else f"{value:.2f}"
    return f"{text} ± {spread:.2f}" if spread is not None else text

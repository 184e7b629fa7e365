"""Robustness of runs as files: curves of several runs, measured on the same degraded input, as CSV, JSON and PNG."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionpose import charts
from actionpose.config import differences, to_dict
from actionpose.errors import UserError
from actionpose.files import atomic_folder, write_text
from actionpose.jsonl import write_json
from actionpose.robustness.curves import RobustRecipe, measure_robustness, robust_table
from actionpose.robustness.perturb import CURVES, NAMED
from actionpose.runs import evaluate as evaluation
from actionpose.runs.seeds import mean_and_spread
from actionpose.shards import ShardSet
from actionpose.train import checkpoint
from actionpose.train.runtime import start

CSV, JSON, PNG = "robustness.csv", "robustness.json", "robustness.png"
COLUMNS = (
    "label", "run", "seed", "curve", "level", "amount", "frames", "mpjpe_mm", "p_mpjpe_mm", "hidden_share",
    "hidden_mm", "hidden_clean_mm",
)  # fmt: skip

SAME = ("clip_frames", "views", "centre", "scale", "camera", "detections", "detection_seed")
"""Settings of `data` that decide what a model is shown; runs that are compared must agree on them."""


@dataclass(frozen=True, kw_only=True)
class MeasuredRun:
    """A run to measure: what it is called in the figure, and its checkpoint. Equal labels are averaged there."""

    label: str
    found: checkpoint.Checkpoint
    recipe: RobustRecipe


def robustness(
    subjects: Sequence[MeasuredRun],
    data: Path,
    out: Path,
    *,
    argv: list[str],
    version: str,
    say: Callable[[str], None] = lambda text: None,
) -> dict[str, Any]:
    """Measure runs on the same degraded input, write `out` in one rename, and return the content of the JSON file.

    Raises:
        UserError: runs that were not trained for the same input; `out` in use by something else.
    """
    _check_out(out)
    _comparable(subjects)
    shards = ShardSet(data)
    recipe = subjects[0].recipe
    table = robust_table(shards, recipe.data, recipe.eval)
    rows: list[dict[str, Any]] = []
    with start(recipe.run) as runtime:
        for subject in subjects:
            say(f"{subject.label}: {subject.found.path}")
            model = evaluation.load_model(subject.found).to(runtime.device)
            about = {
                "label": subject.label,
                "run": str(subject.found.path),
                "seed": subject.found.meta["recipe"]["run"]["seed"],
            }
            found = measure_robustness(model.lift, table, recipe, recipe.robust, runtime)
            rows += [{**about, **row} for row in found]
    whole = {
        "protocol": table.cut.protocol.name,
        "average": "over frames",
        "split": table.config.split,
        "detections": "stored" if table.stored_2d else recipe.data.detections,
        "flip_tta": recipe.eval.flip_tta,
        "clip_frames": recipe.data.clip_frames,
        "windows": min(recipe.robust.windows or len(table), len(table)),
        "data": str(data),
        "fingerprint": shards.fingerprint,
        "version": version,
        "command": " ".join(argv),
        "settings": to_dict(recipe.robust),
        "rows": rows,
    }
    write(out, whole)
    return whole


def _comparable(subjects: Sequence[MeasuredRun]) -> None:
    first = subjects[0]
    for other in subjects[1:]:
        old, new = ({key: to_dict(s.recipe.data)[key] for key in SAME} for s in (first, other))
        if lines := differences(old, new):
            raise UserError(
                f"{first.found.path} and {other.found.path} were trained for different input:\n  data."
                + "\n  data.".join(lines),
                "measure them separately, or set the same for both: -o data.KEY=VALUE",
            )


def _check_out(out: Path) -> None:
    """Refuse a folder that contains anything but an older report."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file", "give another folder to --out")
    if out.is_dir() and {path.name for path in out.iterdir()} - {CSV, JSON, PNG}:
        raise UserError(f"{out} contains files that are not a robustness report", "give a new folder to --out")


# --- files ------------------------------------------------------------------------------------


def write(out: Path, whole: Mapping[str, Any]) -> None:
    """The three files in one rename; without matplotlib the figure is left out."""
    with atomic_folder(out) as aside:
        write_json(aside / JSON, whole)
        write_text(aside / CSV, _csv(whole["rows"]))
        if charts.can_draw():
            draw(aside / PNG, whole["rows"])


def _csv(rows: Iterable[Mapping[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def averaged(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Rows averaged over the runs of one label, in the order they came; None where no run has a number.

    `runs` says how many there are, `mpjpe_sd` how far apart.
    """
    groups: dict[tuple[str, str, str], list[Mapping[str, Any]]] = {}
    for row in rows:
        groups.setdefault((row["label"], row["curve"], row["level"]), []).append(row)
    made = []
    for (label, curve, level), members in groups.items():
        line: dict[str, Any] = {"label": label, "curve": curve, "level": level, "amount": members[0]["amount"]}
        for name in ("mpjpe_mm", "p_mpjpe_mm", "hidden_mm", "hidden_clean_mm"):
            line[name], spread = mean_and_spread([m[name] for m in members if m[name] is not None])
            if name == "mpjpe_mm":
                line["mpjpe_sd"] = spread
        made.append({**line, "runs": len(members)})
    return made


def terminal_rows(rows: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """A line per curve and level, one column of MPJPE per label, and one for hidden joints if any are hidden."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for row in averaged(rows):
        line = lines.setdefault((row["curve"], row["level"]), {"curve": row["curve"], "level": row["level"]})
        line[row["label"]] = round(row["mpjpe_mm"], 2)
        hidden = row["hidden_mm"]
        line[f"{row['label']}, hidden"] = None if hidden is None else round(hidden, 2)
    return list(lines.values())


# --- the figure -------------------------------------------------------------------------------


def draw(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """One panel per curve, one colour per label: MPJPE of whole poses as solid lines, of hidden joints dashed.

    Runs that share a label are drawn as their mean, with a band from the best to the worst.

    Raises:
        UserError: matplotlib is not installed, or the file cannot be written.
    """
    curves = list(dict.fromkeys(row["curve"] for row in rows))
    labels = list(dict.fromkeys(row["label"] for row in rows))
    columns = min(4, len(curves))
    height = -(-len(curves) // columns)
    with charts.figure(out, (3.5 * columns, 2.9 * height + 0.4)) as figure:
        axes = figure.subplots(height, columns, squeeze=False).flatten()
        for axis, curve in zip(axes, curves, strict=False):
            charts.tidy(axis, x=CURVES[curve], y="MPJPE (mm)")
            for number, label in enumerate(labels):
                mine = [row for row in rows if row["curve"] == curve and row["label"] == label]
                offset = 0.12 * (number - (len(labels) - 1) / 2)
                _draw_curve(axis, mine, charts.COLOURS[number % len(charts.COLOURS)], label, offset)
            _ticks(axis, [row for row in rows if row["curve"] == curve])
        for axis in axes[len(curves) :]:
            axis.set_visible(False)
        handles, names = axes[0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper left", ncols=4, frameon=False, fontsize=8)


def _draw_curve(axis: Any, rows: Sequence[Mapping[str, Any]], colour: str, label: str, offset: float) -> None:
    """One label's curve; for curves over names, `offset` shifts points sideways so that labels do not overlap."""
    lines = sorted(averaged(rows), key=lambda line: line["amount"])
    named = bool(lines) and lines[0]["curve"] in NAMED
    move = offset if named else 0.0
    x = [line["amount"] + move for line in lines]
    style = {"color": colour, "ms": 4, "lw": 0 if named else 1.6}
    axis.plot(x, [line["mpjpe_mm"] for line in lines], marker="o", label=label, **style)
    every = {line["amount"]: [r["mpjpe_mm"] for r in rows if r["amount"] == line["amount"]] for line in lines}
    if any(len(values) > 1 for values in every.values()):
        low, high = [min(values) for values in every.values()], [max(values) for values in every.values()]
        if named:
            axis.vlines(x, low, high, color=colour, lw=1, alpha=0.6)
        else:
            axis.fill_between(x, low, high, color=colour, alpha=0.15, lw=0)
    hidden = [line for line in lines if line["hidden_mm"] is not None]
    if hidden:
        style["lw"] = 0 if named else 1.1
        ys = [line["hidden_mm"] for line in hidden]
        places = [line["amount"] + move for line in hidden]
        axis.plot(places, ys, ls="--", marker="x", label=f"{label}, hidden alone", **style)


def _ticks(axis: Any, rows: Sequence[Mapping[str, Any]]) -> None:
    names = {row["amount"]: row["level"] for row in rows}
    if rows and rows[0]["curve"] in NAMED:
        axis.set_xticks(list(names), [str(name) for name in names.values()], rotation=30, ha="right")
    if rows and rows[0]["curve"] == "rate":
        axis.set_xscale("log", base=2)
        axis.set_xticks(list(names), [f"{amount:g}" for amount in names])

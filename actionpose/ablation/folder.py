"""A grid's folder: what `grid.json` says, whether it matches the grid to be resumed, which cells are finished."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from actionpose.config import differences, flat
from actionpose.errors import UserError
from actionpose.runs.folder import CONFIG
from actionpose.train import checkpoint

GRID = "grid.json"
SCHEMA, VERSION = "actionpose-ablation", 1


def portion(minutes: float) -> str:
    """What the names of a cell's files end in when it is fine-tuned on so many minutes; nothing for all of them."""
    return f"-{minutes:g}min" if minutes else ""


def finished(run: Path) -> bool:
    """Whether a run folder holds a run that reached its last step."""
    if not (run / CONFIG).is_file():
        return False
    found = checkpoint.latest(run)
    return found is not None and bool(found.meta["state"]["finished"])


def read_grid(out: Path) -> dict[str, Any]:
    """A grid's `grid.json`.

    Raises:
        UserError: not there, damaged, or of a newer version.
    """
    file = out / GRID
    try:
        about = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise UserError(
            f"{out} is not a grid: it has no {GRID}", "give the --out folder of `ap-train ablate`"
        ) from error
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{file} is damaged: {error}", "start a new grid in another folder") from error
    if not isinstance(about, dict) or about.get("schema") != SCHEMA or about.get("version", 0) > VERSION:
        raise UserError(
            f"{file} does not describe a grid this program reads", "update actionpose, or use another --out"
        )
    return about


def cells_of(out: Path) -> list[tuple[str, Path]]:
    """(row, fine-tuned run) of the finished cells of a grid folder, rows as in its `grid.json`, seeds ascending.

    Of a grid with several amounts of data, the cells with most.

    Raises:
        UserError: not a grid, or nothing in it is finished.
    """
    found, grid = [], read_grid(out)
    minutes = grid["settings"]["ablate"].get("minutes", [0.0])
    stage = "finetune" + portion(0.0 if 0.0 in minutes else max(minutes))
    for row in grid["rows"]:
        runs = [(int(p.name.rpartition("-seed")[2]), p / stage) for p in out.glob(f"{row}-seed*")]
        found += [(row, run) for _, run in sorted(runs) if finished(run)]
    if not found:
        raise UserError(f"{out}: no cell of the grid is finished", "continue the grid: its command with --resume")
    return found


FREE = (
    "eval.",
    "run.",
    "ablate.rows",
    "ablate.own_rows",
    "ablate.seeds",
    "ablate.minutes",
    "ablate.measure_pretraining",
)
"""Settings that may change between calls: they leave what cells hold as it is, or are looked at cell by cell."""


def same_grid(out: Path, old: dict[str, Any], new: dict[str, Any], defaults: dict[str, Any]) -> None:
    """Refuse to resume a grid as a different one; rows and seeds may be added.

    Args:
        out: the grid's folder.
        old: what it was started with.
        new: what is asked for now.
        defaults: all settings at their defaults: what those that are newer than the grid had in it.

    Raises:
        UserError: settings, rows of the same name, or shards that differ, each named.
    """
    before, after = flat(defaults) | flat(old["settings"]), flat(new["settings"])
    keep = [key for key in before.keys() | after.keys() if not key.startswith(FREE)]
    lines = differences({k: before.get(k) for k in keep}, {k: after.get(k) for k in keep})
    both = old["rows"].keys() & new["rows"].keys()
    lines += differences({f"row {k}": old["rows"][k] for k in both}, {f"row {k}": new["rows"][k] for k in both})
    lines += differences({"shards": old["data"]}, {"shards": new["data"]})
    if lines:
        raise UserError(
            f"{out} was started with other settings or data:\n  " + "\n  ".join(lines),
            "continue with the original command and --resume, or start a new grid in another folder",
        )

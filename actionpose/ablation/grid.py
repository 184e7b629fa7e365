"""The ablation grid: what each part of pretraining adds to fine-tuning, over seeds (paper, Table 3).

A cell is one row and one seed, and one amount of data where there are several (`ablate.minutes`): pretrain (unless the
row has none), fine-tune, measure. Rows differ in pretraining alone, which the amounts share; cells of one seed share
the order of fine-tuning's samples, their flips and their detections, so that rows are compared seed by seed.

DIR/grid.json                          what the grid was started with; resuming with anything else is refused
DIR/<row>-seed<k>/pretrain, finetune   ordinary run folders
DIR/<row>-seed<k>/result.json          the measurement, and what it was made with
DIR/<row>-seed<k>/finetune-5min, result-5min.json   the same of fine-tuning on five minutes
DIR/table.json, table.md, ablation.png
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from actionpose.ablation.folder import GRID, SCHEMA, VERSION, finished, portion, read_grid, same_grid
from actionpose.ablation.settings import AblateConfig, AblateRecipe, AblationRow, changed, differs_by, rows_of
from actionpose.config import Resolved, fingerprint, to_dict
from actionpose.data.selection import select_motions
from actionpose.errors import UserError
from actionpose.evaluate.lifting import held_out
from actionpose.evaluate.result import Result
from actionpose.jsonl import write_json
from actionpose.runs import evaluate as evaluation
from actionpose.runs import train as training
from actionpose.runs.folder import CONFIG, RESULTS, claimed
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train import checkpoint
from actionpose.train.log import duration


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One row with one seed, fine-tuned on some minutes (0: all); `folder` holds its runs."""

    row: AblationRow
    seed: int
    minutes: float
    folder: Path

    @property
    def name(self) -> str:
        """As its folder is called, and the minutes."""
        return self.folder.name + portion(self.minutes)

    @property
    def finetune(self) -> Path:
        """Run folder of the fine-tuning."""
        return self.folder / f"finetune{portion(self.minutes)}"

    @property
    def result(self) -> Path:
        """The measurement."""
        return self.folder / f"result{portion(self.minutes)}.json"


@dataclass(frozen=True, kw_only=True)
class GridProgress:
    """How far the grid came: the measurements there are, and why it ended (`done`, `budget`, a signal's name)."""

    reason: str
    results: list[dict[str, Any]]
    missing: list[str]


# --- one grid ---------------------------------------------------------------------------------


class Grid:
    """The cells of a grid and their progress.

    Args:
        resolved: recipe with its `ablate` section.
        data: shards of pretraining.
        target: shards of fine-tuning and measuring; None: the same.
        out: folder of the grid.

    Raises:
        UserError: rows that do not exist, shards that do not fit, pretraining that would see what is measured on.
    """

    def __init__(self, resolved: Resolved[AblateRecipe], data: Path, target: Path | None, out: Path) -> None:
        self.resolved, self.out = resolved, out
        self.data, self.target = data, target or data
        self.config: AblateConfig = resolved.value.ablate
        self.rows = rows_of(self.config)
        self.cells = [
            Cell(row=row, seed=seed, minutes=minutes, folder=out / f"{row.name}-seed{seed}")
            for seed in self.config.seeds
            for row in self.rows
            for minutes in self.config.minutes
        ]
        self.shards = {"pretrain": ShardSet(data), "finetune": ShardSet(self.target)}
        pretrained = any(row.changes is not None for row in self.rows)
        _refuse_leak(
            self.shards, self.recipe("pretrain", None, 0) if pretrained else None, self.recipe("finetune", None, 0)
        )

    def recipe(self, stage: str, row: AblationRow | None, seed: int) -> Recipe:
        """What one stage of a cell is run with, but for first weights and time."""
        return self.resolved_recipe(stage, row, seed).value

    def resolved_recipe(self, stage: str, row: AblationRow | None, seed: int, *more: str) -> Resolved[Recipe]:
        """The same with where each value came from; `more` are further settings."""
        config, one_set = self.config, self.data == self.target
        settings = [f"run.seed={seed}"]
        if config.target_subjects and stage == "finetune":
            settings.append(f"data.subjects_include={json.dumps(list(config.target_subjects))}")
        if config.target_subjects and stage == "pretrain" and one_set:
            hidden = {*self.resolved.value.data.subjects_exclude, *config.target_subjects}
            settings.append(f"data.subjects_exclude={json.dumps(sorted(hidden))}")
        if config.checkpoint == "last":
            # Nothing is chosen, so nothing needs to be measured on the way.
            settings.append(f"{stage}.eval_every=0")
        only = config.pretrain if stage == "pretrain" else config.finetune
        row_changes = (row.changes or ()) if row is not None and stage == "pretrain" else ()
        return changed(self.resolved, [*settings, *only, *row_changes, *more])

    def plan(self) -> list[dict[str, Any]]:
        """What each row would do, for `--dry-run`; reads tables and writes nothing."""
        rows = []
        for row in self.rows:
            steps = {}
            for stage in ("pretrain", "finetune"):
                if stage == "finetune" or row.changes is not None:
                    made = training.plan(stage, self.resolved_recipe(stage, row, 0), self.shards_of(stage))
                    steps[stage] = (
                        f"{made['steps']} steps of {made['batch']} over {made['samples']} samples "
                        f"of up to {made['longest']} frames"
                    )
            rows.append(
                {
                    "row": row.name,
                    "seeds": list(self.config.seeds),
                    "minutes": [minutes or "all" for minutes in self.config.minutes],
                    "pretraining": steps.get("pretrain", "none"),
                    "differs from `both` by": differs_by(row),
                    "fine-tuning": steps["finetune"],
                }
            )
        return rows

    def shards_of(self, stage: str) -> Path:
        """The shard folder of a stage."""
        return self.data if stage == "pretrain" else self.target

    # --- the folder -------------------------------------------------------------------------

    def open(self, *, resume: bool, argv: list[str]) -> None:
        """Make the grid's folder, or check that what is there is this grid.

        Raises:
            UserError: the folder is in use, or was started with other settings or data.
        """
        now = self._describe(argv)
        if claimed(self.out, GRID, "grid", resume=resume):
            before = read_grid(self.out)
            same_grid(self.out, before, now, to_dict(AblateRecipe()))
            now["rows"] = {**before["rows"], **now["rows"]}
        write_json(self.out / GRID, now)

    def _describe(self, argv: list[str]) -> dict[str, Any]:
        return {
            "schema": SCHEMA,
            "version": VERSION,
            "argv": argv,
            "data": {stage: shards.fingerprint for stage, shards in self.shards.items()},
            "folders": {"pretrain": str(self.data), "finetune": str(self.target)},
            "rows": {row.name: None if row.changes is None else list(row.changes) for row in self.rows},
            "settings": to_dict(self.resolved.value),
        }

    # --- the work ---------------------------------------------------------------------------

    def run(
        self, *, argv: list[str], version: str, minutes: float = 0.0, say: Callable[[str], None] = lambda text: None
    ) -> GridProgress:
        """Do what is left, cell by cell and seed by seed, until all is done or the time is up.

        Args:
            argv: the command as typed, for the records of the runs.
            version: of the toolkit.
            minutes: for the whole call; 0: no limit. One piece of work is always started, however short the time.
            say: takes a line for people.
        """
        work = _Work(self, argv=argv, version=version, minutes=minutes, say=say)
        reason = "done"
        try:
            with _stoppable():
                for number, cell in enumerate(self.cells, 1):
                    reason = work.cell(cell, f"cell {number} of {len(self.cells)}, {cell.name}")
                    if reason != "done":
                        break
        except _Stopped as stopped:
            reason = str(stopped)
        return GridProgress(reason=reason, results=self.results(), missing=self.missing())

    def results(self) -> list[dict[str, Any]]:
        """Measurements that are there and still hold, in the order of the cells."""
        return [row for cell in self.cells if (row := self.result(cell)) is not None]

    def missing(self) -> list[str]:
        """Names of the cells without a measurement."""
        return [cell.name for cell in self.cells if self.result(cell) is None]

    def result(self, cell: Cell) -> dict[str, Any] | None:
        """The cell's measurement; None when it is not there, or was made in another way or of another checkpoint."""
        try:
            row = json.loads(cell.result.read_text(encoding="utf-8"))
        except (FileNotFoundError, json.JSONDecodeError):
            return None
        found = self.measured(cell)
        return row if found is not None and row.get("key") == self.key(found, cell.minutes) else None

    def measured(self, cell: Cell) -> checkpoint.Checkpoint | None:
        """The checkpoint the cell is measured by; None before fine-tuning is finished."""
        folder = cell.finetune
        if not finished(folder):
            return None
        return checkpoint.latest(folder) if self.config.checkpoint == "last" else checkpoint.find(folder)

    def key(self, found: checkpoint.Checkpoint, minutes: float) -> str:
        """What a measurement depends on: weights, how it is measured, and on what."""
        recipe = self.resolved_recipe("finetune", None, 0, *_limit(minutes)).value
        return fingerprint(
            {
                "weights": found.meta["files"][checkpoint.WEIGHTS],
                "eval": to_dict(recipe.eval),
                "data": to_dict(recipe.data),
                "shards": self.shards["finetune"].fingerprint,
            }
        )


class _Stopped(Exception):
    """A signal outside of training; what was at work is done again."""


@contextlib.contextmanager
def _stoppable() -> Iterator[None]:
    """SIGTERM and Ctrl-C end a measurement at once; while it lasts, training looks after them itself, and saves."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _Stopped(signal.Signals(number).name)

    if threading.current_thread() is not threading.main_thread():  # where Python allows no handlers
        yield
        return
    before = {number: signal.signal(number, stop) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class _Work:
    """One call's share of a grid: knows the time, and stops at the first reason to."""

    def __init__(
        self, grid: Grid, *, argv: list[str], version: str, minutes: float, say: Callable[[str], None]
    ) -> None:
        self.grid, self.argv, self.version, self.say = grid, argv, version, say
        self.until = time.monotonic() + 60 * minutes if minutes else None
        self.started_work = False
        self.started = time.monotonic()

    def cell(self, cell: Cell, name: str) -> str:
        """Pretrain, fine-tune, measure; what is there already is kept."""
        if self.grid.result(cell) is not None:
            return "done"
        init = self.grid.resolved.value.init.pose
        if cell.row.changes is not None:
            reason = self._train("pretrain", cell, name, init)
            if reason == "done" and self.grid.config.measure_pretraining:
                reason = self._measure_pretraining(cell, name)
            if reason != "done":
                return reason
            init = str(_last(cell.folder / "pretrain").path)
        reason = self._train("finetune", cell, name, init, *_limit(cell.minutes))
        return self._measure(cell, name) if reason == "done" else reason

    def _left(self) -> float | None:
        """Minutes left, None without a limit; the first piece of work of a call always gets some."""
        if self.until is None:
            return None
        left = (self.until - time.monotonic()) / 60
        floor = 0.0 if self.started_work else 1e-6
        self.started_work = True
        return max(left, floor)

    def _train(self, stage: Any, cell: Cell, name: str, init: str, *more: str) -> str:
        folder = cell.finetune if stage == "finetune" else cell.folder / stage
        if finished(folder):
            return "done"
        left = self._left()
        if left == 0:
            return "budget"
        if folder.is_dir() and not (folder / CONFIG).is_file():
            shutil.rmtree(folder)  # killed before it was a run
        self.say(f"{name}: {stage}{' (resumed)' if folder.is_dir() else ''}")
        budget = () if left is None else (f"run.budget_minutes={left!r}",)
        resolved = self.grid.resolved_recipe(
            stage, cell.row, cell.seed, f"init.pose={json.dumps(init)}", *more, *budget
        )
        made = training.train(
            stage, resolved, self.grid.shards_of(stage), folder, resume=True, argv=self.argv, version=self.version
        )
        return "done" if made["finished"] else str(made["reason"])

    def _measure(self, cell: Cell, name: str) -> str:
        found = self.grid.measured(cell)
        assert found is not None
        if self._left() == 0:
            return "budget"
        self.say(f"{name}: measuring")
        result = self._evaluate("finetune", cell, found)
        about = {"row": cell.row.name, "seed": cell.seed, "minutes": cell.minutes}
        write_json(cell.result, {**result.to_json(), **about, "key": self.grid.key(found, cell.minutes)})
        self.say(f"{name}: MPJPE {result.mpjpe_mm:.2f} mm; {duration(time.monotonic() - self.started)} since the start")
        return "done"

    def _measure_pretraining(self, cell: Cell, name: str) -> str:
        """One evaluation of the pretraining run, kept in its own results; for those who ask what it learned."""
        found = _last(cell.folder / "pretrain")
        if (cell.folder / "pretrain" / RESULTS).is_file():
            return "done"
        if self._left() == 0:
            return "budget"
        self.say(f"{name}: measuring what pretraining learned")
        self._evaluate("pretrain", cell, found)
        return "done"

    def _evaluate(self, stage: str, cell: Cell, found: checkpoint.Checkpoint) -> Result:
        """Measure a checkpoint with its own recipe, but as the grid says."""
        asked = self.grid.recipe(stage, cell.row, cell.seed)
        recipe = dataclasses.replace(evaluation.recipe_of(found), eval=asked.eval, run=asked.run)
        data = self.grid.shards_of(stage)
        return evaluation.evaluate(found.path, data, recipe, argv=self.argv, version=self.version)


# --- small questions --------------------------------------------------------------------------


def _limit(minutes: float) -> tuple[str, ...]:
    """The setting of fine-tuning on so many minutes; none for all, so that a recipe's own limit holds."""
    return (f"data.max_minutes={minutes}",) if minutes else ()


def _last(run: Path) -> checkpoint.Checkpoint:
    found = checkpoint.latest(run)
    assert found is not None
    return found


def _refuse_leak(shards: dict[str, ShardSet], pretrain: Recipe | None, finetune: Recipe) -> None:
    """No stage may see the motions that rows are compared on: the comparison would reward remembering."""
    target, source = shards["finetune"], shards["pretrain"]
    measured = {str(target.motions["motion_id"][m]) for m in held_out(target, finetune.data, finetune.eval).motion}
    for name, found, recipe in (("pretraining", source, pretrain), ("fine-tuning", target, finetune)):
        if recipe is None:
            continue
        chosen = select_motions(found, recipe.data)
        seen = sorted(measured & {str(motion) for motion in found.motions["motion_id"][chosen]})
        if seen:
            shown = ", ".join(seen[:3]) + (", …" if len(seen) > 3 else "")
            raise UserError(
                f"{name} would see {len(seen)} of the motions it is later measured on: {shown}",
                "choose another -o eval.split=NAME or -o data.split=NAME, or other subjects (eval.subjects_include, "
                "data.subjects_exclude)",
            )


def refuse_many_processes() -> None:
    """A grid is one process after another.

    Raises:
        UserError: started by torchrun with several processes.
    """
    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError(
            "a grid runs its cells one after another in one process",
            "start it without torchrun; several GPUs: one process each, with CUDA_VISIBLE_DEVICES and its own --seeds",
        )

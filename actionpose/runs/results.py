"""What a report says about runs: their curves, their results as rows, and with against without pretraining.

A run folder may be young or broken: whatever is missing becomes a note instead of an error, since a report is most
wanted when something went wrong.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from actionpose.errors import UserError
from actionpose.evaluate.result import Result
from actionpose.jsonl import appended_lines
from actionpose.runs.folder import LOG, RESULTS, read_config
from actionpose.runs.kept import CLIPS, Kept, load_kept
from actionpose.runs.seeds import Change, paired

RECALLS = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class RetrievalRow:
    """How often a motion's own text is among the first k, in percent, and chance beside it."""

    run: str
    seed: int | None
    direction: str
    split: str
    candidates: int
    recall: dict[int, float]
    median_rank: float
    chance_recall: dict[int, float]
    chance_median_rank: float | None


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One evaluation of a lifting run: errors in millimetres.

    `stage` is what trained it (pretrain, finetune, or baseline for what was not trained); `pretrained` tells whether
    fine-tuning began from trained weights, None where that is not asked. `data` and `conditions` name what has to be
    equal for two rows to be compared.
    """

    run: str
    stage: str
    pretrained: bool | None
    mpjpe_mm: float
    p_mpjpe_mm: float
    frames: int
    protocol: str
    data: str
    seed: int | None
    conditions: tuple[str, ...] = ()
    actions: dict[str, float] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """With against without pretraining, under one protocol on the same frames.

    Means are over the runs that are compared: those of the seeds that both sides have, or where they share none, all.

    Attributes:
        paired: the change in MPJPE seed by seed; without seeds where the sides share none.
        runs_with: how many runs `with_mm` is the mean of; so is `runs_without`.
    """

    protocol: str
    frames: int
    with_mm: float
    without_mm: float
    with_p_mm: float
    without_p_mm: float
    paired: Change
    runs_with: int
    runs_without: int

    @property
    def change_mm(self) -> float:
        """MPJPE with pretraining less MPJPE without, in millimetres: negative means pretraining helped."""
        return self.with_mm - self.without_mm


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run folder as far as it could be read; `task` is pretrain or finetune."""

    name: str
    task: str
    log: list[dict[str, Any]]
    results: list[ResultRow]
    retrieval: list[RetrievalRow]
    notes: tuple[str, ...]
    kept: Kept | None = None
    robustness: tuple[dict[str, Any], ...] = ()

    def curves(self) -> dict[str, tuple[list[float], list[float]]]:
        """Loss name (and `lr`, and the validation error) → steps and values, in the order the log has them."""
        found: dict[str, tuple[list[float], list[float]]] = {}
        for row in self.log:
            for name, value in _values(row).items():
                steps, values = found.setdefault(name, ([], []))
                steps.append(float(row["step"]))
                values.append(math.nan if value is None else value)  # null: not finite; a gap shows where
        return found


def _values(row: Mapping[str, Any]) -> dict[str, float | None]:
    if "losses" in row:
        return {**row["losses"], "lr": row["lr"]}
    return {"validation MPJPE, mm": row["mpjpe_mm"]} if row.get("event") == "eval" else {}


def read_run(folder: Path) -> Run:
    """Read a run folder; `notes` name what is not there or not readable."""
    if not folder.is_dir():
        note = f"the run folder {folder} is not there"
        return Run(name=folder.name, task="", log=[], results=[], retrieval=[], notes=(note,))
    notes: list[str] = []
    try:
        task = str(read_config(folder)["command"])
    except UserError as error:
        task = ""
        notes.append(error.message)
    log = _lines(folder / LOG, f"{LOG} is not there", notes)
    found = [(number, row) for number, row in enumerate(_lines(folder / RESULTS, "not evaluated yet", notes), 1)]
    results = [result for number, row in found if (result := _result(row, number, notes)) is not None]
    rows = (row for result in results for row in _rows(folder.name, result))
    return Run(
        name=folder.name,
        task=task,
        log=log,
        results=_latest(rows, lambda r: (r.run, r.stage, r.protocol, r.data, r.conditions)),
        retrieval=_latest((r for x in results for r in _retrieval(folder.name, x)), lambda r: (r.direction, r.split)),
        notes=tuple(notes),
        kept=_kept(folder / CLIPS, notes),
        robustness=tuple(_robustness(folder / "robustness" / "robustness.json")),
    )


def _kept(path: Path, notes: list[str]) -> Kept | None:
    if not path.is_file():
        return None
    try:
        return load_kept(path)
    except UserError as error:
        notes.append(error.message)
        return None


def _robustness(path: Path) -> list[dict[str, Any]]:
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        return [row for row in rows if {"curve", "amount", "mpjpe_mm"} <= set(row)]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _lines(path: Path, absent: str, notes: list[str]) -> list[dict[str, Any]]:
    """Rows of a file as far as they can be read."""
    if not path.is_file():
        notes.append(absent)
    rows: list[dict[str, Any]] = []
    try:
        rows.extend(appended_lines(path))
    except UserError as error:
        notes.append(f"{error.message}; what follows it is left out")
    return rows


def _result(row: Mapping[str, Any], number: int, notes: list[str]) -> Result | None:
    try:
        return Result.from_json(row)
    except ValueError as error:
        notes.append(f"{RESULTS}: line {number} is left out: {error}")
        return None


def _latest(rows: Iterable[Any], key: Any) -> list[Any]:
    """The last row of each key: evaluating again replaces what was found before."""
    return list({key(row): row for row in rows}.values())


# --- one evaluation ---------------------------------------------------------------------------

_CONDITIONS = ("split", "flip_tta", "detections", "windowing", "clip_frames", "source_2d")
"""Fields of a result that may differ inside a protocol; numbers are compared where all of them agree."""


def _rows(run: str, result: Result) -> list[ResultRow]:
    """The row of a run, and those of the baselines that were measured on the same frames without training."""
    stage = result.trained_by or ""
    extra = {"pck": result.pck, "auc": result.auc}
    measured = ResultRow(
        run=run,
        stage=stage,
        pretrained=None if stage == "pretrain" else result.pretrained,
        mpjpe_mm=result.mpjpe_mm,
        p_mpjpe_mm=result.p_mpjpe_mm,
        frames=result.frames,
        protocol=result.protocol,
        data=result.fingerprint or "",
        seed=result.seed,
        conditions=tuple(f"{key}={getattr(result, key)}" for key in _CONDITIONS),
        actions={name: means["mpjpe_mm"] for name, means in result.actions.items()},
        extra={name: value for name, value in extra.items() if value is not None},
    )
    baselines = [
        replace(
            measured, run=name.replace("_", " "), stage="baseline", pretrained=None, seed=None, actions={}, extra={},
            mpjpe_mm=means["mpjpe_mm"], p_mpjpe_mm=means["p_mpjpe_mm"],
        )
        for name, means in (result.baselines or {}).items()
    ]  # fmt: skip
    return [measured, *baselines]


def _retrieval(run: str, result: Result) -> list[RetrievalRow]:
    return [
        RetrievalRow(
            run=run,
            seed=result.seed,
            direction=direction.replace("_", " "),
            split=result.split or "",
            candidates=found["candidates"],
            recall=_recalls(found),
            median_rank=found["median_rank"],
            chance_recall=_recalls(found["chance"]),
            chance_median_rank=_chance_median(_recalls(found["chance"]), found["candidates"]),
        )
        for direction, found in (result.retrieval or {}).items()
    ]


def _recalls(found: Mapping[str, Any]) -> dict[int, float]:
    return {k: found[f"r{k}"] for k in RECALLS}


def _chance_median(chance: Mapping[int, float], candidates: int) -> float | None:
    """Median rank of a random order where one item is right, which chance at k = 1 shows; otherwise unknown."""
    return (candidates + 1) / 2 if math.isclose(chance[1], 100.0 / candidates, rel_tol=1e-6) else None


# --- with against without ---------------------------------------------------------------------


def pretraining_gains(rows: Sequence[ResultRow]) -> list[Difference]:
    """Compare fine-tuned runs with and without pretraining, wherever protocol, data, frames and conditions agree."""
    groups: dict[tuple[Any, ...], dict[bool, list[ResultRow]]] = {}
    for row in rows:
        if row.pretrained is not None:
            same = (row.protocol, row.frames, row.data, row.stage, row.conditions)
            groups.setdefault(same, {True: [], False: []})[row.pretrained].append(row)
    return [_difference(sides[True], sides[False]) for sides in groups.values() if sides[True] and sides[False]]


def _difference(pretrained: Sequence[ResultRow], scratch: Sequence[ResultRow]) -> Difference:
    change = paired(_by_seed(pretrained), _by_seed(scratch))
    if change.seeds:
        pretrained, scratch = ([row for row in side if row.seed in change.seeds] for side in (pretrained, scratch))
    return Difference(
        protocol=pretrained[0].protocol,
        frames=pretrained[0].frames,
        with_mm=_over_seeds(pretrained, "mpjpe_mm"),
        without_mm=_over_seeds(scratch, "mpjpe_mm"),
        with_p_mm=_over_seeds(pretrained, "p_mpjpe_mm"),
        without_p_mm=_over_seeds(scratch, "p_mpjpe_mm"),
        paired=change,
        runs_with=len(pretrained),
        runs_without=len(scratch),
    )


def _over_seeds(rows: Sequence[ResultRow], name: str) -> float:
    """Mean over seeds, each counted once."""
    by_seed: dict[int | None, list[float]] = {}
    for row in rows:
        by_seed.setdefault(row.seed, []).append(getattr(row, name))
    return statistics.fmean(statistics.fmean(values) for values in by_seed.values())


def _by_seed(rows: Sequence[ResultRow]) -> dict[int, float]:
    """Seed → MPJPE; runs of one seed are averaged."""
    seeds = dict.fromkeys(row.seed for row in rows if row.seed is not None)
    return {seed: statistics.fmean(row.mpjpe_mm for row in rows if row.seed == seed) for seed in seeds}

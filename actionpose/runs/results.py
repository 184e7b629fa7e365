"""What a report says about training runs, read from their folders without loading the trainer.

A run folder may be young, old or broken: whatever is missing becomes a note instead of an error, since a report
is most wanted when something went wrong.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

CONFIG, LOG, RESULTS = "config.json", "log.jsonl", "results.jsonl"
_NOT_LOSSES = {"step", "epoch", "lr", "seed", "rank", "time", "wall_s", "eta_s", "elapsed_s", "epochs", "steps"}
RECALLS = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class RetrievalRow:
    """How often a motion's own text is among the first k, in per cent, with its chance level."""

    run: str
    seed: int | None
    direction: str
    split: str
    candidates: int | None
    recall: dict[int, float]
    median_rank: float | None
    chance_recall: dict[int, float]
    chance_median_rank: float | None


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One evaluation of a lifting run: errors in millimetres.

    `stage` is what trained it (pretrain, finetune, or baseline for what was not trained); `pretrained` tells whether
    fine-tuning began from trained weights, None where that is not asked or not known. `data` and `conditions` name
    what has to be equal for two rows to be compared.
    """

    run: str
    stage: str
    pretrained: bool | None
    mpjpe_mm: float
    p_mpjpe_mm: float | None
    frames: int | None
    protocol: str
    data: str
    seed: int | None
    conditions: tuple[str, ...] = ()
    actions: dict[str, float] = field(default_factory=dict)
    extra: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """With against without pretraining, under one protocol on the same frames; means over seeds."""

    protocol: str
    frames: int | None
    with_mm: float
    without_mm: float
    with_p_mm: float | None
    without_p_mm: float | None
    seeds_with: int
    seeds_without: int
    spread_with: float | None
    spread_without: float | None

    @property
    def change_mm(self) -> float:
        """MPJPE with pretraining less MPJPE without, in millimetres: negative means pretraining helped."""
        return self.with_mm - self.without_mm


@dataclass(frozen=True, kw_only=True)
class Run:
    """One run folder as far as it could be read."""

    name: str
    task: str
    config: dict[str, Any]
    log: list[dict[str, Any]]
    results: list[ResultRow]
    retrieval: list[RetrievalRow]
    notes: tuple[str, ...]

    def curves(self) -> dict[str, tuple[list[float], list[float]]]:
        """Loss name (and `lr`, and the validation error) → steps and values, in the order the log has them."""
        found: dict[str, tuple[list[float], list[float]]] = {}
        for row in self.log:
            if not _is_number(row.get("step")):
                continue
            for name, value in (_losses(row) if "event" not in row else _validation(row)).items():
                steps, values = found.setdefault(name, ([], []))
                steps.append(float(row["step"]))
                values.append(value)
        return found


def read_run(folder: Path) -> Run:
    """Read a run folder; what is missing or unreadable is listed in `notes`."""
    notes: list[str] = []
    if not folder.is_dir():
        return Run(
            name=folder.name, task="", config={}, log=[], results=[], retrieval=[],
            notes=(f"the run folder {folder} is not there",),
        )  # fmt: skip
    config = _read_config(folder / CONFIG, notes)
    log = _read_lines(folder / LOG, notes)
    evaluations = _read_lines(folder / RESULTS, notes)
    results, retrieval = [], []
    for row in evaluations:
        results += _result(folder.name, row, config)
        retrieval += _retrieval(folder.name, row, config)
    return Run(
        name=folder.name,
        task=_task(config, log),
        config=config,
        log=log,
        results=_latest(results, lambda r: (r.run, r.stage, r.protocol, r.data, r.conditions)),
        retrieval=_latest(retrieval, lambda r: (r.direction, r.split)),
        notes=tuple(notes),
    )


def _read_config(path: Path, notes: list[str]) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        notes.append(f"{path.name} is not there")
        return {}
    except (json.JSONDecodeError, UnicodeDecodeError, OSError) as error:
        notes.append(f"{path.name} cannot be read: {error}")
        return {}
    return found if isinstance(found, dict) else {}


def _read_lines(path: Path, notes: list[str]) -> list[dict[str, Any]]:
    """JSON objects, one a line; a torn last line is what a killed run leaves and is dropped in silence."""
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        notes.append("not evaluated yet" if path.name == RESULTS else f"{path.name} is not there")
        return []
    rows, damaged = [], 0
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line) if line.strip() else None
        except json.JSONDecodeError:
            damaged += number < len(lines)
            continue
        if isinstance(row, dict):
            rows.append(row)
    if damaged:
        notes.append(f"{path.name} has {damaged} damaged line{'s' if damaged > 1 else ''}, left out")
    return rows


def _latest(rows: Iterable[Any], key: Any) -> list[Any]:
    """The last row of each key: a new evaluation replaces an earlier one."""
    return list({key(row): row for row in rows}.values())


# --- one line of the log ----------------------------------------------------------------------


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _losses(row: Mapping[str, Any]) -> dict[str, float]:
    """Losses and the learning rate of a log row, nested under `losses` or flat with a telling name."""
    found: dict[str, float] = {}
    nested = row.get("losses")
    if isinstance(nested, Mapping):
        # The log writes null for a loss that is not finite; a gap in the curve shows where.
        found |= {str(k): math.nan if v is None else float(v) for k, v in nested.items() if v is None or _is_number(v)}
    else:
        found |= {
            k: float(v)
            for k, v in row.items()
            if _is_number(v)
            and k not in _NOT_LOSSES
            and ("loss" in k or k in ("total", "position", "velocity", "align"))
        }
    if _is_number(row.get("lr")):
        found["lr"] = float(row["lr"])
    return found


def _validation(row: Mapping[str, Any]) -> dict[str, float]:
    error = _float(row.get("mpjpe_mm")) if row.get("event") == "eval" else None
    return {} if error is None else {"validation MPJPE, mm": error}


def _find(config: object, key: str) -> Any:
    """The first value of a key, looked for at the top, then inside."""
    if not isinstance(config, Mapping):
        return None
    if key in config:
        return config[key]
    return next((v for inner in config.values() if (v := _find(inner, key)) is not None), None)


def _task(config: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> str:
    if isinstance(config.get("command"), str):
        return str(config["command"])
    aligned = any("align" in name for row in log[:3] for name in _losses(row))
    return "pretrain" if aligned else ""


# --- one evaluation ---------------------------------------------------------------------------

_CONDITIONS = ("split", "flip_tta", "detections", "windowing", "clip_frames", "source_2d")
"""Entries of a result row that may differ inside a protocol; numbers are compared where all of them agree."""


def _result(run: str, row: Mapping[str, Any], config: Mapping[str, Any]) -> list[ResultRow]:
    """The row of a run, and those of the baselines that were measured with it."""
    if (error := _float(row.get("mpjpe_mm"))) is None:
        return []
    stage = str(row.get("trained_by") or config.get("command") or "")
    measured = ResultRow(
        run=run,
        stage=stage,
        pretrained=None if stage == "pretrain" else _pretrained(row, config),
        mpjpe_mm=error,
        p_mpjpe_mm=_float(row.get("p_mpjpe_mm")),
        frames=_int(row.get("frames")),
        protocol=str(row.get("protocol") or "not named"),
        data=str(row.get("fingerprint") or ""),
        seed=_int(row.get("seed", _find(config, "seed"))),
        conditions=tuple(f"{key}={row[key]}" for key in _CONDITIONS if key in row),
        actions=_actions(row.get("actions")),
        extra={k: v for k in ("pck", "auc") if (v := _float(row.get(k))) is not None},
    )
    return [measured, *_baselines(row.get("baselines"), measured)]


def _baselines(found: object, of_run: ResultRow) -> list[ResultRow]:
    """Rows for what was measured on the same frames without training; a seed means nothing for them."""
    if not isinstance(found, Mapping):
        return []
    return [
        replace(
            of_run, run=str(name).replace("_", " "), stage="baseline", pretrained=None, mpjpe_mm=error,
            p_mpjpe_mm=_float(row.get("p_mpjpe_mm")), seed=None, actions={}, extra={},
        )
        for name, row in found.items()
        if isinstance(row, Mapping) and (error := _float(row.get("mpjpe_mm"))) is not None
    ]  # fmt: skip


def _pretrained(row: Mapping[str, Any], config: Mapping[str, Any]) -> bool | None:
    if isinstance(row.get("pretrained"), bool):
        return bool(row["pretrained"])
    init = _find(config, "init")
    return bool(init.get("pose")) if isinstance(init, Mapping) else None


def _actions(found: object) -> dict[str, float]:
    """Action → MPJPE, from `{action: mm}` or `{action: {"mpjpe_mm": mm}}`."""
    if not isinstance(found, Mapping):
        return {}
    flat = {str(k): _float(v.get("mpjpe_mm") if isinstance(v, Mapping) else v) for k, v in found.items()}
    return {k: v for k, v in flat.items() if v is not None}


def _float(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _int(value: object) -> int | None:
    return int(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _retrieval(run: str, row: Mapping[str, Any], config: Mapping[str, Any]) -> list[RetrievalRow]:
    """One row a direction of search, from `{direction: {r1, r5, r10: %, median_rank, candidates, chance: {r1, …}}}`."""
    found = row.get("retrieval")
    if not isinstance(found, Mapping):
        return []
    seed = _int(row.get("seed", _find(config, "seed")))
    rows = []
    for direction, block in found.items():
        if not isinstance(block, Mapping):
            continue
        recall, chance = _recalls(block), _recalls(block.get("chance"))
        candidates, median = _int(block.get("candidates")), _float(block.get("median_rank"))
        if recall or median is not None:
            rows.append(
                RetrievalRow(
                    run=run,
                    seed=seed,
                    direction=str(direction).replace("_", " "),
                    split=str(row.get("split") or ""),
                    candidates=candidates,
                    recall=recall,
                    median_rank=median,
                    chance_recall=chance,
                    chance_median_rank=_blind_median(chance, candidates),
                )
            )
    return rows


def _recalls(found: object) -> dict[int, float]:
    if not isinstance(found, Mapping):
        return {}
    return {k: value for k in RECALLS if (value := _float(found.get(f"r{k}"))) is not None}


def _blind_median(chance: Mapping[int, float], candidates: int | None) -> float | None:
    """Median rank of a blind draw where one item is right, which chance at k = 1 tells; otherwise not known."""
    one_right = candidates and math.isclose(chance.get(1, 0.0), 100.0 / candidates, rel_tol=1e-6)
    return (candidates + 1) / 2 if candidates and one_right else None


# --- with against without ---------------------------------------------------------------------


def differences(rows: Sequence[ResultRow]) -> list[Difference]:
    """Compare fine-tuned runs with and without pretraining, wherever protocol, data, frames and conditions agree."""
    groups: dict[tuple[Any, ...], dict[bool, list[ResultRow]]] = {}
    for row in rows:
        if row.pretrained is not None:
            same = (row.protocol, row.frames, row.data, row.stage, row.conditions)
            groups.setdefault(same, {True: [], False: []})[row.pretrained].append(row)
    return [
        Difference(
            protocol=protocol, frames=frames,
            with_mm=statistics.fmean(r.mpjpe_mm for r in sides[True]),
            without_mm=statistics.fmean(r.mpjpe_mm for r in sides[False]),
            with_p_mm=_mean_p(sides[True]), without_p_mm=_mean_p(sides[False]),
            seeds_with=len(sides[True]), seeds_without=len(sides[False]),
            spread_with=_spread(sides[True]), spread_without=_spread(sides[False]),
        )
        for (protocol, frames, *_), sides in groups.items()
        if sides[True] and sides[False]
    ]  # fmt: skip


def _mean_p(rows: Sequence[ResultRow]) -> float | None:
    values = [r.p_mpjpe_mm for r in rows]
    return statistics.fmean(v for v in values if v is not None) if None not in values else None


def _spread(rows: Sequence[ResultRow]) -> float | None:
    return statistics.stdev(r.mpjpe_mm for r in rows) if len(rows) > 1 else None

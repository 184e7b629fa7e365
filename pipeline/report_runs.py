"""What a report says about training runs, read from their folders without loading the trainer.

A run folder may be young, old or broken: whatever is missing becomes a note instead of an error, since a report
is most wanted when something went wrong.
"""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

CONFIG, LOG, RESULTS = "config.json", "log.jsonl", "results.jsonl"
_NOT_LOSSES = {"step", "epoch", "lr", "seed", "rank", "time", "wall_s", "eta_s", "elapsed_s", "epochs", "steps"}
RECALLS = (1, 5, 10)


@dataclass(frozen=True, kw_only=True)
class RetrievalRow:
    """How often a motion's own text is among the first k, in percent, and chance beside it."""

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
    """One evaluation of a lifting run: errors in millimetres; `pretrained` is None where the run does not say."""

    run: str
    pretrained: bool | None
    mpjpe_mm: float
    p_mpjpe_mm: float | None
    frames: int | None
    protocol: str
    data: str
    seed: int | None
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
        """Loss name (and `lr`) → steps and values, in the order the log has them."""
        found: dict[str, tuple[list[float], list[float]]] = {}
        for row in self.log:
            if not _is_number(row.get("step")):
                continue
            for name, value in _losses(row).items():
                steps, values = found.setdefault(name, ([], []))
                steps.append(float(row["step"]))
                values.append(value)
        return found


def read_run(folder: Path) -> Run:
    """Read a run folder; what is not there or not readable is told in `notes`."""
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
        results=_latest(results, lambda r: (r.protocol, r.data, r.frames)),
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
        notes.append(f"{path.name} is not there")
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
    """The last row of each key: evaluating again replaces what was said before."""
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


def _find(config: object, key: str) -> Any:
    """The first value of a key, looked for at the top, then inside."""
    if not isinstance(config, Mapping):
        return None
    if key in config:
        return config[key]
    return next((v for inner in config.values() if (v := _find(inner, key)) is not None), None)


def _task(config: Mapping[str, Any], log: Sequence[Mapping[str, Any]]) -> str:
    for key in ("task", "command", "mode"):
        found = _find(config, key)
        if isinstance(found, str) and found:
            return found
    aligned = any("align" in name for row in log[:3] for name in _losses(row))
    return "pretrain" if aligned else ""


# --- one evaluation ---------------------------------------------------------------------------


def _result(run: str, row: Mapping[str, Any], config: Mapping[str, Any]) -> list[ResultRow]:
    if not _is_number(row.get("mpjpe_mm")):
        return []
    data = row.get("data_fingerprint") or row.get("shards") or row.get("fingerprint") or ""
    return [
        ResultRow(
            run=run,
            pretrained=_pretrained(row, config),
            mpjpe_mm=float(row["mpjpe_mm"]),
            p_mpjpe_mm=_float(row.get("p_mpjpe_mm")),
            frames=_int(row.get("frames")),
            protocol=str(row.get("protocol") or "not named"),
            data=str(data),
            seed=_int(row.get("seed", _find(config, "seed"))),
            actions=_actions(row.get("actions")),
            extra={k: float(row[k]) for k in ("pck", "auc", "velocity_mm") if _is_number(row.get(k))},
        )
    ]


def _pretrained(row: Mapping[str, Any], config: Mapping[str, Any]) -> bool | None:
    for source in (row, config):
        for key in ("init", "pretrained", "init_from"):
            found = _find(source, key)
            if found is not None:
                return bool(found)
    return False if config else None


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


def _plain(key: object) -> str:
    return "".join(c for c in str(key).lower() if c.isalnum())


def _retrieval(run: str, row: Mapping[str, Any], config: Mapping[str, Any]) -> list[RetrievalRow]:
    found = row.get("retrieval")
    if not isinstance(found, Mapping):
        return []
    inner = {str(k): v for k, v in found.items() if isinstance(v, Mapping) and _plain(k) != "chance"}
    outer = {k: v for k, v in found.items() if not isinstance(v, Mapping) or _plain(k) == "chance"}
    blocks = {name: {**outer, **block} for name, block in inner.items()} or {"": outer}
    seed = _int(row.get("seed", _find(config, "seed")))
    split = str(row.get("split") or outer.get("split") or "")
    rows = [_retrieval_row(run, seed, split, name, block) for name, block in blocks.items()]
    return [r for r in rows if r.recall or r.median_rank is not None]


def _retrieval_row(run: str, seed: int | None, split: str, name: str, block: Mapping[str, Any]) -> RetrievalRow:
    own = {_plain(k): v for k, v in block.items() if not isinstance(v, Mapping)}
    chance = {
        _plain(k): v
        for key, v in block.items()
        if _plain(key) == "chance" and isinstance(v, Mapping)
        for k, v in v.items()
    }
    candidates = next(
        (n for k in ("candidates", "texts", "n", "items", "labels", "pairs") if (n := _int(own.get(k))) is not None),
        None,
    )
    recall, chance_recall = _recalls(own), _recalls(chance)
    if not chance and candidates:  # one right answer among them, drawn blindly
        chance_recall = {k: 100.0 * min(k, candidates) / candidates for k in RECALLS}
        chance = {"medianrank": (candidates + 1) / 2}
    return RetrievalRow(
        run=run, seed=seed, direction=name.replace("_", " ") or "motion to text", split=split, candidates=candidates,
        recall=recall, median_rank=_median(own),
        chance_recall=chance_recall, chance_median_rank=_median(chance),
    )  # fmt: skip


def _recalls(block: Mapping[str, Any]) -> dict[int, float]:
    """R@k in percent; values that never exceed 1 are shares."""
    found = {
        k: float(block[name])
        for k in RECALLS
        for name in (f"r{k}", f"recall{k}", f"recallat{k}", f"rat{k}", f"top{k}")
        if _is_number(block.get(name))
    }
    return {k: 100.0 * v for k, v in found.items()} if found and max(found.values()) <= 1.0 else found


def _median(block: Mapping[str, Any]) -> float | None:
    names = ("medianrank", "medr", "median", "mediannrank")
    return next((v for name in names if (v := _float(block.get(name))) is not None), None)


# --- with against without ---------------------------------------------------------------------


def differences(rows: Sequence[ResultRow]) -> list[Difference]:
    """Compare runs with and without pretraining wherever protocol, data and frames are the same."""
    groups: dict[tuple[str, str, int | None], dict[bool, list[ResultRow]]] = {}
    for row in rows:
        if row.pretrained is not None:
            sides = groups.setdefault((row.protocol, row.data, row.frames), {True: [], False: []})
            sides[row.pretrained].append(row)
    return [
        Difference(
            protocol=protocol, frames=frames,
            with_mm=statistics.fmean(r.mpjpe_mm for r in sides[True]),
            without_mm=statistics.fmean(r.mpjpe_mm for r in sides[False]),
            with_p_mm=_mean_p(sides[True]), without_p_mm=_mean_p(sides[False]),
            seeds_with=len(sides[True]), seeds_without=len(sides[False]),
            spread_with=_spread(sides[True]), spread_without=_spread(sides[False]),
        )
        for (protocol, _, frames), sides in groups.items()
        if sides[True] and sides[False]
    ]  # fmt: skip


def _mean_p(rows: Sequence[ResultRow]) -> float | None:
    values = [r.p_mpjpe_mm for r in rows]
    return statistics.fmean(v for v in values if v is not None) if None not in values else None


def _spread(rows: Sequence[ResultRow]) -> float | None:
    return statistics.stdev(r.mpjpe_mm for r in rows) if len(rows) > 1 else None

"""What is in a shard folder, a stage folder or a manifest, for `ap-data inspect`."""

from __future__ import annotations

import math
import operator
import re
import signal
from collections.abc import Callable, Iterator
from dataclasses import fields
from pathlib import Path
from typing import Any

from actionpose.characters import shell_word
from actionpose.errors import UserError
from actionpose.places import not_shards, not_there
from actionpose.shards import INDEX, read_index, summary_of
from pipeline.engine.journal import META
from pipeline.engine.manifest import ROW_TYPES, read_lines
from pipeline.engine.stage import read_meta

OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "~": lambda have, want: _matches(want, str(have)),
    "!=": operator.ne,
    ">=": operator.ge,
    "<=": operator.le,
    "=": operator.eq,
    ">": operator.gt,
    "<": operator.lt,
}
ALIASES = {"label": "text"}

RECIPES = ((1.0, "tiny"), (20.0, "small"), (math.inf, "pretrain"))
"""Hours of motion that a recipe is for, less than these; `pretrain` is the paper's and wants its text model."""


def kind_of(path: Path) -> str:
    """`shards`, `stage`, `manifest` or `run`.

    Raises:
        UserError: none of them.
    """
    if path.is_file() and path.suffix == ".jsonl":
        return "manifest"
    for name, kind in ((INDEX, "shards"), (META, "stage"), ("checkpoints", "run")):
        if (path / name).exists():
            return kind
    if path.name.endswith(".partial"):
        raise UserError(f"{path} is half done", "run the command that makes it again: it continues where it stopped")
    give = "give the --out folder of a build, or a .jsonl file inside it"
    if not path.exists():
        raise not_there(path, give)
    raise not_shards(path)


def shard_summary(folder: Path) -> dict[str, Any]:
    """Counts and provenance of a shard folder, as one flat-enough object.

    Returns:
        motions, clips, pairs, transitions (kept), frames, hours, failures and labels as numbers, fps, views,
        fingerprint; then the details: kinds, splits, rates (rate used → motions), transition_verdicts, dropped,
        failure_reasons, skipped_reasons, label_counts, shards, bytes, schema, licence. Of a benchmark also protocols,
        source_2d (where the 2D comes from → videos), left_out (protocol and reason → videos) and source (the files).
    """
    index = read_index(folder)
    s = summary_of(index, folder)
    benchmark = ("protocols", "source_2d", "left_out", "source") if index["kind"] == "benchmark" else ()
    return {
        "path": str(folder),
        "kind": index["kind"],
        **{name: getattr(s, name) for name in benchmark},
        "motions": s.motions,
        "clips": s.clips,
        "pairs": s.pairs,
        "transitions": s.transitions.kept,
        "frames": s.frames,
        "hours": s.hours,
        "failures": s.failed,
        "labels": len(s.labels),
        "fps": index["fps"],
        "views": index["views"],
        "fingerprint": index["fingerprint"],
        "kinds": s.kinds,
        "splits": s.splits,
        "rates": s.rates,
        "transition_verdicts": {"found": s.transitions.found, **s.transitions.dropped},
        "dropped": s.dropped,
        "failure_reasons": s.failures,
        "skipped_reasons": s.skipped,
        "unlabelled_motions": s.unlabelled_motions,
        "label_counts": s.labels,
        "shards": len(index["shards"]),
        "bytes": sum(row["bytes"] for row in index["shards"]),
        "schema": f"{index['schema']} v{index['version']}",
        "licence": index["licence"],
    }


def shard_text(folder: Path, top: int = 15) -> str:
    """The summary for human eyes, one screen."""
    s = shard_summary(folder)
    if s["kind"] == "benchmark":
        return _benchmark_text(s)
    lines = [
        f"{folder}: {s['schema']}, {s['kind']}, {s['shards']} files, {s['bytes'] / 1e6:.1f} MB",
        f"fingerprint  {s['fingerprint']}",
        "",
        f"motions      {s['motions']:,} ({s['unlabelled_motions']:,} more without labels)",
        f"length       {s['frames']:,} frames at {s['fps']:g} Hz, {s['hours']:.2f} hours",
        f"clips        {s['clips']:,}",
        f"pairs        {s['pairs']:,}: " + ", ".join(f"{n:,} {kind}" for kind, n in s["kinds"].items()),
        f"labels       {s['labels']:,} distinct texts",
        f"views        {', '.join(s['views'])}",
        f"transitions  {s['transitions']:,} kept of {s['transition_verdicts']['found']:,}"
        + _reasons({k: v for k, v in s["transition_verdicts"].items() if k != "found"}),
        f"rates        {_listed(s['rates'], ' Hz')}",
    ]
    lines += [f"{split:<12} {_listed_counts(counts)}" for split, counts in s["splits"].items()]
    lines.append("dropped      " + (_listed(s["dropped"]) or "nothing"))
    lines.append(f"failures     {s['failures']:,}" + "".join(_stage_reasons(s["failure_reasons"])))
    lines += [f"skipped      {text}" for text in _stage_reasons(s["skipped_reasons"])]
    lines += ["", f"most frequent of {s['labels']:,} labels", *_bars(s["label_counts"], top)]
    return "\n".join(lines)


def next_command(folder: Path) -> str:
    """What these shards are for: pretraining, or fine-tuning with the recipe of their benchmark."""
    index = read_index(folder)
    summary = summary_of(index, folder)
    data = f"--data {shell_word(str(folder))}"
    if index["kind"] != "benchmark":
        recipe = next(name for hours, name in RECIPES if summary.hours < hours)
        text = " -o text.model=FOLDER" if recipe == "pretrain" else ""
        return f"ap-train pretrain -c {recipe} {data} --out runs/pretrain{text}"
    recipe = "finetune_3dhp" if "3dhp" in summary.protocols else "finetune_h36m"
    return f"ap-train finetune -c {recipe} {data} --out runs/finetune"


def _benchmark_text(s: dict[str, Any]) -> str:
    lines = [
        f"{s['path']}: {s['schema']}, {s['kind']}, {s['shards']} files, {s['bytes'] / 1e6:.1f} MB",
        f"fingerprint  {s['fingerprint']}",
        "",
        f"videos       {s['motions']:,}",
        f"length       {s['frames']:,} frames, {s['hours']:.2f} hours",
        *(f"{split:<12} {_listed_counts(counts)}" for split, counts in s["splits"].items()),
        f"protocols    {', '.join(s['protocols']) or 'none'}",
        f"2D           {_listed(s['source_2d'])}",
        *(f"left out     {number:,} videos by {text}" for text, number in s["left_out"].items()),
        f"failures     {s['failures']:,}" + "".join(_stage_reasons(s["failure_reasons"])),
        *("made from    {file} {layout} {sha256}".format(**file) for file in s["source"]),
        f"licence      {s['licence']}",
    ]
    return "\n".join(lines)


def _listed(counts: dict[str, int], unit: str = "") -> str:
    return ", ".join(f"{number:,} x {name}{unit}" for name, number in counts.items())


def _listed_counts(counts: dict[str, int]) -> str:
    return ", ".join(f"{number:,} {name}" for name, number in counts.items())


def _reasons(counts: dict[str, int]) -> str:
    return f" (dropped: {_listed(counts)})" if counts else ""


def _stage_reasons(stages: dict[str, dict[str, int]]) -> list[str]:
    return [f"  {stage}: {_listed(reasons)}" for stage, reasons in stages.items()]


def _bars(counts: dict[str, int], top: int, width: int = 40) -> list[str]:
    first = list(counts.items())[:top]
    most = max((number for _, number in first), default=1)
    return [f"{number:>7,}  {'█' * max(1, round(width * number / most)):<{width}}  {text}" for text, number in first]


# --- manifests --------------------------------------------------------------------------------


def parse_where(text: str) -> tuple[str, str, str]:
    """`label~walk`, `frames>=60`, `split=val` → (column, operator, value).

    Raises:
        UserError: no operator in it.
    """
    if parts := re.fullmatch(r"\s*([^~!<>=\s]+)\s*(~|!=|>=|<=|=|>|<)(.*)", text, re.DOTALL):
        return parts[1], parts[2], parts[3].strip()
    raise UserError(f"--where {text}: no comparison in it", "write COLUMN~PATTERN, COLUMN=VALUE, COLUMN>=NUMBER …")


PATTERN_S = 2.0
"""Seconds that one pattern may take on one text: some patterns take exponentially long."""


def _matches(pattern: str, text: str) -> bool:
    def stop(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, stop)  # the engine of `re` looks for signals while it searches
    signal.setitimer(signal.ITIMER_REAL, PATTERN_S)
    try:
        return re.search(pattern, text) is not None
    except re.error as error:
        raise UserError(
            f"'{pattern}' is not a pattern: {error}", "Python's regular expressions; \\[ is a bracket"
        ) from error
    except (TimeoutError, RecursionError, OverflowError) as error:
        raise UserError(
            f"the pattern '{pattern}' takes too long", "a simpler one, without repeats in repeats"
        ) from error
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def select(path: Path, where: tuple[str, ...] = ()) -> Iterator[dict[str, Any]]:
    """Rows of a manifest for which every condition holds.

    Raises:
        UserError: a condition on a column the manifest does not have.
    """
    conditions = [parse_where(text) for text in where]
    row_type = ROW_TYPES.get(path.stem)
    columns = [field.name for field in fields(row_type)] if row_type else []
    for _, row in read_lines(path):
        if all(_holds(row, condition, path) for condition in conditions):
            yield {name: row[name] for name in columns if name in row} | row


def _holds(row: dict[str, Any], condition: tuple[str, str, str], path: Path) -> bool:
    column, sign, want = condition
    column = column if column in row else ALIASES.get(column, column)
    if column not in row:
        raise UserError(f"{path.name} has no column '{column}'", "it has: " + ", ".join(row))
    have = str(row[column]).lower() if isinstance(row[column], bool) else row[column]  # as JSON has it
    if sign != "~" and isinstance(have, int | float):
        try:
            return OPERATORS[sign](have, float(want))
        except ValueError as error:
            raise UserError(f"column '{column}' holds numbers, and '{want}' is not a number") from error
    return OPERATORS[sign](have if isinstance(have, str) else str(have), want)


def manifest_of(path: Path, table: str) -> Path:
    """The manifest of a table inside a shard or stage folder.

    Raises:
        UserError: no such table; names those that are there.
    """
    for place in (path / "manifests" / f"{table}.jsonl", path / f"{table}.jsonl"):
        if place.is_file():
            return place
    there = sorted({file.stem for file in [*path.glob("*.jsonl"), *path.glob("manifests/*.jsonl")]})
    raise UserError(f"{path} has no table '{table}'", "it has: " + ", ".join(there))


def main_table(path: Path) -> str:
    """The table of a folder that a condition without `--table` is about: pairs, or a benchmark's videos."""
    benchmark = (path / INDEX).is_file() and read_index(path)["kind"] == "benchmark"
    return "videos" if benchmark else "pairs"


def benchmark_status(out: Path) -> dict[str, Any] | None:
    """Where a benchmark's shards come from, as `ap-data status` says it; None when `out` holds none."""
    if not (out / INDEX).is_file() or (index := read_index(out))["kind"] != "benchmark":
        return None
    summary = summary_of(index, out)
    return {
        "stage": index["provenance"]["stage"],
        "state": "built",
        "rows": f"{summary.motions:,} videos" + (f", {summary.failed:,} failed" if summary.failed else ""),
        "why": "from " + ", ".join(file["file"] for file in summary.source),
        "folder": str(out),
    }


def stage_summary(folder: Path) -> dict[str, Any]:
    """What `meta.json` says of a stage folder."""
    meta = read_meta(folder)
    if meta is None:
        raise UserError(f"{folder} has no {META}", "it is not a finished stage")
    return {
        "path": str(folder),
        "stage": meta["identity"]["stage"],
        "fingerprint": meta["fingerprint"],
        "tables": {name: entry["rows"] for name, entry in meta["tables"].items()},
        "failures": meta["failures"],
        "skipped": meta["skipped"],
        "identity": meta["identity"],
    }

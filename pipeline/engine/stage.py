"""One stage, the same for all: what it depends on, item by item, killed and resumed, published by a rename.

A stage folder `<work>/<stage>-<8 hex of fingerprint>/` holds one `.jsonl` per table, `failures.jsonl`,
`skipped.jsonl`, `meta.json` and the arrays under `files/`. While it is being made its name ends in `.partial`;
without that ending it is complete, always. Nothing in it depends on time, machine or number of workers, so a
build that was killed and run again has the same bytes as one that was not.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actionpose.config import canonical_json, differences, fingerprint
from actionpose.errors import UserError
from actionpose.files import PARTIAL, publish_folder, sha256_file
from actionpose.jsonl import write_json, write_lines
from actionpose.progress import Progress
from pipeline.config import RunOptions
from pipeline.engine.item import Item, Outcome, Work
from pipeline.engine.journal import META, Journal, disk_troubles, locked, reopen
from pipeline.engine.manifest import ROW_TYPES, FailureRow
from pipeline.engine.rowsort import RowSorter
from pipeline.engine.runner import Runner

log = logging.getLogger("ap-data")

MIN_ITEMS_TO_JUDGE = 20


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a stage is. `payload` is everything its bytes depend on, in a form a person can compare."""

    name: str
    version: int
    tables: tuple[str, ...]
    work: Work
    payload: dict[str, Any]
    parallel: bool = True
    indivisible: bool = False
    """Whether the items make one result together, so that one failure stops the stage."""
    row_per_item: str = ""
    """Table that has one row per item under the item's id, which lets failed items be done again alone."""
    whole: bool = False
    """Whether the result is of no use with an item missing: nothing is published then."""

    @property
    def identity(self) -> dict[str, Any]:
        """Name, version and payload: what the fingerprint is of."""
        return dict(json.loads(canonical_json({"stage": self.name, "version": self.version, **self.payload})))

    @property
    def fingerprint(self) -> str:
        """`sha256:<hex>` of the identity."""
        return fingerprint(self.identity)

    def folder(self, work_dir: Path) -> Path:
        """Folder of the result."""
        return work_dir / f"{self.name}-{self.fingerprint.removeprefix('sha256:')[:8]}"


@dataclass(frozen=True, kw_only=True)
class StageResult:
    """A finished stage: its folder and its `meta.json`."""

    folder: Path
    meta: dict[str, Any]
    fresh: bool

    @property
    def content(self) -> str:
        """Fingerprint of what the stage holds, not of how it came about: the next stage's input."""
        return str(self.meta["content"])

    @property
    def failures(self) -> dict[str, int]:
        """Reason → number of failed items."""
        return dict(self.meta["failures"])

    def table(self, name: str) -> Path:
        """The manifest of a table."""
        return self.folder / f"{name}.jsonl"


# --- a whole stage ----------------------------------------------------------------------------


def run_stage(
    stage: Stage,
    items: Sequence[Item],
    context: Any,
    work_dir: Path,
    runner: Runner,
    *,
    final: Path | None = None,
    finish: Callable[[Path], None] | None = None,
) -> StageResult:
    """Bring a stage to its published folder, doing only what is missing.

    Args:
        stage: what to do.
        items: everything it consists of, in a fixed order.
        context: handed to every worker; paths and settings, never arrays.
        work_dir: parent of the stage folders.
        runner: where its items run.
        final: another place than `stage.folder(work_dir)`.
        finish: called with the unfinished folder before the rename; writes what belongs to the whole.

    Raises:
        UserError: another run holds the folder, most items fail, or the disk refuses.
    """
    folder = final or stage.folder(work_dir)
    done = published(stage, folder)
    if done is not None and not (runner.options.retry_failed and done.failures):
        log.info("%-10s current, %s", stage.name, _counts(done.meta))
        return done
    partial = folder.with_name(folder.name + PARTIAL)
    with locked(partial), disk_troubles(partial):
        if done is not None and stage.row_per_item:
            reopen(folder, partial, stage.row_per_item)
        journal = Journal(partial)
        todo = [item for item in items if item.id not in journal.done]
        log.info("%-10s %d of %d items to do", stage.name, len(todo), len(items))
        _run_into(journal, stage, todo, context, runner)
        meta = _write_tables(partial, stage, journal)
        if stage.whole and meta["failures"]:
            raise _incomplete(stage, journal, len(items))
        if finish is not None:
            finish(partial)
        journal.path.unlink()
        publish_folder(partial, folder)
    log.info("%-10s done, %s", stage.name, _counts(meta))
    return StageResult(folder=folder, meta=meta, fresh=True)


def _incomplete(stage: Stage, journal: Journal, items: int) -> UserError:
    failed = {line["id"]: line["failure"] for line in journal.read() if "failure" in line}
    name, (_, message) = next(iter(failed.items()))
    return UserError(
        f"{stage.name}: {len(failed)} of {items} items failed, so nothing is published; the first, {name}: {message}",
        "remove the cause and run the same command again: what is done is kept",
    )


def published(stage: Stage, folder: Path) -> StageResult | None:
    """The finished result of exactly this stage, if it is there."""
    meta = read_meta(folder)
    if meta is None or meta["fingerprint"] != stage.fingerprint:
        return None
    return StageResult(folder=folder, meta=meta, fresh=False)


def read_meta(folder: Path) -> dict[str, Any] | None:
    """`meta.json` of a stage folder; None where there is none.

    Raises:
        UserError: it is damaged.
    """
    path = folder / META
    if not path.is_file():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except (json.JSONDecodeError, UnicodeDecodeError, ValueError) as error:
        raise UserError(f"{path} is damaged: {error}", f"delete {folder} and run the command again") from error


def why_stale(stage: Stage, work_dir: Path, folder: Path | None = None) -> list[str]:
    """Empty when current; otherwise one line per reason, found by comparing with the newest older result."""
    target = folder or stage.folder(work_dir)
    if published(stage, target) is not None:
        return []
    if target.with_name(target.name + PARTIAL).is_dir():
        return ["half done: the next build continues where it stopped"]
    older = [target] if folder else sorted(work_dir.glob(f"{stage.name}-????????"), key=lambda p: p.stat().st_mtime)
    metas = [meta for path in older if (meta := read_meta(path)) is not None]
    return differences(metas[-1]["identity"], stage.identity) if metas else ["not built yet"]


def _run_into(journal: Journal, stage: Stage, todo: Sequence[Item], context: Any, runner: Runner) -> None:
    outcomes = runner.run(stage.work, todo, context, journal.folder, parallel=stage.parallel)
    failed: Outcome | None = None
    with ExitStack() as opened:
        progress = opened.enter_context(Progress(stage.name, total=len(todo)))
        handle = opened.enter_context(open(journal.path, "a", encoding="utf-8", errors="backslashreplace"))
        for outcome in outcomes:
            journal.append(outcome, handle)
            progress.advance()
            failed = outcome if outcome.failure else failed
            if failed is not None:
                _stop_early(journal.verdicts, failed, len(todo), stage, runner.options)


def _stop_early(verdicts: Counter[str], last: Outcome, items: int, stage: Stage, options: RunOptions) -> None:
    """Stop when most items fail; `last` is the last one that did."""
    total = sum(verdicts.values())
    if stage.indivisible and last.failure:
        raise UserError(f"{stage.name}: {last.failure[1]}", "fix it and run the same command again")
    if total < MIN_ITEMS_TO_JUDGE or verdicts["failed"] / total <= options.max_failure_share:
        return
    message = last.failure[1] if last.failure else ""
    raise UserError(
        f"{stage.name}: {verdicts['failed']} of {total} items looked at failed ({items:,} to do); the last failure, "
        f"{last.id}: {message}",
        "this looks like one cause for all of them: fix it and run the same command again; finished work is kept "
        "(--max-failures 1 to continue regardless)",
    )


def _write_tables(partial: Path, stage: Stage, journal: Journal) -> dict[str, Any]:
    """Sort the journal into one manifest per table and write `meta.json`."""
    reasons: dict[str, Counter[str]] = {"failures": Counter(), "skipped": Counter()}
    listed: dict[str, dict[str, Any]] = {}
    with ExitStack() as opened:
        sorters = {name: opened.enter_context(RowSorter(partial)) for name in (*stage.tables, *reasons)}
        for line in journal.read():
            for name, row in _rows_of(line, stage.name):
                sorters[name].add(str(row[ROW_TYPES[name].KEY]), canonical_json(row))
                if name in reasons:
                    reasons[name][row["reason"]] += 1
        for name, sorter in sorters.items():
            write_lines(partial / f"{name}.jsonl", sorter.lines())
            listed[name] = {"rows": sorter.rows, "sha256": sha256_file(partial / f"{name}.jsonl")}
    meta = {
        "schema": "actionpose-stage",
        "version": 1,
        "identity": stage.identity,
        "fingerprint": stage.fingerprint,
        "content": fingerprint([stage.name, stage.version, {n: listed[n]["sha256"] for n in stage.tables}]),
        "tables": listed,
        **{name: dict(sorted(counted.items())) for name, counted in reasons.items()},
    }
    write_json(partial / META, meta)
    return meta


def _rows_of(line: dict[str, Any], stage: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """(table, row) of a line of the journal."""
    for name, rows in line.get("rows", {}).items():
        yield from ((name, row) for row in rows)
    for verdict, name in (("failure", "failures"), ("skip", "skipped")):
        if verdict in line:
            reason, message = line[verdict]
            yield name, asdict(FailureRow(id=line["id"], stage=stage, reason=reason, message=message))


def _counts(meta: dict[str, Any]) -> str:
    """`1,904 motions, 3 failed, 2 skipped` for one line of the log."""
    parts = [
        f"{table['rows']:,} {name}" for name, table in meta["tables"].items() if name not in ("failures", "skipped")
    ]
    for verdict in ("failures", "skipped"):
        if number := sum(meta[verdict].values()):
            parts.append(f"{number:,} {'failed' if verdict == 'failures' else 'skipped'}")
    return ", ".join(parts)

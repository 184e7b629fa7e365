"""What a running stage has finished so far, so that a killed one can resume; and who may write its folder."""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from actionpose.config import canonical_json
from actionpose.errors import UserError
from actionpose.files import PARTIAL, locked_beside
from actionpose.jsonl import appended_lines, write_lines
from pipeline.engine.item import Outcome
from pipeline.engine.manifest import ROW_TYPES, read_lines

JOURNAL = "journal.jsonl"
META = "meta.json"


class Journal:
    """What a running stage has finished so far: one line per item, appended and flushed as they come."""

    def __init__(self, partial: Path) -> None:
        self.path = partial / JOURNAL
        self.folder = partial
        self.done: set[str] = set()
        self.verdicts: Counter[str] = Counter()
        for leftover in partial.rglob(f".*{PARTIAL}*"):
            leftover.unlink(missing_ok=True)  # half a file that a killed run left aside
        write_lines(self.path, self._kept())

    def _kept(self) -> Iterator[str]:
        """What holds of an earlier run's lines; notes whose items are done on the way."""
        for line in self.read():
            if self._usable(line):
                self.done.add(line["id"])
                yield canonical_json(line) + "\n"

    def read(self) -> Iterator[dict[str, Any]]:
        """Every line so far."""
        try:
            yield from appended_lines(self.path)
        except UserError:
            return  # written by a machine that crashed: what follows is done again

    def _usable(self, line: dict[str, Any]) -> bool:
        """Failures are tried again; a row whose file is not there with its size is done again."""
        if "failure" in line:
            return False
        rows = (row for table in line.get("rows", {}).values() for row in table)
        files = [(self.folder / row["file"], row["bytes"]) for row in rows if "file" in row and "bytes" in row]
        return all(path.is_file() and path.stat().st_size == size for path, size in files)

    def append(self, outcome: Outcome, handle: Any) -> None:
        """Add what became of one item; it is on its way to the disk when this returns."""
        line: dict[str, Any] = {"id": outcome.id}
        for name in ("failure", "skip"):
            if (verdict := getattr(outcome, name)) is not None:
                line[name] = list(verdict)
        if outcome.rows:
            line["rows"] = outcome.rows
        handle.write(canonical_json(line) + "\n")
        handle.flush()
        self.verdicts["failed" if outcome.failure else "done"] += 1


def reopen(folder: Path, partial: Path, table: str) -> None:
    """Turn a published stage back into an unfinished one that lacks only its failed items."""
    shutil.rmtree(partial, ignore_errors=True)
    rows = (row for _, row in read_lines(folder / f"{table}.jsonl"))
    key = ROW_TYPES[table].KEY
    write_lines(folder / JOURNAL, (canonical_json({"id": row[key], "rows": {table: [row]}}) + "\n" for row in rows))
    (folder / META).unlink()
    os.replace(folder, partial)


@contextmanager
def locked(partial: Path) -> Iterator[None]:
    """One run at a time in a folder; the lock goes with the process, however it ends."""
    with locked_beside(partial, UserError(f"another run is writing {partial}", "wait for it, or choose another --out")):
        with disk_troubles(partial):
            partial.mkdir(parents=True, exist_ok=True)
        yield


@contextmanager
def disk_troubles(partial: Path) -> Iterator[None]:
    """A write error as a `UserError`: the folder, the reason, and that finished work is kept."""
    try:
        yield
    except OSError as error:
        raise UserError(
            f"{partial}: {error.strerror or error}", "fix it and run the same command again: finished work is kept"
        ) from error

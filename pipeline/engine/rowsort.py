"""Lines come in any order and leave sorted by their key, most of them waiting on disk: memory holds one run of them."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from contextlib import ExitStack
from operator import itemgetter
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

RUN = 1024
"""Lines held in memory at a time, about half a megabyte; a build of all of AMASS with BABEL makes some tens of runs."""

_KEY = itemgetter(0)


class RowSorter:
    """Collects lines with their keys; lines with one key keep the order they came in.

    What does not fit into one run is in files without a name: they go with the process, however it ends.

    Args:
        folder: where those files go; must exist.
        run: lines in one run.
    """

    def __init__(self, folder: Path, run: int = RUN) -> None:
        self.folder, self.run, self.rows = folder, run, 0
        self._waiting: list[tuple[str, str]] = []
        self._runs: list[IO[str]] = []
        self._open = ExitStack()

    def __enter__(self) -> RowSorter:
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def add(self, key: str, line: str) -> None:
        """Take one line, without its newline.

        Raises:
            OSError: the disk refuses.
        """
        if len(self._waiting) == self.run:
            self._spill()
        self._waiting.append((key, line + "\n"))
        self.rows += 1

    def lines(self) -> Iterator[str]:
        """All lines in order of key, each with its newline."""
        self._waiting.sort(key=_KEY)
        merged = heapq.merge(*(self._read(run) for run in self._runs), self._waiting, key=_KEY)
        return (line for _, line in merged)

    def _spill(self) -> None:
        self._waiting.sort(key=_KEY)
        handle = TemporaryFile("w+", encoding="utf-8", errors="backslashreplace", newline="\n", dir=self.folder)  # noqa: SIM115 (open until exit)
        self._open.enter_context(handle)
        handle.writelines(f"{json.dumps(key)}\t{line}" for key, line in self._waiting)
        handle.flush()
        self._runs.append(handle)
        self._waiting = []

    def _read(self, run: IO[str]) -> Iterator[tuple[str, str]]:
        run.seek(0)
        for text in run:
            key, _, line = text.partition("\t")  # JSON writes a tab in the key as \t
            yield json.loads(key), line

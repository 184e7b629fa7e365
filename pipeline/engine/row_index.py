"""Rows of a manifest by their motion, read when asked for: memory holds ids and places, never rows."""

from __future__ import annotations

import json
from array import array
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from sys import intern

from actionpose.config import from_dict
from actionpose.jsonl import placed_lines
from pipeline.engine.manifest import R


class Lookup:
    """Positions of each motion's rows in a manifest.

    Args:
        path: a manifest whose rows have a `motion_id`, or a `clip_id` that begins with it.

    Raises:
        UserError: a missing file, or a line that is not a JSON object.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._places: dict[str, array[int]] = {}
        for _, place, row in placed_lines(path, hint="build the stage again"):
            motion_id = row["motion_id"] if "motion_id" in row else row["clip_id"].rpartition("#")[0]
            self._places.setdefault(intern(str(motion_id)), array("q")).append(place)

    def rows(self, motion_id: str, row_type: type[R]) -> Iterator[R]:
        """The rows of one motion in the order of the file; none for an unknown one.

        Raises:
            UserError: a line that is not such a row.
        """
        with open(self.path, "rb") as handle:
            for place in self._places.get(motion_id, ()):
                handle.seek(place)
                yield from_dict(row_type, json.loads(handle.readline()), where=str(self.path))


def lookup(path: str | Path) -> Lookup:
    """The manifest's lookup, kept per process as long as the file does not change."""
    return _lookup(str(path), Path(path).stat().st_mtime_ns if Path(path).is_file() else 0)


@lru_cache(maxsize=5)
def _lookup(path: str, stamp: int) -> Lookup:
    return Lookup(Path(path))

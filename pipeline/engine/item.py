"""One unit of work: what a worker is given, what it may raise, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.engine.manifest import Row


class _Verdict(Exception):
    """What a worker raises about an item: `reason` in a few words that can be counted, `message` with the value."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message or reason


class Skip(_Verdict):
    """An item that is not for us: recorded with its reason, no failure."""


class ItemError(_Verdict):
    """An item that cannot be done."""


@dataclass(frozen=True, slots=True)
class Item:
    """One unit of work: an id, plain data for the worker, and a guess of its cost in seconds."""

    id: str
    data: dict[str, Any]
    cost: float = 0.01


Rows = dict[str, Sequence[Row]]
Work = Callable[[Item, Any, Path], Rows]
"""`work(item, context, folder)` → rows per table. Arrays go to `folder/files/…` by `atomic_path`."""


@dataclass(frozen=True)
class Outcome:
    """What became of one item: rows, or a failure, or a reason to skip it."""

    id: str
    rows: dict[str, list[dict[str, Any]]] = field(default_factory=dict)
    failure: tuple[str, str] | None = None
    skip: tuple[str, str] | None = None

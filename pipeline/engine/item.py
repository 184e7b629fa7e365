"""One unit of work: what a worker is given, what it may raise, and what becomes of it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pipeline.engine.manifest import Row


class Skip(Exception):
    """Raised by a worker for an item that is not for us: recorded with its reason, no failure."""

    def __init__(self, reason: str, message: str = "") -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message or reason


class ItemError(Exception):
    """Raised by a worker for an item it cannot do; `reason` is a few words that can be counted."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(reason, message)
        self.reason, self.message = reason, message


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

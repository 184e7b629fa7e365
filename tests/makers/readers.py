"""Readers of files that go wrong in every way a reader can, for the tests of `actionpose.isolated`."""

from __future__ import annotations

import ctypes
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.errors import UserError


def crash(path: Path) -> None:
    ctypes.string_at(0)


def loop(path: Path) -> None:
    while True:
        pass


def fill(path: Path) -> Any:
    return [bytearray(1 << 28) for _ in range(100)]


def leave(path: Path) -> None:
    os._exit(0)  # without an answer


def end_with(path: Path, status: int) -> None:
    os._exit(status)


def raise_something(path: Path) -> None:
    raise ZeroDivisionError("of no use")


def refuse(path: Path, why: str) -> None:
    raise UserError(f"{path}: {why}", "take another")


def make_object(path: Path) -> Any:
    return {"a": object()}


def make_laughs(path: Path) -> Any:
    value: list[Any] = [1.5]
    for _ in range(30):
        value = [value] * 10
    return value


def make_loop(path: Path) -> Any:
    value: list[Any] = []
    value.append(value)
    return value


def make_plain(path: Path) -> Any:
    """Every kind of plain value."""
    grid = np.arange(6.0).reshape(2, 3)
    return {
        "none": None, "flag": True, "count": -7, "size": 2.5, "nan": float("nan"), "text": "ä\x00\ud800",
        "raw": b"\xff\x00", "list": [1, "one", [2.0, None]], "tuple": (1, (2,)), ("key", 3): "pair", 5: "number",
        "names": ["a"] * 3 + ["b"],
        "c": grid, "fortran": np.asfortranarray(grid), "big endian": grid.astype(">f4"), "every other": grid[:, ::2],
        "empty": np.zeros((0, 17, 3), np.float32), "one": np.array(7), "words": np.array(["ab", "c"]),
        "objects": np.array([{"x": grid}, 3, "three"], dtype=object), "again": [grid, grid],
        "scalars": [np.float32(0.5), np.int64(3), np.str_("s"), np.bool_(True)],
    }  # fmt: skip


def make_nested(path: Path, depth: int) -> list[Any]:
    """Lists in lists, as deep as asked for."""
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    return value


def make_number(path: Path, bits: int) -> int:
    """The largest number of so many bits."""
    return (1 << bits) - 1


def make_shared(path: Path) -> list[np.ndarray]:
    """One array of 16 MB, a thousand times."""
    return [np.arange(1 << 21, dtype=np.float64)] * 1000


def start_another(path: Path) -> int:
    """Start a process that would outlive the reader; its id."""
    if (pid := os.fork()) == 0:
        time.sleep(60)
        os._exit(0)
    return pid

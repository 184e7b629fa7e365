"""numpy arrays out of pickles, put together by code that checks every number in them.

numpy's own reconstruction believes what a pickle says of sizes, types and flags: a state that numpy never writes can
crash the process, or reach memory that is not the array's. These stand in for it under the same names.
"""

from __future__ import annotations

import math
import re
from typing import Any

import numpy as np
from numpy.typing import NDArray

_CODE = re.compile(r"[<>=|]?(?:[biufcSUO]\d{0,9}|\?)")


class Dtype:
    """In place of `numpy.dtype`: plain types alone, no records and no flags."""

    def __init__(self, code: Any = "", *_: Any) -> None:
        text = code.decode("latin1") if isinstance(code, bytes) else code
        if not isinstance(text, str) or not _CODE.fullmatch(text):
            raise ValueError(f"an array of type {str(text)[:20]!r}")
        self.dtype: np.dtype[Any] = np.dtype(text)
        self._built = False

    def __setstate__(self, state: Any) -> None:
        """Take the byte order of (version, order, sub-type, names, fields, size, alignment, flags, …), no more."""
        _once(self)
        if not isinstance(state, tuple) or len(state) < 7 or any(part is not None for part in state[2:5]):
            raise ValueError("an array of records")
        order = state[1].decode("latin1") if isinstance(state[1], bytes) else state[1]
        if order not in ("<", ">", "=", "|"):
            raise ValueError(f"byte order {order!r}")
        if order == "<":
            self.dtype = self.dtype.newbyteorder("<")
        elif order == ">":
            self.dtype = self.dtype.newbyteorder(">")


class Array(np.ndarray):
    """An array whose state is checked before numpy sees it; `numpy.asarray` makes a plain one of it."""

    def __setstate__(self, state: Any) -> None:
        """State is (version, shape, dtype, Fortran order, bytes or list of objects); taken once.

        A second state would free memory that a view made in between still shows.
        """
        _once(self)
        _, shape, dtype, fortran, data = state
        plain, lengths = _plain(dtype), _lengths(shape)
        if plain.hasobject:
            if not isinstance(data, list) or len(data) != math.prod(lengths):
                raise ValueError(f"a {type(data).__name__} for the objects of an array of shape {lengths}")
        else:
            data = _bytes(data)
            _sized(plain)
            if len(data) != math.prod(lengths) * plain.itemsize:
                raise ValueError(f"{len(data)} bytes for {plain} {lengths}")
        super().__setstate__((1, lengths, plain, bool(fortran), data))  # type: ignore[arg-type]


class ArrayName:
    """In place of the name `numpy.ndarray`, which pickles hand to `reconstruct`; it makes no arrays."""


def reconstruct(*_: Any) -> Array:
    """In place of `_reconstruct`: an empty array that gets its state afterwards."""
    return np.ndarray.__new__(Array, (0,), np.int8)


def scalar(dtype: Any, data: Any = b"") -> Any:
    """In place of `scalar`: one number or text of a plain type."""
    plain, raw = _plain(dtype), _bytes(data)
    if plain.hasobject or len(raw) != plain.itemsize or not raw:
        raise ValueError(f"{len(raw)} bytes for one {plain}")
    return np.frombuffer(raw, plain, 1)[0]


def from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C", *_: Any) -> NDArray[Any]:
    """In place of `_frombuffer`, how protocol 5 stores arrays; read-only, over bytes of its own.

    Nothing but bytes will do: the buffer of an array of objects is pointers.
    """
    plain, lengths, raw = _plain(dtype), _lengths(shape), _bytes(data)
    _sized(plain)
    if plain.hasobject or len(raw) != math.prod(lengths) * plain.itemsize or order not in ("C", "F"):
        raise ValueError(f"{len(raw)} bytes for {plain} {lengths}")
    if not raw:
        return np.zeros(lengths, plain)
    return np.frombuffer(raw, plain).reshape(lengths, order=order)


def _once(thing: Any) -> None:
    if thing.__dict__.get("_built"):
        raise ValueError("two states for one object")
    thing._built = True


def _sized(plain: np.dtype[Any]) -> None:
    """Refuse texts of no length: any number of them fit into no bytes."""
    if not plain.itemsize:
        raise ValueError(f"an array of {plain}")


def _plain(dtype: Any) -> np.dtype[Any]:
    if not isinstance(dtype, Dtype):
        raise ValueError("an array without a type")
    return dtype.dtype


def _lengths(shape: Any) -> tuple[int, ...]:
    lengths = (shape,) if isinstance(shape, int) else shape
    if not isinstance(lengths, tuple) or len(lengths) > 32:
        raise ValueError("an array without a shape")
    if not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in lengths):
        raise ValueError(f"an array of shape {lengths}")
    return lengths


def _bytes(data: Any) -> bytes:
    """Bytes; Python 2 wrote them as text."""
    if isinstance(data, str):
        return data.encode("latin1")
    if not isinstance(data, bytes | bytearray):
        raise ValueError(f"a {type(data).__name__} where the bytes of an array should be")
    return bytes(data) if isinstance(data, bytearray) else data

"""Numeric arrays out of Matlab files, both kinds: level 5 (what scipy and Matlab write by default) and 7.3 (HDF5).

Only what predictions need: full numeric arrays at the top level. Cells, structs, sparse and complex arrays are refused.
Source: "MAT-File Format", MathWorks, chapter 1 (level 5).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from actionpose import isolated
from actionpose.errors import UserError
from actionpose.sniff import refuse_no_data

HEADER_BYTES = 128
MAX_BYTES = 2**31
"""A packed array that grows beyond this is not poses."""

_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}  # fmt: skip
_MATRIX, _PACKED = 14, 15
_NUMERIC = range(6, 16)
"""Array classes double, single and the integers."""

_COMPLEX = 0x0800


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """Name → array as Matlab shows it (first axis first) of every numeric array in the file; read in a child process.

    Raises:
        UserError: not a Matlab file, damaged, or with content that is not a plain numeric array.
    """
    arrays: dict[str, NDArray[Any]] = isolated.call("actionpose.evaluate.matfile:stored_arrays", path)
    return arrays


def stored_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """As `read_arrays`, in this process.

    Raises:
        UserError: as `read_arrays`.
    """
    refuse_no_data(path, "from where the predictions were written")
    try:
        return _read_hdf5(path) if h5py.is_hdf5(path) else _read_level5(path.read_bytes())
    except (OSError, ValueError, KeyError, TypeError, struct.error, zlib.error) as error:
        raise UserError(
            f"{path} cannot be read as a Matlab file of plain arrays: {error}",
            "write it with save(…) in Matlab or scipy.io.savemat, one array for each sequence; or give an .npz",
        ) from error


def _read_hdf5(path: Path) -> dict[str, NDArray[Any]]:
    with h5py.File(path, "r") as file:
        arrays = {}
        for name, item in file.items():
            if name.startswith("#"):  # Matlab's own bookkeeping
                continue
            if not isinstance(item, h5py.Dataset) or item.dtype.kind not in "iuf":
                raise ValueError(f"'{name}' is not a numeric array")
            linked = not isinstance(file.get(name, getlink=True), h5py.HardLink)
            if linked or item.is_virtual or item.external:
                raise ValueError(f"'{name}' is stored in another file")
            arrays[name] = np.asarray(item[()]).T
        return arrays


def _read_level5(content: bytes) -> dict[str, NDArray[Any]]:
    mark = content[126:128]
    if len(content) < HEADER_BYTES or mark not in (b"IM", b"MI"):
        raise ValueError("no Matlab header")
    order = "<" if mark == b"IM" else ">"
    arrays = {}
    for kind, data in _elements(content[HEADER_BYTES:], order):
        if kind == _PACKED:
            [(kind, data)] = _elements(_unpacked(data), order)
        if kind != _MATRIX:
            raise ValueError(f"element of type {kind} at the top level")
        name, array = _matrix(data, order)
        arrays[name] = array
    return arrays


def _unpacked(data: bytes) -> bytes:
    unpack = zlib.decompressobj()
    out = unpack.decompress(data, MAX_BYTES)
    if unpack.unconsumed_tail or not unpack.eof:
        raise ValueError("packed data that is cut short, or larger than 2 GiB")
    return out


def _elements(data: bytes, order: str) -> Iterator[tuple[int, bytes]]:
    """(type, bytes) of consecutive elements."""
    at = 0
    while at < len(data):
        (first,) = struct.unpack_from(f"{order}I", data, at)
        if first >> 16:  # small: type and size share four bytes, the data the next four
            kind, size, start, step = first & 0xFFFF, first >> 16, at + 4, 8
        else:
            (size,) = struct.unpack_from(f"{order}I", data, at + 4)
            kind, start = first, at + 8
            step = 8 + (size if kind == _PACKED else -(-size // 8) * 8)
        if start + size > len(data):
            raise ValueError("the file is cut short")
        yield kind, data[start : start + size]
        at += step


def _matrix(data: bytes, order: str) -> tuple[str, NDArray[Any]]:
    parts = list(_elements(data, order))
    if len(parts) < 4:
        raise ValueError("an array without content")
    (flags,) = struct.unpack_from(f"{order}I", parts[0][1])
    name = parts[2][1].decode("ascii", errors="replace")
    if flags & 0xFF not in _NUMERIC or flags & _COMPLEX:
        raise ValueError(f"'{name}' is not a plain numeric array")
    shape = np.frombuffer(parts[1][1], dtype=f"{order}i4")
    kind, values = parts[3]
    if kind not in _TYPES:
        raise ValueError(f"'{name}' holds values of type {kind}")
    return name, np.frombuffer(values, dtype=order + _TYPES[kind]).reshape(tuple(shape), order="F")

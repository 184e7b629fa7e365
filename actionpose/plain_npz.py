"""Plain arrays out of `.npy` and `.npz` files, or a sentence about what the file is instead. Nothing is ever unpickled.

What a file announces is compared with what is there before memory is taken for it.
"""

from __future__ import annotations

import json
import math
import zipfile
from collections.abc import Container, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.places import not_there
from actionpose.sniff import refuse_no_data

_HEAD = 4096

LARGEST = 1 << 32
"""Bytes of arrays that are read from one file: as keypoints, two days of one person in 17 joints."""

_SPARE, _INFLATED = 1 << 30, 40
"""An archive may unpack to so many bytes, and so many times its own size besides."""

OBJECTS = "it holds Python objects, which are not loaded"


class NotPlain(ValueError):
    """Why a file of numpy's is not read; the message begins with `it` or `its`."""


def npy_array(path: Path) -> NDArray[Any]:
    """The array of an `.npy`, mapped: its data are read where they are used.

    Raises:
        NotPlain: Python objects, damaged, cut short, or too large.
        OSError: the file cannot be read.
    """
    if _head(path).startswith(b"PK"):
        raise NotPlain("it is an archive of arrays")
    with _causes():
        with open(path, "rb") as handle:
            _check_announced(handle, path.stat().st_size, "it")
        array = np.lib.format.open_memmap(path, mode="r")
    _check_size(array.nbytes, LARGEST)
    return array


def npz_arrays(path: Path, wanted: Container[str] | None = None) -> dict[str, NDArray[Any]]:
    """Arrays of an `.npz` by name.

    Args:
        path: the file.
        wanted: names without `.npy`, of which those that are there are read; all by default.

    Raises:
        NotPlain: Python objects, damaged, cut short, packed in a way that numpy never does, or too large.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as handle, _causes(), zipfile.ZipFile(handle) as archive:
        infos = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        infos = {name: info for name, info in infos.items() if wanted is None or name in wanted}
        most = min(LARGEST, _SPARE + _INFLATED * path.stat().st_size)
        _check_size(sum(info.file_size for info in infos.values()), most)
        return {name: _member(archive, info, name) for name, info in infos.items()}


def npz_names(path: Path) -> frozenset[str]:
    """Names of the members of an `.npz`, without `.npy`.

    Raises:
        NotPlain: not an archive.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as handle, _causes(), zipfile.ZipFile(handle) as archive:
        return frozenset(name.removesuffix(".npy") for name in archive.namelist())


@contextmanager
def _causes() -> Iterator[None]:
    """Whatever zipfile and numpy raise, as what is wrong with the file."""
    try:
        yield
    except (NotPlain, OSError):
        raise
    except NotImplementedError as error:
        raise NotPlain(f"it is packed in a way that is not supported ({error})") from error
    except MemoryError as error:
        raise NotPlain("it needs more memory than there is") from error
    except Exception as error:  # zip, zlib, numpy and the parser of its headers have many words for damage
        text = " ".join(str(error).split())
        raise NotPlain(f"it is damaged or cut short ({text[:100] or type(error).__name__})") from error


def _check_size(size: int, most: int) -> None:
    if size > most:
        raise NotPlain(f"it holds {size / 2**30:,.1f} GiB of arrays; up to {most / 2**30:.1f} GiB of it are read")


def _member(archive: zipfile.ZipFile, info: zipfile.ZipInfo, name: str) -> NDArray[Any]:
    """One member, after its header was compared with the size of the data; zip's checksum is compared too."""
    if info.flag_bits & 1:
        raise NotPlain("it is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise NotPlain(f"it is packed in a way that is not supported (method {info.compress_type} of zip)")
    with archive.open(info) as member:
        _check_announced(member, info.file_size, f"its member {name}")
    with archive.open(info) as member:
        return np.lib.format.read_array(member, allow_pickle=False)


def _check_announced(handle: IO[bytes], size: int, what: str) -> None:
    """Compare an `.npy`'s header with its size in bytes, in Python's integers.

    Raises:
        NotPlain: Python objects, or another size.
    """
    if handle.read(6) != np.lib.format.MAGIC_PREFIX:
        raise NotPlain(f"{what} is not an array")
    version = handle.read(2)
    read = np.lib.format.read_array_header_1_0 if version == b"\1\0" else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(handle)
    if dtype.hasobject:
        raise NotPlain(OBJECTS)
    if math.prod(shape) * dtype.itemsize != size - handle.tell():
        raise NotPlain(f"{what} is cut short or damaged: {dtype} {shape} is announced, which is not what is there")


def read_plain_npz(path: Path, *, wants: str, make: str) -> dict[str, NDArray[Any]]:
    """Every array of an `.npz`, by name.

    Args:
        path: the file.
        wants: what the caller reads, for messages: `3D keypoints`.
        make: how to make such a file from a bare array, for the hint.

    Raises:
        UserError: missing, damaged, a bare array, a JSON file, or arrays of Python objects.
    """
    if not path.is_file():
        if path.is_dir():
            raise UserError(f"{path} is a folder; this reads {wants} from a file", make)
        raise not_there(path, make)
    try:
        head = _head(path).removeprefix(b"\xef\xbb\xbf")
        if head.startswith(b"\x93NUMPY"):
            shape = npy_array(path).shape
            raise UserError(f"{path} is a bare array of shape {shape}; this reads {wants} from an .npz", make)
        if head.lstrip()[:1] in (b"{", b"["):
            raise UserError(f"{path} is {_json_kind(path)}; this reads {wants} from an .npz", _JSON_HINT)
        refuse_no_data(path, make)
        if head.startswith(b"\x80"):
            raise NotPlain(OBJECTS)
        if not head.startswith(b"PK"):
            raise NotPlain("it is no .npz")
        return npz_arrays(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or 'damaged'}", make) from error
    except NotPlain as error:
        raise UserError(f"{path} cannot be read as {wants}: {error}", make) from error


_JSON_HINT = "2D keypoints of a detector are lifted by `ap-lift run FILE --model RUN -o OUT.npz`"


def _head(path: Path) -> bytes:
    with open(path, "rb") as handle:
        return handle.read(_HEAD)


def _json_kind(path: Path) -> str:
    """`a JSON file`, or what of 2D detections it holds."""
    text = path.read_text(encoding="utf-8-sig", errors="replace")[: 1 << 22]
    if '"keypoints"' not in text and '"pose_keypoints_2d"' not in text:
        return "a JSON file"
    joints = ""
    try:
        first = json.loads(text)
        entry = first[0] if isinstance(first, list) else next(iter(first.values()), {})
        count = len(entry["keypoints"]) // 3 if isinstance(entry, dict) else 0
        joints = f", {count} joints" if count else ""
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        joints = ""
    return f"a JSON file of 2D detections{joints}"

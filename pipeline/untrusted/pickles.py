"""Pickles of plain data read without running them: numbers, texts, containers and numpy arrays, nothing else.

Unpickling calls whatever a file names, so the names allowed are a short table, under both places where numpy 1 and 2
keep them, and arrays are put together by `checked_arrays`. Any other name is refused before it is looked up. Object
arrays inside an `.npz` are pickles too and are read the same way.
"""

from __future__ import annotations

import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from pipeline.untrusted import arrays
from pipeline.untrusted.npz import NpzError, object_member

_TYPES = (set, frozenset, complex, bytes, bytearray, object, list, dict, tuple, int, float, bool)
_PEEKED = 400
"""Instructions of a pickle that are enough to meet its first keys."""

_LONGEST_KEY = 200  # old protocols keep the bytes of arrays as text

REFUSED_HINT = "do not open this file with other tools either; get it again from where it is published"


class Refused(pickle.UnpicklingError):
    """The file names something that is not on the list."""


def _encoded(text: Any, encoding: Any = "latin1", *_: Any) -> bytes:
    """Python 3 writes bytes into old protocols as text to encode."""
    return str(text).encode("latin1")


def array_names() -> dict[tuple[str, str], Any]:
    """(module, name) → what it stands for: all that pickles of plain containers and numpy arrays ask for."""
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): arrays.ArrayName,
        ("numpy", "dtype"): arrays.Dtype,
        ("collections", "OrderedDict"): OrderedDict,
        ("_codecs", "encode"): _encoded,
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = arrays.reconstruct
        names[f"{core}.multiarray", "scalar"] = arrays.scalar
        names[f"{core}.numeric", "_frombuffer"] = arrays.from_buffer
    for module in ("__builtin__", "builtins"):
        names.update({(module, kind.__name__): kind for kind in _TYPES})
    return names


class Restricted(pickle.Unpickler):
    """An unpickler that looks names up in a table, never in modules."""

    table: ClassVar[dict[tuple[str, str], Any]] = array_names()

    def find_class(self, module: str, name: str) -> Any:
        """What a name stands for; never an import."""
        try:
            return self.table[module, name]
        except KeyError:
            raise Refused(f"it asks for {module}.{name}") from None


def load_pickle(path: Path) -> Any:
    """What a pickle holds; read from the file as it goes, so that memory holds the content once.

    Raises:
        UserError: not there, damaged, or it names something that plain data do not need.
    """
    try:
        with open(path, "rb") as handle:
            return _load(handle, path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from error


def load_objects(path: Path, member: str) -> Any:
    """A member of an `.npz` that holds Python objects: the one object of a 0-d array, else the array.

    Raises:
        UserError: as `load_pickle`; no such member.
    """
    try:
        with zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as handle:
            if not object_member(handle, member):
                return np.lib.format.read_array(archive.open(f"{member}.npy"), allow_pickle=False)
            loaded = _load(handle, path)
            while handle.read(1 << 16):
                pass  # zip compares its checksum at the member's end
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except (NpzError, KeyError, ValueError, zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        raise UserError(f"{path} is damaged: {error}", "download it again") from error
    return loaded.item() if isinstance(loaded, np.ndarray) and loaded.ndim == 0 else loaded


def _load(handle: IO[bytes], path: Path) -> Any:
    try:
        return Restricted(handle, encoding="latin1").load()
    except Refused as error:
        raise UserError(
            f"{path} is refused: {error}, which plain arrays do not need; opening it the usual way would run it",
            REFUSED_HINT,
        ) from error
    except MemoryError as error:
        raise UserError(f"{path} needs more memory than there is", "use a machine with more") from error
    except OSError:
        raise
    except Exception as error:  # a damaged pickle raises nearly anything; nothing of it has run
        raise UserError(
            f"{path} is no pickle, cut short, or damaged ({type(error).__name__}: {error})", "download it again"
        ) from error


def numbers(value: Any) -> NDArray[Any]:
    """What a file holds in place of an array of numbers, as one.

    Raises:
        ValueError: it holds something else.
    """
    try:
        array = np.asarray(value)
    except (ValueError, TypeError) as error:  # lists of unequal length
        raise ValueError(f"no array of numbers: {error}") from error
    if array.dtype.kind not in "fiu":
        raise ValueError(f"{array.dtype} {array.shape}, no array of numbers")
    return array


# --- a first look -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Glimpse:
    """How a pickle begins: `list` or `dict` (or another word of pickle's), and the first texts in it."""

    container: str
    texts: tuple[str, ...]


def glimpse(path: Path) -> Glimpse | None:
    """The beginning of a pickle, without building anything; None when it does not begin like one."""
    container, texts = "", []
    try:
        with open(path, "rb") as handle:
            if handle.read(1) not in (b"\x80", b"(", b"]", b"}", b"c"):
                return None
            handle.seek(0)
            for name, value in _instructions(handle):
                if not container and name in ("EMPTY_LIST", "EMPTY_DICT", "LIST", "DICT", "EMPTY_TUPLE"):
                    container = name.removeprefix("EMPTY_").lower()
                if isinstance(value, str) and len(value) <= _LONGEST_KEY and name not in ("GLOBAL", "PUT", "GET"):
                    texts.append(value)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from error
    except Exception:  # as above: what cannot be parsed is no pickle, and nothing has run
        return Glimpse(container=container, texts=tuple(texts)) if texts else None
    return Glimpse(container=container, texts=tuple(texts))


def _instructions(handle: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for number, (opcode, value, _) in enumerate(pickletools.genops(handle)):
        if number >= _PEEKED:
            return
        yield opcode.name, value

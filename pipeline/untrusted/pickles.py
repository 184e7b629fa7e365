"""Pickles of plain data read without running them: numbers, texts, containers and numpy arrays, nothing else.

Unpickling calls whatever a file names, so the names allowed are a short table, under both places where numpy 1 and 2
keep them, and arrays are put together by `arrays`. Any other name is refused before it is looked up. Object arrays
inside an `.npz` are pickles too and are read the same way, all in a child process (`actionpose.isolated`).
"""

from __future__ import annotations

import io
import mmap
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from actionpose import isolated
from actionpose.errors import UserError
from actionpose.files import require_file
from actionpose.sniff import first_bytes, refuse_no_data
from pipeline.untrusted import arrays, opcodes
from pipeline.untrusted.npz import NpzError, object_member, readable

_PEEKED = 400
"""Instructions of a pickle that are enough to meet its first keys."""

_PEEKED_BYTES = 1 << 20

_INFLATED = 40
"""An object array may unpack to so many times the size of its file, and a gigabyte besides."""

_LONGEST_KEY = 200  # old protocols keep the bytes of arrays as text

REFUSED_HINT = "do not open this file with other tools either"


class Refused(pickle.UnpicklingError):
    """The file names something that is not on the list."""


def _encoded(text: Any, encoding: Any = "latin1", *_: Any) -> bytes:
    """Python 3 writes bytes into old protocols as text to encode."""
    if not isinstance(text, str):
        raise ValueError(f"bytes made of {type(text).__name__}")
    return text.encode("latin1")


def _made_bytes(content: Any = b"", *_: Any) -> bytes:
    """In place of `bytes` and `bytearray`; of a number those would make as many zeros."""
    return content if isinstance(content, bytes) else _encoded(content)


def _made(kind: type) -> Any:
    """In place of a container's class, which old protocols call with a list of what is in it."""

    def make(content: Any = (), *_: Any) -> Any:
        if not isinstance(content, list | tuple):
            raise ValueError(f"a {kind.__name__} made of a {type(content).__name__}")
        return kind(content)

    return make


def array_names() -> dict[tuple[str, str], Any]:
    """(module, name) → what it stands for: all that pickles of plain containers and numpy arrays ask for."""
    names: dict[tuple[str, str], Any] = {
        ("numpy", "ndarray"): arrays.ArrayName,
        ("numpy", "dtype"): arrays.Dtype,
        ("collections", "OrderedDict"): _made(OrderedDict),
        ("_codecs", "encode"): _encoded,
    }
    for core in ("numpy.core", "numpy._core"):
        names[f"{core}.multiarray", "_reconstruct"] = arrays.reconstruct
        names[f"{core}.multiarray", "scalar"] = arrays.scalar
        names[f"{core}.numeric", "_frombuffer"] = arrays.from_buffer
    for module in ("__builtin__", "builtins"):
        names |= {(module, name): _made_bytes for name in ("bytes", "bytearray")}
        names |= {(module, kind.__name__): _made(kind) for kind in (list, tuple, dict, set, frozenset)}
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
    """What a pickle holds; read in a child process.

    Raises:
        UserError: not there, damaged, it names something that plain data do not need, or costs too much to read.
    """
    return isolated.call("pipeline.untrusted.pickles:unpickle", path)


def load_objects(path: Path, member: str) -> Any:
    """A member of an `.npz` that holds Python objects: the one object of a 0-d array, else the array.

    Raises:
        UserError: as `load_pickle`; no such member.
    """
    return isolated.call("pipeline.untrusted.pickles:unpickle_member", path, member)


# --- in the child -----------------------------------------------------------------------------


def unpickle(path: Path, kind: type[Restricted] = Restricted, *, what: str = "plain arrays", source: str = "") -> Any:
    """As `load_pickle`, in this process.

    Args:
        path: the pickle.
        kind: the unpickler, which knows the names allowed.
        what: what needs no other names, for the message.
        source: where the right file comes from, for the hint.

    Raises:
        UserError: as `load_pickle`.
    """
    try:
        require_file(path)
        refuse_no_data(path, source or "get it again from where it is published")
        with open(path, "rb") as handle, _complaints(path, what, source):
            with mmap.mmap(handle.fileno(), 0, access=mmap.ACCESS_READ) as data:
                opcodes.check(data)
            return kind(handle, encoding="latin1").load()
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror}", "check the path") from error


def unpickle_member(path: Path, member: str, spare: int = 1 << 30) -> Any:
    """As `load_objects`, in this process.

    Args:
        path: the `.npz`.
        member: its name, without `.npy`.
        spare: bytes that it may unpack to beyond `_INFLATED` times the size of the file.

    Raises:
        UserError: as `load_objects`.
    """
    most = spare + _INFLATED * require_file(path).st_size
    try:
        with readable(), zipfile.ZipFile(path) as archive, archive.open(f"{member}.npy") as handle:
            if not object_member(handle, member):
                return np.lib.format.read_array(archive.open(f"{member}.npy"), allow_pickle=False)
            data = handle.read(most)  # to the member's end, where zip compares its checksum
            if len(data) == most:
                raise NpzError(f"{member} unpacks to more than {most:,} bytes")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except (NpzError, KeyError) as error:
        raise UserError(f"{path} cannot be read: {error}", "download it again, or save it with numpy.savez") from error
    with _complaints(path, "plain arrays", ""):
        opcodes.check(data)
        loaded = Restricted(io.BytesIO(data), encoding="latin1").load()
    return loaded.item() if isinstance(loaded, np.ndarray) and loaded.ndim == 0 else loaded


@contextmanager
def _complaints(path: Path, what: str, source: str) -> Iterator[None]:
    """Whatever a pickle raises as the sentence about it; nothing of it has run."""
    try:
        yield
    except Refused as error:
        raise UserError(
            f"{path} is refused: {error}, which {what} do not need; opening it the usual way would run it",
            f"{REFUSED_HINT}; {source or 'get it again from where it is published'}",
        ) from error
    except (MemoryError, OSError, UserError):
        raise
    except Exception as error:  # a damaged pickle raises nearly anything
        raise UserError(
            f"{path} is not a pickle, cut short, or damaged ({type(error).__name__}: {str(error)[:200]})",
            f"download it again: {source}" if source else "download it again",
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
    handle = io.BytesIO(first_bytes(path, _PEEKED_BYTES))  # of which no reader takes more than is there
    try:
        if handle.getvalue()[:1] not in (b"\x80", b"(", b"]", b"}", b"c"):
            return None
        for name, value in _instructions(handle):
            if not container and name in ("EMPTY_LIST", "EMPTY_DICT", "LIST", "DICT", "EMPTY_TUPLE"):
                container = name.removeprefix("EMPTY_").lower()
            if isinstance(value, str) and len(value) <= _LONGEST_KEY and name not in ("GLOBAL", "PUT", "GET"):
                texts.append(value)
    except Exception:  # as above: what cannot be parsed is not a pickle, and nothing has run
        return Glimpse(container=container, texts=tuple(texts)) if texts else None
    return Glimpse(container=container, texts=tuple(texts))


def _instructions(handle: IO[bytes]) -> Iterator[tuple[str, Any]]:
    for number, (opcode, value, _) in enumerate(pickletools.genops(handle)):
        if number >= _PEEKED:
            return
        yield opcode.name, value

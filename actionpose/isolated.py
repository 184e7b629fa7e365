"""Files of foreign making are read in a child process: with limits, and only plain values come back.

A reader such as the unpickler can be made to crash, to loop or to fill the memory by the file it reads. In a child that
costs the child: the caller gets one sentence with the file's name. Values come back as JSON and raw array data, which
are checked again, so even a child that was taken over can hand back nothing but numbers, texts and containers of them.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import math
import mmap
import os
import re
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.files import HINTS, require_file
from actionpose.progress import waiting

MAX_NODES = 4_000_000
"""Values in an answer, arrays and runs of equal list entries counted once."""

MAX_ENTRIES = 40_000_000
"""List entries in an answer, runs counted in full. Human3.6M's pickle has 6.4 million."""

MAX_DEPTH = 40
MAX_BITS = 128

AGAIN = "the file is damaged or made to do harm: get it again from where it is published"

_DTYPE = re.compile(r"[<>=|]?(?:[biufcSU]\d{1,9}|\?)")
_ALIGNED = 64
_UNWRITTEN = 100  # exit status: this, and the number of what the system said
_LENGTH = 8  # bytes at the end of an answer that give the length of its JSON


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What reading one file may cost, beyond what the reader's own libraries take.

    Attributes:
        memory: bytes of address space, and of the answer.
        seconds: processor time; by the clock four times as long, for slow disks and busy machines.
    """

    memory: int
    seconds: float

    @classmethod
    def of(cls, size: int) -> Limits:
        """Generous for honest files of `size` bytes, packed ones too."""
        return cls(memory=(1 << 30) + 12 * size, seconds=20 + size / 2e6)


def call(target: str, path: Path, *args: Any, limits: Limits | None = None) -> Any:
    """Return what `module:function(path, *args)` returns, computed in a child process.

    Args:
        target: the function, such as `pipeline.untrusted.pickles:unpickle`; it may return None, numbers, texts, bytes,
            arrays, and lists, tuples and dictionaries of these.
        path: the file to read.
        args: more arguments; JSON values.
        limits: what it may cost; by default `Limits.of` the file's size.

    Raises:
        UserError: what the function raises; or the child crashed, took too long or too much memory.
    """
    size = require_file(path).st_size
    limits = limits or Limits.of(size)
    request = {
        "target": target,
        "args": [str(path), *args],
        "memory": limits.memory,
        "seconds": limits.seconds,
        "path": [str(Path(__file__).parents[1]), *sys.path],
    }
    with _exchange() as answer:
        with waiting(f"reading {path}"):
            code = _run(request, answer, limits)
        if hint := HINTS.get(code - _UNWRITTEN):  # of this machine, not of the file
            words = os.strerror(code - _UNWRITTEN)
            raise UserError(f"{path}: what is in it cannot be handed over: {words}", hint)
        if code != 0:
            raise UserError(f"{path} is refused: {_words(code, limits)}", AGAIN)
        try:
            reply, data = _reply(answer)
            if "error" in reply:
                message, hint = reply["error"]
                raise UserError(str(message), str(hint))
            if "memory" in reply:
                raise UserError(f"{path} is refused: {_too_much(limits)}", AGAIN)
            if "limit" in reply:
                raise UserError(f"{path} is refused: {reply['limit']}", AGAIN)
            return _Decoder(data).value(reply["value"])
        except (ValueError, KeyError, TypeError, IndexError, RecursionError, OverflowError) as error:
            raise UserError(f"{path} is refused: its reader gave no sound answer ({error})", AGAIN) from error


def _exchange() -> BinaryIO:
    """A file without a name for the answer: in memory where the system has that.

    Its number is above those of the standard streams, one of which may be closed: the child gets its own.
    """
    if hasattr(os, "memfd_create"):
        first = os.memfd_create("actionpose")
    else:
        with TemporaryFile() as file:
            first = os.dup(file.fileno())
    try:
        return os.fdopen(fcntl.fcntl(first, fcntl.F_DUPFD_CLOEXEC, 3), "w+b")
    finally:
        os.close(first)


def _run(request: Mapping[str, Any], answer: BinaryIO, limits: Limits) -> int:
    """Run the child to its end; its exit status, negative for a signal."""
    fd = answer.fileno()
    boot = (
        "import json, sys; request = json.load(sys.stdin); sys.path[:] = request['path']; "
        f"from actionpose.isolated import serve; serve(request, {fd})"
    )
    settings = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    settings |= dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    # A session of its own, so that nothing it may have started outlives it.
    with subprocess.Popen(
        [sys.executable, "-S", "-P", "-c", boot],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        pass_fds=(fd,), env=settings, start_new_session=True,
    ) as child:  # fmt: skip
        try:
            assert child.stdin is not None
            with suppress(BrokenPipeError):  # a child that died at once; its status says so
                child.stdin.write(json.dumps(request).encode())
                child.stdin.close()
            return child.wait(timeout=4 * limits.seconds + 10)
        except subprocess.TimeoutExpired:
            return -signal.SIGXCPU
        finally:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(child.pid, signal.SIGKILL)


def _words(code: int, limits: Limits) -> str:
    if code == -signal.SIGXCPU:
        return f"reading it takes more than {limits.seconds:.0f} seconds"
    if code == -signal.SIGKILL:
        return f"the process that read it was killed: {_too_much(limits)}, or than this machine has"
    if code < 0:
        return f"it crashes the process that reads it ({signal.Signals(-code).name})"
    return f"the process that reads it failed (status {code})"


def _too_much(limits: Limits) -> str:
    return f"reading it needs more than {limits.memory / 2**30:.1f} GiB of memory"


def _reply(answer: BinaryIO) -> tuple[dict[str, Any], mmap.mmap]:
    size = answer.seek(0, os.SEEK_END)
    data = mmap.mmap(answer.fileno(), size, access=mmap.ACCESS_COPY)
    length = int.from_bytes(data[size - _LENGTH :], "little")
    if not 0 < length <= size - _LENGTH:
        raise ValueError("it is cut short")
    reply = json.loads(data[size - _LENGTH - length : size - _LENGTH])
    if not isinstance(reply, dict):
        raise ValueError("it is not an answer")
    return reply, data


# --- in the child -----------------------------------------------------------------------------


def serve(request: Mapping[str, Any], fd: int) -> None:
    """Do what was asked, write the answer, and end the process."""
    module, _, name = str(request["target"]).partition(":")
    function = getattr(importlib.import_module(module), name)
    _restrict(request["memory"], request["seconds"])
    out = os.fdopen(fd, "wb", closefd=False)
    path, *args = request["args"]
    try:
        encoder = Encoder(out)
        text = json.dumps({"value": encoder.node(function(Path(path), *args), 0)}).encode()
    except UserError as error:
        text = json.dumps({"error": [error.message, error.hint]}).encode()
    except MemoryError:
        text = b'{"memory": true}'
    except TooMuch as error:
        text = json.dumps({"limit": str(error)}).encode()
    except Exception as error:  # whatever a strange file brings about is about the file
        text = json.dumps({"limit": f"it cannot be read ({type(error).__name__}: {str(error)[:200]})"}).encode()
    try:
        out.write(text + len(text).to_bytes(_LENGTH, "little"))
        out.flush()
    except OSError as error:
        os._exit(_UNWRITTEN + error.errno if error.errno in HINTS else 1)
    os._exit(0)  # without taking down what was built: that too can be made slow, or crash


def _restrict(memory: int, seconds: float) -> None:
    """Limits for the rest of this process, on top of what its libraries have taken already."""
    taken = 0
    with suppress(OSError), open("/proc/self/statm", "rb") as statm:
        taken = int(statm.read().split()[0]) * mmap.PAGESIZE
    used = resource.getrusage(resource.RUSAGE_SELF)
    limits = {
        resource.RLIMIT_AS: taken + memory,
        resource.RLIMIT_FSIZE: memory,
        resource.RLIMIT_CPU: math.ceil(used.ru_utime + used.ru_stime + seconds),
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        _, hard = resource.getrlimit(kind)
        value = value if hard == resource.RLIM_INFINITY else min(value, hard)
        with suppress(ValueError, OSError):  # macOS knows no limit of address space
            resource.setrlimit(kind, (value, hard))
    signal.signal(signal.SIGXCPU, signal.SIG_DFL)


class TooMuch(Exception):
    """A file holds more, or other things, than an answer may; the message says what."""


class Encoder:
    """Writes arrays to a file as they come, and returns the rest as JSON values.

    Texts, numbers and None are kept as they are; everything else is a list that begins with one letter.
    """

    def __init__(self, out: BinaryIO) -> None:
        self.out, self.at = out, 0
        self.nodes = self.entries = 0
        self.written: dict[int, tuple[NDArray[Any], list[Any]]] = {}

    def node(self, value: Any, depth: int) -> Any:
        """One value.

        Raises:
            TooMuch: too many values, nested too deeply, or an object of another kind.
        """
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise TooMuch(f"it holds more than {MAX_NODES:,} values")
        if depth > MAX_DEPTH:
            raise TooMuch(f"it is nested more than {MAX_DEPTH} deep")
        if isinstance(value, np.generic):
            value = _number(value)
        if value is None or type(value) in (bool, float, str):
            return value
        if type(value) is int:
            if value.bit_length() > MAX_BITS:
                raise TooMuch(f"it holds a number of {value.bit_length():,} bits")
            return value
        if isinstance(value, bytes | bytearray):
            return ["b", bytes(value).decode("latin1")]
        if isinstance(value, np.ndarray):
            return self._array(value, depth)
        if isinstance(value, list | tuple):
            return ["t" if isinstance(value, tuple) else "l", self._entries(value, depth)]
        if isinstance(value, dict):
            items = [[self.node(key, depth + 1), self.node(item, depth + 1)] for key, item in value.items()]
            return ["d", items]
        raise TooMuch(f"it holds a {type(value).__name__}, which plain data do not need")

    def _entries(self, values: Sequence[Any], depth: int) -> list[Any]:
        """[first, how often, second, how often, …]: long lists of names and numbers repeat them for every frame."""
        self.entries += len(values)
        if self.entries > MAX_ENTRIES:
            raise TooMuch(f"its lists hold more than {MAX_ENTRIES:,} entries")
        out: list[Any] = []
        for value, count in _runs(values):
            out += (self.node(value, depth + 1), count)
        return out

    def _array(self, given: NDArray[Any], depth: int) -> list[Any]:
        if id(given) in self.written:
            return self.written[id(given)][1]
        array = np.asarray(given)  # no subclass
        if array.dtype.hasobject:
            return ["o", list(array.shape), self._entries(array.reshape(-1).tolist(), depth)]
        turned = bool(array.flags.f_contiguous and not array.flags.c_contiguous)
        pad = -self.at % _ALIGNED
        data = np.ascontiguousarray(array.T if turned else array)
        self.out.write(bytes(pad))
        if data.nbytes:
            self.out.write(data.reshape(-1).view(np.uint8).data)
        node = ["a", array.dtype.str, list(array.shape), self.at + pad, turned]
        self.at += pad + data.nbytes
        self.written[id(given)] = (given, node)  # the array too, so that its id stays its own
        return node


def _number(value: np.generic) -> Any:
    if isinstance(value, np.floating):
        return float(value)
    item = value.item()
    if type(item) in (bool, int, str, bytes):
        return item
    raise TooMuch(f"it holds a {type(value).__name__}, which plain data do not need")


def _runs(values: Sequence[Any]) -> Iterator[tuple[Any, int]]:
    if len(set(map(type, values))) == 1 and type(values[0]) in (str, int):
        return ((value, sum(1 for _ in group)) for value, group in groupby(values))
    return ((value, 1) for value in values)


class _Decoder:
    """Values from an answer; nothing in it is believed."""

    def __init__(self, data: mmap.mmap) -> None:
        self.data, self.entries = data, 0

    def value(self, node: Any) -> Any:
        if not isinstance(node, list):
            if isinstance(node, dict):
                raise ValueError("it is malformed")
            return node
        kind, *rest = node
        if kind == "b":
            return str(rest[0]).encode("latin1")
        if kind == "l":
            return self._expanded(rest[0])
        if kind == "t":
            return tuple(self._expanded(rest[0]))
        if kind == "d":
            return {self.value(key): self.value(item) for key, item in rest[0]}
        if kind == "a":
            return self._array(*rest)
        if kind == "o":
            return self._objects(*rest)
        raise ValueError("it is malformed")

    def _expanded(self, runs: Sequence[Any]) -> list[Any]:
        out: list[Any] = []
        for node, count in zip(runs[::2], runs[1::2], strict=True):
            self.entries += int(count)
            if not 0 < count <= MAX_ENTRIES or self.entries > MAX_ENTRIES:
                raise ValueError("it is too long")
            out += [self.value(node)] * count
        return out

    def _objects(self, shape: Sequence[int], runs: Sequence[Any]) -> NDArray[Any]:
        values = self._expanded(runs)
        flat = np.empty(len(values), dtype=object)
        for number, value in enumerate(values):  # assignment of the whole would spread lists
            flat[number] = value
        return flat.reshape(_lengths(shape))

    def _array(self, code: str, shape: Sequence[int], at: int, turned: bool) -> NDArray[Any]:
        if not _DTYPE.fullmatch(code):
            raise ValueError(f"it has an array of type {code[:20]!r}")
        dtype, lengths = np.dtype(code), _lengths(shape)
        count = math.prod(lengths)
        if not isinstance(at, int) or not 0 <= at <= at + count * dtype.itemsize <= len(self.data):
            raise ValueError("it has an array that is not there")
        if not dtype.itemsize:
            raise ValueError("it has an array of nothing")
        if not count:
            return np.zeros(lengths, dtype)
        flat = np.frombuffer(self.data, dtype, count, at)
        if dtype.kind == "U" and (flat.astype(dtype.newbyteorder("=")).view(np.uint32) > sys.maxunicode).any():
            raise ValueError("it has a text with numbers that are not letters")
        return flat.reshape(lengths[::-1]).T if turned else flat.reshape(lengths)


def _lengths(shape: Sequence[int]) -> tuple[int, ...]:
    lengths = tuple(shape)
    if len(lengths) > 32 or not all(isinstance(n, int) and 0 <= n < 1 << 48 for n in lengths):
        raise ValueError(f"it has an array of shape {lengths}")
    return lengths

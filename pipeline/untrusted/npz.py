"""Members of an `.npz`, quickly: straight from their place in the file, deflated ones through libdeflate.

Nothing in a file is believed before it is checked: no pickle is opened, no Python literal evaluated, and memory is
taken for bytes that are there, not for bytes that are announced. What comes out is what `numpy.load` gives, bit for
bit, except that zip's checksum of a *stored* member is not computed; of a compressed one it is.

Stored members are read, not mapped: as fast where the whole is looked at, and a file that shrinks or a disk that fails
meanwhile is an error that can be reported, where a map kills the process.
"""

from __future__ import annotations

import lzma
import math
import os
import re
import struct
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, BinaryIO

import deflate  # libdeflate: half of zlib's time
import numpy as np

from actionpose.arrays import Array

_STEP = 1 << 12  # bytes asked of bzip2 and LZMA, which unpack all they are fed: 4 kB of a bomb are 80 MB, not gigabytes
_LOCAL = struct.Struct("<4s22xHH")  # of a member's own header: signature, length of name, length of extra field
_LZMA = struct.Struct("<5xI")  # version, length of properties, the three small ones; then the dictionary's size
_MOST_INFLATED = 1032  # bytes that a deflated byte can become
_LARGEST_DICTIONARY = 1 << 27  # preset 9 takes half of it
_LONGEST_HEADER = 10_000  # numpy's own limit
_DESCR = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>=|]?[biufcSUVOmM?]\d{0,9}(?:\[\w+\])?)['"]""")
_FORTRAN = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
_SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(\s*((?:\d{1,18}L?\s*,?\s*){0,32})\)""")  # L: written by Python 2


class NpzError(ValueError):
    """Not an `.npz`, cut short, damaged, or not plain arrays; the message says which."""


class NotSupported(NpzError):
    """Perhaps whole, but encrypted, packed in another way, or larger than the memory."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What a member announces; `start` is the number of bytes before its data."""

    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    fortran: bool
    start: int

    @property
    def bytes(self) -> int:
        """Size of the data, in Python's integers: a product of announced lengths may not fit 64 bits."""
        return math.prod(self.shape) * self.dtype.itemsize


@contextmanager
def open_npz(path: Path) -> Iterator[Npz]:
    """Open an archive for reading.

    Raises:
        NpzError: see there; also while members are read inside the block.
        OSError: the file cannot be read.
    """
    with open(path, "rb") as handle, readable():
        magic = handle.read(6)
        if magic == b"\x93NUMPY":
            raise NpzError("one bare array, not an npz")
        if magic[:4] not in (b"PK\x03\x04", b"PK\x05\x06"):
            raise NpzError("not an npz" if magic else "empty")
        with zipfile.ZipFile(handle) as archive:
            yield Npz(handle, archive)


@contextmanager
def readable() -> Iterator[None]:
    """Every way in which zipfile and its decompressors complain about bytes, as one."""
    try:
        yield
    except NpzError:
        raise
    except NotImplementedError as error:
        raise NotSupported(f"packed in a way that is not supported: {error}") from error
    except MemoryError as error:
        raise NotSupported("needs more memory than there is") from error
    except OSError as error:
        if error.errno is None:  # bz2's word for a damaged stream
            raise NpzError(str(error)) from error
        raise
    except (zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError) as error:
        raise NpzError(f"damaged or cut short: {str(error) or type(error).__name__}") from error
    except (RuntimeError, ValueError, OverflowError, IndexError) as error:
        raise NpzError(str(error) or type(error).__name__) from error


class Npz:
    """An open archive. Made by `open_npz`."""

    def __init__(self, handle: BinaryIO, archive: zipfile.ZipFile) -> None:
        self._handle, self._zip = handle, archive
        self._size = os.fstat(handle.fileno()).st_size
        self._headers: dict[str, Header] = {}

    @property
    def names(self) -> frozenset[str]:
        """Names of the members, without `.npy`."""
        return frozenset(name.removesuffix(".npy") for name in self._zip.namelist())

    def header(self, name: str) -> Header:
        """Shape and dtype of a member; its data are not touched.

        Raises:
            KeyError: no such array.
            NpzError: no header that numpy writes, or records.
        """
        if name not in self._headers:
            info = self._zip.getinfo(f"{name}.npy")
            if info.compress_type == zipfile.ZIP_STORED:
                self._handle.seek(self._place(info))
                self._headers[name] = _header(self._handle, name)
            else:
                with self._unpacking(info) as member:
                    self._headers[name] = _header(member, name)
        return self._headers[name]

    def read(self, name: str) -> Array:
        """Return a member as a new array, in the dtype it is stored in.

        Of several members of one name the last counts, as with numpy.

        Raises:
            KeyError: no such array.
            NpzError: damaged, cut short, or Python objects.
        """
        header = self.header(name)
        info = self._zip.getinfo(f"{name}.npy")
        if header.dtype.hasobject:
            raise NpzError(f"{name} is an object array, which is never unpickled")
        # Nothing behind the data either: zip's checksum is computed at the very end, or never.
        if header.start + header.bytes != info.file_size or info.header_offset + info.compress_size > self._size:
            raise NpzError(f"{name} announces {header.dtype} {header.shape}, which is not what is there")
        if not header.bytes:
            return np.empty(header.shape, header.dtype)
        if info.compress_type == zipfile.ZIP_STORED:
            self._handle.seek(self._place(info) + header.start)
            return _shaped(self._stored(header), header)
        if info.compress_type == zipfile.ZIP_DEFLATED:
            return _shaped(np.frombuffer(self._inflated(info), header.dtype, offset=header.start), header)
        with self._unpacking(info) as member:
            _unpacked(member, header.start)
            return _shaped(np.frombuffer(_unpacked(member, header.bytes), header.dtype), header)

    def _place(self, info: zipfile.ZipInfo) -> int:
        """Where the bytes of a member begin, when they are all there and really its own."""
        self._handle.seek(info.header_offset)
        signature, name_length, extra_length = _LOCAL.unpack(self._handle.read(_LOCAL.size))
        encoding = "utf-8" if info.flag_bits & 0x800 else "cp437"
        if signature != b"PK\x03\x04" or self._handle.read(name_length) != info.orig_filename.encode(encoding):
            raise NpzError(f"{info.filename} is not where the directory says")
        if info.flag_bits & 1:
            raise NotSupported(f"{info.filename} is encrypted")
        place = info.header_offset + _LOCAL.size + name_length + extra_length
        stored = info.compress_type == zipfile.ZIP_STORED
        if (stored and info.compress_size != info.file_size) or place + info.compress_size > self._size:
            raise NpzError(f"{info.filename} is cut short")
        return place

    def _unpacking(self, info: zipfile.ZipInfo) -> Any:
        """The stream of a compressed member, unless it asks for more memory than any compressor of these files."""
        if info.compress_type == zipfile.ZIP_LZMA:
            self._handle.seek(info.header_offset)
            *_, name_length, extra_length = _LOCAL.unpack(self._handle.read(_LOCAL.size))
            self._handle.seek(name_length + extra_length, os.SEEK_CUR)
            (dictionary,) = _LZMA.unpack(self._handle.read(_LZMA.size))
            if dictionary > _LARGEST_DICTIONARY:
                raise NpzError(f"{info.filename} wants {dictionary} bytes for its LZMA dictionary")
        return self._zip.open(info)

    def _inflated(self, info: zipfile.ZipInfo) -> bytearray:
        """A deflated member, header included, in one call: no memory for more than its bytes can become."""
        self._handle.seek(self._place(info))
        packed = self._handle.read(info.compress_size)
        if info.file_size > _MOST_INFLATED * len(packed):
            raise NpzError(f"{info.filename} is cut short")
        try:
            data: bytearray = deflate.deflate_decompress(packed, info.file_size)
        except deflate.DeflateError as error:
            raise NpzError(f"{info.filename} is damaged: {error}") from error
        if len(data) != info.file_size:
            raise NpzError(f"{info.filename} is cut short")
        if deflate.crc32(data) != info.CRC:
            raise NpzError(f"{info.filename} is damaged: its checksum is another")
        return data

    def _stored(self, header: Header) -> Array:
        flat = np.empty(math.prod(header.shape), header.dtype)
        if self._handle.readinto(flat.view(np.uint8)) != flat.nbytes:  # type: ignore[attr-defined]
            raise NpzError("the file became shorter while it was read")
        return flat


def _header(member: Any, name: str) -> Header:
    """Read an npy header, with patterns instead of Python's parser: it holds two words and some integers."""
    head = member.read(8)
    wide = head[6:7] in (b"\x02", b"\x03")
    if head[:6] != b"\x93NUMPY" or not (wide or head[6:7] == b"\x01"):
        raise NpzError(f"{name} is not a numpy array")
    (length,) = struct.unpack("<I" if wide else "<H", member.read(4 if wide else 2))
    if length > _LONGEST_HEADER:
        raise NpzError(f"{name} has a header of {length} bytes")
    text = member.read(length).decode("latin-1")
    descr, fortran, shape = _DESCR.search(text), _FORTRAN.search(text), _SHAPE.search(text)
    if descr is None or fortran is None or shape is None:
        raise NpzError(f"{name} is not a plain array: {text[:80].strip()!r}")
    try:
        dtype = np.dtype(descr[1])
    except TypeError as error:
        raise NpzError(f"{name} has the unknown type {descr[1]!r}") from error
    lengths = tuple(int(number) for number in re.findall(r"\d+", shape[1]))
    return Header(shape=lengths, dtype=dtype, fortran=fortran[1] == "True", start=8 + (4 if wide else 2) + length)


def _shaped(flat: Array, header: Header) -> Array:
    return flat.reshape(header.shape[::-1]).T if header.fortran else flat.reshape(header.shape)


def _unpacked(member: Any, wanted: int) -> bytearray:
    """Exactly the next bytes of a compressed member; memory grows with what really comes."""
    data = bytearray()
    while len(data) < wanted:
        piece = member.read(min(_STEP, wanted - len(data)))
        if not piece:
            raise NpzError(f"{member.name} is cut short")
        data += piece
    return data


def object_member(member: IO[bytes], name: str) -> bool:
    """Whether an open member of an archive is an object array; its position is then where its pickle begins.

    Raises:
        NpzError: no header that numpy writes.
    """
    with readable():
        return _header(member, name).dtype.hasobject

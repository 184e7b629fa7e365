"""What a file is by its first bytes: web pages, pointers, archives and pickles that have the name of a data file."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from actionpose.errors import UserError
from actionpose.files import require_file

Content = Literal["", "empty", "web page", "Git LFS pointer", "packed archive", "pickle", "zip"]

_HEAD = 512
_BLANK = b"\xef\xbb\xbf \t\r\n"  # the mark of UTF-8 is not content either


def content_of(head: bytes) -> Content:
    """What a file that begins with these bytes is; empty if it is none of these kinds. An `.npz` is a zip."""
    text = head.lstrip(_BLANK)
    if not text:
        return "empty"
    if text.startswith(b"<"):
        return "web page"
    if text.startswith(b"version https://git-lfs"):
        return "Git LFS pointer"
    if head.startswith((b"\xfd7zXZ", b"\x1f\x8b", b"BZh")):
        return "packed archive"
    if head[0] == 0x80 and head[1:2] in (b"\x02", b"\x03", b"\x04", b"\x05"):
        return "pickle"
    return "zip" if head.startswith(b"PK") else ""


def sniff(path: Path) -> Content:
    """What a file is by its first bytes.

    Raises:
        UserError: it is not a file; opening a pipe would wait for ever.
        OSError: it cannot be read.
    """
    require_file(path)
    with open(path, "rb") as handle:
        return content_of(handle.read(_HEAD))


def first_bytes(path: Path, count: int = _HEAD, hint: str = "check the path") -> bytes:
    """How a file begins.

    Raises:
        UserError: it is not a file, or cannot be read.
    """
    require_file(path, hint)
    try:
        with open(path, "rb") as handle:
            return handle.read(count)
    except OSError as error:
        hint = "check its permissions" if isinstance(error, PermissionError) else hint
        raise UserError(f"cannot read {path}: {error.strerror or error}", hint) from error


def refuse_no_data(path: Path, hint: str) -> None:
    """Refuse what stands in the place of data of any kind: nothing, web pages, pointers, packed archives.

    Args:
        path: an existing file.
        hint: where the right file comes from.

    Raises:
        UserError: the first bytes say it is one of those, or it cannot be read.
    """
    content = content_of(first_bytes(path, hint=hint))
    if content == "empty":
        raise UserError(f"{path} is empty", f"download it again: {hint}")
    if content == "web page":
        raise UserError(f"{path} is a web page, not data: the download needed a login", hint)
    if content == "Git LFS pointer":
        raise UserError(f"{path} is a Git LFS pointer, not data", "run 'git lfs pull' in its repository")
    if content == "packed archive":
        raise UserError(f"{path} is a packed archive", f"unpack it first: {_unpacker(path)} {path}")


def _unpacker(path: Path) -> str:
    alone = {".gz": "gunzip", ".bz2": "bunzip2", ".xz": "unxz"}
    return "tar -xf" if ".tar" in path.suffixes else alone.get(path.suffix, "tar -xf")


def refuse_wrong_content(path: Path, hint: str, *, pickled: str = "") -> None:
    """Refuse what people save by mistake under a numpy name: what `refuse_no_data` refuses, and pickles.

    Args:
        path: an existing file.
        hint: where the right file comes from.
        pickled: a better hint for pickles, if there is one.

    Raises:
        UserError: the first bytes say it is one of those.
    """
    refuse_no_data(path, hint)
    if sniff(path) == "pickle" or path.suffix.lower() == ".pkl":
        raise UserError(f"{path} is a Python pickle, and opening it would run code", pickled or hint)

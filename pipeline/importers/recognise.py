"""What a file is, by its first bytes and then by its name; a sentence for everything that is not read."""

from __future__ import annotations

from pathlib import Path

from actionpose.characters import printable
from actionpose.errors import UserError
from actionpose.sniff import first_bytes
from pipeline.engine.item import ItemError

SUFFIXES = (".bvh", ".amc", ".npz", ".pkl")
"""What a folder is searched for."""
_TEXTS = (".bvh", ".amc", ".asf")
_ZIP = (b"PK\x03\x04", b"PK\x05\x06")
_LONGEST_NAME = 200
_HEAD = 4096


def kind_of(path: Path) -> str:
    """`bvh`, `amc`, `asf`, `npz` or `pickle`, by content and then by name.

    Raises:
        ItemError: something else; the message says what, and what to do.
    """
    _check_name(path)
    if path.is_dir():  # of folders, only those come here
        raise ItemError("cannot be read", f"{path} is a folder that cannot be looked into: check its permissions")
    head = _head(path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not text:
        raise ItemError("empty", f"{path.name} " + ("holds nothing but blanks" if head else "is empty"))
    for begin, (reason, sentence) in _NOT_READ.items():
        if text.startswith(begin):
            raise ItemError(reason, f"{path.name} {sentence}")
    if head.startswith(_ZIP):
        return "npz"
    suffix = path.suffix.lower()
    if suffix in _TEXTS:
        check_text(path.name, head)
    if text[:9].upper() == b"HIERARCHY":
        return "bvh"
    if suffix == ".asf":
        return "asf"
    if suffix == ".amc" or text.upper().startswith(b":FULLY-SPECIFIED"):
        return "amc"
    if suffix in (".pkl", ".pickle") or head[:1] == b"\x80":
        return "pickle"
    raise ItemError("not recognised", f"{path.name} is none of BVH, ASF/AMC, .npz or .pkl with SMPL parameters")


def is_zip(path: Path) -> bool:
    """Whether a file is a zip, as an `.npz` is, whatever its name."""
    return _head(path).startswith(_ZIP)


def _head(path: Path) -> bytes:
    try:
        return first_bytes(path, _HEAD)
    except UserError as error:
        raise ItemError("cannot be read", error.message) from error


def check_text(name: str, head: bytes) -> None:
    """Refuse text that no reader of motion expects.

    Raises:
        ItemError: UTF-16, or lines that end as on the first Macs, which would all be one.
    """
    zeros = head[:64:2].count(0), head[1:64:2].count(0)
    if head.startswith((b"\xff\xfe", b"\xfe\xff")) or (min(zeros) == 0 and max(zeros) > 8):
        raise ItemError("UTF-16", f"{name} is text in UTF-16: save it as UTF-8 or ASCII")
    if b"\r" in head and b"\n" not in head:
        raise ItemError("line ends", f"{name} ends its lines with carriage returns alone: convert them, as in mac2unix")


def _check_name(path: Path) -> None:
    """Names end up in manifests and as names of files.

    Raises:
        ItemError: it is not UTF-8, steers a terminal, is hidden, or too long to add an ending.
    """
    try:
        length = len(path.name.encode("utf-8"))
    except UnicodeEncodeError:
        raise ItemError("odd name", f"{path.name!a} is not UTF-8: rename it") from None
    if length > _LONGEST_NAME:
        raise ItemError("odd name", f"{path.name[:40]}… has too long a name: rename it")
    if "\n" in path.name or printable(path.name) != path.name:
        raise ItemError("odd name", f"{path.name!a} has control characters in its name: rename it")
    if path.name.startswith("."):
        raise ItemError("odd name", f"{path.name} is a hidden file, which later commands would not find: rename it")


_CONVERT = (
    "convert it to BVH first, for example in Blender: File, Import, FBX, then File, Export, Motion Capture (.bvh)"
)
_NOT_READ = {
    b"Kaydara FBX Binary": ("FBX", f"is a binary FBX, which is not read: {_CONVERT}"),
    b"; FBX": ("FBX", f"is an FBX in text form, which is not read: {_CONVERT}"),
    b"<!doctype": ("a web page", "is a web page, not motion: the download needed a login"),
    b"<!DOCTYPE": ("a web page", "is a web page, not motion: the download needed a login"),
    b"<html": ("a web page", "is a web page, not motion: the download needed a login"),
    b"version https://git-lfs": ("Git LFS pointer", "is a Git LFS pointer: run 'git lfs pull' in its repository"),
    b"glTF": ("glTF", "is a glTF, which is not read: convert it to BVH first"),
    b"\x1f\x8b": ("packed", "is a gzip archive: unpack it first"),
    b"\x93NUMPY": ("no SMPL motion", "is one bare array: it names neither poses nor translation"),
}

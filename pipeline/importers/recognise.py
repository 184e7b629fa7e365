"""What a file is, by its first bytes and then by its name; a sentence for everything that is not read."""

from __future__ import annotations

from pathlib import Path

from pipeline.engine.item import ItemError

SUFFIXES = (".bvh", ".amc", ".npz", ".pkl")
"""What a folder is searched for."""
_LONGEST_NAME = 200


def kind_of(path: Path) -> str:
    """`bvh`, `amc`, `asf`, `npz` or `pickle`, by content and then by name.

    Raises:
        ItemError: something else; the message says what, and what to do.
    """
    _check_name(path)
    if not path.is_file():
        raise ItemError("cannot be read", f"{path.name} is not a file but a pipe, a device or a dangling link")
    try:
        with open(path, "rb") as handle:
            head = handle.read(64)
    except OSError as error:
        raise ItemError("cannot be read", f"{path.name}: {error.strerror or error}") from error
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    if not head:
        raise ItemError("empty", f"{path.name} is empty")
    for begin, (reason, sentence) in _NOT_READ.items():
        if text.startswith(begin):
            raise ItemError(reason, f"{path.name} {sentence}")
    suffix = path.suffix.lower()
    if text[:9].upper() == b"HIERARCHY":
        return "bvh"
    if suffix == ".asf":
        return "asf"
    if suffix == ".amc" or text.upper().startswith(b":FULLY-SPECIFIED"):
        return "amc"
    if head.startswith((b"PK\x03\x04", b"PK\x05\x06")):
        return "npz"
    if suffix in (".pkl", ".pickle") or head[:1] == b"\x80":
        return "pickle"
    raise ItemError("not recognised", f"{path.name} is none of BVH, ASF/AMC, .npz or .pkl with SMPL parameters")


def _check_name(path: Path) -> None:
    """Names end up in manifests and as names of files.

    Raises:
        ItemError: it is not UTF-8, or too long to add an ending.
    """
    try:
        length = len(path.name.encode("utf-8"))
    except UnicodeEncodeError:
        raise ItemError("odd name", f"{path.name!a} is not UTF-8: rename it") from None
    if length > _LONGEST_NAME:
        raise ItemError("odd name", f"{path.name[:40]}… has too long a name: rename it")


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

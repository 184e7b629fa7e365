"""An `.npz` of plain arrays, or a sentence about what the file is instead. Nothing is ever unpickled."""

from __future__ import annotations

import json
import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.places import not_there
from actionpose.sniff import refuse_no_data

_HEAD = 4096


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
            shape = np.load(path, mmap_mode="r", allow_pickle=False).shape
            raise UserError(f"{path} is a bare array of shape {shape}; this reads {wants} from an .npz", make)
        if head.lstrip()[:1] in (b"{", b"["):
            raise UserError(f"{path} is {_json_kind(path)}; this reads {wants} from an .npz", _JSON_HINT)
        refuse_no_data(path, make)
        with open(path, "rb") as handle, np.load(handle, allow_pickle=False) as file:
            return {name: file[name] for name in file.files}
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror or 'damaged'}", make) from error
    except (ValueError, EOFError, AttributeError, TypeError, zipfile.BadZipFile, zlib.error) as error:
        objects = head.startswith((b"PK", b"\x93NUMPY", b"\x80")) and "pickle" in str(error)
        # numpy's own words advise to load it unsafely
        why = "it holds Python objects, which are not loaded" if objects else "it is damaged or no .npz"
        raise UserError(f"{path} is not a file of {wants}: {why}", make) from error


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

"""Is a shard what `shards` writes? Checks of the index, of where frames stand and of spans, before anything is mapped.

Each raises ValueError, or returns, with what is wrong in words. A file that passes for ours can hold anything: links to
other files, packed or big-endian numbers, spans that reach beyond the frames.
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actionpose.arrays import Array
from actionpose.characters import writable
from actionpose.errors import UserError
from actionpose.schema import COLUMNS, KEYS
from actionpose.skeleton import JOINT_NAMES

_ROW: dict[str, type] = {
    **dict.fromkeys(("frames", "bytes", *COLUMNS), int),
    **dict.fromkeys(("file", "split", "sha256"), str),
}
"""Row of a shard in the index: entry → type."""


def wrong_in_index(index: Mapping[str, Any]) -> str | None:
    """What in an index is not as `write_index` writes it, in words; None when all is."""
    kind, fps, views, shards = (index.get(key) for key in ("kind", "fps", "views", "shards"))
    if not isinstance(kind, str) or kind not in KEYS:
        return f"kind {str(kind)[:60]!r} is none of {', '.join(KEYS)}"
    if isinstance(fps, bool) or not isinstance(fps, int | float) or not 0 < fps <= 1000:
        return f"fps is {str(fps)[:60]}"
    if index.get("joints") != list(JOINT_NAMES):
        return "its joints are not the 17 of Human3.6M in their order"
    if index.get("unit") != ("m" if kind == "motion-text" else "screen"):
        return f"unit is {str(index.get('unit'))[:60]!r}"
    if not isinstance(views, list) or not all(isinstance(view, str) for view in views):
        return f"views is {str(views)[:60]}"
    if not isinstance(index.get("summary"), dict) or not isinstance(index.get("provenance"), dict):
        return "it has no summary or no provenance"
    if not isinstance(shards, list):
        return f"shards is {type(shards).__name__}"
    if (wrong := next(filter(None, map(_wrong_in_row, count(), shards)), None)) is not None:
        return wrong
    return _twice("view", views) or _twice("file", [row["file"] for row in shards])


def _twice(what: str, names: Sequence[str]) -> str | None:
    """Clips of a shard that is listed twice would be learned twice."""
    return next((f"{what} {name!r} is listed twice" for name, n in Counter(names).items() if n > 1), None)


def _wrong_in_row(number: int, row: Any) -> str | None:
    where = f"shard {number}"
    if not isinstance(row, dict):
        return f"{where} is {type(row).__name__}"
    for key, kind in _ROW.items():
        value = row.get(key)
        if type(value) is not kind or (isinstance(value, int) and not 0 <= value < 1 << 48):
            return f"{where}: {key} is {str(value)[:60]!r}"
    name = row["file"]
    if Path(name).name != name or len(name) > 200 or writable(name) != name:
        return f"{where}: file {name[:60]!r} is not the name of a file in this folder"
    return None


# --- HDF5 -------------------------------------------------------------------------------------


def own_member(group: h5py.Group, name: str, kind: type = h5py.Dataset) -> Any:
    """A member that stands in this very file: links may lead to any other."""
    if not isinstance(group.get(name, getlink=True), h5py.HardLink):
        raise ValueError(f"{name} is missing" if name not in group else f"{name} is a link to elsewhere")
    member = group[name]
    if not isinstance(member, kind):
        raise ValueError(f"{name} is a {type(member).__name__}")
    if isinstance(member, h5py.Dataset) and (member.is_virtual or member.external):
        raise ValueError(f"{name} has its data in another file")
    return member


def place_of(dataset: h5py.Dataset, shape: tuple[int, ...], size: int) -> int:
    """Where in the file the frames begin, for mapping: whole, plain little-endian float32, and all there."""
    check_shape(dataset, shape)
    if dataset.dtype != np.dtype("<f4") or dataset.dtype.byteorder == ">":
        raise ValueError(f"{dataset.name} is {dataset.dtype.str}, not little-endian float32")
    if dataset.chunks is not None or dataset.id.get_create_plist().get_nfilters():
        raise ValueError(f"{dataset.name} is chunked or packed, so it cannot be mapped")
    if not shape[0]:
        return 0
    offset = dataset.id.get_offset()
    if offset is None or not 0 < offset <= size - math.prod(shape) * 4:
        raise ValueError(f"the frames of {dataset.name} are not in the file")
    return int(offset)


def check_shape(dataset: h5py.Dataset, shape: tuple[int, ...]) -> None:
    """Asked before reading: a damaged shape can ask for more memory than there is."""
    if dataset.shape != shape:
        raise ValueError(f"{dataset.name} has shape {dataset.shape}, the index says {shape}")


def check_spans(tables: Mapping[str, Mapping[str, Array]], frames: int) -> None:
    """Motions lie inside the frames, clips inside their motion, gaps inside their clip; pairs name a clip.

    Slices that reach beyond would come out shorter, or of another motion, without a word.
    """
    motions, clips, pairs = (tables[name] for name in ("motions", "clips", "pairs"))
    start, stop = motions["start"], motions["stop"]
    _all_hold("motions", motions["motion_id"], (start >= 0) & (start <= stop) & (stop <= frames), "its frames")
    number = len(start)
    _all_hold("clips", clips["clip_id"], (clips["motion"] >= 0) & (clips["motion"] < number), "its motion")
    length = (stop - start)[clips["motion"]] if number else np.zeros(0, np.int64)
    _all_hold("clips", clips["clip_id"], (clips["start"] >= 0) & (clips["start"] <= clips["stop"]), "its span")
    _all_hold("clips", clips["clip_id"], clips["stop"] <= length, "its span")
    gap, end = clips["gap_start"], clips["gap_stop"]
    inside = (gap == end) | ((gap > 0) & (gap < end) & (end < clips["stop"] - clips["start"]))
    _all_hold("clips", clips["clip_id"], inside, "its gap")
    _all_hold("pairs", pairs["pair_id"], (pairs["clip"] >= 0) & (pairs["clip"] < len(gap)), "its clip")


def _all_hold(table: str, names: Array, holds: Array, what: str) -> None:
    if not holds.all():
        raise ValueError(f"{table} {names[int(np.argmin(holds))]!r}: {what} cannot be")


def json_value(text: str, kind: type, where: str) -> Any:
    """The list or dictionary that a text spells."""
    value = json.loads(text)
    if not isinstance(value, kind):
        raise ValueError(f"{where} holds {text[:60]!r} where a {kind.__name__} should be")
    return value


def check_texts(column: str, texts: Sequence[str]) -> None:
    """Neither HDF5 nor UTF-8 has every character that Python's texts can hold."""
    for row, text in enumerate(texts):
        if writable(text) != text:
            raise UserError(f"row {row} of {column} holds characters that cannot be written: {text[:60]!a}")

"""Keypoints in tables of one's own: a column for each number of each joint, or a row for each joint of each frame.

Columns are recognised by their heads, in any order and spelling: `nose_x`, `x_nose`, `LEFT_HIP.y`, `x0`, `v0`; in
tables with rows for joints `x`, `y`, `visibility` beside the joint and the frame. What else there is, is left out.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actionpose.arrays import Floats, Ints
from actionpose.errors import UserError
from actionpose.lift.detections import Detections, clean, frames_of

_AXIS = {
    **{"x": 0, "y": 1},
    **dict.fromkeys(("visibility", "vis", "v", "confidence", "conf", "c", "score", "s", "likelihood", "prob", "p"), 2),
}
_LAST = re.compile(r"(?P<name>.*?)[\s_.:\-]?(?P<axis>[a-z]+)")
_FIRST = re.compile(r"(?P<axis>[a-z]+?)[\s_.:\-]?(?P<name>\d.*|(?<=[\s_.:\-]).+)")
_FRAME = re.compile(r"(frame|image|img)([\s_]?(id|idx|index|num|number|no|name|file))?|file_?name")
_TIME = re.compile(r"(time|timestamp|seconds)([\s_(]*(?P<unit>s|sec|ms)\)?)?")
_PERSON = re.compile(r"(person|track|instance)([\s_]?(id|idx|index))?|pid")
_JOINT = re.compile(r"(landmark|keypoint|joint|body_?part|part|kp|point)([\s_]?(id|idx|index|name))?|id|name|index")
_NO_JOINT = re.compile(r"b?box.*|cent(er|re)|min|max")
_LONGEST_STEP = 5.0
"""Seconds between frames; what is longer is milliseconds."""

LARGEST = 1 << 28
"""Bytes of a table of one's own, an hour of 33 joints; in memory it takes several times as much."""


@dataclass(frozen=True)
class _Table:
    """Cells of a table below its head, whose names are in lower case."""

    path: Path
    head: tuple[str, ...]
    rows: Sequence[Sequence[str]]
    comma: bool

    def column(self, pattern: re.Pattern[str]) -> int | None:
        """The first column with such a head."""
        return next((n for n, name in enumerate(self.head) if pattern.fullmatch(name)), None)

    def numbers(self, column: int) -> Floats:
        """A column; empty cells and texts such as `None` are NaN."""
        return np.array([self._number(row[column]) for row in self.rows])

    def texts(self, column: int) -> list[str]:
        """A column as it is written."""
        return [row[column].strip() for row in self.rows]

    def _number(self, text: str) -> float:
        try:
            return float(text.replace(",", ".") if self.comma else text)
        except ValueError:
            return np.nan


def read_columns(path: Path) -> Detections | None:
    """Read a table of one's own; None when its heads name no joints.

    Raises:
        UserError: rows of unequal length, or numbers that cannot be keypoints.
    """
    table = _read(path)
    if table is None:
        return None
    if {"x", "y"} <= set(table.head):
        joint = table.column(_JOINT)
        return None if joint is None else _joint_rows(table, table.texts(joint))
    joints = _columns(table.head)
    return _wide(table, joints) if len(joints) > 1 else None


def _read(path: Path) -> _Table | None:
    if path.stat().st_size > LARGEST:
        raise UserError(
            f"{path} has more than {LARGEST >> 20} MiB",
            "split it, or save arrays: numpy.savez(FILE, keypoints=(T,17,2), scores=(T,17))",
        )
    with open(path, encoding="utf-8-sig", newline="") as handle:
        first = handle.readline()
        delimiter = max(",;\t", key=first.count)
        handle.seek(0)
        rows = [row for row in csv.reader(handle, delimiter=delimiter) if any(cell.strip() for cell in row)]
    if len(rows) < 2:
        return None
    head = tuple(cell.strip().lower() for cell in rows[0])
    if any(len(row) != len(head) for row in rows):
        return None
    return _Table(path, head, rows[1:], comma=delimiter != ",")


def _columns(head: Sequence[str]) -> dict[str, dict[int, int]]:
    """Joint → which column has its x (0), y (1) and confidence (2), in the order of the heads."""
    joints: dict[str, dict[int, int]] = {}
    for number, cell in enumerate(head):
        match = next((m for m in (_LAST.fullmatch(cell), _FIRST.fullmatch(cell)) if m and m["axis"] in _AXIS), None)
        if match is not None and match["name"] and not _NO_JOINT.fullmatch(match["name"]):
            joints.setdefault(match["name"], {}).setdefault(_AXIS[match["axis"]], number)
    return {name: columns for name, columns in joints.items() if {0, 1} <= set(columns)}


def _wide(table: _Table, joints: dict[str, dict[int, int]]) -> Detections:
    values = np.ones((len(table.rows), len(joints), 3))
    for number, columns in enumerate(joints.values()):
        for axis, column in columns.items():
            values[:, number, axis] = table.numbers(column)
    frames = _frames(table)
    if frames is None:
        frames = np.arange(len(values), dtype=np.int64)
    return _found(table, values, frames, _tracks(table), list(joints), _fps(table, frames))


def _joint_rows(table: _Table, joint: Sequence[str]) -> Detections:
    """A row for each joint: rows of one frame and person are one pose."""
    frames, tracks = _frames(table), _tracks(table)
    names = list(dict.fromkeys(joint))
    if frames is None:  # each begins with the joint that the table begins with
        frames = np.cumsum(np.array(joint) == names[0], dtype=np.int64) - 1
    if all(name.isdigit() for name in names):
        names.sort(key=int)
    sure = next((n for n, name in enumerate(table.head) if _AXIS.get(name) == 2), None)
    of_pose = frames if tracks is None else np.stack([frames, tracks], axis=1)
    _, first, pose = np.unique(of_pose, axis=0, return_index=True, return_inverse=True)
    values = np.full((len(first), len(names), 3), np.nan)
    place = [names.index(name) for name in joint]
    for axis, column in ((0, table.head.index("x")), (1, table.head.index("y")), (2, sure)):
        values[pose.reshape(-1), place, axis] = np.ones(len(joint)) if column is None else table.numbers(column)
    who = None if tracks is None else tracks[first]
    return _found(table, values, frames[first], who, names, _fps(table, frames))


def _frames(table: _Table) -> Ints | None:
    """Frame numbers of the column that has them; None when there is none."""
    column = table.column(_FRAME)
    if column is None:
        return None
    cells = [int(float(text)) if _is_number(text) else text for text in table.texts(column)]
    return frames_of(cells, str(table.path))


def _is_number(text: str) -> bool:
    return bool(re.fullmatch(r"\d{1,15}(\.0*)?", text))


def _tracks(table: _Table) -> Ints | None:
    column = table.column(_PERSON)
    if column is None:
        return None
    names = table.texts(column)
    if not all(_is_number(name) for name in names):
        return np.unique(names, return_inverse=True)[1].astype(np.int64)
    return np.array([int(float(name)) for name in names], dtype=np.int64)


def _fps(table: _Table, frames: Ints) -> float | None:
    """Frames a second, from the column of times."""
    column = table.column(_TIME)
    if column is None:
        return None
    frame, first = np.unique(frames, return_index=True)
    seconds = table.numbers(column)[first]
    steps = np.diff(seconds) / np.maximum(np.diff(frame), 1)
    step = float(np.median(steps)) if len(steps) and np.isfinite(steps).all() else 0.0
    match = _TIME.fullmatch(table.head[column])
    if (match and match["unit"] == "ms") or step > _LONGEST_STEP:
        step /= 1000
    return 1 / step if 1e-4 <= step <= _LONGEST_STEP else None


def _found(
    table: _Table, values: Floats, frames: Ints, tracks: Ints | None, names: Sequence[str], fps: float | None
) -> Detections:
    path = str(table.path)
    points, confidence, notes = clean(values[..., :2], np.nan_to_num(values[..., 2]), path)
    numbered = all(re.fullmatch(r"\D*\d+", name) for name in names)
    return Detections(
        source=path,
        kind="table of joints",
        frame=frames,
        points=points,
        confidence=confidence,
        track=tracks,
        names=None if numbered else tuple(names),
        fps=fps,
        notes=[note for note in notes if "finite" not in note],  # an empty cell is a joint that was not found
    ).seen()

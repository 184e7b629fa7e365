"""Keypoints in the text files that Ultralytics' `yolo pose predict save_txt` writes, one for each frame.

A line is a person: class, box (4 numbers), then x, y and confidence of each joint, all from 0 to 1; after them the
person's confidence with `save_conf`, and the id with `yolo pose track`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift.collect import DetectedPerson, collect
from actionpose.lift.detections import UNKNOWN, Detections, track_of
from actionpose.lift.layouts import COCO_17

BEFORE = 5
LONGEST = 1 << 22
"""Bytes of a file for one frame: thousands of people."""


def read_yolo(files: Sequence[Path], numbers: Sequence[int], source: str) -> Detections:
    """Read one text file for each frame.

    Args:
        files: the files.
        numbers: the frame of each.
        source: the folder, for messages.

    Raises:
        UserError: lines that are not a person in 17 joints.
    """
    found = [(number, row) for path, number in zip(files, numbers, strict=True) for row in _lines(path)]
    ids = _have_ids([row for _, row in found])
    people = (DetectedPerson(number, *_pose(row), track_of(row[-1]) if ids else UNKNOWN) for number, row in found)
    detections = collect(people, Path(source), f"YOLO labels of {len(files)} frames")
    detections.units = "normalised"
    return detections


def _width(row: Floats) -> int:
    """Numbers of each joint in a line."""
    return 3 if len(row) >= BEFORE + 3 * len(COCO_17) else 2


def _pose(row: Floats) -> tuple[Floats, Floats | None]:
    width = _width(row)
    joints = row[BEFORE : BEFORE + width * len(COCO_17)].reshape(-1, width)
    return joints[:, :2], joints[:, 2] if width == 3 else None


def _have_ids(rows: Sequence[Floats]) -> bool:
    """Whether lines end with an id: with two numbers after the joints they do, with one it is a whole number."""
    after = [row[BEFORE + _width(row) * len(COCO_17) :] for row in rows]
    if not after or not all(map(len, after)):
        return False
    return any(len(rest) == 2 for rest in after) or all(rest[-1] >= 1 and rest[-1] % 1 == 0 for rest in after)


def _lines(path: Path) -> Iterator[Floats]:
    if path.stat().st_size > LONGEST:
        raise UserError(f"{path} is too large for the people of one frame", "give the folder of YOLO's labels alone")
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        try:
            row = np.array([float(word) for word in line.split()])
        except ValueError:
            row = np.zeros(0)
        if line.strip() and not any(0 <= len(row) - BEFORE - w * len(COCO_17) <= 2 for w in (2, 3)):
            raise UserError(
                f"{path}: a line of {len(line.split())} words is not a person as `yolo pose predict save_txt` writes "
                f"one: {BEFORE} numbers, then 2 or 3 for each of {len(COCO_17)} joints",
                "give a folder of such files alone, or save arrays: numpy.savez(FILE, keypoints=(T,P,17,3))",
            )
        if len(row):
            yield row

"""Keypoints in CSV tables: DeepLabCut's (header rows scorer, individuals, bodyparts, coords), SLEAP's, and others."""

from __future__ import annotations

import csv
import itertools
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift.detections import UNKNOWN, Detections, clean, frame_of, tracks_or_none
from actionpose.lift.read_columns import read_columns

LARGEST_TABLE = 1 << 30
_HEADERS = ("scorer", "individuals", "bodyparts", "coords")


def read_table(path: Path) -> Detections:
    """Read a CSV table of keypoints.

    Raises:
        UserError: neither of the two nor one whose heads name joints, or cells that are not numbers.
    """
    try:
        if path.stat().st_size > LARGEST_TABLE:
            raise UserError(f"{path} has more than 1 GiB", "split it")
        with open(path, encoding="utf-8-sig", newline="") as handle:
            head = list(itertools.islice(csv.reader(handle), 4))
            first = [row[0].strip().lower() for row in head if row]
            if first and first[0] == "scorer":
                return _deeplabcut(path, [row for row in head if row and row[0].strip().lower() in _HEADERS])
            if head and "frame_idx" in head[0] and any(cell.endswith(".x") for cell in head[0]):
                return _sleap(path, head[0])
        found = read_columns(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"{path} is not a table: {error}", "give DeepLabCut's or SLEAP's own .csv") from error
    if found is not None:
        return found
    begins = ", ".join(head[0][:4]) if head else ""
    raise UserError(
        f"{path} is a table, but neither DeepLabCut's nor SLEAP's, and its heads name no joints (it begins {begins})",
        "give the program's own .csv, one with heads such as left_hip_x, left_hip_y, left_hip_visibility, or save "
        "arrays: numpy.savez(FILE, keypoints=(T,17,2), scores=(T,17))",
    )


def _numbers(path: Path, skip: int) -> Floats:
    """Cells below the header; empty ones are NaN."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # no rows are the callers' business
            return np.genfromtxt(path, delimiter=",", skip_header=skip, dtype=np.float64, encoding="utf-8", ndmin=2)
    except ValueError as error:
        raise UserError(f"{path}: rows of unequal length: {str(error).splitlines()[0]}", "export it again") from error


def _deeplabcut(path: Path, head: Sequence[Sequence[str]]) -> Detections:
    rows = {row[0].strip().lower(): [cell.strip() for cell in row[1:]] for row in head}
    if "bodyparts" not in rows or "coords" not in rows:
        raise UserError(f"{path} lacks DeepLabCut's rows bodyparts and coords", "export it again")
    parts, coords = rows["bodyparts"], rows["coords"]
    people = rows.get("individuals", ["" for _ in parts])
    if not len(people) == len(parts) == len(coords):
        raise UserError(f"{path}: DeepLabCut's header has rows of different length", "export it again")
    cells = _numbers(path, len(head))
    if not len(cells) or cells.shape[1] != len(parts) + 1:
        raise UserError(f"{path}: {cells.shape[1]} columns under {len(parts) + 1} names", "export it again")
    names = tuple(dict.fromkeys(parts))
    ids = list(dict.fromkeys(people))
    values = np.full((len(cells), len(ids), len(names), 3), np.nan)
    column = {"x": 0, "y": 1, "likelihood": 2}
    for number, (person, part, coord) in enumerate(zip(people, parts, coords, strict=True)):
        if coord in column:
            values[:, ids.index(person), names.index(part), column[coord]] = cells[:, number + 1]
    if np.isnan(values[..., 2]).all():
        values[..., 2] = 1.0
    frames = np.repeat(_frames(cells[:, 0], path), len(ids))
    track = np.tile(np.arange(len(ids)), len(cells)) if len(ids) > 1 else None
    return _finish(path, "DeepLabCut table", values.reshape(-1, len(names), 3), frames, track, names)


def _sleap(path: Path, header: Sequence[str]) -> Detections:
    header = [cell.strip() for cell in header]
    names = tuple(cell.removesuffix(".x") for cell in header if cell.endswith(".x"))
    cells = _numbers(path, 1)
    if not names or not len(cells) or cells.shape[1] != len(header):
        raise UserError(f"{path}: SLEAP's table has columns such as nose.x, nose.y, nose.score", "export it again")
    values = np.full((len(cells), len(names), 3), np.nan)
    for j, name in enumerate(names):
        for axis, ending in enumerate(("x", "y", "score")):
            if f"{name}.{ending}" in header:
                values[:, j, axis] = cells[:, header.index(f"{name}.{ending}")]
    if np.isnan(values[..., 2]).all():
        values[..., 2] = 1.0
    frames = _frames(cells[:, header.index("frame_idx")], path)
    return _finish(path, "SLEAP table", values, frames, _sleap_tracks(path, header), names)


def _sleap_tracks(path: Path, header: Sequence[str]) -> NDArray[np.int64] | None:
    if "track" not in header:
        return None
    column = header.index("track")
    with open(path, encoding="utf-8-sig", newline="") as handle:
        labels = [row[column] for row in itertools.islice(csv.reader(handle), 1, None) if row]
    order: dict[str, int] = {}
    ids = [order.setdefault(label, len(order)) if label.strip() else UNKNOWN for label in labels]
    return tracks_or_none(ids) if len(order) > 1 else None


def _frames(column: Floats, path: Path) -> NDArray[np.int64]:
    if not np.isfinite(column).all():
        # DeepLabCut's rows of labelled pictures begin with a path.
        raise UserError(f"{path}: rows without a frame number", "give the table of an analysed video")
    return np.array([frame_of(float(number), str(path)) for number in column], dtype=np.int64)


def _finish(
    path: Path,
    kind: str,
    values: Floats,
    frames: NDArray[np.int64],
    track: NDArray[np.int64] | None,
    names: tuple[str, ...],
) -> Detections:
    points, confidence, notes = clean(values[..., :2], np.nan_to_num(values[..., 2]), str(path))
    found = Detections(
        source=str(path),
        kind=kind,
        frame=frames,
        points=points,
        confidence=confidence,
        track=track,
        names=names,
        notes=[note for note in notes if "finite" not in note],  # an empty cell is a joint that was not found
    )
    return found.seen()

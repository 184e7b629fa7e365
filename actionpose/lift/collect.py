"""Detected people, one by one as a file lists them, as one set of arrays."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift.detections import UNKNOWN, Detections, clean, frames_of, tracks_or_none


class DetectedPerson:
    """One detected person on the way to `Detections`; `frame` is a number, or the name of a picture that holds one."""

    __slots__ = ("confidence", "frame", "points", "track")

    def __init__(self, frame: int | str, points: Floats, confidence: Floats | None, track: int = UNKNOWN) -> None:
        self.frame, self.points, self.confidence, self.track = frame, points, confidence, track


def collect(
    people: Iterable[DetectedPerson | None], path: Path, kind: str, *, names: tuple[str, ...] | None = None
) -> Detections:
    """People as one set of arrays; entries of another number of joints than most are left out and counted.

    Raises:
        UserError: nobody is left.
    """
    found = [person for person in people if person is not None]
    if not found:
        raise UserError(f"{path} ({kind}) has no person in any frame", "look at the detector's own output first")
    counts = Counter(len(person.points) for person in found)
    joints = counts.most_common(1)[0][0]
    notes = []
    if len(counts) > 1:
        others = ", ".join(f"{n} of {k} joints" for k, n in counts.items() if k != joints)
        notes.append(f"most people have {joints} joints; left out: {others}")
        found = [person for person in found if len(person.points) == joints]
    points = np.stack([person.points for person in found])
    confidence = _stacked([person.confidence for person in found], points.shape[:2])
    points, confidence, more = clean(points, confidence, str(path))
    return Detections(
        source=str(path),
        kind=kind,
        frame=frames_of([person.frame for person in found], str(path)),
        points=points,
        confidence=confidence,
        track=tracks_or_none([person.track for person in found]),
        names=names if names and len(names) == joints else None,
        notes=notes + more,
    )


def _stacked(confidence: Sequence[Floats | None], shape: tuple[int, ...]) -> Floats | None:
    if all(c is None for c in confidence):
        return None
    return np.stack([np.ones(shape[1]) if c is None or c.shape != shape[1:] else c for c in confidence])

"""Detections to people: by the file's own ids, or by the similarity of poses in neighbouring frames.

Likeness is COCO's object keypoint similarity (OKS): 1 for the same pose at the same place, near 0 for another person.
Frame by frame, people and detections are matched by SciPy's optimal assignment, so the order in a frame does not count.

Shape letters: N detections, P people known so far, D detections of a frame.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from actionpose.arrays import Floats, Ints
from actionpose.lift.detections import UNKNOWN

TOLERANCE = np.array(
    (
        *(0.107, 0.107, 0.087, 0.089, 0.107, 0.087, 0.089, 0.100, 0.079, 0.035, 0.060),
        *(0.079, 0.072, 0.062, 0.079, 0.072, 0.062),
    )
)
"""COCO's tolerance of each joint (Human3.6M order), as a share of the body's size; derived joints as their sources."""

MIN_SIMILARITY = 0.2
"""Below this a detection begins a new person."""

MEMORY_S = 1.0
"""A person who is out of sight for longer comes back as a new one."""

SPEED = 3.0
"""Tolerances grow by this factor for each second that a person was out of sight, for what they moved meanwhile."""

SAME = 0.85
"""Two detections of one frame with at least this similarity are one person detected twice."""

SAME_IDS, COMPARED = 0.5, 400
"""Ids that different people share in more of the frames with several detections are none; how many are compared."""


@dataclass(frozen=True, kw_only=True)
class People:
    """Who each detection is.

    Attributes:
        track: (N,) person of each detection; UNKNOWN for one that is left out.
        verdict: how it was found, for people.
        notes: what was left out.
    """

    track: Ints
    verdict: str
    notes: tuple[str, ...] = ()


def own_ids(frame: Ints, points: Floats, confidence: Floats, track: Ints | None) -> Ints | None:
    """The file's ids; None when it has none, or ids that do not tell people apart.

    A detector that does not follow people may still write an id, the same for everybody: AlphaPose without
    `--pose_track` writes 0.

    Args:
        frame: (N,) frame numbers.
        points: (N, 17, 2) picture coordinates.
        confidence: (N, 17).
        track: (N,) the file's ids, or None.
    """
    if track is None:
        return None
    rows = np.flatnonzero((track != UNKNOWN) & confidence.any(axis=1))
    rows = rows[np.lexsort((track[rows], frame[rows]))]
    again = np.flatnonzero((np.diff(frame[rows]) == 0) & (np.diff(track[rows]) == 0))
    several = (np.unique(frame[rows], return_counts=True)[1] > 1).sum()
    if len(np.unique(frame[rows[again]])) <= SAME_IDS * several:
        return track
    again = again[np.linspace(0, len(again) - 1, min(len(again), COMPARED)).astype(np.int64)]
    area = box_areas(points, confidence)
    one, other = ((points[r], confidence[r], area[r]) for r in (rows[again], rows[again + 1]))
    like = similarity(one, other, np.ones(len(again))).diagonal()
    return None if (like < SAME).mean() > SAME_IDS else track


def find_people(frame: Ints, points: Floats, confidence: Floats, track: Ints | None, fps: float) -> People:
    """Give every detection a person.

    Args:
        frame: (N,) frame numbers, in any order.
        points: (N, 17, 2) picture coordinates.
        confidence: (N, 17).
        track: (N,) the file's ids, or None.
        fps: frames a second.
    """
    if track is not None:
        return _by_ids(frame, confidence, track)
    counts = np.unique(frame, return_counts=True)[1]
    if not len(counts) or counts.max() == 1:
        return People(track=np.zeros(len(frame), np.int64), verdict="one person in every frame")
    chosen, twice = _associate(frame, points, confidence, fps)
    notes = (f"{twice} detections of a person who was already detected in that frame are left out",) if twice else ()
    people = len(np.unique(chosen[chosen != UNKNOWN]))
    return People(track=chosen, verdict=f"{_count(people)}, followed by the likeness of their poses (OKS)", notes=notes)


def _by_ids(frame: Ints, confidence: Floats, track: Ints) -> People:
    """The file's ids; of two detections with one id in one frame the surer counts."""
    chosen = track.copy()
    order = np.lexsort((-confidence.sum(axis=1), frame, chosen))
    again = np.zeros(len(frame), bool)
    again[order[1:]] = (np.diff(chosen[order]) == 0) & (np.diff(frame[order]) == 0)
    chosen[again] = UNKNOWN
    without = int((track == UNKNOWN).sum())
    notes = [f"{without} detections without a person id are left out"] if without else []
    again &= track != UNKNOWN
    if again.any():
        notes.append(f"{again.sum()} detections repeat a person in a frame; the surest of each counts")
    people = len(np.unique(chosen[chosen != UNKNOWN]))
    return People(track=chosen, verdict=f"{_count(people)}, by the ids in the file", notes=tuple(notes))


def _count(people: int) -> str:
    return "1 person" if people == 1 else f"{people} people"


# --- by likeness ------------------------------------------------------------------------------


class _Known:
    """The last that was seen of each person who is still remembered."""

    def __init__(self) -> None:
        self.ids: list[int] = []
        self.points = np.zeros((0, 17, 2))
        self.confidence = np.zeros((0, 17))
        self.area = np.zeros(0)
        self.frame = np.zeros(0, np.int64)
        self.next = 0

    def forget(self, before: int) -> None:
        """Drop people last seen before a frame."""
        keep = self.frame >= before
        self.ids = [i for i, k in zip(self.ids, keep, strict=True) if k]
        self.points, self.confidence = self.points[keep], self.confidence[keep]
        self.area, self.frame = self.area[keep], self.frame[keep]

    def update(self, place: int, points: Floats, confidence: Floats, area: float, frame: int) -> None:
        """A person was seen again; joints that are hidden now keep their last place."""
        seen = confidence > 0
        self.points[place][seen], self.confidence[place][seen] = points[seen], confidence[seen]
        self.area[place], self.frame[place] = area, frame

    def add(self, points: Floats, confidence: Floats, area: float, frame: int) -> int:
        """Add a new person; returns the id."""
        self.ids.append(self.next)
        self.points = np.concatenate([self.points, points[None]])
        self.confidence = np.concatenate([self.confidence, confidence[None]])
        self.area, self.frame = np.append(self.area, area), np.append(self.frame, frame)
        self.next += 1
        return self.next - 1


def _associate(frame: Ints, points: Floats, confidence: Floats, fps: float) -> tuple[Ints, int]:
    """(N,) person of each detection, and how many were left out as the same person detected twice."""
    chosen = np.full(len(frame), UNKNOWN, dtype=np.int64)
    order = np.argsort(frame, kind="stable")
    places = np.flatnonzero(np.diff(frame[order])) + 1
    known, twice, areas = _Known(), 0, box_areas(points, confidence)
    for rows in np.split(order, places):
        rows = rows[confidence[rows].any(axis=1)]
        rows, dropped = _without_twins(rows, points, confidence, areas)
        twice += dropped
        if len(rows):
            now = int(frame[rows[0]])
            known.forget(int(now - MEMORY_S * fps))
            _match(known, rows, now, (points, confidence, areas), fps, chosen)
    return chosen, twice


def _match(known: _Known, rows: Ints, now: int, every: tuple[Floats, Floats, Floats], fps: float, chosen: Ints) -> None:
    """Give the detections of one frame their people; `every` is points, confidence and areas of all detections."""
    points, confidence, areas = every
    matched: dict[int, int] = {}
    if known.ids:
        grown = 1.0 + SPEED * (now - known.frame) / fps
        remembered = (known.points, known.confidence, known.area)
        like = similarity(remembered, (points[rows], confidence[rows], areas[rows]), grown)
        for person, detection in zip(*linear_sum_assignment(-like), strict=True):
            if like[person, detection] >= MIN_SIMILARITY:
                matched[int(detection)] = int(person)
    for number, row in enumerate(rows.tolist()):
        seen = (points[row], confidence[row], float(areas[row]), now)
        if number in matched:
            known.update(matched[number], *seen)
            chosen[row] = known.ids[matched[number]]
        else:
            chosen[row] = known.add(*seen)


def _without_twins(rows: Ints, points: Floats, confidence: Floats, areas: Floats) -> tuple[Ints, int]:
    """The detections of a frame, the surest first, without those that repeat a surer one."""
    if len(rows) < 2:
        return rows, 0
    rows = rows[np.argsort(-confidence[rows].sum(axis=1), kind="stable")]
    poses = (points[rows], confidence[rows], areas[rows])
    like = similarity(poses, poses, np.ones(len(rows)))
    kept: list[int] = []
    for number in range(len(rows)):
        if not any(like[other, number] >= SAME for other in kept):
            kept.append(number)
    return rows[kept], len(rows) - len(kept)


Poses = tuple[Floats, Floats, Floats]
"""Points (N, 17, 2), confidence (N, 17) and `box_areas` (N,)."""


def similarity(a: Poses, b: Poses, grown: Floats) -> Floats:
    """OKS of every pose of a with every pose of b over the joints both show, (A, B); 0 where they share none.

    Args:
        a: A poses.
        b: B poses.
        grown: (A,) factor on the tolerances of each pose of a.
    """
    both = (a[1][:, None] > 0) & (b[1][None] > 0)
    size = np.sqrt(a[2][:, None] * b[2][None]) / 2
    away = ((a[0][:, None] - b[0][None]) ** 2).sum(axis=-1)
    spread = (2 * TOLERANCE * grown[:, None, None]) ** 2 * np.maximum(size, 1e-12)[..., None] * 2
    alike = np.exp(-away / np.maximum(spread, 1e-12)) * both
    return alike.sum(axis=-1) / np.maximum(both.sum(axis=-1), 1)


def box_areas(points: Floats, sure: Floats) -> Floats:
    """(N,) area of the box around the joints that are seen; a thin box counts a quarter as wide as long."""
    seen = (sure > 0)[..., None]
    low = np.where(seen, points, np.inf).min(axis=1)
    high = np.where(seen, points, -np.inf).max(axis=1)
    side = np.where(seen.any(axis=1), high - low, 0.0)
    long = side.max(axis=1, initial=0.0)
    return np.maximum(side, long[:, None] / 4).prod(axis=1)


def prominence(frame: Ints, points: Floats, confidence: Floats, track: Ints) -> list[tuple[int, int, float]]:
    """(id, frames, score) of every person, the most prominent first: frames times size times confidence."""
    rows = []
    for person in np.unique(track[track != UNKNOWN]).tolist():
        mine = track == person
        size = np.sqrt(box_areas(points[mine], confidence[mine]))
        frames = len(np.unique(frame[mine]))
        rows.append((person, frames, float((size * confidence[mine].mean(axis=1)).sum())))
    return sorted(rows, key=lambda row: -row[2])

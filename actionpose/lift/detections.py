"""Detections: what every keypoint file is read into, whatever program wrote it; and what a number in one may mean.

Shape letters: N detections (one person in one frame), K joints of the detector.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats, Ints
from actionpose.errors import UserError

UNKNOWN = -1
"""Track of a detection whose file gives it none."""

LARGEST_CONFIDENCE = 10.0
"""Some detectors' scores pass 1 (heatmap peaks); what passes this is not a confidence."""

LOWEST_CONFIDENCE = -0.05

FURTHEST = 1e7
"""No picture has so many pixels on a side; what lies further out is damaged."""


@dataclass(kw_only=True)
class Detections:
    """Keypoints of one clip, in no particular order.

    Attributes:
        source: the file or folder, for messages.
        kind: what it was recognised as, for people.
        frame: (N,) number of the frame each detection belongs to.
        points: (N, K, 2) x, y in the file's own unit; 0 where hidden.
        confidence: (N, K) in [0, 1]; 0 where hidden.
        track: (N,) the file's own person ids; None when it has none.
        names: of the K joints, when the file has them.
        layout: a layout's name, when the format knows only one.
        fps: frames a second, when the file says.
        seconds: (N,) time of each detection, when the file says.
        size: width and height of the picture in pixels, when the file says.
        units: "pixels" or "normalised" when the format knows only one.
        notes: what was put right or left out while reading.
    """

    source: str
    kind: str
    frame: Ints
    points: Floats
    confidence: Floats
    track: Ints | None = None
    names: tuple[str, ...] | None = None
    layout: str | None = None
    fps: float | None = None
    seconds: Floats | None = None
    size: tuple[float, float] | None = None
    units: str | None = None
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frame)

    def take(self, rows: Ints) -> Detections:
        """Some of the detections."""
        picked: dict[str, Any] = dict(self.__dict__)
        for name in ("frame", "points", "confidence", "track", "seconds"):
            if picked[name] is not None:
                picked[name] = picked[name][rows]
        return Detections(**{**picked, "notes": list(self.notes)})

    def seen(self) -> Detections:
        """The detections of which a joint is seen."""
        return self.take(np.flatnonzero((self.confidence > 0).any(axis=1)))


def clean(points: Floats, confidence: Floats | None, source: str) -> tuple[Floats, Floats, list[str]]:
    """Coordinates and confidences that can be relied on, and what was done to get there.

    Joints at exactly (0, 0), in pixels also at (-1, -1), and joints that are not finite are hidden, whatever confidence
    they carry: that is how detectors write a joint that they did not find. COCO's visibility flags 0, 1,
    2 become 0, 0.5, 1.

    Args:
        points: (N, K, 2).
        confidence: (N, K), or None when the file has none: every joint that has a place then counts as certain.
        source: the file, for messages.

    Raises:
        UserError: nothing is left, or the third number of a joint is not a confidence.
    """
    notes: list[str] = []
    where = np.asarray(points, dtype=np.float64)
    finite = np.asarray((np.abs(np.nan_to_num(where, nan=np.inf)) < FURTHEST).all(axis=-1))
    if not finite.all():
        notes.append(f"{(~finite).sum()} joints without finite coordinates count as hidden")
    where = np.where(finite[..., None], where, 0.0)
    placed = finite & (where != 0).any(axis=-1)
    if np.abs(where).max(initial=0.0) > IN_PIXELS:
        outside = placed & (where == -1).all(axis=-1)
        if outside.any():
            notes.append(f"{outside.sum()} joints at exactly (-1, -1) count as hidden")
        placed &= ~outside
    if confidence is not None:
        _refuse_3d(where, np.asarray(confidence, np.float64), placed, source)
    sure = np.ones(placed.shape) if confidence is None else _confidence(confidence, placed, source, notes)
    sure = np.where(placed, sure, 0.0)
    if where.size and not placed.any():
        what = "are all zero" if finite.any() else "are all NaN or infinite"
        raise UserError(
            f"{source}: the coordinates {what}, so no joint was detected in any frame",
            "look at the detector's own output first",
        )
    if placed.sum() > 1 and (np.ptp(where[placed], axis=0) == 0).all():
        x, y = where[placed][0]
        raise UserError(
            f"{source}: every joint of every frame lies at ({x:g}, {y:g})", "look at the detector's own output first"
        )
    return np.where((sure > 0)[..., None], where, 0.0).astype(np.float32), sure.astype(np.float32), notes


IN_PIXELS = 20.0
"""Coordinates beyond are pixels, and their depth is not in metres or screen units."""

LOOSE, RIGID_SHARE = 0.015, 0.25
"""In a picture bones deviate from their mean length by more than the first; in 3D by less than this share of that. A
confidence in place of depth never makes lengths steadier."""


def _refuse_3d(points: Floats, third: Floats, placed: NDArray[np.bool_], source: str) -> None:
    """Notice a third coordinate in place of a confidence: with it, neighbouring joints keep their distance.

    Raises:
        UserError: the third numbers are coordinates.
    """
    if not placed.any() or np.abs(points[placed]).max() > IN_PIXELS:
        return
    if not np.isfinite(third).any():
        return
    # A pelvis at the origin of root-relative poses looks like a joint that was not found.
    whole = (placed.sum(axis=1) >= points.shape[1] - 1) & np.isfinite(third).all(axis=1)
    coordinate = float(np.nanmax(third)) > 1.05 or float(np.nanmin(third)) < LOWEST_CONFIDENCE
    if not coordinate and whole.sum() >= 10 and points.shape[1] > 3:
        steps = np.diff(np.concatenate([points, third[..., None]], axis=-1)[whole], axis=1)
        flat, solid = (np.linalg.norm(steps[..., :axes], axis=-1) for axes in (2, 3))
        spread, held = (v.std(axis=0) / np.maximum(v.mean(axis=0), 1e-9) for v in (flat, solid))
        coordinate = int(((held < RIGID_SHARE * spread) & (spread > LOOSE)).sum()) >= 3
    if coordinate:
        raise UserError(
            f"{source}: the third number of a joint is a coordinate and no confidence, so these are 3D poses",
            "they need no lifting; give the 2D keypoints: x, y and, if known, confidence",
        )


def confidence_of(third: Floats | None, scores: Floats | None, source: str) -> Floats | None:
    """The confidences (K,) of a pose, of a third number for each joint and of scores beside the pose; None for none.

    Raises:
        UserError: both are there and differ, so the third number is a coordinate.
    """
    if third is None or scores is None:
        return third if scores is None else scores
    if not np.isin(third, (0.0, 1.0, 2.0)).all() and np.abs(third - scores).max() > 1e-3:
        raise UserError(
            f"{source}: each joint has three coordinates and a score beside them, so these are 3D poses",
            "they need no lifting; give the 2D keypoints",
        )
    return scores


def _confidence(confidence: Floats, placed: NDArray[np.bool_], source: str, notes: list[str]) -> Floats:
    sure = np.asarray(confidence, dtype=np.float64)
    sure = np.where(np.isfinite(sure), sure, 0.0)
    used = sure[placed]
    if not used.size:
        return sure
    low, high = float(used.min()), float(used.max())
    if low < LOWEST_CONFIDENCE or high > LARGEST_CONFIDENCE:
        raise UserError(
            f"{source}: the third number of a joint goes from {low:.3g} to {high:.3g}, and a confidence lies in 0 to 1",
            "if these are 3D poses they are lifted already: give the 2D keypoints (x, y, confidence). "
            "If they are percent, divide them by 100; if something else, leave them out",
        )
    if high == 2.0 and np.isin(used, (0.0, 1.0, 2.0)).all():
        notes.append("COCO's visibility flags 0, 1, 2 are read as confidences 0, 0.5, 1")
        return sure / 2
    if high > 1.0:
        notes.append(f"confidences go up to {high:.2f} and are cut to 1")
    return np.clip(sure, 0.0, 1.0)


# --- numbers in file names and ids ------------------------------------------------------------

_DIGITS = re.compile(r"\d+")


def frame_of(name: Any, source: str) -> int:
    """The frame number in an image id or a file name: a number, or the last digits of a name.

    Raises:
        UserError: there is none, or it is negative or beyond any film.
    """
    if isinstance(name, bool):
        name = str(name)
    if isinstance(name, float) and name.is_integer():
        name = int(name)
    number = next(reversed(_digits(name)), None) if isinstance(name, str) else name
    if not isinstance(number, int) or not 0 <= number < 1 << 53:
        raise UserError(
            f"{source}: there is no frame number in {name!r}",
            "frames are identified by image_id, frame_id or the digits in a file's name",
        )
    return number


def frames_of(names: Sequence[Any], source: str) -> Ints:
    """The frame numbers of many image ids or file names: of several digits in a name, those that tell names apart.

    `12_720p.jpg` and `13_720p.jpg` are frames 12 and 13. The last digits count where they differ.

    Raises:
        UserError: a name without a number, or different pictures of one number.
    """
    numbers = {name: frame_of(name, source) for name in dict.fromkeys(names) if isinstance(name, str)}
    if len(set(numbers.values())) < len(numbers):
        numbers = _told_apart(list(numbers), source)
    return np.array([numbers[n] if isinstance(n, str) else frame_of(n, source) for n in names], dtype=np.int64)


def _told_apart(names: Sequence[str], source: str) -> dict[str, int]:
    """Frame numbers of different names whose last digits do not differ."""
    groups = [_digits(name) for name in names]
    if len({len(group) for group in groups}) == 1:
        for column in list(zip(*groups, strict=True))[-2::-1]:
            if len(set(column)) == len(names):
                return dict(zip(names, column, strict=True))
    first: dict[int, str] = {}
    one, other = next((first[g[-1]], n) for n, g in zip(names, groups, strict=True) if first.setdefault(g[-1], n) != n)
    raise UserError(
        f"{source}: {one!r} and {other!r} have the same frame number", "give one clip at a time, each frame its number"
    )


def _digits(name: str) -> list[int]:
    """The numbers in a file's name, without folder and ending."""
    stem = name.replace("\\", "/").rsplit("/", 1)[-1].removesuffix("_keypoints.json")
    stem = stem.rsplit(".", 1)[0] if re.search(r"\.[A-Za-z]\w{1,4}$", stem) else stem
    return [int(digits) if len(digits) < 19 else -1 for digits in _DIGITS.findall(stem)]


def track_of(value: Any) -> int:
    """A person id as files write it: a number, or one in (nested) lists; UNKNOWN when there is none."""
    while isinstance(value, list | tuple | np.ndarray) and len(value):
        value = value[0]
    try:
        number = int(value)
    except (TypeError, ValueError, OverflowError):
        return UNKNOWN
    return number if 0 <= number < 1 << 53 else UNKNOWN


def tracks_or_none(ids: Sequence[int]) -> Ints | None:
    """Ids as an array; None when the file gives no detection an id."""
    track = np.asarray(ids, dtype=np.int64)
    return track if len(track) and (track != UNKNOWN).any() else None

"""What the numbers mean: which layout, which unit, and which way y grows; each with a verdict for people.

A layout is judged by proportions. Read with the right names, the bones of a body in a picture are at most as long as a
body's bones, and over a clip the longest come close; read with wrong names they are not.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift.detections import Detections
from actionpose.lift.jointmap import JointMap
from actionpose.lift.layouts import BY_COUNT, LAYOUTS, Layout, joints_of_names, layout_of_names, missing_joints, to_h36m
from actionpose.skeleton import BONE_METRES, BONES, JOINT_NAMES

LENGTHS = np.array([BONE_METRES[JOINT_NAMES[child]] for _, child in BONES])
SAMPLED = 400
"""Detections that a judgement looks at."""

MISFIT = 0.45
"""From this misfit on a layout is called doubtful. Of right ones on real motion 99 of 100 stay below, of clips of one
frame too; of wrong ones the same share is above."""

SHORTENED = 0.5
"""A bone may look as short as it likes, seen from its end: being too short counts at most as much."""

SIDE_NAMES = ("left_shoulder", "right_shoulder", "left_hip", "right_hip")


@dataclass(frozen=True, kw_only=True)
class Named:
    """Detections in the order of Human3.6M.

    Attributes:
        points: (N, 17, 2), 0 where hidden.
        confidence: (N, 17).
        layout: what the joints were taken for.
        verdict: the same in a sentence.
        misfit: how badly the proportions of a body fit; 0 is perfect.
    """

    points: Floats
    confidence: Floats
    layout: Layout
    verdict: str
    misfit: float


def name_joints(found: Detections, asked: str | None = None, joint_map: JointMap | None = None) -> Named:
    """Bring a detector's joints into the order of Human3.6M.

    Args:
        found: the detections.
        asked: a layout by name; None: recognise it.
        joint_map: the user's own map, which wins over everything.

    Raises:
        UserError: a layout that does not exist or has another number of joints; joints that nothing is known about.
    """
    if joint_map is not None:
        points, confidence, layout = joint_map.apply(found.points, found.confidence, found.names)
        return _named(points, confidence, layout, f"{layout.count} joints of yours")
    if asked is not None:
        return _named(found.points, found.confidence, _asked(found, asked), "as asked")
    if found.names is not None:
        named = _by_names(found)
        if named is not None:
            return named
    return _by_content(found)


def _named(points: Floats, confidence: Floats, layout: Layout, why: str) -> Named:
    where, sure = to_h36m(points, confidence, layout)
    doubt = misfit(where, sure) + _first_five(points, confidence, layout)
    verdict = f"{layout.says}: {why}"
    without = missing_joints(layout)
    if without:
        verdict += f"; always hidden: {', '.join(without)}"
    return Named(points=where, confidence=sure, layout=layout, verdict=verdict, misfit=doubt)


def _asked(found: Detections, name: str) -> Layout:
    count = found.points.shape[1]
    if name not in LAYOUTS:
        raise UserError(f"there is no layout '{name}'", "there are: " + ", ".join(LAYOUTS) + "; or write a joint map")
    layout = LAYOUTS[name]
    if layout.count != count:
        fits = ", ".join(BY_COUNT.get(count, ())) or "none that is known"
        raise UserError(
            f"{found.source} has {count} joints, and the layout {name} has {layout.count}",
            f"layouts of {count} joints: {fits}",
        )
    return layout


def _by_names(found: Detections) -> Named | None:
    """By the names in the file, when they are a body's; None when they are not ours at all."""
    assert found.names is not None
    names = joints_of_names(found.names)
    known = next((layout for layout in LAYOUTS.values() if layout.joints == names), None)
    if known is not None:
        return _named(found.points, found.confidence, known, "by the joints' names in the file")
    if all(name in names for name in SIDE_NAMES):
        layout = layout_of_names(found.names, f"{len(names)} named joints")
        return _named(found.points, found.confidence, layout, "by the joints' names in the file")
    if len(names) in BY_COUNT:
        return None
    raise UserError(
        f"{found.source}: of the joints {', '.join(found.names[:6])}, … there are no shoulders and hips by our names",
        "write a joint map (docs/lift.md, 'Joints of your own') and give it with --joint-map FILE.toml",
    )


_NOT_BODIES = {21: "a hand has 21", 68: "a face has 68", 24: "SMPL has 24, in 3D", 20: "animals often have 20"}


def _by_content(found: Detections) -> Named:
    count = found.points.shape[1]
    names = (found.layout,) if found.layout else BY_COUNT.get(count, ())
    if not names:
        known = ", ".join(str(n) for n in BY_COUNT)
        guess = f" ({_NOT_BODIES[count]})" if count in _NOT_BODIES else ""
        raise UserError(
            f"{found.source} has {count} joints for each person{guess}; layouts of {known} joints are known",
            "write a joint map (docs/lift.md, 'Joints of your own') and give it with --joint-map FILE.toml",
        )
    if len(names) == 1:
        why = "the file says so" if found.layout else f"the only known layout of {count} joints"
        return _named(found.points, found.confidence, LAYOUTS[names[0]], why)
    rows = _sampled(len(found))
    points, confidence = found.points[rows], found.confidence[rows]
    fits = {
        name: misfit(*to_h36m(points, confidence, LAYOUTS[name])) + _first_five(points, confidence, LAYOUTS[name])
        for name in names
    }
    best, second = sorted(fits, key=fits.__getitem__)[:2]
    why = f"by the body's proportions (misfit {fits[best]:.2f}, as {second} {fits[second]:.2f})"
    return _named(found.points, found.confidence, LAYOUTS[best], why)


def _sampled(count: int) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, max(count - 1, 0), min(count, SAMPLED)).astype(np.int64))


# --- proportions ------------------------------------------------------------------------------


def misfit(points: Floats, confidence: Floats) -> float:
    """How badly bones in a picture fit a body's, 0 for perfectly: mean distance of log lengths, left against right too.

    Args:
        points: (N, 17, 2).
        confidence: (N, 17); hidden joints are left out.
    """
    rows = _sampled(len(points))
    long, seen = _bone_lengths(points[rows], confidence[rows])
    if seen.sum() == 0:
        return float("nan")
    typical = np.array(
        [np.quantile(long[seen[:, b], b], 0.8) if seen[:, b].any() else np.nan for b in range(len(LENGTHS))]
    )
    usable = np.isfinite(typical)
    if usable.sum() < 3:
        return float("nan")
    ratio = np.log(np.maximum(typical[usable], 1e-9) / LENGTHS[usable])
    against = ratio - np.quantile(ratio, 0.7)
    return float(np.where(against > 0, 2 * against, np.minimum(-against, SHORTENED)).clip(max=2.0).mean())


def _first_five(points: Floats, confidence: Floats, layout: Layout) -> float:
    """How badly joints 0 to 4 of a layout of 17 lie for it, 0 to 1: COCO's are the face, Human3.6M's hips and a leg.

    Over the whole body's extent, COCO's spread by 0.07 to 0.25 on real motion and Human3.6M's by 0.3 to 0.8.
    """
    seen = (confidence > 0).sum(axis=1) == points.shape[1]
    if layout.name not in BY_COUNT[17] or not seen.any():
        return 0.0
    whole = np.linalg.norm(np.ptp(points[seen], axis=1), axis=-1)
    share = float(np.median(np.linalg.norm(np.ptp(points[seen, :5], axis=1), axis=-1) / np.maximum(whole, 1e-9)))
    wrong = share - 0.2 if layout.name == "coco-17" else 0.25 - share
    return float(np.clip(5 * wrong, 0.0, 1.0))


def _bone_lengths(points: Floats, confidence: Floats) -> tuple[Floats, NDArray[np.bool_]]:
    """(N, 16) lengths in the picture and whether both ends are seen."""
    parent, child = (np.array(column) for column in zip(*BONES, strict=True))
    seen = (confidence[:, parent] > 0) & (confidence[:, child] > 0)
    return np.linalg.norm(points[:, child] - points[:, parent], axis=-1), seen


# --- the picture ------------------------------------------------------------------------------

UNITS = ("auto", "pixels", "normalised", "screen")
ASPECTS = {"16:9": 16 / 9, "9:16": 9 / 16}
"""Shapes of a picture that is taken for the first unless the second fits a body better."""

UPRIGHT = 0.1
"""By how much it must: on a walker seen from four sides in a picture of 16:9 it never does by more than 0.04; in one of
9:16 it does by 0.13 to 0.39 from the front, the side and half-way between."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """How coordinates of a file become picture coordinates: one unit for x and y, y downwards.

    Attributes:
        units: `pixels`, `normalised` (each axis 0 to 1) or `screen` (-1 to 1 over the width, as MotionBERT's).
        y_up: whether the file's y grows upwards.
        width: of the picture in pixels, 0 when it is not known.
        height: of the picture in pixels, 0 when it is not known.
        aspect: width over height where they are not known.
        verdicts: how each was found.
    """

    units: str
    y_up: bool
    width: float
    height: float
    aspect: float
    verdicts: tuple[str, ...]

    def to_picture(self, points: Floats) -> Floats:
        """(…, 2) of the file to picture coordinates; pixels where the size is known or the file has pixels."""
        flip = np.array([1.0, -1.0 if self.y_up else 1.0])
        return points * self._stretch() * flip

    def _stretch(self) -> Floats:
        if self.units != "normalised":
            return np.array([1.0, 1.0])
        if self.width:
            return np.array([self.width, self.height])
        return np.array([self.aspect, 1.0])


def recognise_picture(
    points: Floats,
    confidence: Floats,
    *,
    units: str = "auto",
    y: str = "auto",
    size: tuple[float, float] | None = None,
    known_units: str | None = None,
) -> Picture:
    """Find out unit and direction of y.

    Args:
        points: (N, 17, 2) as in the file, Human3.6M order.
        confidence: (N, 17).
        units: one of `UNITS`; anything but "auto" is believed.
        y: "auto", "down" or "up".
        size: width and height of the picture in pixels, if the user or the file says.
        known_units: what the format itself says.
    """
    seen = points[confidence > 0]
    verdicts = []
    if units == "auto" and known_units == "normalised" and _around_pelvis(points, confidence):
        units = "screen"
        verdicts.append("coordinates are around the pelvis and equal along both axes, as MediaPipe's world landmarks")
    elif units == "auto" and known_units is not None and (known_units == "pixels" or _units(seen) != "pixels"):
        units = known_units
        verdicts.append(f"coordinates are {units}: the format's own")
    elif units == "auto":
        units = _units(seen)
        low, high = seen.min(), seen.max()
        verdicts.append(f"coordinates are {units}: they go from {low:.4g} to {high:.4g}")
    else:
        verdicts.append(f"coordinates are {units}: as asked")
    shape = "16:9"
    if units == "normalised" and size is None:
        shape = _shape(points, confidence)
        why = "" if shape == "16:9" else ", in which the people's proportions are a body's"
        verdicts.append(
            f"the picture's shape is not known and taken for {shape}{why}; give --image-size WIDTH HEIGHT if it is not"
        )
    if y == "auto":
        upward, share, judged = _y_up(points, confidence)
        word = "upwards" if upward else "downwards"
        verdicts.append(
            f"y grows {word}: with that, heads are above feet in {share:.0%} of {judged} frames" if judged
            else "y grows downwards: assumed, since no frame shows head or shoulders and legs"
        )  # fmt: skip
    else:
        upward = y == "up"
        verdicts.append(f"y grows {'upwards' if upward else 'downwards'}: as asked")
    width, height = size or (0.0, 0.0)
    return Picture(
        units=units, y_up=upward, width=width, height=height, aspect=ASPECTS[shape], verdicts=tuple(verdicts)
    )


def _shape(points: Floats, confidence: Floats) -> str:
    """The shape of a picture whose coordinates are normalised: one of `ASPECTS`, by the proportions of people in it."""
    wide, upright = (misfit(points * (aspect, 1.0), confidence) for aspect in ASPECTS.values())
    return "9:16" if wide - upright > UPRIGHT else "16:9"


def _units(seen: Floats) -> str:
    low, high = np.quantile(seen, 0.01), np.quantile(seen, 0.99)
    if high > 4.0 or low < -4.0:
        return "pixels"
    # A little outside the picture is common; the middle of the screen is 0 and of a normalised picture 0.5.
    return "screen" if low < -0.3 else "normalised"


def _around_pelvis(points: Floats, confidence: Floats) -> bool:
    """Whether every pelvis lies at zero, which in a normalised picture would be its corner."""
    pelvis = points[confidence[:, 0] > 0, 0]
    return bool(len(pelvis) > 0 and np.abs(pelvis).max() < 0.03)


def _y_up(points: Floats, confidence: Floats) -> tuple[bool, float, int]:
    """Whether y grows upwards; the share of frames that say so; how many were judged."""
    top = _mean_y(points, confidence, ("head", "nose", "thorax", "left_shoulder", "right_shoulder"))
    low = _mean_y(points, confidence, ("left_ankle", "right_ankle", "left_knee", "right_knee", "pelvis"))
    judged = np.isfinite(top) & np.isfinite(low)
    if not judged.any():
        return False, 1.0, 0
    above = float((top[judged] < low[judged]).mean())  # y downwards: the head has the smaller y
    return above < 0.5, max(above, 1 - above), int(judged.sum())


def _mean_y(points: Floats, confidence: Floats, names: tuple[str, ...]) -> Floats:
    joints = [JOINT_NAMES.index(name) for name in names]
    seen = confidence[:, joints] > 0
    total = (points[:, joints, 1] * seen).sum(axis=1)
    count = seen.sum(axis=1)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)

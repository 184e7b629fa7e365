"""Checks on an imported take: does it move like a person, on its feet, at the rate it states?

Each check gives a verdict, a number and a sentence; a take with the verdict `rejected` is not written.

Legend: T frames, B = 22 body joints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from actionpose.arrays import Floats
from pipeline.importers.figure import NUMBER, Figure
from pipeline.importers.floor import Floor

FASTEST = 20.0
"""Metres per second relative to the pelvis: no hand or foot is faster; limbs that flip in a file are."""
SHORTEST_S = 0.8
"""Seconds of the longest run without a flip that are worth keeping."""
LEAST_SHARE = 0.4
"""Share of the take that this run must be."""
STILLEST = 0.01
"""Metres: a take in which no joint leaves its first place by more does not move."""
LARGEST_ANGLE = 25.0
"""Degrees between a bone of the source and of the body, mean over the take; the cgspeed forearm has 20."""
GRAVITY = (7.0, 12.5)
"""m/s²: what jumps of real takes give, scale and the guess at the centre of mass included."""
_HALF_RATE, _DOUBLE_RATE = (1.6, 3.4), (28.0, 52.0)
_FASTEST_PATH, _FARTHEST_FLOOR = 15.0, 30.0
"""Metres per second of the pelvis, and metres between planted feet and the file's zero: no person, but centimetres."""
_OFF_FLOOR = 0.05
_FLIGHT_S = 0.1
_FLIGHT_FRAMES = 8
_LEAST_FALL = 1.0  # m/s²: what is slower stands on something that the take does not show
_LEAST_RISE = 0.05
"""Metres; while running, feet push off until the body has nearly reached its height, so its arcs tell little."""

# Shares of body mass by joint, after de Leva (1996), segments' masses given to their ends.
_MASS = {
    **{"pelvis": 0.16, "spine1": 0.10, "spine2": 0.10, "spine3": 0.12, "head": 0.07},
    **{f"{side}_hip": 0.07 for side in ("left", "right")},
    **{f"{side}_knee": 0.095 for side in ("left", "right")},
    **{f"{side}_ankle": 0.035 for side in ("left", "right")},
    **{f"{side}_shoulder": 0.013 for side in ("left", "right")},
    **{f"{side}_elbow": 0.022 for side in ("left", "right")},
    **{f"{side}_wrist": 0.015 for side in ("left", "right")},
}


@dataclass(frozen=True)
class TakeCheck:
    """One check: `ok`, `warning` (imported all the same) or `rejected`; `value` in the unit of the sentence."""

    check: str
    verdict: str
    value: float | None
    sentence: str

    def row(self) -> dict[str, object]:
        """As plain data."""
        value = None if self.value is None else round(self.value, 4)
        return {"check": self.check, "verdict": self.verdict, "value": value, "sentence": self.sentence}


@dataclass(frozen=True, kw_only=True, eq=False)
class CheckedTake:
    """The input of the checks: places (T, B, 3) metres, world with z up, and facts from retargeting.

    `up_known`: the axis that is up is a fact of the database or was given, so that people may lie as they like.
    """

    places: Floats
    fps: float
    figure: Figure
    floor: Floor
    bone_angles: dict[str, float]
    upright: Floats
    up_known: bool = True


def verify(take: CheckedTake) -> list[TakeCheck]:
    """All checks, in a fixed order."""
    checks: tuple[Callable[[CheckedTake], TakeCheck], ...] = (_motion, _path, _bones, _up, _sides, _feet, _gravity)
    return [check(take) for check in checks]


def clean_run(places: Floats, fps: float) -> tuple[slice, str]:
    """The longest run of frames in which no joint outruns a person, and why frames were dropped.

    Returns:
        The run, and a sentence; empty when all frames are kept. The run has no frames when none is long enough.
    """
    relative = places - places[:, :1]
    speed = np.linalg.norm(np.diff(relative, axis=0), axis=2).max(axis=1, initial=0.0) * fps
    flips = np.flatnonzero(speed > FASTEST)
    if not len(flips):
        return slice(0, len(places)), ""
    borders = [0, *(int(flip) + 1 for flip in flips), len(places)]
    start, stop = max(pairwise(borders), key=lambda run: run[1] - run[0])
    fastest = float(speed[flips].max())
    if stop - start < max(SHORTEST_S * fps, LEAST_SHARE * len(places)):
        return slice(0, 0), (
            f"limbs flip in {len(flips)} places (up to {fastest:.0f} m/s), and the longest run between them has only "
            f"{stop - start} of {len(places)} frames"
        )
    return slice(start, stop), (
        f"limbs flip at up to {fastest:.0f} m/s: kept frames {start} to {stop - 1}, the longest run without"
    )


def _motion(take: CheckedTake) -> TakeCheck:
    reach = float(np.linalg.norm(take.places - take.places[:1], axis=2).max())
    if reach < STILLEST:
        return TakeCheck("motion", "rejected", reach, "nothing moves")
    return TakeCheck("motion", "ok", reach, f"joints move by up to {reach:.2f} m")


def _path(take: CheckedTake) -> TakeCheck:
    pelvis = take.places[:, 0]
    speed = (
        float(np.percentile(np.linalg.norm(np.diff(pelvis, axis=0), axis=1) * take.fps, 95)) if len(pelvis) > 1 else 0
    )
    height = float(np.median(pelvis[:, 2])) - take.floor.shift
    sentence = f"the pelvis is {height:.1f} m above the source's zero and moves at up to {speed:.1f} m/s"
    if speed > _FASTEST_PATH or abs(height) > _FARTHEST_FLOOR:
        sentence += ": the path is not in metres, or not in the unit of the bones (centimetres?)"
        return TakeCheck("path", "rejected", speed, sentence)
    return TakeCheck("path", "ok", speed, sentence)


def _bones(take: CheckedTake) -> TakeCheck:
    if not take.bone_angles:
        return TakeCheck("bones", "ok", None, "rotations are the body's own")
    name, angle = max(take.bone_angles.items(), key=lambda item: item[1])
    sentence = f"the bone at {name} deviates from the source's by {angle:.1f} degrees on average"
    if angle > LARGEST_ANGLE:
        return TakeCheck("bones", "rejected", angle, f"{sentence}; the joint map's rest pose is wrong")
    return TakeCheck("bones", "ok", angle, f"{sentence}, the most of all limbs")


def _up(take: CheckedTake) -> TakeCheck:
    up, across = float(take.upright[2]), float(np.abs(take.upright[:2]).max())
    lying = (abs(up) < 0.3 and across > 0.8) or up < -0.6
    sentence = f"shoulders stand over ankles at a cosine of {up:.2f} with the vertical"
    if not lying:
        return TakeCheck("up", "ok", up, sentence)
    if take.up_known:
        return TakeCheck("up", "warning", up, f"{sentence}: a person who lies, swims or hangs")
    advice = "another axis is up, or the person lies; say which axis is up with --up"
    return TakeCheck("up", "rejected", up, f"{sentence}: {advice}")


def _sides(take: CheckedTake) -> TakeCheck:
    hips = take.places[:, NUMBER["left_hip"]] - take.places[:, NUMBER["right_hip"]]
    shoulders = take.places[:, NUMBER["left_shoulder"]] - take.places[:, NUMBER["right_shoulder"]]
    agree = (hips * shoulders).sum(axis=1)
    agree = agree / np.maximum(np.linalg.norm(hips, axis=1) * np.linalg.norm(shoulders, axis=1), 1e-12)
    mean = float(agree.mean())
    if mean > 0:
        return TakeCheck("sides", "ok", mean, f"left hips and left shoulders are on one side (cosine {mean:.2f})")
    return TakeCheck("sides", "rejected", mean, "left hips and left shoulders are on different sides")


def _feet(take: CheckedTake) -> TakeCheck:
    floor = take.floor
    if floor.height is None:
        return TakeCheck("feet", "warning", None, "no foot is ever planted: heights are kept")
    if abs(floor.height + floor.shift) > 1e-9:
        sentence = (
            f"feet are planted {floor.height:.2f} m from the source's zero (stairs, another origin); heights are kept "
            "(--floor fit puts them on the floor)"
        )
        return TakeCheck("feet", "warning", floor.height, sentence)
    sentence = (
        f"heights shifted by {floor.shift:.3f} m; a foot is planted in {floor.planted:.0%} of frames; soles sink by "
        f"{floor.sunk:.2f} m at most"
    )
    return TakeCheck("feet", "ok" if floor.sunk < 0.15 else "warning", floor.shift, sentence)


def _gravity(take: CheckedTake) -> TakeCheck:
    falls = flights(take)
    if not falls:
        return TakeCheck("gravity", "ok", None, "no flight to measure the rate by")
    g = float(np.median(falls))
    many = f"{len(falls)} flights fall" if len(falls) > 1 else "a flight falls"
    sentence = f"{many} at {g:.1f} m/s²"
    if GRAVITY[0] <= g <= GRAVITY[1]:
        return TakeCheck("gravity", "ok", g, sentence)
    for (low, high), what, fps in ((_HALF_RATE, "half", take.fps * 2), (_DOUBLE_RATE, "double", take.fps / 2)):
        if low <= g <= high:
            # One flight may be a swing or a climb; several that all agree are a clock.
            verdict = "rejected" if len(falls) > 1 and all(low <= fall <= high for fall in falls) else "warning"
            advice = f"{sentence}, not 9.8: the rate of {take.fps:g} Hz is probably {what} the true one (--fps {fps:g})"
            return TakeCheck("gravity", verdict, g, advice)
    return TakeCheck("gravity", "warning", g, f"{sentence}, not 9.8")


def flights(take: CheckedTake) -> list[float]:
    """Accelerations in m/s², downwards positive, of the centre of mass while both feet are off the floor.

    Parabolas over the middle of each flight; flights whose path is not a parabola (a swing, a climb) are left out.
    """
    feet = [NUMBER[f"{side}_{name}"] for side in ("left", "right") for name in ("ankle", "foot")]
    rest = take.figure.joints[feet, 1] - take.figure.sole
    low = (take.places[:, feet, 2] - rest).min(axis=1) > _OFF_FLOOR
    mass = np.array(list(_MASS.values()))
    height = take.places[:, [NUMBER[name] for name in _MASS], 2] @ (mass / mass.sum())
    edges = np.flatnonzero(np.diff(np.concatenate([[False], low, [False]]).astype(np.int8)))
    found = []
    for start, stop in zip(edges[::2], edges[1::2], strict=True):
        if stop - start < max(_FLIGHT_FRAMES, _FLIGHT_S * take.fps) or start == 0 or stop == len(low):
            continue
        time = np.arange(stop - start) / take.fps
        terms = np.polyfit(time, height[start:stop], 2)
        miss = np.sqrt(np.mean((np.polyval(terms, time) - height[start:stop]) ** 2))
        rise = -terms[0] * (time[-1] / 2) ** 2
        if rise > _LEAST_RISE and miss < 0.1 * rise and -2 * terms[0] > _LEAST_FALL:
            found.append(float(-2 * terms[0]))
    return found

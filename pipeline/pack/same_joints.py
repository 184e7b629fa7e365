"""Do the 2D and the 3D of a benchmark's videos show the same joints, in one unit? Judged from the poses alone.

In one video 2D is nearly a scaled image of the 3D's x and y (weak perspective). What the scale leaves over is small
when both speak of the same joints, and smaller with two of them exchanged when a file has them exchanged.

Shape suffixes: n frames, J joints.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.skeleton import JOINT_NAMES, N_JOINTS

LOOKED_AT = 200
"""Frames of a video, evenly spread."""

SMALLEST, LARGEST = 0.2, 5.0
"""2D over 3D, both in screen units: the benchmarks' own lie between 0.6 and 1.6."""

_CLEARLY = 0.5
"""An exchange is believed when it leaves less than this share of the distance."""
_LEAST_GAIN = 0.05
"""And when the distance shrinks by more than this share of the body's spread."""


def _exchange(*pairs: tuple[str, str]) -> tuple[int, ...]:
    order = list(range(N_JOINTS))
    for a, b in pairs:
        i, j = JOINT_NAMES.index(a), JOINT_NAMES.index(b)
        order[i], order[j] = j, i
    return tuple(order)


def _sides(*parts: str) -> tuple[int, ...]:
    return _exchange(*((f"left_{part}", f"right_{part}") for part in parts))


def _both(a: str, b: str) -> tuple[int, ...]:
    return _exchange(*((f"{side}_{a}", f"{side}_{b}") for side in ("left", "right")))


LEGS, ARMS, SIDES = ("hip", "knee", "ankle"), ("shoulder", "elbow", "wrist"), ("left", "right")
EXCHANGES: dict[str, tuple[int, ...]] = {
    "left and right leg exchanged": _sides(*LEGS),
    "left and right arm exchanged": _sides(*ARMS),
    "left and right exchanged": _sides(*LEGS, *ARMS),
    "knees and ankles exchanged": _both("knee", "ankle"),
    "hips and knees exchanged": _both("hip", "knee"),
    "elbows and wrists exchanged": _both("elbow", "wrist"),
    "shoulders and elbows exchanged": _both("shoulder", "elbow"),
    "arms and legs exchanged": _exchange(
        *((f"{side}_{arm}", f"{side}_{leg}") for side in SIDES for arm, leg in zip(ARMS, LEGS, strict=True))
    ),
    "pelvis and head exchanged": _exchange((JOINT_NAMES[0], "head")),
}
"""What a wrong joint mapping does, by name: the order that puts it right."""

TURNED: dict[str, tuple[tuple[float, float], tuple[float, float]]] = {
    "y upside down": ((1, 0), (0, -1)),
    "x mirrored": ((-1, 0), (0, 1)),
    "x and y exchanged": ((0, 1), (1, 0)),
}
"""What a wrong axis does, by name: the matrix that puts it right."""


def distances(pose2d: NDArray[np.floating], pose3d: NDArray[np.floating]) -> dict[str, float]:
    """How far 2D is from the 3D's scaled x and y: as it is, and after each exchange or turn.

    Args:
        pose2d: (n, 17, 2 or 3), any unit.
        pose3d: (n, 17, 3), camera frame with x right and y down, any unit.

    Returns:
        `""` (as it is), names of `EXCHANGES` and of `TURNED` → median over frames of the mean distance of the joints
        concerned, over the body's spread in 2D; `scale`: 2D over 3D. With `as is: ` in front of a name: the same joints
        as they are; with `all: ` all joints after it. Empty without frames.
    """
    frames = len(pose2d)
    at = np.unique(np.linspace(0, max(frames - 1, 0), min(LOOKED_AT, frames)).astype(np.int64))
    seen, real = (np.array(pose, dtype=np.float64)[at, :, :2] for pose in (pose2d, pose3d))
    finite = np.isfinite(seen).all(axis=(1, 2)) & np.isfinite(real).all(axis=(1, 2))
    seen, real = _centred(seen[finite]), _centred(real[finite])
    spread, real_spread = (np.sqrt(np.square(pose).sum(axis=-1).mean(axis=-1)) for pose in (seen, real))
    usable = (spread > 0) & (real_spread > 0)
    if not usable.any():
        return {}
    seen, real, spread = seen[usable], real[usable], spread[usable]
    found = {"scale": float(np.median(spread / real_spread[usable]))}

    def apart(turned: Floats) -> Floats:
        scale = (turned * real).sum(axis=(1, 2)) / np.square(real).sum(axis=(1, 2))
        off = np.linalg.norm(turned - np.maximum(scale, 0)[:, None, None] * real, axis=-1)
        return np.asarray(off / spread[:, None])

    as_is = apart(seen)
    found[""] = float(np.median(as_is.mean(axis=1)))
    for name, order in EXCHANGES.items():
        moved = [joint for joint, other in enumerate(order) if joint != other]
        found[f"as is: {name}"] = float(np.median(as_is[:, moved].mean(axis=1)))
        exchanged = apart(seen[:, list(order)])
        found[name] = float(np.median(exchanged[:, moved].mean(axis=1)))
        found[f"all: {name}"] = float(np.median(exchanged.mean(axis=1)))
    for name, matrix in TURNED.items():
        found[f"as is: {name}"] = found[""]
        turned = apart(seen @ np.asarray(matrix, dtype=np.float64))
        found[name] = found[f"all: {name}"] = float(np.median(turned.mean(axis=1)))
    return found


def _centred(pose: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(pose - pose.mean(axis=1, keepdims=True), dtype=np.float64)


def verdict(found: Mapping[str, float]) -> str:
    """What is wrong with 2D and 3D, in a few words; nothing when they fit."""
    if not found:
        return ""
    if not SMALLEST <= found["scale"] <= LARGEST:
        return f"2D is {found['scale']:.3g} times the size of the 3D's picture: another unit, or normalised already"
    gains = {
        name: found[f"as is: {name}"] - found[name]
        for name in (*EXCHANGES, *TURNED)
        if found[name] < _CLEARLY * found[f"as is: {name}"] and found[f"as is: {name}"] - found[name] > _LEAST_GAIN
    }
    if not gains:
        return ""
    # A part of an exchange helps too; the whole of it leaves least over all joints.
    best = min(gains, key=lambda name: found[f"all: {name}"])
    return (
        f"2D fits 3D better with {best}: {found[best]:.0%} of the body's spread apart instead of "
        f"{found[f'as is: {best}']:.0%}"
    )


@dataclass
class Agreement:
    """Distances of many videos, put together by split."""

    of: dict[str, list[dict[str, float]]] = field(default_factory=lambda: defaultdict(list))

    def add(self, split: str, pose2d: NDArray[np.floating], pose3d: NDArray[np.floating]) -> None:
        """Look at one video."""
        if found := distances(pose2d, pose3d):
            self.of[split].append(found)

    def verdicts(self) -> dict[str, str]:
        """Split → what is wrong with its 2D, by the median over its videos; only splits with something wrong."""
        verdicts = {split: verdict(_median(videos)) for split, videos in sorted(self.of.items())}
        return {split: words for split, words in verdicts.items() if words}

    def misfits(self) -> list[UserError]:
        """The same as refusals, one for each split with something wrong."""
        return [
            UserError(
                f"the 2D of {split} does not show what its 3D shows; {words}",
                "it was made with another joint order or unit than these files have: take the published file, or fix "
                "the 2D first",
            )
            for split, words in self.verdicts().items()
        ]


def _median(videos: Iterable[Mapping[str, float]]) -> dict[str, float]:
    rows = list(videos)
    return {name: float(np.median([row[name] for row in rows])) for name in rows[0]}

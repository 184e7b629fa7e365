"""A scene: what a clip shows, from any source, as stills, films and pages draw it.

Shape letters: T frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.skeleton import ROOT

OBLIQUE = "yaw+35pitch+14"
"""The view that shows 3D in a still picture: from the front left, a little from above."""

FOLLOW_M, FOLLOW_S = 0.7, 1.0
"""A person who moves farther than this is followed, by the mean place over this many seconds."""


@dataclass(frozen=True, kw_only=True)
class Person:
    """One skeleton over time.

    Attributes:
        points: (T, 17, 3) metres, z up, the floor at 0; NaN where a joint is not known.
        filled: (T, 17) joints that were not seen and that a model completed.
        name: for legends, such as "prediction".
        ghost: drawn thin and grey, as something to compare with.
    """

    points: Floats
    filled: NDArray[np.bool_] | None = None
    name: str = ""
    ghost: bool = False


@dataclass(frozen=True, kw_only=True)
class Seen:
    """The 2D input beside the 3D, brought to its size.

    Attributes:
        points: (T, 17, 2) metres in the plane of the picture, y down; NaN where hidden.
        filled: (T, 17) as in `Person`.
        name: heading of the panel.
    """

    points: Floats
    filled: NDArray[np.bool_] | None = None
    name: str = "2D input"


@dataclass(frozen=True, kw_only=True)
class Label:
    """A text for a stretch of time, in seconds from the first frame."""

    start_s: float
    end_s: float
    text: str


@dataclass(frozen=True, kw_only=True)
class Scene:
    """What is drawn.

    Attributes:
        title: first line.
        about: second line, smaller.
        people: skeletons that share the space.
        fps: frames a second.
        seen: the 2D input.
        heading: radians; the direction that `views` count from, as `geometry.facing_heading` gives it.
        views: names for `geometry.camera_matrix`.
        labels: what happens when.
        first_s: time of the first frame.
        errors_mm: (T,) numbers by name, drawn over time on pages; NaN where there is none.
    """

    title: str
    people: tuple[Person, ...]
    fps: float
    about: str = ""
    seen: Seen | None = None
    heading: float = 0.0
    views: tuple[str, ...] = (OBLIQUE, "side")
    labels: tuple[Label, ...] = ()
    first_s: float = 0.0
    errors_mm: Mapping[str, Floats] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.people or not len(self.people[0].points):
            raise UserError("there is no frame to draw", "choose a clip of at least one frame")

    def __len__(self) -> int:
        return len(self.people[0].points)

    @property
    def anything_filled(self) -> bool:
        """Whether a joint is drawn hollow."""
        return any(person.filled is not None and person.filled.any() for person in self.people)

    def cut(self, start_s: float, seconds: float | None) -> Scene:
        """The part that begins at `start_s` (from the first frame) and lasts `seconds`, or to the end.

        Raises:
            UserError: no frame is in it.
        """
        first = round(start_s * self.fps)
        last = len(self) if seconds is None else min(len(self), first + max(1, round(seconds * self.fps)))
        if not 0 <= first < last:
            raise UserError(
                f"the clip lasts {len(self) / self.fps:.2f} s, and the part begins at {start_s:g} s",
                "choose an earlier start",
            )
        part, shift, end = slice(first, last), first / self.fps, last / self.fps
        labels = (
            Label(start_s=max(0.0, x.start_s - shift), end_s=min(end, x.end_s) - shift, text=x.text)
            for x in self.labels
            if x.end_s > shift and x.start_s < end
        )
        people = tuple(_cut(person, part) for person in self.people)
        return dataclasses.replace(
            self, people=people, seen=self.seen and _cut(self.seen, part), labels=tuple(labels),
            first_s=self.first_s + shift, errors_mm={name: values[part] for name, values in self.errors_mm.items()},
        )  # fmt: skip


P = TypeVar("P", Person, Seen)


def _cut(shown: P, part: slice) -> P:
    filled = None if shown.filled is None else shown.filled[part]
    return dataclasses.replace(shown, points=shown.points[part], filled=filled)


def followed(points: Floats, fps: float) -> Floats:
    """(T, D) the place to look at: where the pelvis is, smoothed, or its middle if the person stays there.

    Args:
        points: (T, 17, D) metres; NaN where not known.
        fps: frames a second.
    """
    known = np.isfinite(points[:, ROOT]).all(axis=1)
    if not known.any():
        return np.zeros((len(points), points.shape[-1]))
    frames = np.arange(len(points))
    path = np.stack([np.interp(frames, frames[known], c) for c in points[known, ROOT].T], axis=1)
    if np.ptp(path, axis=0).max() < FOLLOW_M:
        return np.broadcast_to((path.min(axis=0) + path.max(axis=0)) / 2, path.shape).copy()
    half = min(max(1, round(FOLLOW_S * fps / 2)), len(path) - 1)
    padded = np.pad(path, ((half, half), (0, 0)), mode="reflect", reflect_type="odd")
    total = np.concatenate([np.zeros((1, path.shape[1])), padded.cumsum(axis=0)])
    return (total[2 * half + 1 :] - total[: -2 * half - 1]) / (2 * half + 1)

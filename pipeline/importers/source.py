"""A captured figure as stored in its file: a tree of joints, one row of channel values a frame; forward kinematics.

BVH and ASF/AMC differ in spelling only: both are a tree of offsets and, for each joint, rotations about coordinate
axes that are multiplied in a fixed order. Everything after the parsers sees one `Source`.

Legend: J joints, K channels, T frames, N frames of a block.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np

from actionpose.arrays import Floats
from pipeline.body.rotations import rotations_about
from pipeline.engine.item import ItemError

MAX_JOINTS = 1_000
"""A figure with every finger joint has under 100."""
MAX_FRAMES = 500_000
"""More than an hour at 120 Hz, which takes about 2 GB of memory until it is on the body."""
MAX_VALUES = 60_000_000
"""Half a gigabyte of channel values: an hour of a hundred-channel figure at 120 Hz."""
MAX_NUMBER = 1e6
"""Positions and angles beyond this are not motion in any unit."""


@dataclass(frozen=True, kw_only=True)
class Joint:
    """One joint of a figure.

    Attributes:
        name: as in the file; end sites have their parent's name and `:end`.
        parent: its number in the list, -1 for the root.
        offset: (3,) from the parent, in the parent's frame, in the file's unit.
        places: (axis, column) of translation channels; they replace the offset.
        turns: (axis, column) of rotation channels, in the order in which their matrices are multiplied.
        frame: (3, 3) the axes in which the rotations are given, in the figure's frame; None for the figure's own.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    places: tuple[tuple[int, int], ...] = ()
    turns: tuple[tuple[int, int], ...] = ()
    frame: Floats | None = field(default=None, compare=False)


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A take: joints (parents before children) and channel values (T, K) float64, angles in radians.

    `fps` is the rate the file states, None when it states none.
    """

    kind: str
    joints: tuple[Joint, ...]
    values: Floats
    fps: float | None
    stated: str = ""
    """What the file says of its rate, for messages."""

    @property
    def frames(self) -> int:
        """Number of frames."""
        return len(self.values)

    @property
    def names(self) -> dict[str, int]:
        """Name → number in `joints`."""
        return {joint.name: number for number, joint in enumerate(self.joints)}

    def chain(self, wanted: Iterable[int]) -> list[int]:
        """Those joints and their ancestors, parents first."""
        found: set[int] = set()
        for joint in wanted:
            while joint >= 0 and joint not in found:
                found.add(joint)
                joint = self.joints[joint].parent
        return sorted(found)

    def children(self, number: int) -> list[int]:
        """Numbers of the joints right below one, end sites included."""
        return [n for n, joint in enumerate(self.joints) if joint.parent == number]


@dataclass(frozen=True, eq=False)
class Placed:
    """Joints of a block of frames in the file's world: `turns[j]` (N, 3, 3) and `places[j]` (N, 3)."""

    turns: Mapping[int, Floats]
    places: Mapping[int, Floats]


def placed(source: Source, chain: Iterable[int], frames: slice) -> Placed:
    """Forward kinematics of some joints, parents first, over some frames."""
    values = source.values[frames]
    turns: dict[int, Floats] = {}
    places: dict[int, Floats] = {}
    for number in chain:
        joint = source.joints[number]
        turn, place = _turned(joint, values), _moved(joint, values)
        if joint.parent >= 0:
            above = turns[joint.parent]
            place = places[joint.parent] + (above @ place[..., None])[..., 0]
            turn = above @ turn
        turns[number], places[number] = turn, place
    return Placed(turns, places)


def _turned(joint: Joint, values: Floats) -> Floats:
    turn: Floats = np.broadcast_to(np.eye(3), (len(values), 3, 3))
    for axis, column in joint.turns:
        turn = turn @ rotations_about(np.eye(3)[axis], values[:, column])
    if joint.frame is not None and joint.turns:
        turn = joint.frame @ turn @ joint.frame.T
    return turn


def _moved(joint: Joint, values: Floats) -> Floats:
    place = np.tile(np.asarray(joint.offset, dtype=np.float64), (len(values), 1))
    for axis, column in joint.places:
        place[:, axis] = values[:, column]
    return place


def checked_values(joints: tuple[Joint, ...], values: Floats, *, degrees: bool | None, where: str) -> Floats:
    """Channel values with angles in radians.

    Args:
        joints: the figure.
        values: (T, K) as in the file; changed in place.
        degrees: whether the file's angles are degrees; None when that is only to be expected, and so is looked into.
        where: what to call the file in errors.

    Raises:
        ItemError: not finite, larger than any motion, or angles in the other unit.
    """
    turning = sorted({column for joint in joints for _, column in joint.turns})
    with np.errstate(invalid="ignore"):
        sound = np.abs(values) <= MAX_NUMBER  # also false for NaN
    if not sound.all():
        frame, column = (int(n) for n in np.argwhere(~sound)[0])
        kind = "huge numbers" if np.isfinite(values[frame, column]) else "not finite"
        raise ItemError(
            kind, f"{where}: frame {frame} has {values[frame, column]:g} in channel {column}, which cannot be motion"
        )
    largest = float(np.abs(values[:, turning]).max(initial=0.0))
    if degrees is None and 0 < largest <= 2 * np.pi + 0.01:
        raise ItemError(
            "angles look like radians",
            f"{where}: no angle exceeds {largest:.3f}: in degrees the figure would hardly move; if they are "
            "radians, use --angles radians, else --angles degrees",
        )
    if degrees is False and largest > 8 * np.pi:
        raise ItemError(
            "angles look like degrees",
            f"{where}: an angle of {largest:.0f} radians is {largest / (2 * np.pi):.0f} whole turns; if they are "
            "degrees, use --angles degrees",
        )
    if degrees is not False:
        values[:, turning] = np.deg2rad(values[:, turning])
    return values

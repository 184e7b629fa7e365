"""One person of a lifted clip as other programs want it: an even grid of frames, y up, the root moving.

Shape letters: T frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift.result import CAMERA, Lifted
from actionpose.skeleton import JOINT_NAMES

LONGEST_FRAMES = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Clip:
    """A person, every frame.

    Attributes:
        person: the id.
        fps: frames a second.
        frame: (T,) frame numbers, one step apart.
        poses: (T, 17, 3) float64 metres; x right, y up, z towards the viewer; the pelvis moves in the plane of the
            picture as far as the picture shows, its first place is the origin. NaN where a joint is not known.
        notes: what was done to get there.
    """

    person: int
    fps: float
    frame: NDArray[np.int64]
    poses: Floats
    notes: tuple[str, ...]

    @property
    def seconds(self) -> Floats:
        """(T,) from the first frame on."""
        return (self.frame - self.frame[0]) / self.fps


def clip_of(lifted: Lifted, person: int | None = None) -> Clip:
    """Take one person out of a result.

    Args:
        lifted: the result.
        person: the id; None where there is only one.

    Raises:
        UserError: nobody, or several people and none chosen.
    """
    people = lifted.people
    if person is None and len(people) != 1:
        raise UserError(
            f"the result holds {len(people)} people ({', '.join(map(str, people[:10]))})", "choose one: --person ID"
        )
    if person is not None and person not in people:
        raise UserError(
            f"there is no person {person} in the result; there are {', '.join(map(str, people[:10]))}", "choose one"
        )
    mine = lifted.person(people[0] if person is None else person)
    poses = mine.poses_3d.astype(np.float64) @ _axes(lifted.coordinate_system).T + _root(mine)[:, None]
    step = int(np.median(np.diff(mine.frame_index))) if len(mine) > 1 else 1
    span = (int(mine.frame_index[-1]) - int(mine.frame_index[0])) // step + 1
    if span > LONGEST_FRAMES:
        raise UserError(f"the clip spans {span} frames", "lift a shorter part")
    frame = mine.frame_index[0] + step * np.arange(span, dtype=np.int64)
    whole, notes = _every_frame(mine.frame_index, poses, frame)
    return Clip(person=int(mine.track_id[0]), fps=mine.fps / step, frame=frame // step, poses=whole, notes=notes)


def complete(clip: Clip) -> Clip:
    """The clip with every joint known, as formats of bones need it.

    Raises:
        UserError: joints are hidden.
    """
    hidden: NDArray[np.bool_] = np.isnan(clip.poses).any(axis=-1).reshape(-1, 17)
    if hidden.any():
        worst = JOINT_NAMES[int(hidden.sum(axis=0).argmax())]
        frames = int(hidden.sum(axis=1).astype(bool).sum())
        raise UserError(
            f"joints are hidden in {frames} of {len(hidden)} frames (most often {worst}), and bones need both ends",
            "lift again with --fill, which completes them",
        )
    return clip


def _axes(coordinate_system: str) -> Floats:
    """Rows: x right, y up, z towards the viewer, in the result's own axes."""
    if coordinate_system == CAMERA:
        return np.diag([1.0, -1.0, -1.0])
    return np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])


def _root(mine: Lifted) -> Floats:
    """(T, 3) metres: the pelvis' way through the picture; how far away it is, a picture does not show."""
    moved = (mine.root_2d - mine.root_2d[:1]) / np.maximum(mine.scale_2d[:, None], 1e-9)
    return np.stack([moved[:, 0], -moved[:, 1], np.zeros(len(moved))], axis=1).astype(np.float64)


def _every_frame(known: NDArray[np.int64], poses: Floats, frame: NDArray[np.int64]) -> tuple[Floats, tuple[str, ...]]:
    """Poses at every frame; missing ones lie on straight lines between their neighbours."""
    missing = ~np.isin(frame, known)
    if not missing.any() and len(known) == len(frame):
        return poses, ()
    flat = poses.reshape(len(poses), -1)
    columns = [np.interp(frame, known, column) for column in flat.T]
    note = f"{missing.sum()} missing frames are interpolated (--fill lets the model complete them)"
    return np.stack(columns, axis=1).reshape(len(frame), 17, 3), (note,)

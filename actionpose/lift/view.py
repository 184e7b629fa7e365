"""A lifted person as a scene: upright on the floor, beside the 2D input, with the actions over time.

Shape letters: T frames of the film, N rows of the result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift.result import CAMERA, Lifted
from actionpose.lift.scale import estimate_up
from actionpose.picture.scene import OBLIQUE, Label, Person, Scene, Seen

VIEWS = (OBLIQUE, "yaw+90pitch+14")
FLOOR_S = 2.0
"""The floor is where the lowest joint was within this time: a jump shows, climbing a slope of the picture does not."""

MOST_FRAMES = 1_000_000


def scenes_of(
    lifted: Lifted, *, title: str, person: int | None = None, views: Sequence[str] = VIEWS,
    actions: Sequence[Mapping[str, Any]] = (),
) -> list[Scene]:  # fmt: skip
    """One scene for each person, the one with most frames first.

    Args:
        lifted: the result of lifting.
        title: first line of the pictures.
        person: only this one.
        views: see `Scene`; the camera of the film stands at "front".
        actions: rows of `actions.name_actions`, their seconds those of the film.

    Raises:
        UserError: nobody, or no such person.
    """
    people = sorted(lifted.people, key=lambda track: -int((lifted.track_id == track).sum()))
    if not people:
        raise UserError("the result holds no pose", "lift a clip that shows somebody")
    if person is not None and person not in people:
        raise UserError(f"there is no person {person}", f"there are: {', '.join(map(str, sorted(people)))}")
    chosen = people if person is None else [person]
    return [_scene(lifted.person(track), track, len(people), title, views, actions) for track in chosen]


def _scene(
    mine: Lifted, track: int, people: int, title: str, views: Sequence[str], actions: Sequence[Mapping[str, Any]]
) -> Scene:
    frames = mine.frame_index - mine.frame_index[0]
    step = max(1, int(np.median(np.diff(frames)))) if len(frames) > 1 else 1
    place, length = frames // step, int(frames[-1] // step) + 1
    if length > MOST_FRAMES:
        raise UserError(f"the clip spans {length:,} frames", "lift a shorter part")
    fps, first_s = mine.fps / step, float(mine.timestamps[0])
    filled = _grid(mine.filled, place, length, False)
    way = (mine.root_2d - mine.root_2d[0]).astype(np.float64) / np.maximum(mine.scale_2d[:, None], 1e-9)
    model = mine.model.get("name") or Path(str(mine.model.get("path") or "a model")).name
    who = f"person {track}, " if people > 1 else ""
    return Scene(
        title=title,
        about=f"{who}{length / fps:.1f} s at {fps:g} frames a second, lifted by {model}; {mine.scale_source}",
        people=(Person(points=_grid(_upright(mine, way, fps), place, length, np.nan), filled=filled),),
        seen=Seen(points=_grid(_seen(mine, way), place, length, np.nan), filled=filled),
        fps=fps,
        views=tuple(views),
        labels=tuple(
            Label(start_s=row["start_s"] - first_s, end_s=row["end_s"] - first_s, text=str(row["label"]))
            for row in actions
            if row["person"] == track
        ),
        first_s=first_s,
    )


def _grid(rows: NDArray[Any], place: NDArray[np.int64], length: int, empty: Any) -> NDArray[Any]:
    """(T, …): rows at their frames, `empty` where there is none."""
    found = np.full((length, *rows.shape[1:]), empty, dtype=rows.dtype)
    found[place] = rows
    return found


def _upright(mine: Lifted, way: Floats, fps: float) -> Floats:
    """(N, 17, 3) metres, z up, the floor at 0, the pelvis moving as far as the picture shows."""
    poses = mine.poses_3d.astype(np.float64)
    moved = np.concatenate([way, np.zeros((len(way), 1))], axis=1)
    level = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
    if mine.coordinate_system == CAMERA:
        rotation = estimate_up(poses).rotation
        poses, moved = poses @ rotation.T, moved @ rotation.T
    else:
        moved = moved @ level.T
    points = poses + moved[:, None]
    lowest = np.full(len(points), np.nan)
    known = np.isfinite(points[..., 2]).any(axis=1)
    lowest[known] = np.nanmin(points[known, :, 2], axis=1)
    points[..., 2] -= _floor(lowest, fps)[:, None]
    return points


def _floor(lowest: Floats, fps: float) -> Floats:
    """(N,) height of the floor under a person whose lowest joint is this high: the least nearby, smoothed."""
    if not np.isfinite(lowest).any():
        return np.zeros(len(lowest))
    filled = np.where(np.isfinite(lowest), lowest, np.inf)
    half = max(1, round(FLOOR_S * fps / 2))
    if 2 * half + 1 >= len(filled):
        return np.full(len(filled), filled.min())
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(filled, half, mode="edge"), 2 * half + 1)
    least = windows.min(axis=1)
    frames, known = np.arange(len(least)), np.isfinite(least)
    least = np.interp(frames, frames[known], least[known])
    windows = np.lib.stride_tricks.sliding_window_view(np.pad(least, half, mode="edge"), 2 * half + 1)
    return windows.mean(axis=1)


def _seen(mine: Lifted, way: Floats) -> Floats:
    """(N, 17, 2) metres in the picture's plane, y down; of a completed joint its projection, if that is known."""
    scale = np.maximum(mine.scale_2d[:, None, None], 1e-9)
    points = (mine.poses_2d - mine.root_2d[:, None]).astype(np.float64) / scale
    if mine.coordinate_system == CAMERA:
        points = np.where(mine.filled[..., None], mine.poses_3d[..., :2], points)
    points = np.where((mine.valid | mine.filled)[..., None], points, np.nan)
    return points + way[:, None]

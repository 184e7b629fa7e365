"""Keypoints in JSON as objects of x and y: MediaPipe's landmarks in every wrapping, TensorFlow.js's, YOLO's.

A person is a list of landmarks {x, y, visibility or score, name?}, an object of them by name, or lists {x: …, y: …};
a frame is a person or a list of people, alone or in an object under one of `KEYS`.

Shape letters: K joints.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.errors import UserError
from actionpose.lift.collect import DetectedPerson, collect
from actionpose.lift.detections import UNKNOWN, Detections, track_of
from actionpose.lift.layouts import MEDIAPIPE_33

KEYS = ("pose_landmarks", "landmarks", "poseLandmarks", "landmark", "keypoints")
"""Keys of a frame or a person that lead to landmarks."""

FRAME_KEYS = (
    *("frame", "frame_id", "frame_index", "frame_idx", "frame_number", "frame_num", "frame_no", "frameNumber"),
    *("image_id", "image", "image_name", "img_name", "file_name"),
)
SURE_KEYS = ("visibility", "score", "confidence", "visible")

MOST = 100_000
"""No film has more frames a second or pixels on a side."""

Person = tuple[dict[Any, Any], int]
"""Landmarks by name or number, and the track."""


def read_landmarks(content: Any, path: Path) -> Detections | None:
    """Landmarks frame by frame; None when the content is something else.

    Raises:
        UserError: a landmark that is no object of x and y.
    """
    found = [(at, person) for at, frame in _frames(content) for person in _people(frame, UNKNOWN)]
    if not found:
        return None
    keys = list(found[0][1][0])
    mediapipe = len(keys) == len(MEDIAPIPE_33)
    people = (_person(marks, keys, at, track, path) for at, (marks, track) in found)
    names = tuple(map(str, keys)) if isinstance(keys[0], str) else None
    kind = "MediaPipe landmarks" if mediapipe else "keypoints as objects of x and y"
    detections = collect(people, path, kind, names=names)
    detections.units = "normalised" if mediapipe else None
    state(content, detections)
    return detections


def state(content: Any, found: Detections) -> None:
    """Rate and size of the film, where the file has them beside the frames."""
    said = {key: content.get(key) for key in ("fps", "width", "height")} if isinstance(content, Mapping) else {}
    numbers = {key: float(v) for key, v in said.items() if isinstance(v, int | float) and 0.1 <= v <= MOST}
    found.fps = numbers.get("fps", found.fps)
    if "width" in numbers and "height" in numbers:
        found.size = (numbers["width"], numbers["height"])


def _frames(content: Any) -> Iterable[tuple[int | str, Any]]:
    """Number or name of each frame, and what is in it."""
    if isinstance(content, Mapping) and isinstance(content.get("frames"), list):
        content = content["frames"]
    if isinstance(content, Mapping):
        named = content and all(any(c.isdigit() for c in str(key)) for key in content)
        return list(content.items()) if named else [(0, content)]
    if not isinstance(content, list):
        return []
    if any(_is_landmark(mark) for mark in content):
        return [(0, content)]
    return [(number_of(frame, place), frame) for place, frame in enumerate(content)]


def number_of(frame: Any, place: int) -> int | str:
    """A frame's own number or name, else its place in the list."""
    at = next((frame[k] for k in FRAME_KEYS if k in frame), place) if isinstance(frame, Mapping) else place
    return at if isinstance(at, int | str) else place


def _people(frame: Any, track: int) -> Iterable[Person]:
    """People of a frame, wherever in it they are."""
    if isinstance(frame, Mapping):
        track = track_of(frame.get("track_id", track))
        if isinstance(frame.get("x"), list) and isinstance(frame.get("y"), list):
            columns = {
                key: frame[key] for key in ("x", "y", *SURE_KEYS) if isinstance(frame.get(key), list | np.ndarray)
            }
            rows = [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=False)]
            yield dict(enumerate(rows)), track
        elif frame and all(_is_landmark(mark) or mark is None for mark in frame.values()):
            yield dict(frame), track
        else:
            for inner in (frame[key] for key in KEYS if key in frame):
                yield from _people(inner, track)
                break
    elif isinstance(frame, list) and any(_is_landmark(mark) for mark in frame):
        named = all(_is_landmark(mark) and isinstance(mark.get("name"), str) for mark in frame)
        yield {mark["name"] if named else number: mark for number, mark in enumerate(frame)}, track
    elif isinstance(frame, list):
        for one in frame:
            if isinstance(one, list | Mapping):
                yield from _people(one, track)


def _is_landmark(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("x"), int | float)


def _person(marks: Mapping[Any, Any], keys: list[Any], frame: int | str, track: int, path: Path) -> DetectedPerson:
    """One person, joints in the order of the file's first; a landmark that is null or missing is hidden."""
    if isinstance(keys[0], int):
        keys = list(marks)  # as many as there are: `collect` counts those of another number
    try:
        numbers_K3 = np.array([_row(marks.get(key)) for key in keys], dtype=np.float64)
    except (AttributeError, TypeError, ValueError, OverflowError) as error:
        raise UserError(
            f"{path}, frame {frame}: a landmark is not an object of x, y and visibility", "save the landmarks again"
        ) from error
    return DetectedPerson(frame, numbers_K3[:, :2], numbers_K3[:, 2], track)


def _row(mark: Mapping[str, Any] | None) -> tuple[Any, Any, Any]:
    if not mark:
        return None, None, 0.0
    return mark.get("x"), mark.get("y"), next((mark[key] for key in SURE_KEYS if mark.get(key) is not None), 1.0)

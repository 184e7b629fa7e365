"""Keypoints in JSON as people write them themselves: nested lists of numbers, or objects that lead to such lists.

A pose is K rows of x, y and, if known, confidence, or 3 K numbers in one row. A frame is nothing, a pose or a list of
poses, alone or in objects under `POSES`, with confidences and ids beside them; a file is a list of frames, an object of
frames by number, or an object with such a list under `FILMS`. A line or a text of JSON for each frame is the same.

Shape letters: P people, K joints.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.arrays import Floats
from actionpose.lift.collect import DetectedPerson, collect
from actionpose.lift.detections import UNKNOWN, Detections, confidence_of, track_of
from actionpose.lift.layouts import BY_COUNT
from actionpose.lift.read_landmarks import number_of, state

FILMS = ("frames", "results", "predictions", "data")
"""Keys of a file that lead to its frames."""

POSES = (
    *("keypoints", "keypoints_2d", "pose_keypoints_2d", "kpts", "kps", "landmarks", "pose", "joints", "joints_2d"),
    *("points", "people", "persons", "person", "instances", "detections", "poses", "bodies", "objects", "skeletons"),
)
"""Keys of a frame or a person that lead to poses."""

SURE = ("keypoint_scores", "scores", "confidences", "confidence", "conf", "visibility", "keypoints_visible")
IDS = ("track_id", "person_id", "id", "idx", "pid", "track")
NAMES = ("joint_names", "keypoint_names", "keypoints_names", "names", "joints")
MEDIAPIPE = 33
_NUMBERED = re.compile(r".*\d+(\.[A-Za-z]\w*)?")
ABOUT = ("metadata", "meta", "video", "video_info", "info")
"""Keys under which files describe the film."""


def read_nested(content: Any, path: Path) -> Detections | None:
    """Read nested lists frame by frame; None when there is no pose in them.

    Raises:
        UserError: poses that cannot be used.
    """
    if isinstance(content, Mapping) and isinstance(content.get("skeleton"), Mapping):
        found = _easy_vitpose(content, path)
        if found is not None:
            return found
    people = [
        DetectedPerson(at, points, sure, track)
        for at, frame in _frames(content)
        for points, sure, track in _people(frame, UNKNOWN, str(path))
    ]
    if not people:
        return None
    if len({person.track for person in people}) == len(people) > 1:  # numbers of frames or detections
        for person in people:
            person.track = UNKNOWN
    found = collect(people, path, "JSON lists of poses", names=_names(content))
    for about in (content, *(content.get(key) for key in ABOUT if isinstance(content, Mapping))):
        state(about, found)
    return found


def _easy_vitpose(content: Mapping[str, Any], path: Path) -> Detections | None:
    """easy_ViTPose: {keypoints: [{id: rows of y, x, score}, …], skeleton: {number: name}}."""
    frames, skeleton = content.get("keypoints"), content["skeleton"]
    if not isinstance(frames, list) or not all(isinstance(frame, Mapping) for frame in frames):
        return None
    people = (
        DetectedPerson(number, rows[:, 1::-1], rows[:, 2], track_of(person))
        for number, frame in enumerate(frames)
        for person, pose in frame.items()
        if (rows := _numbers(pose)) is not None and rows.ndim == 2 and rows.shape[1] == 3
    )
    found = collect(people, path, "easy_ViTPose JSON", names=tuple(map(str, skeleton.values())))
    found.notes.append("rows are y, x, confidence, as easy_ViTPose writes them")
    return found


def _names(content: Any) -> tuple[str, ...] | None:
    listed = [content[key] for key in NAMES if key in content] if isinstance(content, Mapping) else []
    return next((tuple(n) for n in listed if isinstance(n, list) and n and all(isinstance(x, str) for x in n)), None)


# --- frames and people ------------------------------------------------------------------------


def _frames(content: Any) -> Iterable[tuple[int | str, Any]]:
    """Number or name of each frame, and what is in it."""
    if isinstance(content, Mapping):
        inner = next((content[key] for key in FILMS if isinstance(content.get(key), list | Mapping)), None)
        if inner is not None:
            return _frames(inner)
        if _numbered(content):
            return list((_by_person(content) or content).items())
        return list(enumerate(_in_columns(content)))
    if not isinstance(content, list):
        return []
    return [(number_of(frame, place), frame) for place, frame in enumerate(content)]


def _numbered(content: Any) -> bool:
    """Whether an object's keys are numbers, or names that end with one, such as `frame_12` and `12.jpg`."""
    return isinstance(content, Mapping) and bool(content) and all(_NUMBERED.fullmatch(str(key)) for key in content)


def _by_person(content: Mapping[str, Any]) -> dict[str, dict[str, Any]] | None:
    """People by frame of an object of frames by person, of which there are more than people; None for another."""
    if not all(_numbered(person) for person in content.values()):
        return None
    if sum(map(len, content.values())) <= len(content) ** 2:
        return None
    frames: dict[str, dict[str, Any]] = {}
    for person, poses in content.items():
        for at, pose in poses.items():
            frames.setdefault(at, {})[person] = pose
    return frames


def _in_columns(content: Mapping[str, Any]) -> list[Any]:
    """Frames of an object with the poses of all frames in one list and their confidences in another."""
    poses = next((content[key] for key in POSES if isinstance(content.get(key), list)), None)
    sure = next((content[key] for key in SURE if isinstance(content.get(key), list)), None)
    if poses is None or sure is None or len(sure) != len(poses):
        return [content] if poses is None or any(isinstance(pose, Mapping) for pose in poses) else poses
    return [{"keypoints": pose, "scores": value} for pose, value in zip(poses, sure, strict=True)]


Pose = tuple[Floats, Floats | None, int]
"""Places (K, 2), confidences (K,) if there are any, and the person's id."""


def _people(frame: Any, track: int, source: str) -> Iterator[Pose]:
    """Everybody in a frame."""
    if isinstance(frame, Mapping):
        own = next((track_of(frame[key]) for key in IDS if key in frame), track)
        key = next((key for key in POSES if key in frame), None)
        if key is None:
            for person, inner in frame.items() if _numbered(frame) else ():
                yield from _people(inner, track_of(person), source)
            return
        sure = next((_numbers(frame[name]) for name in SURE if name in frame), None)
        rows = _numbers(frame[key])
        yield from _people(frame[key], own, source) if rows is None else _poses(rows, sure, own, source)
    elif (rows := _numbers(frame)) is not None:
        yield from _poses(rows, None, track, source)
    elif isinstance(frame, list):
        for one in frame:
            yield from _people(one, track, source)


def _poses(rows: Floats, sure: Floats | None, track: int, source: str) -> Iterator[Pose]:
    """The poses in an array: one in one or two dimensions, several in more."""
    if rows.ndim == 1:
        width = next((c for c in (3, 2) if rows.size % c == 0 and rows.size // c in BY_COUNT), 3)
        if rows.size and rows.size % width == 0:
            yield from _poses(rows.reshape(-1, width), sure, track, source)
    elif rows.ndim > 2 or rows.shape[1] > 5:
        beside: Any = sure if sure is not None and sure.ndim > 1 and len(sure) == len(rows) else [None] * len(rows)
        for one, value in zip(rows, beside, strict=True):
            yield from _poses(one, value, track, source)
    elif rows.shape[1] in (4, 5) and len(rows) == MEDIAPIPE:
        yield rows[:, :2], rows[:, 3], track
    elif rows.shape[1] in (2, 3):
        given = sure.reshape(-1) if sure is not None and sure.size == len(rows) else None
        third = rows[:, 2] if rows.shape[1] == 3 else None
        if len(rows) == MEDIAPIPE and third is not None and np.nanmin(third) < -0.05:
            third = None  # MediaPipe's depth
        yield rows[:, :2], confidence_of(third, given, source), track


def _numbers(value: Any) -> Floats | None:
    """An array of what is one, or lists of equal length; None for anything else."""
    if isinstance(value, list) and value:
        try:
            value = np.array(value, dtype=np.float64)
        except (ValueError, TypeError, OverflowError):
            return None
    return value if isinstance(value, np.ndarray) and value.size else None

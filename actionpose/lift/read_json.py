"""Keypoints in JSON: COCO results, AlphaPose, OpenPose, MMPose, rtmlib, MediaPipe, recognised by their content.

A file is parsed once, within limits; lists of numbers become arrays while it is parsed, so that an hour of film takes
little more memory than its text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift.collect import DetectedPerson, collect
from actionpose.lift.detections import UNKNOWN, Detections, confidence_of, frame_of, track_of
from actionpose.lift.read_arrays import KEYPOINT_KEYS, from_members
from actionpose.lift.read_landmarks import read_landmarks
from actionpose.lift.read_nested import read_nested

_PEOPLE_KEYS = ("pose_keypoints_2d", "pose_keypoints", "joints", "keypoints")
"""Where OpenPose, its first versions, AlphaPose and people who imitate them have a person's joints."""

SCORES = ("keypoint_scores", "scores", "confidence")

LARGEST_JSON = 1 << 30
"""Bytes of a JSON file that are read; an hour of one person in 133 joints has half of that."""

_NUMBERS = frozenset(
    (
        *("keypoints", "keypoint_scores", "keypoints_visible", "scores", "score", "joints", "bbox", "box"),
        *("pose_keypoints_2d", "pose_keypoints", "face_keypoints_2d", "hand_left_keypoints_2d"),
        *("hand_right_keypoints_2d", "pose_keypoints_3d", "landmarks", "keypoints_3d", "poses_2d", "confidence"),
    )
)
"""Keys whose lists become arrays."""


def load_json(path: Path) -> Any:
    """Parse a JSON file within limits.

    Raises:
        UserError: not there, too large, cut short, nested too deeply, or no JSON.
    """
    try:
        size = path.stat().st_size
        if size > LARGEST_JSON:
            raise UserError(
                f"{path} has {size / 2**30:.1f} GiB; JSON is read up to {LARGEST_JSON / 2**30:.0f} GiB",
                "split it, or save arrays: numpy.savez(FILE, keypoints=(T,17,2), scores=(T,17))",
            )
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not JSON: it is not text", "give the detector's own file") from error
    try:
        return _texts(json.loads(text, object_hook=_compact))
    except RecursionError as error:
        raise UserError(f"{path} is nested too deeply to be keypoints", "give the detector's own file") from error
    except json.JSONDecodeError as error:
        lines = _lines(text) if error.msg == "Extra data" else None
        if lines is not None:
            return lines
        where = f"line {error.lineno}, column {error.colno}"
        if error.pos >= len(text.rstrip()) - 1 or "Unterminated" in error.msg:
            raise UserError(
                f"{path} is cut short: it ends in the middle, at {where}",
                "the detector was stopped or the copy failed: make the file again",
            ) from error
        raise UserError(f"{path} is not JSON: {error.msg} at {where}", "give the detector's own file") from error
    except ValueError as error:  # a number of thousands of digits
        raise UserError(f"{path} is not JSON: {error}", "give the detector's own file") from error


def _lines(text: str) -> list[Any] | None:
    """The frames of a file with a line of JSON for each; None for another."""
    try:
        return [json.loads(line, object_hook=_compact) for line in text.splitlines() if line.strip()]
    except (ValueError, RecursionError):
        return None


def _texts(content: Any) -> Any:
    """Content whose frames are texts of JSON, as `json.dump([r.to_json() for r in results])` writes them, read."""
    if not isinstance(content, list) or not content or not all(isinstance(text, str) for text in content):
        return content
    return [json.loads(text, object_hook=_compact) if text.strip() else [] for text in content]


def nobody(content: Any) -> bool:
    """Whether the content of a file for one frame says that nobody was detected in it."""
    lists: Iterable[Any] = content.values() if isinstance(content, Mapping) else [content]
    found = [value for value in lists if isinstance(value, list)]
    return not content or (bool(found) and not any(found))


def _compact(found: dict[str, Any]) -> dict[str, Any]:
    for key in _NUMBERS & found.keys():
        if isinstance(found[key], list) and found[key] and not isinstance(found[key][0], dict):
            try:
                found[key] = np.array(found[key], dtype=np.float64)
            except (ValueError, TypeError, OverflowError):
                continue  # lists of unequal length, or no numbers: the reader of that key says so
    return found


def read_json(path: Path) -> Detections:
    """Read a keypoint file in JSON.

    Raises:
        UserError: damaged, or none of the forms that are known.
    """
    return read_content(load_json(path), path)


def read_content(content: Any, path: Path) -> Detections:
    """Read what was in a JSON file; see `read_json`."""
    known = (
        "known: COCO results, AlphaPose, OpenPose, MMPose, rtmlib, MediaPipe, YOLO, lists of poses for each frame "
        "(docs/lift.md shows each)"
    )
    try:
        arrays = as_arrays(content)
        if arrays is not None:
            return from_members(arrays, str(path), "JSON arrays")
        for recognise in (
            _openpose_file,
            _mmpose,
            _coco_dataset,
            _alphapose_by_image,
            _list_of_people,
            _rtmlib,
            read_landmarks,
            read_nested,
        ):
            found = recognise(content, path)
            if found is not None:
                return found
    except (AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        raise UserError(f"{path} is JSON, but an entry in it is not as the others: {error}", known) from error
    raise UserError(f"{path} is JSON, but no keypoints that are known: {_shape_of(content)}", known)


def as_arrays(content: Any) -> dict[str, Any] | None:
    """Nested lists of numbers, or an object of them, as named arrays; None for everything else."""
    try:
        if isinstance(content, list) and content and isinstance(content[0], list):
            return {"keypoints": np.array(content, dtype=np.float64)}
    except (ValueError, TypeError):
        return None
    if isinstance(content, dict) and any(isinstance(content.get(key), np.ndarray) for key in KEYPOINT_KEYS):
        return content
    return None


def _shape_of(content: Any) -> str:
    if isinstance(content, Mapping):
        return "an object with " + (", ".join(list(map(str, content))[:6]) or "nothing in it")
    if isinstance(content, list):
        first = f" of {_shape_of(content[0])}" if content else ""
        return f"a list of {len(content)}{first}" if not first else f"a list{first}"
    return f"a {type(content).__name__}"


def _first(content: Any) -> Mapping[str, Any]:
    """The first object of a list of objects, or nothing."""
    return content[0] if isinstance(content, list) and content and isinstance(content[0], Mapping) else {}


# --- the forms --------------------------------------------------------------------------------


def _list_of_people(content: Any, path: Path) -> Detections | None:
    """COCO results and AlphaPose: [{image_id, keypoints: [x, y, c, …], score, idx?}, …]."""
    first = _first(content)
    if "image_id" not in first or "keypoints" not in first:
        return None
    alphapose = "idx" in first or "box" in first
    entries = [entry for entry in content if isinstance(entry, Mapping)]
    people = (_flat_person(e, e.get("image_id"), e.get("idx", e.get("track_id", UNKNOWN)), path) for e in entries)
    return collect(people, path, "AlphaPose JSON" if alphapose else "COCO results JSON")


def _flat_person(
    entry: Mapping[str, Any], image: Any, track: Any, path: Path, key: str = "keypoints"
) -> DetectedPerson | None:
    numbers = entry.get(key)
    if not isinstance(numbers, np.ndarray) or not numbers.size:
        return None
    points, confidence = _triples(numbers, path)
    scores = next((entry[name] for name in SCORES if isinstance(entry.get(name), np.ndarray)), np.zeros(0)).reshape(-1)
    confidence = confidence_of(confidence, scores if len(scores) == len(points) else None, str(path))
    return DetectedPerson(
        image if isinstance(image, str) else frame_of(image, str(path)), points, confidence, track_of(track)
    )


def _triples(numbers: Floats, path: Path) -> tuple[Floats, Floats | None]:
    """(K, 2) and (K,) of a flat list [x, y, c, …], or of rows (K, 2 or 3)."""
    if numbers.ndim == 1:
        if numbers.size % 3:
            raise UserError(
                f"{path}: a person of {numbers.size} numbers is not a list of x, y, confidence",
                "each joint needs three numbers",
            )
        numbers = numbers.reshape(-1, 3)
    if numbers.ndim != 2 or numbers.shape[1] not in (2, 3):
        raise UserError(
            f"{path}: keypoints of shape {numbers.shape}", "each joint needs x, y and, if known, confidence"
        )
    return numbers[:, :2], numbers[:, 2] if numbers.shape[1] == 3 else None


def _openpose_file(content: Any, path: Path) -> Detections | None:
    """OpenPose: {version, people: [{person_id, pose_keypoints_2d}]}, or a list of such frames."""
    frames = content if isinstance(content, list) else [content]
    if not frames or not all(isinstance(f, Mapping) and isinstance(f.get("people"), list) for f in frames):
        return None
    if isinstance(content, list):
        people = (p for number, frame in enumerate(frames) for p in openpose_people(frame, number, path))
        return collect(people, path, "OpenPose JSON, a list of frames")
    return collect(openpose_people(content, frame_or(path, 0), path), path, "OpenPose JSON, one frame")


def openpose_people(content: Mapping[str, Any], frame: int, path: Path) -> Iterable[DetectedPerson]:
    """People of one OpenPose frame."""
    for entry in content["people"]:
        if isinstance(entry, Mapping):
            key = next((key for key in _PEOPLE_KEYS if key in entry), "")
            person = _flat_person(entry, frame, entry.get("person_id", entry.get("id", UNKNOWN)), path, key)
            if person is not None:
                yield person


def frame_or(path: Path, otherwise: int) -> int:
    """The frame number in a file's name."""
    try:
        return frame_of(path.name, str(path))
    except UserError:
        return otherwise


def _mmpose(content: Any, path: Path) -> Detections | None:
    """MMPose: [{frame_id, instances: [{keypoints, keypoint_scores}]}], also in {instance_info}, or instances alone.

    In Python its inferencer gives {predictions: [[instance, …], …]}, a list for each frame.
    """
    meta: Mapping[str, Any] = {}
    if isinstance(content, Mapping) and isinstance(content.get("instance_info"), list):
        found = content.get("meta_info")
        content, meta = content["instance_info"], found if isinstance(found, Mapping) else {}
    elif isinstance(content, Mapping) and isinstance(content.get("predictions"), list):
        content = content["predictions"]
    if isinstance(content, list) and any("keypoint_scores" in _first(frame) for frame in content):
        content = [{"instances": frame} for frame in content]
    first = _first(content)
    names = _mmpose_names(meta)
    if "instances" in first:
        people = (p for number, frame in enumerate(content) for p in _mmpose_frame(frame, number, path))
        return collect(people, path, "MMPose predictions", names=names)
    if "keypoints" in first and "keypoint_scores" in first and "image_id" not in first:
        frame = frame_or(path, 0)
        return collect((_instance(e, frame, path) for e in content), path, "MMPose predictions, one frame", names=names)
    return None


def _mmpose_frame(frame: Any, number: int, path: Path) -> Iterable[DetectedPerson | None]:
    if isinstance(frame, Mapping) and isinstance(frame.get("instances"), list):
        at = frame.get("frame_id", number)
        for entry in frame["instances"]:
            yield _instance(entry, at, path)


def _instance(entry: Any, frame: Any, path: Path) -> DetectedPerson | None:
    track = entry.get("track_id", entry.get("instance_id", UNKNOWN)) if isinstance(entry, Mapping) else UNKNOWN
    return _flat_person(entry, frame, track, path) if isinstance(entry, Mapping) else None


def _mmpose_names(meta: Mapping[str, Any]) -> tuple[str, ...] | None:
    table = meta.get("keypoint_id2name")
    if isinstance(table, Mapping) and table and all(str(key).isdigit() for key in table):
        return tuple(str(table[key]) for key in sorted(table, key=lambda key: int(key)))
    return None


def _coco_dataset(content: Any, path: Path) -> Detections | None:
    """A COCO dataset file: {images, annotations: [{image_id, keypoints, track_id?}], categories: [{keypoints}]}."""
    if not isinstance(content, Mapping) or not isinstance(content.get("annotations"), list):
        return None
    images = {i.get("id"): i for i in content.get("images") or [] if isinstance(i, Mapping)}
    entries = [a for a in content["annotations"] if isinstance(a, Mapping)]
    people = (_flat_person(a, _coco_frame(a, images), a.get("track_id", UNKNOWN), path) for a in entries)
    category = _first(content.get("categories"))
    listed = category.get("keypoints")
    names = tuple(map(str, listed)) if isinstance(listed, list) else None
    found = collect(people, path, "COCO dataset JSON", names=names)
    sizes = {(float(i.get("width") or 0), float(i.get("height") or 0)) for i in images.values()}
    if len(sizes) == 1 and min(next(iter(sizes))) > 0:
        found.size = next(iter(sizes))
    return found


def _coco_frame(annotation: Mapping[str, Any], images: Mapping[Any, Mapping[str, Any]]) -> Any:
    image = images.get(annotation.get("image_id"), {})
    return image.get("frame_id", image.get("file_name", annotation.get("image_id")))


def _alphapose_by_image(content: Any, path: Path) -> Detections | None:
    """AlphaPose's other two forms: {"12.jpg": {bodies: [{joints}]}} and {"12.jpg": {people: [{pose_keypoints_2d}]}}."""
    if not isinstance(content, Mapping) or not content:
        return None
    frames = list(content.items())
    if isinstance(content.get("bodies"), list):  # one picture of `--format cmu`
        frames = [(path.name if frame_or(path, -1) >= 0 else "0", content)]
    if not all(isinstance(f, Mapping) and ("bodies" in f or "people" in f) for _, f in frames):
        return None

    def people() -> Iterable[DetectedPerson | None]:
        for name, frame in frames:
            listed = frame.get("bodies") or frame.get("people") or []
            for entry in (e for e in listed if isinstance(e, Mapping)):
                key = next((key for key in _PEOPLE_KEYS if key in entry), "")
                yield _flat_person(entry, name, UNKNOWN, path, key)

    return collect(people(), path, "AlphaPose JSON by picture")


def _rtmlib(content: Any, path: Path) -> Detections | None:
    """Keypoints and scores as rtmlib gives them, frame by frame: [{keypoints: (P, K, 2), scores: (P, K)}, …]."""
    first = _first(content)
    if "keypoints" not in first or "scores" not in first:
        return None
    if any(
        np.shape(frame["keypoints"])[-1:] == (3,) for frame in content if isinstance(frame.get("keypoints"), np.ndarray)
    ):
        return None  # x, y, confidence, as people write them

    def people() -> Iterable[DetectedPerson]:
        for number, frame in enumerate(content):
            at = frame_of(frame.get("frame_id", frame.get("frame", number)), str(path))
            points, scores = np.asarray(frame.get("keypoints", ())), np.asarray(frame.get("scores", ()))
            if points.ndim == 2:
                points, scores = points[None], scores[None]
            if points.ndim != 3 or points.shape[-1] != 2 or scores.shape != points.shape[:2]:
                if points.size == 0:
                    continue
                raise UserError(
                    f"{path}, frame {at}: keypoints {points.shape} and scores {scores.shape} do not fit",
                    "they should be (people, joints, 2) and (people, joints)",
                )
            for person, sure in zip(points, scores, strict=True):
                yield DetectedPerson(at, person, sure)

    return collect(people(), path, "rtmlib keypoints and scores")

"""Keypoints in arrays: .npy and .npz files, SLEAP's HDF5, and arrays handed over in Python.

Shapes that are understood: (T, K, C), (T, P, K, C) with P people, (K, C) for one frame; C is 2, 3 with confidence,
or MediaPipe's 4 or 5 (x, y, z, visibility, presence). Nothing is ever unpickled here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from actionpose import isolated
from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.lift.collect import DetectedPerson, collect
from actionpose.lift.detections import Detections, clean, frames_of
from actionpose.lift.layouts import BY_COUNT
from actionpose.plain_npz import NotPlain, npy_array, npz_arrays, npz_names
from actionpose.shard_checks import own_member

KEYPOINT_KEYS = ("keypoints", "keypoints_2d", "poses_2d", "pose2d", "poses2d", "kpts", "kps", "landmarks", "joints_2d")
SCORE_KEYS = ("scores", "confidence", "keypoint_scores", "score", "conf", "visibility")
LIFTED_KEYS = ("poses_3d", "pose3d", "keypoints_3d", "joints_3d")
FRAME_KEYS = ("frame_index", "frame_ids", "frames", "frame")
TRACK_KEYS = ("track_id", "track_ids", "person_id")
_FLAT = {33 * 4: 4} | {count * width: width for count in BY_COUNT for width in (3, 2) if count * width != 66}
"""Numbers in a row that holds a person → those of each joint; 66 are more likely the angles or places of SMPL's 22."""

_KEYS = {*KEYPOINT_KEYS, *SCORE_KEYS, *FRAME_KEYS, *TRACK_KEYS, "fps", "joint_names", "timestamps"}

Objects = Callable[[Path, str], Any]
"""Opens a member of an .npz that holds Python objects, safely: (path, member) → what it holds."""


def read_npy(path: Path) -> Detections:
    """Read a bare array.

    Raises:
        UserError: damaged, Python objects, or a shape that is not keypoints.
    """
    try:
        array = npy_array(path)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except NotPlain as error:
        raise UserError(f"{path} cannot be read: {error}", "save it again with numpy.save") from error
    return from_array(array, str(path), "array")


def read_npz(path: Path, objects: Objects | None = None) -> Detections:
    """Read named arrays: `keypoints` and `scores`, our own results, or VideoPose3D's custom files.

    Args:
        path: the file.
        objects: opens VideoPose3D's members, which are Python objects; without it those files are refused.

    Raises:
        UserError: damaged, or no keypoints in it.
    """
    try:
        names = npz_names(path)
        if {"positions_2d", "metadata"} <= names:
            return _videopose3d(path, objects)
        if {"boxes", "keypoints", "segments", "metadata"} <= names:
            return _detectron(path, objects)
        members = npz_arrays(path, _KEYS)
    except OSError as error:
        raise UserError(f"cannot read {path}: {error.strerror or error}", "check the path") from error
    except NotPlain as error:
        raise UserError(f"{path} cannot be read: {error}", "save plain arrays with numpy.savez") from error
    if "pose3d_cam" in names and np.ndim(members.get("pose2d", 0)) == 4:
        return _projected(members, str(path))
    lifted = sorted(names & set(LIFTED_KEYS))
    if lifted and not names & set(KEYPOINT_KEYS):
        raise UserError(f"{path} holds 3D poses ({', '.join(lifted)}): it is lifted already", "give the 2D keypoints")
    if not any(key in members for key in KEYPOINT_KEYS):
        raise UserError(
            f"{path} holds {', '.join(sorted(names)[:6])}, and no keypoints",
            "name the array keypoints: numpy.savez(FILE, keypoints=(T,17,2), scores=(T,17))",
        )
    return from_members(members, str(path), "arrays (.npz)")


def _projected(members: dict[str, Any], source: str) -> Detections:
    """What `ap-data project-2d` writes: (V, T, 17, 2), V views of one person, of which the first is read."""
    views = members["pose2d"]
    found = from_members({**members, "pose2d": views[0]}, source, "views of ap-data project-2d")
    found.notes.append(f"of {len(views)} views the first is read")
    return found


# --- arrays to detections ---------------------------------------------------------------------


def from_members(members: Mapping[str, Any], source: str, kind: str) -> Detections:
    """Named arrays: keypoints with scores, frame numbers, track ids, names and a frame rate.

    Raises:
        UserError: shapes that do not belong together.
    """
    name = next(key for key in KEYPOINT_KEYS if key in members)
    points = np.asarray(members[name])
    key = next((key for key in SCORE_KEYS if key in members), "")
    try:
        score = np.asarray(members[key]) if key else None
    except ValueError as error:
        raise UserError(f"{source}: {key} has lists of unequal length", "give one for each joint of a pose") from error
    if points.ndim and score is not None and score.shape == (*points.shape[:-1], 1):
        score = score[..., 0]
    if points.ndim and score is not None and points.shape[-1] == 2 and score.shape == points.shape[:-1]:
        points = np.concatenate([points, score[..., None]], axis=-1)
    found = _rows(points, source, kind)
    if found.names is None and "joint_names" in members:
        names = tuple(str(n) for n in np.asarray(members["joint_names"]).reshape(-1))
        found.names = names if len(names) == found.points.shape[1] else None
    _beside(found, members, source)
    rate = np.asarray(members.get("fps", np.nan))
    if rate.ndim == 0 and rate.dtype.kind in "fiu" and 0.1 <= float(rate) <= 10_000:
        found.fps = float(rate)
    return found.seen() if points.ndim == 4 else found


def _beside(found: Detections, members: Mapping[str, Any], source: str) -> None:
    """Frame numbers, times and tracks of the rows: (T,) for the frames, or one for each person of each frame."""
    rows = found.frame  # so far the row's own number
    frames = int(rows.max(initial=-1)) + 1
    for keys, target in ((FRAME_KEYS, "frame"), (TRACK_KEYS, "track"), (("timestamps",), "seconds")):
        name = next((key for key in keys if key in members), None)
        value = np.asarray(members[name]) if name is not None else np.zeros(())
        if value.ndim == 0:
            continue  # not given, or a single number, such as how many frames there are
        if value.size not in (frames, len(rows)):
            raise UserError(f"{source}: {value.size} entries of {name} for {len(rows)} poses", "they must be as many")
        numbers = _as_numbers(value.reshape(-1), target, f"{source}: {name}")
        setattr(found, target, numbers if len(numbers) == len(rows) else numbers[rows])


def _as_numbers(value: NDArray[Any], target: str, source: str) -> NDArray[Any]:
    """Frame numbers and seconds as such, also from texts (`frame_0012`); tracks by number or by name."""
    if value.dtype.kind in "US" and target == "frame":
        return frames_of(value.astype(str).tolist(), source)
    if value.dtype.kind in "US" and target == "track":
        return np.unique(value, return_inverse=True)[1].astype(np.int64)
    if value.dtype.kind not in "iuf" or not np.isfinite(value).all():
        raise UserError(f"{source} holds something else than numbers", "leave it out, or give a number for each")
    return value.astype(np.float64 if target == "seconds" else np.int64)


def from_array(array: Any, source: str, kind: str = "array") -> Detections:
    """Keypoints of one clip from one array; see the module for its shapes.

    Raises:
        UserError: another shape, 3D poses, or nothing detected in any frame.
    """
    found = _rows(array, source, kind)
    # Empty rows that pad arrays of several people are not detections.
    return found.seen() if np.ndim(array) == 4 else found


def _rows(array: Any, source: str, kind: str) -> Detections:
    """`from_array` with empty rows."""
    values = np.asarray(array)
    if values.dtype.kind not in "fiu":
        raise UserError(f"{source}: an array of {values.dtype}, not of numbers", "give x, y and confidence as numbers")
    while values.ndim > 4 and 1 in values.shape[1:3]:  # MoveNet's (T, 1, 1, K, 3)
        values = values.squeeze(axis=1 if values.shape[1] == 1 else 2)
    if values.ndim == 2 and values.shape[-1] in _FLAT:
        values = values.reshape(len(values), -1, _FLAT[values.shape[-1]])  # rows of x, y, c, x, y, c, …
    elif values.ndim == 2:
        values = values[None]
    if values.ndim not in (3, 4) or values.shape[-1] not in (2, 3, 4, 5) or 0 in values.shape:
        raise UserError(
            f"{source}: an array of shape {np.shape(array)}",
            "keypoints are (frames, joints, 2) or (…, 3) with confidence",
        )
    frames = np.arange(len(values), dtype=np.int64)
    if values.ndim == 4:
        number, people_count = len(values), values.shape[1]
        frames = np.repeat(frames, people_count)
        values = values.reshape(number * people_count, *values.shape[2:])
    points, confidence, mediapipe = _columns(values, source)
    points, confidence, notes = clean(points, confidence, source)
    return Detections(
        source=source,
        kind=("MediaPipe landmarks, " if mediapipe else "") + kind,
        frame=frames,
        points=points,
        confidence=confidence,
        units="normalised" if mediapipe else None,
        notes=notes,
    )


def _columns(values: Floats, source: str) -> tuple[Floats, Floats | None, bool]:
    """x, y; confidence; and whether this is MediaPipe's (x, y, z, visibility, presence)."""
    joints, width = values.shape[1], values.shape[2]
    if width in (4, 5):
        if joints != 33:
            raise UserError(
                f"{source}: {width} numbers for each of {joints} joints", "give x, y and, if known, confidence"
            )
        return values[..., :2], values[..., 3], True
    if width == 3 and joints == 33 and np.nanmin(values[..., 2]) < -0.05 and np.nanmax(np.abs(values[..., :2])) < 4:
        return values[..., :2], None, True  # the third is MediaPipe's depth
    return values[..., :2], values[..., 2] if width == 3 else None, False


def _opened(path: Path, objects: Objects | None, member: str) -> Any:
    if objects is None:
        raise UserError(
            f"{path} is a VideoPose3D file, whose members are Python objects, which are not opened here",
            "use the command `ap-lift run`, which reads them without running them",
        )
    return objects(path, member)


def _detectron(path: Path, objects: Objects | None) -> Detections:
    """What VideoPose3D's infer_video.py writes with Detectron: for each frame [[], (P, 4, 17) x, y, logit, score]."""
    people = (
        DetectedPerson(number, pose[:2].T, pose[3])
        for number, frame in enumerate(_opened(path, objects, "keypoints"))
        for pose in np.asarray(frame[1] if len(frame) > 1 else ())
        if np.shape(pose) == (4, 17)
    )
    found = collect(people, path, "Detectron keypoints of VideoPose3D's infer_video")
    found.layout = "coco-17"
    size = _opened(path, objects, "metadata")
    if isinstance(size, Mapping) and size.get("w") and size.get("h"):
        found.size = (float(size["w"]), float(size["h"]))
    return found


def _videopose3d(path: Path, objects: Objects | None) -> Detections:
    """VideoPose3D's custom data: positions_2d {video: {"custom": [(T, K, 2)]}} and metadata, both Python objects."""
    videos, about = _opened(path, objects, "positions_2d"), _opened(path, objects, "metadata")
    if not isinstance(videos, Mapping) or not videos:
        raise UserError(
            f"{path}: its positions_2d names no video", "make the file again with prepare_data_2d_custom.py"
        )
    name, actions = next(iter(videos.items()))
    action, cameras = next(iter(actions.items())) if isinstance(actions, Mapping) and actions else ("", None)
    if isinstance(cameras, np.ndarray) and cameras.ndim == 3:
        cameras = [cameras]
    if cameras is None or not len(cameras):
        raise UserError(f"{path}: video {name} has no poses", "make the file again with prepare_data_2d_custom.py")
    found = from_array(np.asarray(cameras[0]), str(path), "VideoPose3D custom data")
    if len(videos) > 1 or len(actions) > 1 or len(cameras) > 1:
        found.notes.append(f"of several clips the first is read: {name}, {action}, camera 1 of {len(cameras)}")
    if isinstance(about, Mapping):
        if found.points.shape[1] == 17:
            found.layout = {"h36m": "h36m-17", "coco": "coco-17"}.get(str(about.get("layout_name")))
        sizes = about.get("video_metadata")
        size = sizes.get(name) if isinstance(sizes, Mapping) else None
        if isinstance(size, Mapping) and size.get("w") and size.get("h"):
            found.size = (float(size["w"]), float(size["h"]))
    return found


def sleap_members(path: Path) -> dict[str, Any]:
    """What is read of SLEAP's analysis HDF5; called in a child process.

    Raises:
        UserError: damaged, another HDF5 file, or one whose data stand elsewhere.
    """
    try:
        with h5py.File(path, "r") as file:
            if "tracks" not in file or "node_names" not in file:
                raise UserError(
                    f"{path} is HDF5, but not SLEAP's analysis file (it holds {', '.join(list(file)[:5])})",
                    "SLEAP: File, Export Analysis HDF5. DeepLabCut: give its .csv file",
                )
            wanted = [name for name in ("tracks", "node_names", "point_scores") if name in file]
            return {name: own_member(file, name)[()] for name in wanted}
    except (OSError, RuntimeError, KeyError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is not a readable HDF5 file: {error}", "export it again") from error


def read_sleap(path: Path) -> Detections:
    """SLEAP's analysis HDF5: tracks (P, 2, K, T), node_names, point_scores (P, K, T).

    Raises:
        UserError: damaged, or another HDF5 file.
    """
    found = isolated.call("actionpose.lift.read_arrays:sleap_members", path)
    values, scores = np.asarray(found["tracks"], dtype=np.float64), found.get("point_scores")
    names = tuple(n.decode() if isinstance(n, bytes) else str(n) for n in np.ravel(found["node_names"]).tolist())
    if values.ndim != 4 or values.shape[1] != 2 or values.shape[2] != len(names):
        raise UserError(f"{path}: tracks of shape {values.shape} for {len(names)} nodes", "export it again")
    people, _, joints, frames = values.shape
    points = values.transpose(3, 0, 2, 1).reshape(frames * people, joints, 2)
    if scores is not None and scores.shape != (people, joints, frames):
        raise UserError(
            f"{path}: point_scores of shape {scores.shape} for tracks of shape {values.shape}",
            "export it with SLEAP's own order of axes, tracks (people, 2, joints, frames)",
        )
    confidence = None if scores is None else scores.transpose(2, 0, 1).reshape(frames * people, joints)
    cleaned, confidence, notes = clean(points, confidence, str(path))
    detections = Detections(
        source=str(path),
        kind="SLEAP analysis HDF5",
        frame=np.repeat(np.arange(frames, dtype=np.int64), people),
        points=cleaned,
        confidence=confidence,
        track=np.tile(np.arange(people, dtype=np.int64), frames) if people > 1 else None,
        names=names,
        notes=[note for note in notes if "finite" not in note],  # SLEAP writes NaN for whatever is not there
    )
    return detections.seen()

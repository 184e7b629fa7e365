"""Keypoint files as detectors write them, made from 3D poses: for the examples, benchmarks and tests.

Each format is written as its own program does, with its own joints. Joints that Human3.6M does not have are placed on
the skeleton: the face where it is on the licence-free body of the demo, the feet in front of the ankles.

Shape letters: T frames, P people, K joints of a layout.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from actionpose.arrays import Floats
from actionpose.files import atomic_path, write_text
from actionpose.lift.layouts import LAYOUTS
from actionpose.skeleton import JOINT_NAMES

_FACE: Mapping[str, tuple[float, float, float]] = {
    "nose": (0.146, 0.125, 0.0),
    "left_eye": (0.175, 0.087, 0.032),
    "right_eye": (0.175, 0.087, -0.032),
    "left_ear": (0.150, -0.012, 0.085),
    "right_ear": (0.150, -0.012, -0.085),
}
"""Metres from the thorax, (towards the top of the head, forward, to the left), where that top is 0.27 m away."""

_THORAX_TO_HEAD = 0.27
_FEET = {"big_toe": (0.15, -0.02), "small_toe": (0.12, 0.06), "heel": (-0.06, 0.0)}
"""Metres from the ankle, (forward, outward)."""


def joints_of(poses: Floats, layout: str, up: Sequence[float] = (0.0, 0.0, 1.0)) -> Floats:
    """A layout's joints of 3D poses, (T, K, 3) in the frame and unit (metres) of the poses (T, 17, 3).

    Joints of hands, face and mouth lie at the wrist or the nose. `up` is where the poses' frame has up.
    """
    named: dict[str, Floats] = {name: poses[:, j] for j, name in enumerate(JOINT_NAMES)}
    shoulders = (named["left_shoulder"] + named["right_shoulder"]) / 2
    axes = _head_axes(named, shoulders)
    size = np.linalg.norm(named["head"] - named["thorax"], axis=-1, keepdims=True) / _THORAX_TO_HEAD
    face = {name: named["thorax"] + size * np.tensordot(at, np.stack(axes), axes=1) for name, at in _FACE.items()}
    openpose = layout in ("body-25", "coco-18", "dwpose-134")
    named = {**named, **_feet(named, np.asarray(up)), "neck": shoulders if openpose else named["thorax"]}
    if layout != "h36m-17":
        named |= face
    return np.stack([_place(name, named) for name in LAYOUTS[layout].joints], axis=1)


def _head_axes(named: Mapping[str, Floats], shoulders: Floats) -> tuple[Floats, Floats, Floats]:
    """(T, 3) each: towards the top of the head, forward, to the person's left."""
    along: Floats = _unit(named["head"] - named["thorax"])
    left: Floats = named["left_shoulder"] - shoulders
    left = _unit(left - along * (left * along).sum(axis=-1, keepdims=True))
    return along, np.cross(left, along), left


def _feet(named: Mapping[str, Floats], up: Floats) -> dict[str, Floats]:
    across = named["left_hip"] - named["right_hip"]
    left = _unit(across - up * (across @ up)[:, None])
    forward = np.cross(left, up)
    out = {"left": left, "right": -left}
    return {
        f"{side}_{part}": named[f"{side}_ankle"] + ahead * forward + aside * out[side]
        for side in out
        for part, (ahead, aside) in _FEET.items()
    }


def _place(name: str, named: Mapping[str, Floats]) -> Floats:
    if name in named:
        return named[name]
    side = "left" if name.startswith("left") else "right"
    if any(part in name for part in ("hand", "pinky", "index", "thumb")):
        return named[f"{side}_wrist"]
    return named[f"{side}_eye"] if "eye" in name else named["nose"]


def _unit(vectors: Floats) -> Floats:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)


# --- the formats ------------------------------------------------------------------------------


def _people(keypoints: Floats) -> Floats:
    """(T, P, K, 3) x, y, confidence from (T, K, 3) or as it is; a person without confidence is not there."""
    return keypoints[:, None] if keypoints.ndim == 3 else keypoints


def coco_results(keypoints: Floats) -> list[dict[str, Any]]:
    """COCO's results format: one object for each person of each frame."""
    return [
        {"image_id": t, "category_id": 1, "keypoints": _numbers(person), "score": round(float(person[:, 2].mean()), 4)}
        for t, frame in enumerate(_people(keypoints))
        for person in frame
        if person[:, 2].any()
    ]


def alphapose(keypoints: Floats, *, ids: bool = True) -> list[dict[str, Any]]:
    """AlphaPose's default JSON: image names, flat keypoints, a box and, with tracking, `idx`."""
    rows = []
    for t, frame in enumerate(_people(keypoints)):
        for number, person in enumerate(frame):
            if person[:, 2].any():
                low, high = person[:, :2].min(axis=0), person[:, :2].max(axis=0)
                row = {"image_id": f"{t}.jpg", "category_id": 1, "keypoints": _numbers(person), "score": 2.9}
                rows.append(
                    {**row, "box": [*_numbers(low), *_numbers(high - low)], **({"idx": number + 1} if ids else {})}
                )
    return rows


def openpose_frame(frame: Floats) -> dict[str, Any]:
    """One frame (P, K, 3) as OpenPose writes it."""
    people = [{"person_id": [-1], "pose_keypoints_2d": _numbers(person)} for person in frame if person[:, 2].any()]
    return {"version": 1.3, "people": people}


def mmpose(keypoints: Floats, layout: str = "coco-17") -> dict[str, Any]:
    """MMPose's predictions as its inferencer saves them for a film, with the names of the joints."""
    frames = [
        {
            "frame_id": t,
            "instances": [
                {"keypoints": _rows(p[:, :2]), "keypoint_scores": _numbers(p[:, 2])} for p in frame if p[:, 2].any()
            ],
        }
        for t, frame in enumerate(_people(keypoints))
    ]
    names = {str(k): name for k, name in enumerate(LAYOUTS[layout].joints)}
    return {"meta_info": {"dataset_name": layout, "keypoint_id2name": names}, "instance_info": frames}


def mediapipe(keypoints: Floats, width: float, height: float) -> list[dict[str, Any]]:
    """MediaPipe's pose landmarks, frame by frame, normalised by the picture's width and height."""
    return [
        {
            "frame": t,
            "landmarks": [
                {
                    "x": round(float(x) / width, 6),
                    "y": round(float(y) / height, 6),
                    "z": 0.0,
                    "visibility": round(float(c), 4),
                }
                for x, y, c in frame
            ],
        }
        for t, frame in enumerate(keypoints)
    ]


def deeplabcut(keypoints: Floats, names: Sequence[str]) -> str:
    """DeepLabCut's table of one animal or person."""
    columns = [(name, coord) for name in names for coord in ("x", "y", "likelihood")]
    head = (["scorer"] + ["DLC_resnet50"] * len(columns), ["bodyparts"] + [n for n, _ in columns])
    lines = [",".join(row) for row in (*head, ["coords"] + [c for _, c in columns])]
    lines += [",".join([str(t), *map(str, _numbers(frame))]) for t, frame in enumerate(keypoints)]
    return "\n".join(lines) + "\n"


def write_sleap(path: Path, keypoints: Floats, names: Sequence[str]) -> None:
    """SLEAP's analysis HDF5 of (T, P, K, 3) or (T, K, 3)."""
    people = _people(keypoints)
    xy = np.where(people[..., 2:] > 0, people[..., :2], np.nan)
    with atomic_path(path) as aside, h5py.File(aside, "w") as file:
        file["tracks"] = xy.transpose(1, 3, 2, 0)
        file["point_scores"] = people[..., 2].transpose(1, 2, 0)
        file["node_names"] = np.array([name.encode() for name in names])
        file["track_names"] = np.array([f"track_{p}".encode() for p in range(people.shape[1])])


def write_openpose(folder: Path, keypoints: Floats, stem: str = "clip") -> None:
    """OpenPose's folder: `STEM_000000000012_keypoints.json` for each frame."""
    folder.mkdir(parents=True, exist_ok=True)
    for t, frame in enumerate(_people(keypoints)):
        write_text(folder / f"{stem}_{t:012d}_keypoints.json", json.dumps(openpose_frame(frame)))


def _numbers(values: Floats) -> list[float]:
    return [round(float(v), 4) for v in np.asarray(values).reshape(-1)]


def _rows(values: Floats) -> list[list[float]]:
    return [[round(float(v), 4) for v in row] for row in values]

"""A film of the demo world as a 2D detector sees it: COCO results JSON with noise, hidden joints and missing frames.

One person of the validation split in front of a camera of 1280 x 720 pixels that stands still. Shape letters: T frames.
"""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import numpy as np

from actionpose.arrays import Floats
from actionpose.files import write_text
from actionpose.geometry import camera_matrix, facing_heading, to_camera
from actionpose.shards import ShardSet
from actionpose.skeleton import JOINT_NAMES, ROOT

FILM, LABELS = "film.json", "film-labels.txt"

SECONDS = 10.0
WIDTH, HEIGHT, FOCAL, DISTANCE_M = 1280, 720, 1100.0, 6.0
VIEW = "yaw+30pitch+05"
NOISE_PIXELS = 2.0
GONE = (0.42, 0.45)
"""Part of the film in which nobody is detected."""

HIDDEN = {"left_wrist": (0.15, 0.3), "right_ankle": (0.6, 0.7), "right_knee": (0.62, 0.7)}
"""COCO joint → part of the film in which the detector is not sure of it."""

COCO = (
    *("nose", "left_eye", "right_eye", "left_ear", "right_ear", "left_shoulder", "right_shoulder", "left_elbow"),
    *("right_elbow", "left_wrist", "right_wrist", "left_hip", "right_hip", "left_knee", "right_knee", "left_ankle"),
    "right_ankle",
)
EARS = 1 / 1.58
"""Height of the ears on the way from the shoulders to the top of the head."""

CHOICES = 12


def write_demo_film(folder: Path, shards: ShardSet, seed: int = 0) -> None:
    """Write FOLDER/film.json, and in film-labels.txt what happens in it among other labels.

    Args:
        folder: where.
        shards: of the demo world, with a validation split.
        seed: of the detector's noise.
    """
    motion, frames = _chosen(shards)
    world = np.asarray(shards.motion_frames(motion)[:frames], dtype=np.float64)
    write_text(folder / FILM, json.dumps(detections(world, seed), separators=(",", ":")) + "\n")
    write_text(folder / LABELS, "\n".join(_labels(shards, motion, frames)) + "\n")


def _chosen(shards: ShardSet) -> tuple[int, int]:
    """The motion with most labels in its first seconds, of the validation split if it has any; and its frames."""
    wanted = round(SECONDS * shards.fps)
    lengths = np.minimum(shards.motions["stop"] - shards.motions["start"], wanted)
    held_out = shards.motions["split"] == "val"
    rows = np.flatnonzero(held_out) if held_out.any() else np.arange(len(lengths))
    best = max(rows.tolist(), key=lambda row: (int(lengths[row]), len(_texts(shards, row, wanted)), -row))
    return best, int(lengths[best])


def _texts(shards: ShardSet, motion: int, frames: int) -> list[str]:
    """Labels of actions that begin in these frames, in order."""
    clips, pairs = shards.clips, shards.pairs
    mine = (clips["motion"] == motion) & (clips["start"] < 0.9 * frames) & (clips["kind"] != "transition")
    rows = [row for row, clip in enumerate(pairs["clip"].tolist()) if mine[clip]]
    rows.sort(key=lambda row: int(clips["start"][pairs["clip"][row]]))
    return list(dict.fromkeys(str(pairs["text"][row]) for row in rows))


def _labels(shards: ShardSet, motion: int, frames: int) -> list[str]:
    """What the film shows and the most frequent other labels, in alphabetical order."""
    shown = _texts(shards, motion, frames)
    actions = (text for text in map(str, shards.pairs["text"]) if not text.startswith("transit"))
    often = [text for text, _ in Counter(actions).most_common()]
    return sorted(list(dict.fromkeys([*shown, *often]))[: max(CHOICES, len(shown))])


def detections(world: Floats, seed: int) -> list[dict[str, object]]:
    """One entry of a COCO results file for each frame with a detection.

    Args:
        world: (T, 17, 3) metres, z up, Human3.6M's joints.
        seed: of the noise.
    """
    pose = to_camera(world, camera_matrix(VIEW, facing_heading(world)[0]))
    middle = (pose[:, ROOT].min(axis=0) + pose[:, ROOT].max(axis=0)) / 2
    joints = _coco_joints(pose - middle + (0.0, 0.1, DISTANCE_M))
    chance = np.random.default_rng([seed, 29])
    xy = joints[..., :2] / joints[..., 2:] * FOCAL + (WIDTH / 2, HEIGHT / 2)
    xy += chance.normal(0.0, NOISE_PIXELS, xy.shape)
    confidence = chance.uniform(0.75, 0.98, xy.shape[:2])
    for name, part in HIDDEN.items():
        start, stop = (round(share * len(xy)) for share in part)
        confidence[start:stop, COCO.index(name)] = 0.02
        xy[start:stop, COCO.index(name)] += chance.normal(0.0, 60.0, (stop - start, 2))
    gone = range(*(round(share * len(xy)) for share in GONE))
    values = np.round(np.concatenate([xy, confidence[..., None]], axis=-1), 2)
    return [
        {"image_id": frame, "category_id": 1, "keypoints": values[frame].ravel().tolist(),
         "score": round(float(confidence[frame].mean()), 3)}
        for frame in range(len(values))
        if frame not in gone
    ]  # fmt: skip


def _coco_joints(pose: Floats) -> Floats:
    """(T, 17, 3) of COCO's joints; ears and eyes lie at the sides of the head."""
    at = {name: pose[:, number] for number, name in enumerate(JOINT_NAMES)}
    left = at["left_shoulder"] - at["right_shoulder"]
    left /= np.linalg.norm(left, axis=-1, keepdims=True)
    ears = at["thorax"] + EARS * (at["head"] - at["thorax"])
    eyes = at["nose"] + 0.25 * (at["head"] - at["thorax"]) * 0.4
    for side, sign in (("left", 1.0), ("right", -1.0)):
        at[f"{side}_ear"] = ears + 0.075 * sign * left
        at[f"{side}_eye"] = eyes + 0.032 * sign * left
    return np.stack([at[name] for name in COCO], axis=1)

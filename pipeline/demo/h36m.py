"""Look-alikes of the Human3.6M files from the demo world's motion, each in the exact layout of the real one.

FOLDER/h36m_sh_conf_cam_source_final.pkl                      MotionBERT: `train` and `test`, fields by frame
FOLDER/data_3d_h36m.npz                                       VideoPose3D: world positions, 32 joints
FOLDER/data_2d_h36m_gt.npz, data_2d_h36m_cpn_ft_h36m_dbb.npz  VideoPose3D: pixels of four cameras
FOLDER/metadata.xml, cameras.pkl, cameras.json                where the cameras stood, in three forms

Seven people with three short takes each before four cameras; among the takes are one that protocol h36m-b leaves out
and one that h36m-a leaves out.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.arrays import Float32s, Floats
from actionpose.errors import UserError
from actionpose.files import atomic_path, write_text
from actionpose.shards import ShardSet
from actionpose.skeleton import LEFT, RIGHT, ROOT
from pipeline.body.resample import resample_linear
from pipeline.body.rotations import quaternions
from pipeline.h36m.cameras import Camera, Extrinsics, cameras, image_pose, project, world_to_camera
from pipeline.h36m.extrinsics import SUBJECTS
from pipeline.sources import facts

FRAMES = {"train": 80, "test": 200}
"""The longest a take gets."""

DETECTED_LONGER = 3
"""Frames by which detections outlast the positions, as some of the real ones do."""

_CORNERS = ((1.9, 5.0), (1.8, -5.1), (-1.8, 5.2), (-1.8, -4.2))  # metres from the middle of the hall
_NOISE_PIXELS = {"sh": 6.0, "cpn": 4.0}
_STORED = 32


@dataclass(frozen=True, kw_only=True)
class Take:
    """One take: its names in both schemes, and the world positions (T, 17, 3) in metres at 50 Hz."""

    subject: str
    split: str
    name: str
    source: str
    action: str
    world: Floats


def write_demo_h36m(folder: Path, shards: ShardSet) -> None:
    """Write every file; the same shards give the same bytes.

    Args:
        folder: where; files of the same names are replaced.
        shards: of kind motion-text, whose motions are filmed.

    Raises:
        UserError: the shards have no motion, or the folder cannot be written to.
    """
    takes = list(_takes(shards))
    _write_cameras(folder)
    _write_pickle(folder / "h36m_sh_conf_cam_source_final.pkl", _fields(takes))
    positions: dict[str, dict[str, Any]] = {}
    for take in takes:
        positions.setdefault(take.subject, {})[take.name] = _with_other_joints(take.world).astype(np.float32)
    _write_npz(folder / "data_3d_h36m.npz", positions_3d=positions)
    metadata = {"layout_name": "h36m", "num_joints": 17, "keypoints_symmetry": [list(LEFT), list(RIGHT)]}
    for name, noise in (("gt", 0.0), ("cpn_ft_h36m_dbb", _NOISE_PIXELS["cpn"])):
        _write_npz(folder / f"data_2d_h36m_{name}.npz", positions_2d=_pixels(takes, noise), metadata=metadata)


# --- who does what ----------------------------------------------------------------------------


def _takes(shards: ShardSet) -> Iterator[Take]:
    """Three takes a person: two of one action and one of walking. The test people play the takes that are left out."""
    numbers = {row["name"]: row["number"] for row in facts.table("h36m")["action"]}
    played = {"S9": "Greeting", "S11": "Directions"}
    for split, subjects in facts.table("h36m")["split"].items():
        motions = _motions(shards, split)
        for person, subject in enumerate(subjects):
            action = played.get(subject, ("Eating", "Sitting", "Phoning", "Posing", "Waiting")[person])
            for number, (done, name, subact) in enumerate(
                ((action, f"{action} 1", 1), (action, action, 2), ("Walking", "Walking 1", 1))
            ):
                world = _cut(motions[(3 * person + number) % len(motions)], shards.fps, FRAMES[split])
                source = f"s_{int(subject[1:]):02d}_act_{numbers[done]:02d}_subact_{subact:02d}"
                yield Take(subject=subject, split=split, name=name, source=source, action=done, world=world)


def _motions(shards: ShardSet, split: str) -> list[Floats]:
    """The longest first, of the people of that split."""
    wanted = "train" if split == "train" else "val"
    rows = [row for row, name in enumerate(shards.motions["split"]) if name == wanted]
    if not rows:
        raise UserError(f"{shards.folder} has no motion of {wanted}", "build it again")
    length = shards.motions["stop"] - shards.motions["start"]
    rows.sort(key=lambda row: (-int(length[row]), str(shards.motions["motion_id"][row])))
    return [np.asarray(shards.motion_frames(row), dtype=np.float64) for row in rows]


def _cut(motion: Floats, fps: float, frames: int) -> Floats:
    """The middle of a motion at 50 Hz, over the middle of the hall."""
    world = resample_linear(motion.reshape(len(motion), -1), fps, facts.table("h36m")["fps"]).reshape(-1, 17, 3)
    first = max(0, (len(world) - frames) // 2)
    world = world[first : first + frames]
    return world - np.array([*world[:, ROOT, :2].mean(axis=0), 0.0])


def _with_other_joints(world: Floats) -> Floats:
    """(T, 32, 3): the 17 where the dataset has them, each of the others at the one listed before it."""
    kept = np.array(facts.table("h36m")["joints"])
    return world[:, np.searchsorted(kept, np.arange(_STORED), side="right") - 1]


# --- the cameras ------------------------------------------------------------------------------


def place_of(subject: int, camera: Camera) -> Extrinsics:
    """Where the demo's camera stands, looking at the hips; a little different for each subject."""
    shift = np.random.default_rng([36, subject, camera.number]).uniform(-0.1, 0.1, 3)
    position = np.round(np.array([*_CORNERS[camera.number], 1.6]) + shift, 6)
    ahead = np.array([0.0, 0.0, 0.9]) - position
    ahead /= np.linalg.norm(ahead)
    right = np.cross(ahead, [0.0, 0.0, 1.0])
    right /= np.linalg.norm(right)
    return Extrinsics(rotation=np.stack([right, np.cross(ahead, right), ahead], axis=1), position=position)


def _number(subject: str) -> int:
    return int(subject.removeprefix("S"))


def _write_cameras(folder: Path) -> None:
    everybody = range(1, SUBJECTS + 1)
    table = {
        f"S{s}": [
            {
                "id": c.id,
                "orientation": quaternions(p.rotation).round(12).tolist(),
                "translation": (1000 * p.position).tolist(),
            }
            for c in cameras()
            for p in [place_of(s, c)]
        ]
        for s in everybody
    }
    write_text(folder / "cameras.json", json.dumps(table, indent=1) + "\n")
    write_text(folder / "metadata.xml", _metadata())
    _write_pickle(folder / "cameras.pkl", {(f"S{s}", c.id): _mmpose_camera(s, c) for s in everybody for c in cameras()})


def _mmpose_camera(subject: int, camera: Camera) -> dict[str, Any]:
    place = place_of(subject, camera)
    return {
        "R": place.rotation,
        "T": place.position[:, None],
        "c": np.array(camera.centre)[:, None],
        "f": np.array(camera.focal)[:, None],
        "k": np.array(camera.radial)[:, None],
        "p": np.array(camera.tangential)[::-1, None],
        "w": camera.width,
        "h": camera.height,
        "name": f"camera{camera.number + 1}",
        "id": camera.id,
    }


def _metadata() -> str:
    """The part of metadata.xml that says where the cameras stood: `w0`, six numbers a camera and subject."""
    numbers: list[float] = []
    for camera in cameras():
        for subject in range(1, SUBJECTS + 1):
            place = place_of(subject, camera)
            numbers += [*_angles(place.rotation), *(1000 * place.position)]
    for camera in cameras():
        numbers += [*camera.focal, *camera.centre, *camera.radial, *camera.tangential[::-1]]
    return f"<?xml version='1.0'?>\n<metadata>\n<w0>[{' '.join(f'{n:.9g}' for n in numbers)}]</w0>\n</metadata>\n"


def _angles(rotation: Floats) -> list[float]:
    """Three angles of `w0`; inverse of `h36m.extrinsics.metadata_rotation`."""
    m = rotation.T
    return [-float(np.arctan2(m[1, 2], m[2, 2])), float(np.arcsin(m[0, 2])), -float(np.arctan2(m[0, 1], m[0, 0]))]


# --- what they see ----------------------------------------------------------------------------


def _shaken(pixels: Floats, take: Take, camera: Camera, noise: float) -> Floats:
    key = [36, int(take.source.replace("s_", "").replace("_act_", "").replace("_subact_", "")), camera.number]
    return pixels + noise * np.random.default_rng([*key, int(noise)]).normal(size=pixels.shape)


def _pixels(takes: list[Take], noise: float) -> dict[str, dict[str, list[Float32s]]]:
    """`positions_2d`; detections with noise outlast the positions by a few frames."""
    found: dict[str, dict[str, list[Float32s]]] = {}
    for take in takes:
        views = []
        for camera in cameras():
            pixels = project(world_to_camera(take.world, place_of(_number(take.subject), camera)), camera)
            if noise:
                longer = np.concatenate([pixels, np.repeat(pixels[-1:], DETECTED_LONGER, axis=0)])
                pixels = _shaken(longer, take, camera, noise)
            views.append(pixels.astype(np.float32))
        found.setdefault(take.subject, {})[take.name] = views
    return found


def _fields(takes: list[Take]) -> dict[str, dict[str, Any]]:
    """`train` and `test` of MotionBERT's pickle; the last three fields are in test alone."""
    data: dict[str, dict[str, Any]] = {}
    for split in FRAMES:
        columns: dict[str, list[Any]] = {}
        for take in (take for take in takes if take.split == split):
            for camera in cameras():
                for name, values in _video(take, camera).items():
                    columns.setdefault(name, []).append(values)
        fields = {name: _joined(parts) for name, parts in columns.items()}
        hidden = () if split == "test" else ("action", "2.5d_factor", "joints_2.5d_image")
        data[split] = {name: field for name, field in fields.items() if name not in hidden}
    return data


def _joined(parts: list[Any]) -> Any:
    return [value for part in parts for value in part] if isinstance(parts[0], list) else np.concatenate(parts)


def _video(take: Take, camera: Camera) -> dict[str, Any]:
    points = 1000 * world_to_camera(take.world, place_of(_number(take.subject), camera))
    image, factor = image_pose(points, camera)
    image, factor = image.astype(np.float32), factor.astype(np.float32)
    seen = _shaken(image[..., :2].astype(np.float64), take, camera, _NOISE_PIXELS["sh"])
    off = np.linalg.norm(seen - image[..., :2], axis=-1, keepdims=True)
    return {
        "joint_2d": seen.astype(np.float32),
        "confidence": np.exp(-off / 40.0).astype(np.float32),
        "joint3d_image": image,
        "camera_name": [camera.id] * len(points),
        "source": [f"{take.source}_ca_{camera.number + 1:02d}"] * len(points),
        "action": [take.action] * len(points),
        "2.5d_factor": factor,
        "joints_2.5d_image": image * factor[:, None, None],
    }


def _write_pickle(path: Path, data: Any) -> None:
    with atomic_path(path) as aside, open(aside, "wb") as handle:
        pickle.dump(data, handle, protocol=4)


def _write_npz(path: Path, **members: Any) -> None:
    """Dictionaries as 0-d object arrays, which is how VideoPose3D keeps them."""
    with atomic_path(path) as aside:
        objects: dict[str, Any] = {name: np.array(value, dtype=object) for name, value in members.items()}
        np.savez_compressed(aside, **objects)

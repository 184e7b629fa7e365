"""Look-alikes of P-STMO's MPI-INF-3DHP files from the demo world's motion, in the exact layout of the real ones.

FOLDER/data_train_3dhp.npz    `data` → {"S1 Seq1": [{"0": {data_2d, data_3d}, …}, fps], …}
FOLDER/data_test_3dhp.npz     `data` → {"TS1": {data_2d, data_3d, valid}, …}

Three people and three of the fourteen cameras; a few seconds each. As in `univ_annot3`, skeletons are scaled about the
pelvis to one height, while the 2D is the picture of the person as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.arrays import Array, Floats
from actionpose.errors import UserError
from actionpose.files import atomic_path
from actionpose.geometry import camera_matrix, to_camera
from actionpose.shards import ShardSet
from pipeline.mpi3dhp.build import picture_of
from pipeline.mpi3dhp.files import Split
from pipeline.mpi3dhp.geometry import focal_of, from_h36m
from pipeline.sources.facts import table

SUBJECTS = 3
CAMERAS = ("0", "2", "8")
SECONDS = 6.0
UNIVERSAL_MM = 960.0
"""Knee to hip to neck along the spine; about what published examples of univ_annot3 measure."""

CLEARANCE = 3.0
"""Metres between the camera and the nearest the pelvis comes."""


def write_demo_3dhp(folder: Path, shards: ShardSet, *, annotation: str = "universal") -> dict[str, Path]:
    """Write both files; the same shards give the same bytes.

    Args:
        folder: where; files of the same names are replaced.
        shards: of kind motion-text; people of train are filmed for training, those of val for the test.
        annotation: `universal` as in the published files, or `metric` as in annot3.

    Returns:
        `train` and `test` → the file.

    Raises:
        UserError: the shards have no motion of one of the two.
    """
    files: dict[Split, dict[str, Any]] = {
        "train": _train(_motions(shards, "train"), annotation),
        "test": _test(_motions(shards, "val"), annotation),
    }
    paths = {}
    for split, data in files.items():
        paths[str(split)] = folder / f"data_{split}_3dhp.npz"
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(paths[str(split)]) as aside:
            np.savez_compressed(aside, data=np.array(data, dtype=object))
    return paths


def _motions(shards: ShardSet, split: str) -> list[tuple[Floats, float]]:
    """Everybody's longest motion, then everybody's next: (T, 17, 3) metres z up, and frames per second."""
    rows = [row for row, name in enumerate(shards.motions["split"]) if name == split]
    if not rows:
        raise UserError(f"{shards.folder} has no motion of {split}", "build it again")
    names, ids = shards.motions["subject"], shards.motions["motion_id"]
    length = shards.motions["stop"] - shards.motions["start"]
    rows.sort(key=lambda row: (-int(length[row]), str(ids[row])))
    turn = {row: sum(names[other] == names[row] for other in rows[:place]) for place, row in enumerate(rows)}
    rows.sort(key=lambda row: (turn[row], str(names[row])))
    return [(np.asarray(shards.motion_frames(row), dtype=np.float64), shards.fps) for row in rows]


def _at_rate(motion: tuple[Floats, float], fps: float, seconds: float) -> Floats:
    """The first seconds of a motion at another rate, linear between frames."""
    frames, stored = motion
    at = np.arange(0, min(seconds, (len(frames) - 1) / stored) + 1e-9, 1 / fps) * stored
    low = np.minimum(at.astype(np.int64), len(frames) - 2 if len(frames) > 1 else 0)
    share = (at - low)[:, None, None]
    return frames[low] * (1 - share) + frames[np.minimum(low + 1, len(frames) - 1)] * share


def _train(people: Sequence[tuple[Floats, float]], annotation: str) -> dict[str, Any]:
    rates = {row["name"]: row["fps"] for row in table("mpi_inf_3dhp")["train"]["video"]}
    data: dict[str, Any] = {}
    for person in range(SUBJECTS):
        for take in range(2):
            key = f"S{person + 1} Seq{take + 1}"
            fps = rates[key.replace(" ", "_")]
            world = _at_rate(people[(person + take * SUBJECTS) % len(people)], fps, SECONDS)
            cameras = {}
            for number, camera in enumerate(CAMERAS):
                size = picture_of(key.replace(" ", "_"))
                cameras[camera] = _filmed(world, 120.0 * number + 20 * person, focal_of(key), size, annotation)
            data[key] = [cameras, fps]
    return data


def _test(people: Sequence[tuple[Floats, float]], annotation: str) -> dict[str, Any]:
    lenses = {name: row for row in table("mpi_inf_3dhp")["intrinsics"] for name in row["sequences"]}
    fps = table("mpi_inf_3dhp")["test"]["missing_fps"]
    data: dict[str, Any] = {}
    for number, row in enumerate(table("mpi_inf_3dhp")["test"]["video"]):
        name = row["name"]
        world = _at_rate(people[number % len(people)], fps, SECONDS)
        lens = lenses[name]
        clip = _filmed(world, 75.0 * number, focal_of(name), picture_of(name), annotation, tuple(lens["centre"]))
        valid = np.zeros(len(world), dtype=np.float64)
        for first in range(5 + number, len(world), 30):
            valid[first : first + 12] = 1
        data[name] = {**clip, "valid": valid}
    return data


def _filmed(
    world: Floats,
    yaw: float,
    focal: tuple[float, ...],
    size: tuple[int, int],
    annotation: str,
    centre: tuple[float, ...] | None = None,
) -> dict[str, Array]:
    """A person before a camera: pixels and millimetres, joints in the dataset's order."""
    person = from_h36m(to_camera(world, camera_matrix(f"yaw{yaw:+.1f}")))
    person = person - person[:, 14].mean(axis=0)
    depth = CLEARANCE + max(0.0, -float(person[..., 2].min()))
    metric = 1000.0 * (person + np.array([0.0, 0.0, depth]))
    middle = np.array(centre if centre is not None else (size[0] / 2, size[1] / 2))
    pixels = metric[..., :2] / metric[..., 2:] * np.array(focal) + middle
    annotated = metric if annotation == "metric" else _universal(metric)
    return {"data_2d": pixels.astype(np.float32), "data_3d": annotated.astype(np.float32)}


def _universal(pose3d: Floats) -> Floats:
    """Scaled about the pelvis to `UNIVERSAL_MM` from knee to neck."""
    links = ((12, 11), (15, 14), (1, 15))
    height = sum(float(np.linalg.norm(pose3d[:, a] - pose3d[:, b], axis=-1).mean()) for a, b in links)
    pelvis = pose3d[:, 14:15]
    return pelvis + (pose3d - pelvis) * (UNIVERSAL_MM / height)

"""Missing frames, a hidden arm, the future: `--fill` against interpolation, `--predict` against holding the last pose.

    python -m benchmarks.completion SHARDS [--model RUN] [--motions 20]

Held-out motions (split val), seen from one side by an orthographic camera without noise, at most 20 seconds of each.
Errors are root-relative MPJPE in mm over the frames and joints in question alone, after scaling each motion to its true
size.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Flags, Floats
from actionpose.geometry import camera_matrix, facing_heading, to_camera
from actionpose.lift.detections import Detections
from actionpose.lift.run import lift_detections
from actionpose.lift.source import LiftModel, open_model
from actionpose.lift.understand import LiftOptions
from actionpose.shards import ShardSet
from actionpose.skeleton import JOINT_NAMES

FPS, EVERY_S, LONGEST_S = 30, 3.0, 20.0
GAPS_S = (0.1, 0.2, 0.5, 1.0)
ARM, ARM_GAPS_S = [JOINT_NAMES.index(name) for name in ("left_elbow", "left_wrist")], (0.5, 1.0)
VIEW, PIXELS_PER_METRE = "yaw+030", 200.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("--model", type=Path, help="a run or a MotionBERT file [default: the shipped model]")
    parser.add_argument("--motions", type=int, default=20)
    arguments = parser.parse_args()
    source = open_model(arguments.model)
    print(source.says)
    errors: dict[str, list[Floats]] = defaultdict(list)
    for pose in held_out(arguments.shards, arguments.motions):
        measure(pose, source, errors)
    for name, values in errors.items():
        print(f"{name:45s} {np.concatenate(values).mean():7.1f} mm over {len(np.concatenate(values))} frames")


def held_out(shards: Path, count: int) -> list[Floats]:
    """Camera-frame poses (T, 17, 3) in metres."""
    found = ShardSet(shards)
    val = [m for m, split in enumerate(found.motions["split"]) if split == "val"]
    poses = []
    for motion in val[:: max(1, len(val) // count)][:count]:
        world = np.asarray(found.motion_frames(motion), np.float64)[: int(LONGEST_S * FPS)]
        if len(world) >= 4 * FPS:
            poses.append(to_camera(world, camera_matrix(VIEW, facing_heading(world)[0])))
    return poses


def lifted(
    pose: Floats, frames: NDArray[np.int64], source: LiftModel, *, armless: Flags | None = None, **options: Any
) -> tuple[NDArray[np.int64], Floats]:
    """Frame numbers and lifted poses of some of the frames, scaled to the true size over the frames that were given."""
    xy = pose[..., :2] * PIXELS_PER_METRE + 500.0
    sure = np.ones((len(pose), 17))
    if armless is not None:
        sure[np.ix_(armless, ARM)] = 0.0
    found = Detections(source="", kind="", frame=frames, points=xy[frames], confidence=sure[frames], layout="h36m-17")
    result = lift_detections(found, source, LiftOptions(fps=FPS, units="pixels", y="down", max_gap=2.0, **options))
    true = (pose - pose[:, :1])[frames]
    given = result.poses_3d[np.isin(result.frame_index, frames)].astype(np.float64)
    factor = (true * given).sum() / (given**2).sum()
    return result.frame_index, result.poses_3d.astype(np.float64) * factor


def measure(pose: Floats, source: LiftModel, errors: dict[str, list[Floats]]) -> None:
    """Add the errors of one motion, by what was asked."""
    true = pose - pose[:, :1]
    every = np.arange(len(pose))
    errors["every frame seen"].append(error(lifted(pose, every, source)[1], true))
    for gap in GAPS_S:
        hidden = gaps(len(pose), gap)
        frames, filled = lifted(pose, every[~hidden], source, fill=True)
        at = np.isin(frames, every[hidden])
        errors[f"{gap} s missing, --fill"].append(error(filled[at], true[frames[at]]))
        between = interpolated(every[~hidden], filled[~at], every[hidden])
        errors[f"{gap} s missing, lifted poses interpolated"].append(error(between, true[hidden]))
    for gap in ARM_GAPS_S:
        hidden = gaps(len(pose), gap)
        filled = lifted(pose, every, source, armless=hidden, fill=True)[1]
        between = interpolated(every[~hidden], filled[~hidden], every[hidden])
        errors[f"arm hidden for {gap} s, --fill"].append(error(filled[hidden][:, ARM], true[hidden][:, ARM]))
        name = f"arm hidden for {gap} s, lifted arm interpolated"
        errors[name].append(error(between[:, ARM], true[hidden][:, ARM]))
    furthest = source.frames / 2 / source.fps
    for ahead in (0.1, 0.2, 0.5, 1.0):
        if ahead <= furthest:
            predict(pose, true, ahead, source, errors)


def gaps(frames: int, gap: float) -> Flags:
    """(T,) frames that are hidden: some seconds, every few seconds."""
    hidden = np.zeros(frames, bool)
    for start in np.arange(FPS, frames - 2 * FPS, int(EVERY_S * FPS)):
        hidden[start : start + int(gap * FPS)] = True
    return hidden


def predict(pose: Floats, true: Floats, ahead: float, source: LiftModel, errors: dict[str, list[Floats]]) -> None:
    """The future after several moments of a motion."""
    count = round(ahead * FPS)
    for end in range(2 * FPS, len(pose) - count, 2 * FPS):
        start = max(0, end - source.frames)
        frames, poses = lifted(pose[start:end], np.arange(end - start), source, predict=ahead)
        future = frames >= end - start
        errors[f"{ahead} s ahead, --predict"].append(error(poses[future], true[start + frames[future]]))
        held = np.repeat(poses[~future][-1:], future.sum(), axis=0)
        errors[f"{ahead} s ahead, the last pose held"].append(error(held, true[start + frames[future]]))


def interpolated(frames: NDArray[np.int64], poses: Floats, at: NDArray[np.int64]) -> Floats:
    flat = poses.reshape(len(poses), -1)
    columns = [np.interp(at, frames, column) for column in flat.T]
    return np.stack(columns, axis=1).reshape(len(at), 17, 3)


def error(poses: Floats, true: Floats) -> Floats:
    """(n,) mean distance of the joints, mm."""
    return 1000.0 * np.linalg.norm(poses - true, axis=-1).mean(axis=-1)


if __name__ == "__main__":
    main()

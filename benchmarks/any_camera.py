"""How well a model lifts people it has not seen, from any side, by joints of any detector: tables of the model card.

    python -m benchmarks.any_camera SHARDS [RUN] [--windows 30] [--split val]

Clips of 2.7 seconds, evenly from all motions of the split, are filmed, turned into a detector's joints and lifted by
`ap.lift`, with the person's height given. One thing is varied at a time; all else is as in USUAL. Without RUN: the
shipped model.
"""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

import numpy as np
import torch

from actionpose.evaluate import metrics
from actionpose.geometry import camera_matrix, facing_heading, to_camera
from actionpose.lift.layouts import LAYOUTS
from actionpose.lift.run import lift
from actionpose.lift.scale import stature
from actionpose.lift.source import LiftModel, open_model
from actionpose.shards import ShardSet
from actionpose.skeleton import BODY_PARTS, ROOT
from benchmarks.detector_files import joints_of

FRAMES, FPS, FOCAL = 81, 30.0, 1000.0


@dataclasses.dataclass(frozen=True)
class Filmed:
    """How a clip is filmed and detected; yaw and pitch of None are drawn for each clip."""

    layout: str = "coco-17"
    yaw: float | None = None
    pitch: float | None = None
    distance: float = 4.0  # metres; 0: orthographic
    noise: float = 0.015  # metres, half of it slow
    hidden: str = ""
    confused: str = ""  # which joints have left and right exchanged for a third of a second


USUAL = Filmed()
PITCH = (-30.0, 40.0)
TABLES: dict[str, dict[str, Filmed]] = {
    "joints": {name: Filmed(layout=name) for name in ("coco-17", "body-25", "halpe-26", "mediapipe-33", "h36m-17")},
    "yaw (0: seen from the front), pitch 10": {f"{yaw}": Filmed(yaw=yaw, pitch=10.0) for yaw in (0, 45, 90, 135, 180)},
    "pitch (above the person's level)": {f"{pitch}": Filmed(pitch=pitch) for pitch in (-30, -10, 10, 25, 40, 55)},
    "distance": {
        "2 m": Filmed(distance=2.0), "4 m": Filmed(), "8 m": Filmed(distance=8.0),
        "no perspective": Filmed(distance=0.0),
    },
    "noise": {f"{1000 * noise:g} mm": Filmed(noise=noise) for noise in (0.0, 0.015, 0.03, 0.06)},
    "hidden": {
        "nothing": Filmed(), "a fifth of all joints, at random": Filmed(hidden="random"),
        "the legs": Filmed(hidden="legs"), "one arm": Filmed(hidden="arm"),
        "everything for half a second": Filmed(hidden="window"),
    },
    "left and right confused for a third of a second": {
        "never": Filmed(), "arms": Filmed(confused="arms"), "legs": Filmed(confused="legs"),
        "both": Filmed(confused="arms and legs"),
    },
}  # fmt: skip


def clips_of(shards: ShardSet, split: str, count: int) -> list[np.ndarray]:
    """(T, 17, 3) world frames each, evenly from the motions that are long enough."""
    spans = shards.motions["stop"] - shards.motions["start"]
    long = np.flatnonzero((shards.motions["split"] == split) & (spans >= FRAMES))
    rng = np.random.default_rng(0)
    chosen = long[np.unique(np.linspace(0, len(long) - 1, count).astype(int))]
    starts = [int(rng.integers(0, spans[motion] - FRAMES + 1)) for motion in chosen]
    return [
        np.asarray(shards.motion_frames(int(motion)), np.float64)[start : start + FRAMES]
        for motion, start in zip(chosen, starts, strict=True)
    ]


def film(world: np.ndarray, how: Filmed, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Joints in camera axes (T, 17, 3), metres, and keypoints (T, K, 3) as a detector gives them."""
    yaw, pitch = rng.uniform(0, 360), rng.uniform(*PITCH)
    slow, fast = (rng.normal(size=(frames, 136, 2)) for frames in (FRAMES // 10 + 2, FRAMES))
    drawn, start = rng.random((FRAMES, 136)), int(rng.integers(20, FRAMES - 35))
    yaw, pitch = (a if a is not None else b for a, b in ((how.yaw, yaw), (how.pitch, pitch)))
    pose = to_camera(world, camera_matrix(f"yaw{yaw}pitch{pitch}", facing_heading(world)[0]))
    pose = pose - pose[:, ROOT].mean(axis=0)
    joints = joints_of(pose, how.layout, up=(0, -1, 0))
    count = joints.shape[1]
    place = np.arange(FRAMES) / 10
    left = place.astype(int)
    between = slow[left] + (slow[left + 1] - slow[left]) * (place - left)[:, None, None]
    joints[..., :2] += how.noise * np.sqrt(0.5) * (between + fast)[:, :count]
    metre = FOCAL / (how.distance + joints[..., 2:]) if how.distance else np.full((FRAMES, count, 1), 250.0)
    sure = np.full((FRAMES, count), 0.9)
    sure[hides(how, joints, pose, drawn[:, :count], start)] = 0.0
    keypoints = np.concatenate([joints[..., :2] * metre + (960, 540), sure[..., None]], axis=-1)
    if how.confused:
        keypoints[start : start + 10] = keypoints[start : start + 10, exchanged(how)]
    return pose, keypoints


def exchanged(how: Filmed) -> list[int]:
    """For each of the detector's joints, the one whose place it is given: of arms, legs or both, the other side's."""
    names = LAYOUTS[how.layout].joints
    limbs = {"arms": ("shoulder", "elbow", "wrist"), "legs": ("hip", "knee", "ankle")}
    moved = tuple(joint for limb, joints in limbs.items() if limb in how.confused for joint in joints)
    other = {"left": "right", "right": "left"}
    sided = [name.partition("_") for name in names]
    return [
        names.index(f"{other[side]}_{joint}") if side in other and joint in moved else number
        for number, (side, _, joint) in enumerate(sided)
    ]


def hides(how: Filmed, joints: np.ndarray, pose: np.ndarray, drawn: np.ndarray, start: int) -> np.ndarray:
    """(T, K) which of the detector's joints are hidden."""
    hidden = np.zeros(joints.shape[:2], bool)
    if how.hidden == "random":
        hidden = drawn < 0.2
    elif how.hidden == "window":
        hidden[start : start + 15] = True
    elif how.hidden:
        parts = BODY_PARTS["legs"] if how.hidden == "legs" else (15, 16)
        nearest = np.linalg.norm(joints[:, :, None] - pose[:, None], axis=-1).mean(axis=0).argmin(axis=1)
        hidden[:, np.isin(nearest, parts)] = True
    return hidden


def errors(clips: list[np.ndarray], how: Filmed, source: LiftModel) -> tuple[float, float]:
    """MPJPE and P-MPJPE, millimetres, over all joints, hidden ones filled."""
    found = []
    for number, world in enumerate(clips):
        pose, keypoints = film(world, how, np.random.default_rng((1, number)))
        lifted = lift(
            keypoints, source, fps=FPS, layout=how.layout, units="pixels", y="down", size=(1920, 1080), fill=True,
            height_m=float(np.clip(stature(pose), 0.5, 2.5)),
        )  # fmt: skip
        rows = lifted.frame_index
        truth = (pose - pose[:, :1])[rows]
        guess = np.nan_to_num(lifted.poses_3d.astype(np.float64))
        found.append((metrics.mpjpe(guess, truth).mean(), metrics.p_mpjpe(guess, truth).mean()))
    mean = 1000 * np.mean(found, axis=0)
    return float(mean[0]), float(mean[1])


def asked_for(about: str, what: str, many: int) -> argparse.Namespace:
    """Shards, a run (without one: the shipped model), a split, and how many of what."""
    parser = argparse.ArgumentParser(description=about.split("\n")[0])
    parser.add_argument("shards", type=Path)
    parser.add_argument("run", type=Path, nargs="?")
    parser.add_argument(f"--{what}", type=int, default=many)
    parser.add_argument("--split", default="val")
    return parser.parse_args()


def main() -> None:
    asked = asked_for(__doc__, "windows", 30)
    torch.set_num_threads(1)
    source = open_model(asked.run)
    clips = clips_of(ShardSet(asked.shards), asked.split, asked.windows)
    print(f"{source.says}\n{len(clips)} clips of split {asked.split}; usual: {USUAL}\n")
    known: dict[Filmed, tuple[float, float]] = {}
    for title, rows in TABLES.items():
        print(f"| {title} | MPJPE, mm | P-MPJPE, mm |\n| --- | --- | --- |")
        for name, how in rows.items():
            known[how] = known.get(how) or errors(clips, how, source)
            print(f"| {name} | {known[how][0]:.0f} | {known[how][1]:.0f} |", flush=True)
        print()


if __name__ == "__main__":
    main()

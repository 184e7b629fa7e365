"""A world of a few seconds for the tests of the data side: small body, motions at awkward rates, awkward labels."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bodies import synthetic_body, synthetic_regressor, write_body
from pipeline.config import DataConfig, Inputs

RATES = {"60": 60.0, "100": 100.0, "120": 120.0, "59.94": 59.94005994, "ssm": 120.00004577636719}


@dataclass(frozen=True)
class World:
    """Paths of a world's inputs."""

    root: Path

    @property
    def config(self) -> DataConfig:
        return DataConfig(
            inputs=Inputs(
                amass=str(self.root / "amass"),
                babel=str(self.root / "babel"),
                body=str(self.root / "body"),
                regressor=str(self.root / "regressor.npy"),
            )
        )

    @property
    def options(self) -> list[str]:
        i = self.config.inputs
        return ["--amass", i.amass, "--babel", i.babel, "--body", i.body, "--regressor", i.regressor]


def smooth_motion(frames: int, fps: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """A standing figure that turns and sways: poses (T, 156), trans (T, 3)."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / fps
    poses = 0.25 * np.sin(2 * np.pi * rng.uniform(0.2, 0.8, 156) * t + rng.uniform(0, 6.28, 156))
    poses[:, 66:] = 0.1
    heading = rng.uniform(0, 6.28) + 0.3 * t[:, 0]
    poses[:, :3] = _upright(heading)
    trans = np.stack([0.4 * t[:, 0], 0.1 * np.sin(t[:, 0]), np.full(frames, 0.9)], axis=1)
    return poses, trans


def _upright(heading: np.ndarray) -> np.ndarray:
    """Root vectors that stand a y-up body on a z-up floor and turn it by `heading`."""
    half = np.stack([np.cos(heading / 2), np.sin(heading / 2)], axis=1)
    w, z = half[:, 0] * np.sqrt(0.5), half[:, 1] * np.sqrt(0.5)
    quaternion = np.stack([w, w, z, z], axis=1)  # turn about z after a quarter turn about x
    angle = 2 * np.arccos(np.clip(quaternion[:, :1], -1, 1))
    return quaternion[:, 1:] / np.maximum(np.sin(angle / 2), 1e-9) * angle


def write_motion(path: Path, *, seconds: float = 4.0, fps: float = 120.0, seed: int = 0, **changes: Any) -> int:
    """One AMASS file; `changes` replace or (with None) remove members. Returns its frames."""
    frames = round(seconds * fps)
    poses, trans = smooth_motion(frames, fps, seed)
    members: dict[str, Any] = {
        "poses": poses,
        "trans": trans,
        "betas": np.random.default_rng(seed).normal(size=16) * 0.3,
        "dmpls": np.zeros((frames, 8)),
        "gender": np.array("female"),
        "mocap_framerate": np.array(fps),
    }
    members.update(changes)
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(path, **{name: value for name, value in members.items() if value is not None})
    return frames


def label(text: str, start: float, end: float, number: int = 0, **changes: Any) -> dict[str, Any]:
    return {
        "raw_label": text,
        "proc_label": text,
        "seg_id": f"seg-{number}",
        "act_cat": [text.split()[0]] if text else None,
        "start_t": start,
        "end_t": end,
        **changes,
    }


def annotation(*labels: dict[str, Any]) -> dict[str, Any]:
    return {"babel_lid": "l", "anntr_id": "a", "mul_act": len(labels) > 1, "labels": list(labels)}


def sequence(sid: int, feat_p: str, dur: float, frame: dict[str, Any] | None, whole: dict[str, Any]) -> dict[str, Any]:
    return {
        "babel_sid": sid,
        "url": f"https://example.invalid/{sid:06d}.mp4",
        "feat_p": feat_p,
        "dur": round(dur, 2),
        "seq_ann": whole,
        "frame_ann": frame,
    }


def whole(text: str) -> dict[str, Any]:
    one = label(text, 0, 0)
    del one["start_t"], one["end_t"]
    return annotation(one)


def framed(*labels: dict[str, Any], dur: float = 10.0) -> dict[str, Any]:
    """A BABEL entry of KIT/1/a with these frame labels."""
    return sequence(7, "KIT/KIT/1/a_poses.npz", dur, annotation(*labels), whole("walk"))


WALK_TO_SIT = framed(
    label("sit", 5, 10, 2), label("walk", 0, 4, 0), label("transition", 4, 5, 1), label("wave", 1, 3, 3)
)
"""Ten seconds of walking, a transition and sitting, with a wave meanwhile."""


def write_labels(folder: Path, **files: Any) -> Path:
    """`train=…` → train.json, as it is when it is text."""
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def make_world(root: Path, *, takes: int = 1) -> World:
    """Six motions of four seconds a take, at five rates, and labels of every kind."""
    model = synthetic_body(320, correctives="hands")
    for gender in ("female", "male", "neutral"):
        write_body(model, root / "body" / "smplh" / gender / "model.npz")
    np.save(root / "regressor.npy", synthetic_regressor(model))
    genders = [np.array("female"), np.array(b"male"), np.array(["neutral"]), np.array("b'female'"), np.array("male")]
    files = [
        ("KIT", "3", "walk_01", RATES["100"]),
        ("BioMotionLab_NTroje", "rub001", "0001_turn (left)", RATES["120"]),
        ("DFaust_67", "50002", "50002_jump", RATES["60"]),
        ("SSM_synced", "20161014_50033", "punch", RATES["ssm"]),
        ("KIT", "4", "sit down 02", RATES["59.94"]),
        ("KIT", "5", "unlabelled", RATES["120"]),
    ]
    first = {"KIT": "KIT", "BioMotionLab_NTroje": "BMLrub", "DFaust_67": "DFaust67", "SSM_synced": "SSMsynced"}
    train: dict[str, Any] = {}
    val: dict[str, Any] = {}
    for take in range(takes):
        for number, (dataset, subject, name, fps) in enumerate(files):
            name = name if not take else f"{name}_{take}"
            path = root / "amass" / dataset / subject / f"{name}_poses.npz"
            frames = write_motion(path, fps=fps, seed=10 * take + number, gender=genders[number % 5])
            feat_p = f"{first[dataset]}/{dataset}/{subject}/{name}_poses.npz"
            sid = 100 * (take + 1) + number
            entry = _labelled(sid, feat_p, frames / fps, number)
            if entry is not None:
                (val if number == 4 else train)[str(sid)] = entry
    np.savez(root / "amass" / "KIT" / "3" / "shape.npz", betas=np.zeros(16))
    (root / "babel").mkdir(parents=True, exist_ok=True)
    (root / "babel" / "train.json").write_text(json.dumps(train))
    (root / "babel" / "val.json").write_text(json.dumps(val))
    return World(root)


def _labelled(sid: int, feat_p: str, dur: float, number: int) -> dict[str, Any] | None:
    if number == 5:
        return None
    if number == 2:
        return sequence(sid, feat_p, dur, None, whole("jump"))
    frame = annotation(
        label("sit", 2.2, dur + 0.004, 3),  # not in order of time, and a little past the end
        label("walk forward", 0, 1.6, 1),
        label("transition", 1.6, 2.2, 2),
        label("wave right hand", 0.2, 1.5, 4),
        label("tpose", 3.99, 4.0, 5),  # under one frame
        label("transition", 0, 0.1, 6),  # opens the sequence
    )
    return sequence(sid, feat_p, dur, frame, annotation(label("walk", 0, 1), label("sit", 1, 2)))

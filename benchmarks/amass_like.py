"""Files as large as those of AMASS, and labels for them: what the benchmarks of the data side read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.bodies import FULL_SIZE, synthetic_body, synthetic_regressor, write_body

FPS = 120.0
SECONDS = 16.0
"""Mean length of a motion: 63 hours in 14 thousand files."""
MARKERS = 67

AMASS_HOURS = 63.0
AMASS_FRAMES = round(AMASS_HOURS * 3600 * 30)
AMASS_FILES = round(AMASS_HOURS * 3600 / SECONDS)


def write_motion(path: Path, *, deflated: bool, seed: int, seconds: float = SECONDS) -> int:
    """One file with every member that AMASS has, float64 at 120 Hz; returns its frames.

    Values carry the noise of a measurement, so that they deflate as little as real ones: to nine tenths.
    """
    rng = np.random.default_rng(seed)
    frames = round(seconds * FPS)
    t = np.arange(frames)[:, None] / FPS
    poses = 0.4 * np.sin(2 * np.pi * rng.uniform(0.1, 0.8, 156) * t + rng.uniform(0, 6.28, 156))
    poses += rng.normal(scale=1e-4, size=poses.shape)
    poses[:, :3] = [np.pi / 2, 0, 0]
    trans = np.column_stack([0.4 * np.sin(t), 0.1 * t, np.full(frames, 0.9)]) + rng.normal(scale=1e-4, size=(frames, 3))
    path.parent.mkdir(parents=True, exist_ok=True)
    members: dict[str, Any] = {
        "trans": trans,
        "gender": np.array("female"),
        "mocap_framerate": np.array(FPS),
        "betas": rng.normal(size=16),
        "marker_data": rng.normal(size=(frames, MARKERS, 3)),
        "dmpls": rng.normal(size=(frames, 8)),
        "poses": poses,
        "marker_labels": np.array([f"M{number}" for number in range(MARKERS)]),
    }
    (np.savez_compressed if deflated else np.savez)(path, **members)
    return frames


def write_inputs(root: Path) -> None:
    """A full-size body with pose correctives, and a regressor as sparse as the published one."""
    model = synthetic_body(FULL_SIZE, correctives="hands")
    write_body(model, root / "body" / "smplh" / "female" / "model.npz")
    np.save(root / "regressor.npy", synthetic_regressor(model))


def write_tree(root: Path, files: int, *, deflated: bool) -> None:
    """An AMASS folder and BABEL files: a label every four seconds, every third a transition."""
    entries: dict[str, dict[str, Any]] = {}
    for number in range(files):
        name = f"CMU/{number // 20:02d}/{number:04d}_poses.npz"
        frames = write_motion(root / "amass" / name, deflated=deflated, seed=number)
        labels = [
            {"raw_label": text, "proc_label": text, "seg_id": f"{number}-{k}", "act_cat": [text]}
            | {"start_t": 4.0 * k, "end_t": 4.0 * k + 4.0}
            for k, text in enumerate(("walk", "transition", f"sit {number % 50}", "turn"))
        ]
        one = {"babel_lid": "f", "anntr_id": "a", "mul_act": True, "labels": labels}
        entries[str(number)] = {
            "babel_sid": number,
            "url": "",
            "feat_p": f"CMU/{name}",
            "dur": round(frames / FPS, 2),
            "seq_ann": one,
            "frame_ann": one,
        }
    (root / "babel").mkdir(exist_ok=True)
    for split in ("train", "val"):
        mine = {sid: entry for sid, entry in entries.items() if (int(sid) % 5 == 0) is (split == "val")}
        (root / "babel" / f"{split}.json").write_text(json.dumps(mine))

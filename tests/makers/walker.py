"""A synthetic person who walks, waves and sits, and shards of such motions, for tests of pictures and reports."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actionpose.geometry import facing_heading, rotation_z
from actionpose.schema import Summary
from actionpose.shards import write_index, write_shard

FPS = 30.0

# A person who stands at the origin and faces -y, left = +x, metres, z up.
STANDING = np.array(
    [
        [0.00, 0.00, 0.95], [-0.13, 0.00, 0.94], [-0.14, -0.01, 0.51], [-0.13, 0.02, 0.08],
        [0.13, 0.00, 0.94], [0.14, -0.01, 0.51], [0.13, 0.02, 0.08],
        [0.00, 0.01, 1.19], [0.00, 0.01, 1.45], [0.00, -0.10, 1.58], [0.00, -0.02, 1.71],
        [0.16, 0.02, 1.42], [0.22, 0.04, 1.13], [0.24, -0.06, 0.88],
        [-0.16, 0.02, 1.42], [-0.22, 0.04, 1.13], [-0.24, -0.06, 0.88],
    ]
)  # fmt: skip


def walking(frames: int, *, heading: float = 0.0, speed: float = 1.2, wave: bool = False) -> np.ndarray:
    """A walk (T, 17, 3) float32 in metres, z up, with swinging arms and legs; heading as in `geometry`."""
    t = np.arange(frames) / FPS
    swing = np.sin(2 * np.pi * t)[:, None]
    pose = np.repeat(STANDING[None], frames, axis=0)
    for joints, sign in (((2, 3), 1.0), ((5, 6), -1.0)):
        reach = sign * swing * np.array([0.16, 0.36])
        pose[:, joints, 1] -= reach
        pose[:, joints, 2] += np.array([0.02, 0.07]) * np.clip(np.roll(sign * swing, 5, axis=0), 0, 1)
    for joints, sign in (((12, 13), 1.0), ((15, 16), -1.0)):
        pose[:, joints, 1] -= sign * swing * np.array([0.10, 0.28])
    if wave:
        pose[:, 15] = [-0.42, 0.0, 1.50]
        pose[:, 16, 0] = -0.45 + 0.12 * np.sin(8 * t)
        pose[:, 16, 1:] = [-0.05, 1.78]
    pose[..., 2] += 0.02 * np.cos(4 * np.pi * t)[:, None]
    pose[..., 1] -= speed * t[:, None]
    return (pose @ rotation_z(heading).T).astype(np.float32)


def make_shards(
    folder: Path,
    *,
    texts: Sequence[str] = ("walk", "wave", "stand"),
    summary: Summary | None = None,
    kind: str = "motion-text",
) -> Path:
    """Write one shard: a motion for each text, a clip of its whole, and a transition from the first to the second."""
    motions = [walking(60 + 30 * k, heading=0.7 * k, wave=k % 2 == 1) for k in range(len(texts))]
    stops = np.cumsum([len(m) for m in motions]).tolist()
    starts = [0, *stops[:-1]]
    n = len(texts)
    rows = [(k, "segment", 0, len(motions[k]), text, "", "") for k, text in enumerate(texts)]
    change = f"transit from {texts[0]} to {texts[1]}"
    rows.append((1, "transition", 10, 80, change, texts[0], texts[1]))
    tables = {
        "motions": {
            "motion_id": [f"m{k}" for k in range(n)], "dataset": ["Walker"] * n, "subject": ["s1"] * n,
            "split": ["train"] * n, "source": [f"Walker/s1/m{k}_poses.npz" for k in range(n)], "action": [""] * n,
            "fps_stored": [120.0] * n, "fps_true": [120.0 if k else 60.0 for k in range(n)],
            "start": starts, "stop": stops, "heading": [0.7 * k for k in range(n)], "extra": [{}] * n,
        },
        "clips": {
            "clip_id": [f"c{k}" for k in range(len(rows))], "motion": [r[0] for r in rows],
            "kind": [r[1] for r in rows], "start": [r[2] for r in rows], "stop": [r[3] for r in rows],
            "gap_start": [0] * len(rows), "gap_stop": [0] * len(rows),
            "heading": [facing_heading(motions[r[0]][r[2] : r[3]])[0] for r in rows],
        },
        "pairs": {
            "pair_id": [f"p{k}" for k in range(len(rows))], "clip": list(range(len(rows))),
            "kind": [r[1] for r in rows], "text": [r[4] for r in rows], "raw": [f"raw {r[4]}" for r in rows],
            "text_a": [r[5] for r in rows], "text_b": [r[6] for r in rows],
            "border_a": [25 if r[5] else 0 for r in rows], "border_b": [40 if r[5] else 0 for r in rows],
            "act_cat": [["walk"]] * len(rows), "concurrent": [[]] * len(rows), "babel_sid": ["1"] * len(rows),
            "seg_ids": [["a"]] * len(rows),
        },
    }  # fmt: skip
    shard = write_shard(folder / "train-00000.h5", tables=tables, pose3d=motions)
    counted = Summary(motions=n, clips=len(rows), pairs=len(rows), frames=stops[-1])
    write_index(
        folder, kind=kind, fps=FPS, views=("front", "side") if kind == "motion-text" else (), shards=[shard],
        summary=summary or counted, licence="made up, free",
        provenance={"pairs": {"seed": 7, "views": ["front", "side"]}},
    )  # fmt: skip
    return folder

"""Clips as an evaluation keeps them, made up: walks, predicted with an error of a given size."""

from __future__ import annotations

import numpy as np

from actionpose.runs.kept import Kept
from tests.makers.walker import walking

LABELS = ("walk", "run", "sit down", "wave", "jump")


def kept_clips(error_mm: float, *, clips: int = 8, frames: int = 27, masks: bool = False, seed: int = 0) -> Kept:
    """The same truth for every size of error and every seed; later clips are predicted worse."""
    world = walking(frames * clips).astype(float)
    camera = np.stack([world[..., 0], -world[..., 2], world[..., 1]], axis=-1) * 1000
    target = camera - camera[:, :1]
    chance = np.random.default_rng(seed)
    size = error_mm * np.repeat(np.linspace(0.5, 1.5, clips), frames)[:, None, None]
    predicted = target + size * chance.normal(size=target.shape) / np.sqrt(3)
    predicted[:, 0] = 0
    names = np.array([LABELS[k % len(LABELS)] for k in range(60)])
    centres = {name: chance.normal(size=16) * 3 for name in LABELS}
    return Kept(
        about={"fingerprint": "sha256:d", "fps": 30.0},
        clip=np.array([f"walk{k}, front, from frame 0" for k in range(clips)]),
        label=np.array([LABELS[k % len(LABELS)] for k in range(clips)]),
        first=np.arange(clips + 1, dtype=np.int64) * frames,
        predicted=predicted,
        target=target,
        seen=target[..., :2],
        masked_clip=1 if masks else -1,
        masked_frames=np.array([[0, 9], [9, 18], [18, 27]]) if masks else np.zeros((0, 2), dtype=np.int64),
        masked=np.stack([predicted[frames : 2 * frames] + 20.0] * 3) if masks else np.zeros((0, 0, 17, 3)),
        features=np.stack([centres[name] + chance.normal(size=16) for name in names.tolist()]),
        feature_label=names,
    )

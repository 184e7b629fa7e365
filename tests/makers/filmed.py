"""A known person filmed by an orthographic camera, and a model that is there at once, for tests of lifting."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

from actionpose.config import to_dict
from actionpose.data.samples import DataConfig
from actionpose.files import sha256_file
from actionpose.geometry import camera_matrix, to_camera
from actionpose.model.action_pose import ActionPose, PoolingConfig
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.text_encoder import TextConfig
from actionpose.runs.recipe import InitConfig, Recipe
from actionpose.skeleton import BONES
from actionpose.train import checkpoint
from benchmarks.detector_files import joints_of
from tests.makers.walker import walking

WIDTH, HEIGHT = 1280.0, 720.0
PIXELS_PER_METRE = 250.0


def camera_pose(frames: int = 40, *, view: str = "yaw+030", **walk) -> np.ndarray:
    """(T, 17, 3) metres in the camera's frame, pelvis in place."""
    world = walking(frames, speed=0.0, **walk).astype(np.float64)
    return to_camera(world, camera_matrix(view))


def rigid(poses: np.ndarray) -> np.ndarray:
    """The same directions with the first frame's bone lengths, relative to the pelvis."""
    out = np.zeros_like(poses)
    for parent, child in BONES:
        bone = poses[:, child] - poses[:, parent]
        long = np.linalg.norm(bone, axis=-1, keepdims=True)
        out[:, child] = out[:, parent] + bone / long * long[0]
    return out


def filmed(poses: np.ndarray, layout: str, *, scale: float = PIXELS_PER_METRE, at=(640.0, 400.0)) -> np.ndarray:
    """(T, K, 3) pixels and confidence of a layout's joints; the pelvis of the first frame is at `at`."""
    joints = joints_of(poses, layout, up=(0.0, -1.0, 0.0))
    xy = (joints[..., :2] - poses[0, 0, :2]) * scale + np.asarray(at)
    return np.concatenate([xy, np.full((*xy.shape[:2], 1), 0.9)], axis=-1)


def truth_2d(poses: np.ndarray, *, scale: float = PIXELS_PER_METRE, at=(640.0, 400.0)) -> np.ndarray:
    """(T, 17, 2) pixels of the poses' own joints."""
    return (poses[..., :2] - poses[0, 0, :2]) * scale + np.asarray(at)


def untrained_run(
    folder: Path,
    *,
    frames: int = 27,
    kind: str = "motion-text",
    seed: int = 0,
    text: Path | None = None,
    init: str = "",
) -> Path:
    """A checkpoint of a small model with random weights: what lifts at once and the same every time."""
    pose = PoseConfig(
        dim_feat=16, dim_rep=16, depth=1, heads=2, max_frames=frames, middle=1, input_std=1.0, joint_std=0.3
    )
    recipe = Recipe(
        pose=pose,
        data=DataConfig(clip_frames=frames, stride=frames),
        init=InitConfig(pose=init),
        text=TextConfig(model=str(text or ""), layers=1, pooling="mean"),
        pooling=PoolingConfig(dim=8),
    )
    torch.manual_seed(seed)
    model = ActionPose(recipe.pose, recipe.text, recipe.pooling)
    home = folder / checkpoint.FOLDER / "step_000001"
    home.mkdir(parents=True)
    save_file({k: v.contiguous() for k, v in model.state_dict().items()}, home / checkpoint.WEIGHTS)
    (home / checkpoint.META).write_text(
        json.dumps(
            {
                "schema": checkpoint.SCHEMA, "version": checkpoint.VERSION, "state": {"step": 1}, "command": "pretrain",
                "files": {checkpoint.WEIGHTS: sha256_file(home / checkpoint.WEIGHTS)}, "recipe": to_dict(recipe),
                "data": {"fingerprint": "none", "kind": kind, "folder": "nowhere", "fps": 30.0},
            }
        )
    )  # fmt: skip
    return folder

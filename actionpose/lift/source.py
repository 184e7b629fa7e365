"""The model that lifts: the shipped one, a run of this toolkit, or a MotionBERT file, and what it expects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from actionpose.data.corrupt import longest_window
from actionpose.errors import UserError
from actionpose.lift.shipped import shipped
from actionpose.model.action_pose import ActionPose
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.pretrained import config_of, load_pose_weights, read_pose_state
from actionpose.runs.evaluate import load_model, recipe_of
from actionpose.train import checkpoint

H36M_PER_METRE = 0.44
"""Screen units for a metre in Human3.6M and MPI-INF-3DHP: people stand some 5 m from cameras of 1,145 pixels focal
length and 1,000 pixels width, so 220 pixels a metre, and half the width is one unit."""

BENCHMARK_FPS, MOTION_FPS = 50.0, 30.0
MOTIONBERT_GAP_S = 1.0
"""MotionBERT was trained with single frames masked, not with windows."""


@dataclass(frozen=True, kw_only=True)
class LiftModel:
    """A model and what keypoints must look like for it.

    Attributes:
        model: in evaluation mode.
        path: where it was found.
        frames: longest window it takes.
        fps: rate of the motion it was trained on.
        unit: screen units for a metre in its training.
        longest_gap: seconds of masked frames it may bridge.
        says: for people.
        temperature: of the similarities of poses and texts in its training.
        facts: for the result: kind, step, fingerprint, ….
    """

    model: ActionPose
    path: Path
    frames: int
    fps: float
    unit: float
    longest_gap: float
    says: str
    temperature: float
    facts: Mapping[str, Any]


def open_model(path: Path | None, device: torch.device | str = "cpu", *, with_text: bool = False) -> LiftModel:
    """Load a model to lift with.

    Args:
        path: a run, a checkpoint folder, its weights file, or a MotionBERT checkpoint; None: the shipped model.
        device: where it computes.
        with_text: load the text branch too, if the run has one.

    Raises:
        UserError: none of these, or damaged.
    """
    path = shipped() if path is None else path
    if path.is_file() and path.name not in (checkpoint.WEIGHTS, checkpoint.META):
        return _motionbert(path, device)
    found = checkpoint.find(path, hold=True)
    recipe = recipe_of(found)
    data = found.meta.get("data", {})
    benchmark = data.get("kind") == "benchmark"
    fps, unit = _fps(data, benchmark), H36M_PER_METRE if benchmark else recipe.data.scale
    frames = min(recipe.data.clip_frames, recipe.pose.max_frames)
    command = found.meta.get("command", "training")
    name = found.meta.get("name")  # the shipped model has one, and its place means nothing elsewhere
    return LiftModel(
        model=load_model(found, with_text=with_text).to(device),
        path=path,
        frames=frames,
        fps=fps,
        unit=unit,
        longest_gap=min(longest_window(recipe.corrupt, frames), frames // 2) / fps,
        says=f"{name or path}: {command}, step {found.step}; windows of {frames} frames at {fps:g} frames a second",
        temperature=recipe.loss.temperature,
        facts={
            "path": "" if name else str(path),
            **({"name": str(name), "licence": str(found.meta.get("licence", ""))} if name else {}),
            "kind": f"actionpose {command}",
            "step": found.step,
            "weights": found.meta["files"][checkpoint.WEIGHTS],
            "trained_on": data.get("fingerprint"),
            "window": frames,
            "fps": fps,
            "screen_units_per_metre": unit,
        },
    )


def _fps(data: Mapping[str, Any], benchmark: bool) -> float:
    """The rate of the training motion: as recorded, as the shards say if they are still there, else as usual."""
    if isinstance(data.get("fps"), int | float) and 0 < data["fps"] <= 1000:
        return float(data["fps"])
    try:
        return float(json.loads((Path(data["folder"]) / "index.json").read_text(encoding="utf-8"))["fps"])
    except (OSError, ValueError, KeyError, TypeError):
        return BENCHMARK_FPS if benchmark else MOTION_FPS


def _motionbert(path: Path, device: torch.device | str) -> LiftModel:
    config = PoseConfig(**config_of(read_pose_state(path)), class_token=False)
    if config.joints != 17:
        raise UserError(f"{path} is a model of {config.joints} joints", "give one of Human3.6M's 17 joints")
    model = ActionPose(config)
    loaded = load_pose_weights(model.pose, path)
    return LiftModel(
        model=model.eval().to(device),
        path=path,
        frames=config.max_frames,
        fps=BENCHMARK_FPS,
        unit=H36M_PER_METRE,
        longest_gap=MOTIONBERT_GAP_S,
        says=f"{path}: MotionBERT's network, {loaded.tensors} tensors; windows of {config.max_frames} frames",
        temperature=0.1,
        facts={"path": str(path), "kind": "MotionBERT", "window": config.max_frames, "fps": BENCHMARK_FPS,
               "screen_units_per_metre": H36M_PER_METRE},
    )  # fmt: skip


def device_of(asked: str) -> str:
    """The device to compute on.

    Raises:
        UserError: one that is not there.
    """
    if asked == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise UserError(f"--device {asked} is not a device", "use auto, cpu, cuda or cuda:0") from error
    if device.type == "cuda" and (device.index or 0) >= (torch.cuda.device_count() if torch.cuda.is_available() else 0):
        raise UserError(f"--device {asked}: there are {torch.cuda.device_count()} CUDA devices", "use auto or cpu")
    return asked

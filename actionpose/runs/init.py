"""First weights of a run: from another run, one of its checkpoints, or a MotionBERT file."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from actionpose.config import Resolved, differences, from_dict, to_dict
from actionpose.errors import UserError
from actionpose.model.action_pose import ActionPose
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.pretrained import load_pose_weights
from actionpose.runs.recipe import Recipe
from actionpose.train import checkpoint


def with_encoder_of_init(resolved: Resolved[Recipe]) -> Recipe:
    """The recipe with the pose encoder's shape taken from the run it starts from, if it starts from one.

    Raises:
        UserError: the recipe itself asks for another shape, or for clips longer than that encoder takes.
    """
    recipe = resolved.value
    path = Path(recipe.init.pose)
    if not recipe.init.pose or not _is_ours(path):
        return recipe
    theirs = checkpoint.find(path).meta["recipe"]["pose"]
    asked = {k: v for k, v in to_dict(recipe.pose).items() if resolved.origins.get(f"pose.{k}", "default") != "default"}
    wrong = differences({k: theirs.get(k) for k in asked}, asked)
    if wrong:
        raise UserError(
            f"{path} holds a different pose encoder than the recipe asks for: pose." + "; pose.".join(wrong),
            "omit the pose settings (they are taken from the run), or start from other weights",
        )
    pose = from_dict(PoseConfig, theirs, where=str(path))
    if recipe.data.clip_frames > pose.max_frames:
        raise UserError(
            f"{path} takes at most {pose.max_frames} frames at once, and data.clip_frames is {recipe.data.clip_frames}",
            f"-o data.clip_frames={pose.max_frames}, or pretrain with -o pose.max_frames={recipe.data.clip_frames}",
        )
    return dataclasses.replace(recipe, pose=pose)


def _is_ours(path: Path) -> bool:
    return path.is_dir() or path.name in (checkpoint.WEIGHTS, checkpoint.META) or not path.exists()


def load_init(recipe: Recipe, model: ActionPose, loaded: bool) -> None:
    """Put the first weights in; not when a resumed run brings its own."""
    if not recipe.init.pose or loaded:
        return
    path = Path(recipe.init.pose)
    if not _is_ours(path):
        load_pose_weights(model.pose, path)
        return
    weights = checkpoint.find(path, hold=True).weights()
    model.pose.load_state_dict({k.removeprefix("pose."): v for k, v in weights.items() if k.startswith("pose.")})

"""First weights of a run: from another run, one of its checkpoints, or a MotionBERT file."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

from torch import Tensor, nn

from actionpose.config import Resolved, differences, from_dict, to_dict
from actionpose.errors import UserError
from actionpose.model.action_pose import ActionPose, PosePool, TextPool
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.pretrained import load_pose_weights
from actionpose.runs.recipe import Recipe, check_network, recipe_of
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
    theirs = to_dict(recipe_of(checkpoint.find(path)).pose)
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


def check_init(recipe: Recipe) -> None:
    """Look at a run's weights that training starts from, before a network of the size it states is built.

    Raises:
        UserError: no run, damaged, or not of that size.
    """
    path = Path(recipe.init.pose)
    if recipe.init.pose and _is_ours(path):
        found = checkpoint.find(path, hold=True)
        check_network(found.path, recipe_of(found), found.weights())


def load_init(recipe: Recipe, model: ActionPose, loaded: bool) -> None:
    """Put the first weights in; not when a resumed run brings its own."""
    if not recipe.init.pose or loaded:
        return
    path = Path(recipe.init.pose)
    if not _is_ours(path):
        load_pose_weights(model.pose, path)
        return
    weights = checkpoint.find(path, hold=True).weights()
    _load_part(model.pose, "pose", weights)
    if recipe.init.heads and model.pose_pool is not None and model.text_pool is not None:
        _load_heads(model.pose_pool, model.text_pool, weights, path)


def _load_heads(pose_pool: PosePool, text_pool: TextPool, weights: Mapping[str, Tensor], path: Path) -> None:
    """Raises UserError where the run has no heads, or others."""
    wanted = {f"{name}.{key}": value.shape for name, part in (("pose_pool", pose_pool), ("text_pool", text_pool))
              for key, value in part.state_dict().items()}  # fmt: skip
    if any(name not in weights or weights[name].shape != shape for name, shape in wanted.items()):
        has = any(name.startswith("pose_pool.") for name in weights)
        raise UserError(
            f"{path} has {'heads of another shape' if has else 'no heads'}",
            "-o init.heads=false starts with new ones, or take pooling.* and text.* of that run",
        )
    _load_part(pose_pool, "pose_pool", weights)
    _load_part(text_pool, "text_pool", weights)


def _load_part(part: nn.Module, name: str, weights: Mapping[str, Tensor]) -> None:
    part.load_state_dict({k.removeprefix(f"{name}."): v for k, v in weights.items() if k.startswith(f"{name}.")})

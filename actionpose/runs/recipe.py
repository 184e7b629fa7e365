"""A recipe: every setting of a training run, in sections, each defined next to the code that reads it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from actionpose.config import from_dict, section, setting
from actionpose.data.corrupt import CorruptConfig
from actionpose.data.samples import DataConfig
from actionpose.errors import UserError
from actionpose.evaluate.lifting import EvalConfig
from actionpose.model.action_pose import PoolingConfig
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder
from actionpose.model.pretrained import config_of, rename, weight_differences
from actionpose.model.text_encoder import TextConfig
from actionpose.train import checkpoint
from actionpose.train.heads import HeadsConfig
from actionpose.train.losses import LossConfig
from actionpose.train.runtime import RunConfig
from actionpose.train.schedule import StageConfig


@dataclass(frozen=True, kw_only=True)
class InitConfig:
    """Where weights come from before the first step."""

    pose: str = setting(
        "",
        "the pose encoder's: a run of this toolkit, one of its checkpoints, or a MotionBERT file; empty: random. The "
        "paper starts pretraining from MotionBERT and fine-tuning from pretraining",
    )
    heads: bool = setting(
        False, "pretraining that starts from a pretraining run takes its heads, too; they must be of one shape"
    )


@dataclass(frozen=True, kw_only=True)
class FinetuneConfig(StageConfig):
    """The same schedule with fine-tuning's defaults: MotionBERT's on Human3.6M, since the paper gives none."""

    epochs: int = setting(60, "passes over the samples; MotionBERT's 60, the paper is silent")
    batch: int = setting(32, "clips in a step over all devices; MotionBERT's 32, the paper is silent")
    lr: float = setting(2e-4, "AdamW's learning rate; MotionBERT's 2e-4, the paper is silent")
    eval_every: int = setting(1, "epochs between evaluations on eval.split, which also choose the best; 0: never")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """All settings of `ap-train`; the defaults are the paper's, or the nearest practice where it is silent."""

    data: DataConfig = section(DataConfig, "samples and loader")
    corrupt: CorruptConfig = section(CorruptConfig, "noise and masks")
    pose: PoseConfig = section(PoseConfig, "pose encoder")
    text: TextConfig = section(TextConfig, "text encoder")
    pooling: PoolingConfig = section(PoolingConfig, "shared space")
    loss: LossConfig = section(LossConfig, "what is minimised, and how its terms are weighed")
    heads: HeadsConfig = section(HeadsConfig, "how the heads are finished after pretraining")
    init: InitConfig = section(InitConfig, "first weights")
    pretrain: StageConfig = section(StageConfig, "schedule of pretraining")
    finetune: FinetuneConfig = section(FinetuneConfig, "schedule of fine-tuning")
    eval: EvalConfig = section(EvalConfig, "what is measured, and on which split")
    run: RunConfig = section(RunConfig, "how the job is run")

    def __post_init__(self) -> None:
        if self.data.clip_frames > self.pose.max_frames:
            raise ValueError(
                f"data.clip_frames {self.data.clip_frames} is more than pose.max_frames {self.pose.max_frames}"
            )


def recipe_of(found: checkpoint.Checkpoint) -> Recipe:
    """The recipe a checkpoint was trained with.

    Raises:
        UserError: it has none, or one that this version cannot read.
    """
    where, stored = found.path / checkpoint.META, found.meta.get("recipe")
    if not isinstance(stored, dict):
        raise UserError(f"{where} is damaged: it lacks the recipe", "use another checkpoint of the run")
    return from_dict(Recipe, stored, where=str(where))


def check_network(path: Path, recipe: Recipe, weights: Mapping[str, Tensor]) -> None:
    """Compare the pose encoder that a recipe states with the weights beside it, before one of that size is built.

    Raises:
        UserError: they are of different sizes.
    """
    pose = recipe.pose
    stated = {
        "max_frames": pose.slots,
        **{key: getattr(pose, key) for key in ("dim_feat", "joints", "dim_rep", "depth")},
    }
    try:
        made_with = config_of(rename(weights))
        hidden = made_with.pop("mlp_ratio") * pose.dim_feat
    except (LookupError, ValueError, ArithmeticError):
        raise UserError(f"{path} holds no pose encoder", "use another checkpoint of the run") from None
    wrong = [f"{key} {stated[key]} stated, {value} there" for key, value in made_with.items() if value != stated[key]]
    if abs(hidden - pose.mlp_ratio * pose.dim_feat) >= 1:
        wrong.append(f"mlp_ratio {pose.mlp_ratio:g} stated, {hidden / pose.dim_feat:g} there")
    if not wrong:
        own = {name.removeprefix("pose."): tensor for name, tensor in weights.items() if name.startswith("pose.")}
        with torch.device("meta"):  # names and shapes alone
            wrong = weight_differences(own, PoseEncoder(pose).state_dict())[:1]
    if wrong:
        raise UserError(
            f"{path} is damaged: its weights are not of the network that {checkpoint.META} states ({'; '.join(wrong)})",
            "use another checkpoint of the run",
        )

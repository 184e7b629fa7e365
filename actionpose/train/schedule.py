"""How long and how fast a stage learns: its settings, and the learning rate as a function of counters."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

from actionpose.config import above, at_least, setting, shares


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """How long and how fast one stage learns. Defaults: the paper's pretraining."""

    epochs: int = setting(300, "passes over the samples; the paper pretrains for 300")
    steps: int = setting(0, "stop after this many steps, whatever epochs says; 0: no limit")
    batch: int = setting(16, "clips in a step over all devices; the paper uses 16")
    accumulate: int = setting(1, "parts that a device's share of a batch is computed in, to save memory")
    lr: float = setting(5e-4, "AdamW's learning rate; the paper's 5e-4")
    weight_decay: float = setting(0.01, "AdamW's weight decay, on all parameters (MotionBERT); the paper is silent")
    schedule: Literal["epochs", "cosine"] = setting(
        "epochs",
        "how the learning rate falls: `epochs`, by the factor `decay` after each (MotionBERT; the paper is silent); "
        "`cosine`, along half a cosine that reaches 0 at the last step, so a run that stops early has not settled",
    )
    decay: float = setting(
        0.99, "factor on the learning rate after each epoch with schedule `epochs` (MotionBERT); the paper is silent"
    )
    warmup_steps: int = setting(0, "steps over which the learning rate rises from 0; the paper names none")
    clip_norm: float = setting(0.0, "largest gradient norm; 0: not limited, as in MotionBERT")
    eval_every: int = setting(0, "epochs between evaluations on eval.split, which also choose the best; 0: never")
    best_by: Literal["mpjpe", "retrieval"] = setting(
        "mpjpe",
        "criterion of the best checkpoint: held-out MPJPE, or (pretraining) mean R@1, 5, 10 of both directions",
    )

    def __post_init__(self) -> None:
        at_least(self, 1, "epochs", "batch", "accumulate")
        at_least(self, 0, "steps", "warmup_steps", "eval_every", "weight_decay", "clip_norm")
        above(self, 0, "lr", "decay")
        shares(self, "decay")


def learning_rate(stage: StageConfig, step: int, epoch: int, total: int) -> float:
    """Of the step after `step` others, in this epoch, of a run of `total` steps; nothing of it needs saving."""
    warm = min(1.0, (step + 1) / stage.warmup_steps) if stage.warmup_steps else 1.0
    fallen = half_cosine(step / total) if stage.schedule == "cosine" else stage.decay**epoch
    return stage.lr * warm * fallen


def half_cosine(done: float) -> float:
    """From 1 at the start, `done` = 0, to 0 at the end, `done` = 1."""
    return 0.5 * (1.0 + math.cos(math.pi * done))

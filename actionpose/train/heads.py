"""Fitting the two heads to a settled token: a few hundred steps with both encoders left as they are.

While the encoder learns, its token moves, and the heads run after it: they end with half of what a straight line
reads from the same token. Once it no longer changes, its values for many clips can be computed once and the heads be
finished in seconds.

Shape suffixes: N clips, J joints, C pose features, E text features, U distinct texts, B clips of a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from actionpose.config import above, at_least, setting
from actionpose.model.action_pose import PosePool, TextPool
from actionpose.progress import track
from actionpose.train.schedule import half_cosine


@dataclass(frozen=True, kw_only=True)
class HeadsConfig:
    """How the heads are finished after pretraining. Not in the paper."""

    steps: int = setting(0, "steps after pretraining in which the heads alone learn; 0: they stay as they are")
    clips: int = setting(12000, "windows whose tokens are computed for it, evenly from all clips")
    batch: int = setting(256, "clips in a step; each is contrasted with the texts of the others, and vice versa")
    lr: float = setting(3e-3, "AdamW's learning rate, which falls to 0 as a cosine")
    weight_decay: float = setting(0.1, "AdamW's weight decay")
    fresh: bool = setting(True, "start from new heads instead of the pretrained ones")

    def __post_init__(self) -> None:
        at_least(self, 0, "steps", "weight_decay")
        at_least(self, 2, "clips", "batch")
        above(self, 0, "lr")


@dataclass(frozen=True, kw_only=True)
class Settled:
    """What the encoders give for clips to learn from, computed once.

    Attributes:
        token_NJC: float32, tokens of whole clips.
        text_UE: float32, vectors of the vocabulary.
        own_N: int64, each clip's text.
        true_NU: bool, all texts that are known to be true of each clip, its own included.
    """

    token_NJC: Tensor
    text_UE: Tensor
    own_N: Tensor
    true_NU: Tensor


def fit_heads(
    pose_pool: PosePool, text_pool: TextPool, settled: Settled, config: HeadsConfig, temperature: float, *, seed: int
) -> list[float]:
    """Minimise the symmetric contrast of clips and texts over the heads' weights alone; return the losses.

    Args:
        pose_pool: of the token; trained in place.
        text_pool: of the text vectors; trained in place.
        settled: on the device of the heads.
        config: how long and how fast.
        temperature: tau of Equation 1.
        seed: keys the order of clips and dropout.
    """
    parameters = [*pose_pool.parameters(), *text_pool.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)
    losses = []
    with torch.random.fork_rng(devices=[]), torch.enable_grad():
        torch.manual_seed(seed)
        if config.fresh:
            pose_pool.reset()
            text_pool.reset()
        pose_pool.train()
        text_pool.train()
        if pose_pool.standardise is not None:
            pose_pool.standardise.eval()  # its statistics are settled too
        batches = track(_batches(len(settled.own_N), config), "fitting the heads", total=config.steps, unit="step")
        for step, clips in enumerate(batches):
            for group in optimizer.param_groups:
                group["lr"] = config.lr * half_cosine(step / config.steps)
            loss = contrast(pose_pool, text_pool, settled, clips, temperature)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
    pose_pool.eval()
    text_pool.eval()
    return losses


def contrast(pose_pool: PosePool, text_pool: TextPool, settled: Settled, clips_B: Tensor, temperature: float) -> Tensor:
    """Contrast of each clip with the texts of a batch, and of each text with its clips; mean of both directions.

    Of several texts that are true of a clip each counts as right, and nothing that is known to be true as wrong.
    """
    own_B = settled.own_N[clips_B]
    texts_U, place_B = own_B.unique(return_inverse=True)
    pose_BD, text_UD = pose_pool(settled.token_NJC[clips_B]), text_pool(settled.text_UE[texts_U])
    logits_BU = pose_BD @ text_UD.T / temperature
    own_BU = F.one_hot(place_B, len(texts_U)).bool()
    other_BU = settled.true_NU[clips_B][:, texts_U] & ~own_BU
    logits_BU = logits_BU.masked_fill(other_BU, -math.inf)
    to_text = F.cross_entropy(logits_BU, place_B)
    of_text_U = torch.logsumexp(logits_BU.masked_fill(~own_BU, -math.inf), dim=0) - torch.logsumexp(logits_BU, dim=0)
    return 0.5 * (to_text - of_text_U.mean())


def _batches(clips: int, config: HeadsConfig) -> Iterator[Tensor]:
    """Clips of each step; every clip once before any comes again."""
    size, done = min(config.batch, clips), 0
    while done < config.steps:
        for batch in torch.randperm(clips)[: clips // size * size].split(size):
            if done == config.steps:
                return
            done += 1
            yield batch

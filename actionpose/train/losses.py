"""Losses of pretraining and fine-tuning: reconstruction over valid frames, and focal weighted alignment with text.

The paper writes sums over samples, frames and joints (Equations 3 to 5); these are means, as in all public
code, so that weights do not change meaning with the batch or the clip length.

Shape suffixes: B clips, T frames, J joints, N candidate texts (the positive first, then K negatives), D features.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from actionpose.config import above, at_least, setting, shares


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Weights and shape of the objective (paper, Equations 1 to 5)."""

    temperature: float = setting(0.1, "tau of Equation 1; paper 0.1")
    negatives: int = setting(16, "texts each clip is compared against besides its own (K); paper 16")
    negatives_by: Literal["label", "frequency"] = setting(
        "label",
        "how negatives are drawn: every label of the vocabulary equally likely; or as often as clips carry it, which "
        "leaves nothing to gain from knowing the frequent labels. The paper says 'randomly'",
    )
    gamma: float = setting(2.0, "focal exponent of Equation 2; the paper gives none, 2 is focal loss's; 0 is InfoNCE")
    targets: Literal["one-hot", "same-label", "text-similarity"] = setting(
        "one-hot",
        "the y of Equation 2, 'ground-truth similarity', otherwise undefined there: one-hot; a softmax over equal "
        "labels; or a softmax over similarities of the untrained text encoder",
    )
    target_temperature: float = setting(0.1, "temperature of the two soft targets; 0.1 is the usual factor 10")
    lambda_3d: float = setting(1.0, "weight of the position loss; the paper gives none, 1 is MotionBERT's")
    lambda_v: float = setting(20.0, "weight of the velocity loss; the paper gives none, 20 is MotionBERT's")
    lambda_scale: float = setting(0.0, "weight of the scale-free position loss; not in the paper, MotionBERT 0.5")
    lambda_con: float = setting(
        0.1,
        "weight of alignment; the paper's 1 goes with unnamed weights of the others. 0.1 lets it start "
        "at a size with the position loss, about 0.25 against 0.2 screen units; 0 leaves the text out",
    )
    con_from: float = setting(
        0.0,
        "share of the steps before alignment counts. The paper aligns from the first step, but starts from trained "
        "weights; from random ones, poses are learned more slowly beside it",
    )

    def __post_init__(self) -> None:
        above(self, 0, "temperature", "target_temperature")
        at_least(self, 1, "negatives")
        at_least(self, 0, "gamma", "lambda_3d", "lambda_v", "lambda_scale", "lambda_con")
        shares(self, "con_from")


def masked_mean(value_BTJ: Tensor, valid_BT: Tensor | None) -> Tensor:
    """Mean over joints of valid frames; 0 if there is none. Values in padding are never used."""
    if valid_BT is None:
        return value_BTJ.mean() if value_BTJ.numel() else value_BTJ.sum()
    count = valid_BT.sum() * value_BTJ.shape[-1]
    return value_BTJ.masked_fill(~valid_BT[..., None], 0.0).sum() / count.clamp(min=1)


def position_loss(pose_BTJ3: Tensor, target_BTJ3: Tensor, valid_BT: Tensor | None = None) -> Tensor:
    """Mean distance of joints from their targets (Equation 3), in the units of the input."""
    return masked_mean(torch.linalg.vector_norm(pose_BTJ3 - target_BTJ3, dim=-1), valid_BT)


def velocity_loss(pose_BTJ3: Tensor, target_BTJ3: Tensor, valid_BT: Tensor | None = None) -> Tensor:
    """Mean distance of frame-to-frame displacements (Equation 4) over the T - 1 differences; 0 for one frame.

    Equation 4 counts from the first frame, which has no predecessor. A difference counts when both its
    frames are valid.
    """
    error = (pose_BTJ3 - target_BTJ3).diff(dim=1)
    both = None if valid_BT is None else valid_BT[:, 1:] & valid_BT[:, :-1]
    return masked_mean(torch.linalg.vector_norm(error, dim=-1), both)


def scale_loss(pose_BTJ3: Tensor, target_BTJ3: Tensor, valid_BT: Tensor | None = None) -> Tensor:
    """Position loss after the best factor per frame (N-MPJPE), as MotionBERT adds it."""
    dot = (pose_BTJ3 * target_BTJ3).sum(dim=(-2, -1), keepdim=True)
    square = pose_BTJ3.square().sum(dim=(-2, -1), keepdim=True)
    factor = dot / square.clamp(min=torch.finfo(square.dtype).tiny)
    return position_loss(factor * pose_BTJ3, target_BTJ3, valid_BT)


def alignment_logits(pose_BD: Tensor, text_BND: Tensor, temperature: float) -> Tensor:
    """(B, N) dot products over temperature; the exponents of Equation 1."""
    return torch.einsum("bd,bnd->bn", pose_BD, text_BND) / temperature


def alignment_loss(logits_BN: Tensor, target_BN: Tensor, gamma: float) -> Tensor:
    """Focal weighted Kullback-Leibler divergence (Equation 2), mean over clips.

    With s = softmax(logits): (1 - s_0)^gamma * sum_n y_n log(y_n / s_n). The focal factor weighs a clip's
    whole divergence. On single terms, as Equation 2 can be read, soft y would put the minimum away from s = y
    and below zero; for one-hot y both readings are the same, and gamma = 0 is cross-entropy.

    For one-hot y this is focal loss, gradient included. Where y is soft, the factor is a plain weight without a
    gradient: with one, the loss also falls to zero towards s_0 = 1, because certainty silences any divergence,
    and descent from even shares was seen to end at 0.99 for y_0 = 0.9. As a weight it leaves s = y alone.

    Args:
        logits_BN: candidates per clip, the clip's own text at 0.
        target_BN: y, each row sums to 1.
        gamma: focal exponent.
    """
    log_s = F.log_softmax(logits_BN, dim=-1)
    divergence = (torch.xlogy(target_BN, target_BN) - target_BN * log_s).sum(dim=-1)
    if gamma == 0:
        return divergence.mean()
    # Away from zero, where the power of an exponent below 1 has no finite gradient.
    focus = (-torch.expm1(log_s[:, 0])).clamp(min=1e-12) ** gamma
    focus = torch.where(target_BN[:, 0] < 1, focus.detach(), focus)
    return (focus * divergence).mean()


def one_hot_target(logits_BN: Tensor) -> Tensor:
    """(B, N) with all weight on the clip's own text."""
    target = torch.zeros_like(logits_BN)
    target[:, 0].fill_(1)
    return target


def softmax_target(similarity_BN: Tensor, temperature: float) -> Tensor:
    """Soft y: softmax of similarities in [0, 1] over a temperature; carries no gradient."""
    return F.softmax(similarity_BN.detach().float() / temperature, dim=-1)

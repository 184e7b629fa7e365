"""ActionPose: pose encoder, text encoder, and the pooling heads where the two meet.

Shape suffixes: B clips, T frames, J joints, C pose features, E text features, D shared features,
N texts, U distinct texts.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from actionpose.config import at_least, setting
from actionpose.model.frozen_text import FrozenTextEncoder
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder
from actionpose.model.text_encoder import TextConfig, TextEncoder, load_text_encoder


@dataclass(frozen=True, kw_only=True)
class PoolingConfig:
    """The shared space of poses and texts (paper, Figure 6, which gives no sizes)."""

    dim: int = setting(512, "features of the shared space; the paper gives none, 512 is the pose encoder's width")
    dropout: float = setting(0.1, "dropout in the pooling heads; the paper draws it without a rate")
    standardise: bool = setting(
        False,
        "bring the class token to mean 0 and deviation 1 over clips in front of its head. Not in the paper, which "
        "starts from trained weights; from random ones all clips have nearly the same token and nothing is aligned",
    )

    def __post_init__(self) -> None:
        at_least(self, 1, "dim")
        if not 0 <= self.dropout < 1:
            raise ValueError(f"dropout={self.dropout} must be at least 0 and less than 1")


class Projection(nn.Sequential):
    """Linear, GELU, layer norm, dropout: the first half of both heads."""

    def __init__(self, dim_in: int, config: PoolingConfig) -> None:
        super().__init__(nn.Linear(dim_in, config.dim), nn.GELU(), nn.LayerNorm(config.dim), nn.Dropout(config.dropout))


class _OverProcesses(torch.autograd.Function):
    """Mean of a tensor over the processes that share a batch, gradient included; they hold equally many clips."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        shared = value.clone()
        dist.all_reduce(shared)
        return shared / dist.get_world_size()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return _OverProcesses.forward(ctx, gradients[0])


def _over_processes(value: Tensor) -> Tensor:
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        return _OverProcesses.apply(value)
    return value


class Standardise(nn.Module):
    """Bring each feature to mean 0 and deviation 1 over the clips of a batch; kept values in evaluation.

    Running statistics follow the batches until `keep` replaces them: training sees corrupted clips, whose mean is off
    that of whole ones by a third of their deviation.

    This is batch normalisation without weights, over all processes together, and with a floor far below PyTorch's:
    at a random start the token's deviation over clips is smaller than that one. The gradient through the statistics
    is needed: without it, what pushes all clips the same way adds up, and was seen to ruin the reconstruction.
    """

    MOMENTUM = 0.1
    FLOOR = 1e-10
    mean: Tensor
    variance: Tensor
    batches: Tensor

    def __init__(self, *shape: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(shape))
        self.register_buffer("variance", torch.ones(shape))
        self.register_buffer("batches", torch.zeros((), dtype=torch.int64))

    def forward(self, x: Tensor) -> Tensor:
        """(B, ...) in and out, float32; in training B must be at least 2."""
        x = x.float()
        mean, variance = self._of_batch(x) if self.training else (self.mean, self.variance)
        return (x - mean) * torch.rsqrt(variance + self.FLOOR)

    @torch.no_grad()
    def keep(self, tokens: Iterable[Tensor]) -> None:
        """Evaluate with the statistics of these, each (B, ...), from here on; training continues with its batches'."""
        count, total, squares = 0, torch.zeros_like(self.mean).double(), torch.zeros_like(self.mean).double()
        for token in tokens:
            x = token.double()
            count, total, squares = count + len(x), total + x.sum(dim=0), squares + x.square().sum(dim=0)
        mean = total / max(count, 1)
        self.mean.copy_(mean)
        self.variance.copy_((squares / max(count, 1) - mean.square()).clamp(min=0))

    def _of_batch(self, x: Tensor) -> tuple[Tensor, Tensor]:
        mean = _over_processes(x.mean(dim=0))
        variance = _over_processes((x - mean).square().mean(dim=0))
        share = torch.where(self.batches == 0, 1.0, self.MOMENTUM)
        self.mean.lerp_(mean.detach(), share)
        self.variance.lerp_(variance.detach(), share)
        self.batches += 1
        return mean, variance


class PosePool(nn.Module):
    """The class token's joints to one vector: project, learned weighted sum over joints, mix."""

    def __init__(self, dim_in: int, joints: int, config: PoolingConfig) -> None:
        super().__init__()
        self.standardise = Standardise(joints, dim_in) if config.standardise else None
        self.project = Projection(dim_in, config)
        self.joint_weight = nn.Parameter(torch.full((joints,), 1.0 / joints))
        self.mix = nn.Linear(config.dim, config.dim)
        self.reset()

    def reset(self) -> None:
        """A new start; the statistics of the token stay."""
        nn.init.constant_(self.joint_weight, 1.0 / len(self.joint_weight))
        _initialise(self)

    def forward(self, token_BJC: Tensor) -> Tensor:
        """(B, J, C) in, (B, D) of unit length out, float32."""
        if self.standardise is not None:
            token_BJC = self.standardise(token_BJC)
        summed = torch.einsum("bjd,j->bd", self.project(token_BJC), self.joint_weight)
        return F.normalize(self.mix(summed).float(), dim=-1)


class TextPool(nn.Module):
    """The text encoder's vector to the shared space: project, mix."""

    def __init__(self, dim_in: int, config: PoolingConfig) -> None:
        super().__init__()
        self.project = Projection(dim_in, config)
        self.mix = nn.Linear(config.dim, config.dim)
        self.reset()

    def reset(self) -> None:
        """A new start."""
        _initialise(self)

    def forward(self, text_NE: Tensor) -> Tensor:
        """(N, E) in, (N, D) of unit length out, float32."""
        return F.normalize(self.mix(self.project(text_NE)).float(), dim=-1)


def _initialise(module: nn.Module) -> None:
    """Xavier's start, which keeps sizes whatever the widths; the paper names none."""
    for part in module.modules():
        if isinstance(part, nn.Linear):
            nn.init.xavier_normal_(part.weight)
            nn.init.zeros_(part.bias)
        elif isinstance(part, nn.LayerNorm):
            part.reset_parameters()


class ActionPose(nn.Module):
    """Lift 2D clips to 3D, and embed clips and texts in one space.

    Without a text encoder (neither given nor named in `text_config`) only the pose encoder is built: `text`,
    `pose_pool` and `text_pool` are None, as in fine-tuning.

    Attributes:
        pose: the encoder, whose weights are `pose.*` in the state dict.
        text: the text encoder or None.
        pose_pool: head of the class token or None.
        text_pool: head of the text encoder or None.
    """

    def __init__(
        self,
        pose_config: PoseConfig,
        text_config: TextConfig | None = None,
        pooling_config: PoolingConfig | None = None,
        text_encoder: TextEncoder | FrozenTextEncoder | None = None,
    ) -> None:
        """Build the parts.

        Args:
            pose_config: size and wiring of the pose encoder.
            text_config: names the text model to read from disk; its `model` empty means no text.
            pooling_config: the shared space.
            text_encoder: used instead of reading one.

        Raises:
            UserError: the named text model cannot be read.
            ValueError: a text encoder with a pose encoder that has no class token.
        """
        super().__init__()
        self.pose = PoseEncoder(pose_config)  # first, so that its start does not depend on what reading a text draws
        if text_encoder is None and text_config is not None and text_config.model:
            text_encoder = FrozenTextEncoder(text_config) if text_config.frozen else load_text_encoder(text_config)
        self.text = text_encoder
        self.pose_pool: PosePool | None = None
        self.text_pool: TextPool | None = None
        if text_encoder is not None:
            if not pose_config.class_token:
                raise ValueError("alignment with text reads the class token: pose.class_token must stay on")
            pooling = pooling_config or PoolingConfig()
            self.pose_pool = PosePool(pose_config.dim_feat, pose_config.joints, pooling)
            self.text_pool = TextPool(text_encoder.dim, pooling)

    def lift(self, pose2d_BTJ3: Tensor, valid_BT: Tensor | None = None, *, thinned: bool = False) -> Tensor:
        """3D poses (B, T, J, 3) float32 in root-relative screen units, from x, y in screen units and confidence."""
        return self.pose(pose2d_BTJ3, valid_BT, thinned=thinned).pose3d_BTJ3

    def forward_both(
        self, pose2d_BTJ3: Tensor, valid_BT: Tensor | None = None, *, thinned: bool = False
    ) -> tuple[Tensor, Tensor]:
        """3D poses (B, T, J, 3) and clip embeddings h_P (B, D) of unit length, in one pass."""
        if self.pose_pool is None:
            raise ValueError("this model was built without a text branch and has no shared space")
        features = self.pose(pose2d_BTJ3, valid_BT, thinned=thinned)
        return features.pose3d_BTJ3, self.pose_pool(features.token_mid_BJC)

    def embed_pose(self, pose2d_BTJ3: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """Clip embeddings h_P (B, D) alone; computes no more layers than they need."""
        if self.pose_pool is None:
            raise ValueError("this model was built without a text branch and has no shared space")
        return self.pose_pool(self.pose.token(pose2d_BTJ3, valid_BT))

    def embed_text(self, texts: Sequence[str]) -> Tensor:
        """Text embeddings h_W (N, D) of unit length; a text that occurs many times is encoded once."""
        if self.text is None or self.text_pool is None:
            raise ValueError("this model was built without a text branch and has no shared space")
        row: dict[str, int] = {}
        for text in texts:
            row.setdefault(text, len(row))
        pooled_UD = self.text_pool(self.text(list(row)))
        return pooled_UD[torch.tensor([row[text] for text in texts], dtype=torch.int64, device=pooled_UD.device)]

"""The two encoders that are compared, ours and the textbook's, with the same weights; and what they are asked to do."""

from __future__ import annotations

import torch
from textbook import TextbookEncoder
from torch import Tensor, nn

from actionpose.model.pose_encoder import PoseConfig, PoseEncoder

SIZES = {"base": {"dim_feat": 512, "mlp_ratio": 2.0}, "lite": {"dim_feat": 256, "mlp_ratio": 4.0}}


def encoder_config(size: str, pairs: int, *, class_token: bool = True) -> PoseConfig:
    return PoseConfig(**SIZES[size], depth=pairs, middle=min(3, pairs), class_token=class_token)


def contestants(config: PoseConfig, device: torch.device) -> dict[str, nn.Module]:
    """Both forms with the same weights, all of them random so that nothing cancels."""
    torch.manual_seed(0)
    ours = PoseEncoder(config)
    with torch.no_grad():
        for parameter in ours.parameters():
            parameter.add_(torch.randn_like(parameter), alpha=0.02)
    textbook = TextbookEncoder(config)
    textbook.load_state_dict(ours.state_dict())
    return {"ours": ours.to(device), "textbook": textbook.to(device)}


def clips(batch: int, frames: int, device: torch.device) -> Tensor:
    return torch.randn(batch, frames, 17, 3, generator=torch.Generator().manual_seed(1)).to(device)


def autocast(device: torch.device) -> torch.autocast:
    """bfloat16 on a GPU, float32 on a CPU."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")


def forward(encoder: nn.Module, inputs: Tensor) -> None:
    with torch.no_grad(), autocast(inputs.device):
        encoder(inputs)


def forward_backward(encoder: nn.Module, inputs: Tensor) -> None:
    for parameter in encoder.parameters():
        parameter.grad = None
    with autocast(inputs.device):
        loss = whole_loss(encoder, inputs)
    loss.backward()


def whole_loss(encoder: nn.Module, inputs: Tensor) -> Tensor:
    """Something that every output has a part in."""
    token, pose, rep = encoder(inputs)
    return pose.float().square().mean() + token.float().square().mean() + rep.float().square().mean()


WORK = {"forward": (forward, 1), "forward + backward": (forward_backward, 3)}
"""Name → what is done, and how many forward passes it counts for."""

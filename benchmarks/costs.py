"""What the pose encoder must compute, by formula, and how fast the machine multiplies matrices: the floor."""

from __future__ import annotations

import torch
from turns import clock_of

from actionpose.model.pose_encoder import PoseConfig


def encoder_macs(config: PoseConfig, clips: int, frames: int, *, attention: bool = True) -> int:
    """Multiply-adds of one forward pass; a FLOP count is twice that, and a backward pass twice a forward one.

    Args:
        config: size of the encoder.
        clips: in the batch.
        frames: in each clip.
        attention: count the products inside attention too; papers print the count without.
    """
    C, hidden, J = config.dim_feat, int(config.dim_feat * config.mlp_ratio), config.joints
    steps = frames + config.class_token
    attend = 2 * 4 * C * C + (2 * C * (J + steps) if attention else 0)  # qkv and proj, over joints and over time
    block = attend + 2 * 2 * C * hidden
    pairs = config.depth * (2 * block + 2 * 2 * C)  # two streams and their blend
    ends = 3 * C + C * config.dim_rep + 3 * config.dim_rep
    return clips * J * (steps * pairs + frames * ends)


def matrix_rate(device: torch.device, dtype: torch.dtype, *, size: int, rounds: int = 5) -> float:
    """FLOP a second of a large square product of random numbers; the best of some rounds.

    CPU time counts on a CPU, the device's own events on a GPU.
    """
    one, two = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    calls = 10 if device.type == "cuda" else 1
    clock = clock_of(device)

    def multiply() -> None:
        for _ in range(calls):
            one @ two

    return 2 * size**3 * calls / min(clock(multiply) for _ in range(rounds + 1))

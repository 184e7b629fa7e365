"""Every n-th frame: clips taken apart into interleaved ones, put together again, or thinned to one of them.

Shape suffixes: B clips, T frames, S frames of an interleaved clip, J joints, C features.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor


def interleaved(pose_BTJ3: Tensor, valid_BT: Tensor | None, step: int) -> list[tuple[Tensor, Tensor | None]]:
    """The `step` interleaved clips that a clip is made of; fewer when it has fewer frames.

    Where a padded clip has no frame for one of them, that one reads padding, whose output is not used.
    """
    n = min(step, pose_BTJ3.shape[1])
    if valid_BT is None:
        return [(pose_BTJ3[:, at::n], None) for at in range(n)]
    parts = [valid_BT[:, at::n] for at in range(n)]
    return [(pose_BTJ3[:, at::n], valid | ~valid.any(dim=1, keepdim=True)) for at, valid in enumerate(parts)]


def woven(parts: list[Tensor]) -> Tensor:
    """Interleaved clips as one, (B, T, ...)."""
    whole = parts[0].new_empty((len(parts[0]), sum(part.shape[1] for part in parts), *parts[0].shape[2:]))
    for at, part in enumerate(parts):
        whole[:, at :: len(parts)] = part
    return whole


def mean_token(tokens: list[Tensor], valid_BT: Tensor | None) -> Tensor:
    """Mean over interleaved clips, (B, J, C); those that a short clip has no frame for do not count."""
    if valid_BT is None:
        return torch.stack(tokens).mean(dim=0)
    n = len(tokens)
    used = torch.stack([valid_BT[:, at::n].any(dim=1) for at in range(n)]).to(tokens[0].dtype)[..., None, None]
    return (torch.stack(tokens) * used).sum(dim=0) / used.sum(dim=0)


def thin(count_B: Tensor, frames: int, step: int, phase_B: Tensor) -> tuple[Tensor, Tensor]:
    """Every `step`-th frame of clips, each from its own phase.

    Args:
        count_B: int64, valid frames of each clip; they come first.
        frames: T, of the padded clips.
        step: 1 leaves all of them.
        phase_B: int64, the first frame taken, below `step` and below the clip's count.

    Returns:
        frame_BS (int64, which frame to take; S = ceil(T / step)) and valid_BS (bool).
    """
    frame_BS = phase_B[:, None] + step * torch.arange(math.ceil(frames / step), device=phase_B.device)
    return frame_BS.clamp(max=frames - 1), frame_BS < count_B[:, None]

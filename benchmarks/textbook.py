"""The pose encoder as one would write it from its description: what `bench_encoder.py` compares with.

The same network and the same parameter names as `actionpose.model.pose_encoder.PoseEncoder`, so its state dict
loads. Frames are merged into the batch, attention is two matrix products around a softmax, and the two streams are
blended by a softmax over their concatenation. No masks: every clip of a batch has the same length.

Shape suffixes: B clips, S steps (frames, and one for the token), J joints, C features, N = B * S.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from actionpose.model.pose_encoder import PoseConfig


class Attention(nn.Module):
    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (dim // heads) ** -0.5
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def heads_of(self, x_NJC: Tensor) -> Tensor:
        """q, k and v side by side, (3, N, heads, J, C / heads)."""
        N, J, C = x_NJC.shape
        return self.qkv(x_NJC).reshape(N, J, 3, self.heads, C // self.heads).permute(2, 0, 3, 1, 4)

    def mix(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        weights = ((q @ k.transpose(-2, -1)) * self.scale).softmax(dim=-1)
        return weights @ v


class SpatialAttention(Attention):
    def forward(self, x_NJC: Tensor, steps: int) -> Tensor:
        q, k, v = self.heads_of(x_NJC)
        return self.proj(self.mix(q, k, v).transpose(1, 2).reshape(x_NJC.shape))


class TemporalAttention(Attention):
    def forward(self, x_NJC: Tensor, steps: int) -> Tensor:
        # (N, heads, J, D) → (B, heads, J, S, D): each joint looks along time.
        q, k, v = (part.unflatten(0, (-1, steps)).permute(0, 2, 3, 1, 4) for part in self.heads_of(x_NJC))
        return self.proj(self.mix(q, k, v).permute(0, 3, 2, 1, 4).reshape(x_NJC.shape))


class Mlp(nn.Module):
    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(dim, hidden)
        self.act = nn.GELU()
        self.fc2 = nn.Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.act(self.fc1(x)))


class Block(nn.Module):
    def __init__(self, dim: int, heads: int, hidden: int, order: str) -> None:
        super().__init__()
        self.order = order
        self.norm1_s = nn.LayerNorm(dim, eps=1e-6)
        self.norm1_t = nn.LayerNorm(dim, eps=1e-6)
        self.attn_s = SpatialAttention(dim, heads)
        self.attn_t = TemporalAttention(dim, heads)
        self.norm2_s = nn.LayerNorm(dim, eps=1e-6)
        self.norm2_t = nn.LayerNorm(dim, eps=1e-6)
        self.mlp_s = Mlp(dim, hidden)
        self.mlp_t = Mlp(dim, hidden)

    def forward(self, x: Tensor, steps: int) -> Tensor:
        for axis in self.order:
            if axis == "s":
                x = x + self.attn_s(self.norm1_s(x), steps)
                x = x + self.mlp_s(self.norm2_s(x))
            else:
                x = x + self.attn_t(self.norm1_t(x), steps)
                x = x + self.mlp_t(self.norm2_t(x))
        return x


class TextbookEncoder(nn.Module):
    def __init__(self, config: PoseConfig) -> None:
        super().__init__()
        self.config = config
        C, hidden = config.dim_feat, int(config.dim_feat * config.mlp_ratio)
        self.joints_embed = nn.Linear(3, C)
        self.pos_embed = nn.Parameter(torch.zeros(1, config.joints, C))
        self.temp_embed = nn.Parameter(torch.zeros(1, config.max_frames, 1, C))
        self.class_token = nn.Parameter(torch.zeros(1, 1, config.joints, C)) if config.class_token else None
        self.blocks_st = nn.ModuleList(Block(C, config.heads, hidden, "st") for _ in range(config.depth))
        self.blocks_ts = nn.ModuleList(Block(C, config.heads, hidden, "ts") for _ in range(config.depth))
        self.ts_attn = nn.ModuleList(nn.Linear(2 * C, 2) for _ in range(config.depth))
        self.norm = nn.LayerNorm(C, eps=1e-6)
        self.pre_logits = nn.Sequential()
        self.pre_logits.add_module("fc", nn.Linear(C, config.dim_rep))
        self.pre_logits.add_module("act", nn.Tanh())
        self.head = nn.Linear(config.dim_rep, 3)

    def forward(self, pose_BTJ3: Tensor) -> tuple[Tensor | None, Tensor, Tensor]:
        """The token after the middle pair, 3D poses, representation: what `PoseEncoder` gives."""
        B, T = pose_BTJ3.shape[:2]
        x = self.joints_embed(pose_BTJ3) + self.pos_embed[:, None] + self.temp_embed[:, :T]
        if self.class_token is not None:
            x = torch.cat([self.class_token.expand(B, -1, -1, -1), x], dim=1)
        steps, token = x.shape[1], None
        x = x.flatten(0, 1)
        for index, (st, ts, fuse) in enumerate(zip(self.blocks_st, self.blocks_ts, self.ts_attn, strict=True)):
            one, two = st(x, steps), ts(x, steps)
            share = fuse(torch.cat([one, two], dim=-1)).softmax(dim=-1)
            x = one * share[..., 0:1] + two * share[..., 1:2]
            if self.class_token is not None and index + 1 == self.config.middle:
                token = x.unflatten(0, (B, steps))[:, 0]
        x = self.norm(x).unflatten(0, (B, steps))[:, steps - T :]
        rep = self.pre_logits(x)
        return token, self.head(rep), rep

"""The pose encoder: DSTformer's two streams of space and time attention, and a class token as an extra frame.

With `class_token=False` this is MotionBERT's network, name for name: its checkpoints load strictly and
its outputs are reproduced. With the token, every clip gets one extra learned frame in front; it has no
slot of the temporal embedding, so frame t keeps slot t and pretrained weights keep their meaning.

Shape suffixes: B clips, T frames, S steps (T, or T + 1 with the token), J joints, C features, H heads,
D features per head, R representation.
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionpose.config import above, at_least, setting
from actionpose.model.frame_step import interleaved, mean_token, woven
from actionpose.skeleton import N_JOINTS

LAYER_NORM_EPS = 1e-6
"""MotionBERT's value; PyTorch's own default is ten times larger."""

INIT_STD = 0.02

CPU_TOKENS = 8192
"""On a CPU, clips go through in groups of at most this many joint tokens: the activations of one group then stay
in the caches and in memory that the allocator reuses, where those of the whole batch are paged in again each time."""


COMPILED_SHAPES = 64
"""Graphs that torch may make of a block: with and without mask and gradient, for one length and then for any."""

ONEDNN_ROWS = 256
"""From so many rows on the other library's products are used; for few rows its preparations cost more."""


def _has_onednn() -> bool:
    """Whether this torch has oneDNN's product with the arguments we give it; torch promises neither."""
    if not torch.backends.mkldnn.is_available() or not hasattr(torch.ops.mkldnn, "_linear_pointwise"):
        return False
    takes = torch.ops.mkldnn._linear_pointwise.default._schema.arguments
    return [argument.name for argument in takes] == ["X", "W", "B", "attr", "scalars", "algorithm"]


_HAS_ONEDNN = _has_onednn()


@dataclass(frozen=True, kw_only=True)
class PoseConfig:
    """Size and wiring of the pose encoder; the defaults are MotionBERT's base model with the paper's token."""

    dim_feat: int = setting(512, "features per joint; 512 base, 256 lite")
    dim_rep: int = setting(512, "features of the tanh representation in front of the regression head")
    depth: int = setting(5, "pairs of spatial-temporal blocks; the paper says five")
    heads: int = setting(8, "attention heads; must divide dim_feat")
    mlp_ratio: float = setting(2.0, "hidden width of the MLPs over dim_feat; 2 base, 4 lite")
    max_frames: int = setting(243, "slots of the temporal embedding, so the longest clip")
    joints: int = setting(N_JOINTS, "joints per frame, in Human3.6M order")
    class_token: bool = setting(True, "the paper's <POSE> token; off gives MotionBERT exactly")
    middle: int = setting(
        3,
        "pairs before the global embedding is read (l1); the paper says 'the middle layer' with l1 + l2 = 5, "
        "so the third",
    )
    token_read_only: bool = setting(
        False,
        "the token sees the frames but no frame sees it, so lifting equals MotionBERT's; the paper lets all see all",
    )
    token_to_frames: bool = setting(
        False,
        "what the token holds after `middle` pairs is added to every frame, through one more layer that starts at 0; "
        "the paper leaves it to attention to pass it on",
    )
    frame_step: int = setting(
        1,
        "the encoder reads every n-th frame: a clip is split into n interleaved ones, each lifted separately, so "
        "that attention spans n times as long at the same cost. Training learns from one of them at a time. Not in "
        "the paper, whose 243 frames are 8 seconds; a small model's 27 are less than one",
    )
    input_std: float = setting(
        INIT_STD,
        "deviation of the first layer's weights for x and y at a random start; 0.02 is MotionBERT's, with which a "
        "clip's coordinates first drown in the joint embedding and the confidence. Unused when weights are loaded",
    )
    joint_std: float = setting(
        INIT_STD,
        "deviation of the joint embedding at a random start; 0.02 is MotionBERT's. With a wider input_std it has to "
        "grow along: attention finds the pelvis, which every joint is measured from, by this embedding alone",
    )

    def __post_init__(self) -> None:
        at_least(self, 1, "depth", "heads", "dim_feat")
        if self.dim_feat % self.heads:
            raise ValueError(f"dim_feat {self.dim_feat} is not a multiple of heads {self.heads}")
        if not 1 <= self.middle <= self.depth:
            raise ValueError(f"middle {self.middle} is not between 1 and depth {self.depth}")
        if self.token_to_frames and not self.class_token:
            raise ValueError("token_to_frames needs class_token")
        at_least(self, 1, "dim_rep", "max_frames", "joints", "frame_step")
        above(self, 0, "mlp_ratio")

    @property
    def slots(self) -> int:
        """Frames that the encoder has at most before it at once."""
        return math.ceil(self.max_frames / self.frame_step)


class PoseFeatures(NamedTuple):
    """What the encoder gives for a batch of clips.

    Attributes:
        token_mid_BJC: the class token after `middle` pairs, or None without a token.
        pose3d_BTJ3: float32, in the units of the training target (root-relative screen units).
        rep_BTJR: float32 in (-1, 1), MotionBERT's motion representation.
    """

    token_mid_BJC: Tensor | None
    pose3d_BTJ3: Tensor
    rep_BTJR: Tensor


def _concatenate(parts: list[PoseFeatures]) -> PoseFeatures:
    tokens, poses, reps = zip(*parts, strict=True)
    return PoseFeatures(None if tokens[0] is None else torch.cat(tokens), torch.cat(poses), torch.cat(reps))


def _plus(update: Tensor, x: Tensor) -> Tensor:
    """Residual sum, written into the fresh `update` when types agree: one large buffer less per sub-layer."""
    return update.add_(x) if update.dtype == x.dtype else x + update


def _linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`F.linear`; for inference on a CPU through oneDNN.

    There nine tenths of the time are these products, and the library that torch calls for them (MKL) leaves out the
    widest instructions of processors that are not Intel's: oneDNN is up to a sixth faster. Its operator, which torch's
    own compiler calls, has no gradient and no name in exported graphs.
    """
    if (
        _HAS_ONEDNN
        and not torch.compiler.is_compiling()  # first: a graph of free sizes must not branch on them
        and x.device.type == "cpu"
        and x.dtype == weight.dtype == torch.float32
        and x.numel() >= ONEDNN_ROWS * x.shape[-1]
        and not torch.is_grad_enabled()
        and not torch.is_autocast_enabled("cpu")
        and not torch.jit.is_tracing()
    ):
        return torch.ops.mkldnn._linear_pointwise(x, weight, bias, "none", [], "")
    return F.linear(x, weight, bias)


class Linear(nn.Linear):
    """`nn.Linear` over many rows."""

    def forward(self, x: Tensor) -> Tensor:  # noqa: D102
        return _linear(x, self.weight, self.bias)


def _three(x: Tensor, qkv: nn.Linear) -> tuple[Tensor, Tensor, Tensor]:
    """Queries, keys and values on a GPU: one product over the three stacked matrices, each result an array of its own.

    So x is read once, and no gradient is copied into the order of a packed result.
    """
    C = x.shape[-1]
    weight, bias = qkv.weight.view(3, C, C).transpose(1, 2), qkv.bias.view(3, 1, C)
    q, k, v = torch.baddbmm(bias, x.reshape(1, -1, C).expand(3, -1, -1), weight).view(3, *x.shape).unbind(0)
    return q, k, v


class Norm(nn.LayerNorm):
    """Layer norm, of a bfloat16 stream in bfloat16 (sums in float32), where autocast would write float32."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) in and out, of the same type."""
        if x.dtype == self.weight.dtype:
            return super().forward(x)
        with torch.autocast(device_type=x.device.type, enabled=False):
            return F.layer_norm(x, self.normalized_shape, self.weight.to(x.dtype), self.bias.to(x.dtype), self.eps)


class SpatialAttention(nn.Module):
    """The J joints of one frame attend to each other."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(self, x_BSJC: Tensor, mask: Tensor | None) -> Tensor:
        """Same shape out; `mask` is not used, since every frame holds all its joints."""
        B, S, J, C = x_BSJC.shape
        if x_BSJC.device.type == "cuda":
            q, k, v = (
                part.view(B * S, J, self.heads, C // self.heads).transpose(1, 2) for part in _three(x_BSJC, self.qkv)
            )
        else:
            qkv = self.qkv(x_BSJC).view(B * S, J, 3, self.heads, C // self.heads)
            q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v)
        return self.proj(mixed.transpose(1, 2).reshape(B, S, J, C))


class TemporalAttention(nn.Module):
    """Each joint attends to itself at all steps of its clip."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = Linear(dim, 3 * dim)
        self.proj = Linear(dim, dim)

    def forward(self, x_BSJC: Tensor, mask: Tensor | None) -> Tensor:
        """Same shape out. `mask` is bool (B or 1, 1, S or 1, S), True where a step may be read.

        Not one packed result: each of q, k, v is a plain view with joints and heads side by side as J*H heads, so
        nothing is copied into another order and one mask row serves all of them.
        """
        B, S, J, C = x_BSJC.shape
        if torch.is_autocast_enabled(x_BSJC.device.type):  # cast once, not once per product
            x_BSJC = x_BSJC.to(torch.get_autocast_dtype(x_BSJC.device.type))
        chunks = zip(self.qkv.weight.chunk(3), self.qkv.bias.chunk(3), strict=True)
        on_gpu = x_BSJC.device.type == "cuda"
        parts = _three(x_BSJC, self.qkv) if on_gpu else (_linear(x_BSJC, *chunk) for chunk in chunks)
        q, k, v = (part.view(B, S, J * self.heads, C // self.heads).transpose(1, 2) for part in parts)
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.proj(mixed.transpose(1, 2).reshape(B, S, J, C))


class Mlp(nn.Module):
    """Linear, exact GELU, linear."""

    def __init__(self, dim: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = Linear(dim, hidden)
        self.fc2 = Linear(hidden, dim)

    def forward(self, x: Tensor) -> Tensor:
        """(..., C) in and out."""
        return self.fc2(F.gelu(self.fc1(x)))


class Block(nn.Module):
    """Four pre-norm residual sub-layers; `space_first` decides whether space or time comes first."""

    def __init__(self, dim: int, heads: int, hidden: int, *, space_first: bool) -> None:
        super().__init__()
        self.space_first = space_first
        self.norm1_s = Norm(dim, eps=LAYER_NORM_EPS)
        self.norm1_t = Norm(dim, eps=LAYER_NORM_EPS)
        self.attn_s = SpatialAttention(dim, heads)
        self.attn_t = TemporalAttention(dim, heads)
        self.norm2_s = Norm(dim, eps=LAYER_NORM_EPS)
        self.norm2_t = Norm(dim, eps=LAYER_NORM_EPS)
        self.mlp_s = Mlp(dim, hidden)
        self.mlp_t = Mlp(dim, hidden)

    def forward(self, x_BSJC: Tensor, mask: Tensor | None) -> Tensor:
        """Same shape out."""
        space = (self.norm1_s, self.attn_s, self.norm2_s, self.mlp_s)
        time = (self.norm1_t, self.attn_t, self.norm2_t, self.mlp_t)
        x = x_BSJC
        for norm1, attention, norm2, mlp in (space, time) if self.space_first else (time, space):
            x = _plus(attention(norm1(x), mask), x)
            x = _plus(mlp(norm2(x)), x)
        return x


class Fusion(nn.Linear):
    """Blend the two streams token by token: softmax over two logits of their concatenation.

    A softmax over two is a sigmoid of the difference, and a product with a concatenation is a sum of two
    products; so neither the concatenation nor the second weight is ever made.
    """

    def __init__(self, dim: int) -> None:
        super().__init__(2 * dim, 2)

    def forward(self, st: Tensor, ts: Tensor) -> Tensor:  # type: ignore[override]
        """(..., C) twice in, (..., C) out: share * st + (1 - share) * ts."""
        weight, bias = self.weight[0] - self.weight[1], self.bias[0] - self.bias[1]
        for_st, for_ts = weight.unsqueeze(0).chunk(2, dim=1)
        logit = F.linear(st, for_st) + F.linear(ts, for_ts) + bias
        return torch.lerp(ts, st, torch.sigmoid(logit).to(st.dtype))


class PoseEncoder(nn.Module):
    """2D poses over time in, 3D poses and features out (paper, 'Text and Pose Encoders'; MotionBERT)."""

    def __init__(self, config: PoseConfig) -> None:
        super().__init__()
        self.config = config
        self.bf16_stream = False
        """Under autocast, whether blocks add to bfloat16 instead of float32 (`run.precision`)."""
        C, J, hidden = config.dim_feat, config.joints, int(config.dim_feat * config.mlp_ratio)
        self.joints_embed = nn.Linear(3, C)
        self.pos_embed = nn.Parameter(torch.empty(1, J, C))
        self.temp_embed = nn.Parameter(torch.empty(1, config.slots, 1, C))
        self.class_token = nn.Parameter(torch.empty(1, 1, J, C)) if config.class_token else None

        self.token_to_frames = nn.Linear(C, C) if config.token_to_frames else None

        def blocks(space_first: bool) -> nn.ModuleList:
            return nn.ModuleList(Block(C, config.heads, hidden, space_first=space_first) for _ in range(config.depth))

        self.blocks_st = blocks(True)
        self.blocks_ts = blocks(False)
        self.ts_attn = nn.ModuleList(Fusion(C) for _ in range(config.depth))
        self.norm = nn.LayerNorm(C, eps=LAYER_NORM_EPS)
        self.pre_logits = nn.Sequential()
        self.pre_logits.add_module("fc", nn.Linear(C, config.dim_rep))
        self.head = nn.Linear(config.dim_rep, 3)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """MotionBERT's start: small normal weights, and every fusion a plain average of its streams."""
        for name, parameter in self.named_parameters():
            if name.startswith("ts_attn"):
                nn.init.constant_(parameter, 0.5 if name.endswith("bias") else 0.0)
            elif name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "norm" in name:
                nn.init.ones_(parameter)
            else:
                nn.init.trunc_normal_(parameter, std=INIT_STD)
        with torch.no_grad():
            self.joints_embed.weight[:, :2] *= self.config.input_std / INIT_STD
            self.pos_embed.mul_(self.config.joint_std / INIT_STD)
            if self.token_to_frames is not None:
                self.token_to_frames.weight.zero_()

    def compile_blocks(self, backend: str = "inductor") -> None:
        """Compile block by block: two kinds of block take a third of the whole encoder's compile time, and run as fast.

        A graph break, or more different shapes than the limit, is an error instead of a silent return to eager.
        """
        torch._dynamo.config.recompile_limit = max(COMPILED_SHAPES, torch._dynamo.config.recompile_limit)
        for block in (*self.blocks_st, *self.blocks_ts):
            block.compile(fullgraph=True, backend=backend)

    def forward(self, pose_BTJ3: Tensor, valid_BT: Tensor | None = None, *, thinned: bool = False) -> PoseFeatures:
        """Encode clips.

        Args:
            pose_BTJ3: x, y in screen units and confidence; T at most `max_frames`.
            valid_BT: bool, False on padding; every clip needs at least one valid frame. None means all valid.
                Frames that are not valid are never read by others; what comes out for them has no meaning.
            thinned: the clips hold every `frame_step`-th frame already, as `thin` leaves them.
        """
        if self.config.frame_step == 1 or thinned:
            return self._in_groups(pose_BTJ3, valid_BT)
        parts = interleaved(pose_BTJ3, valid_BT, self.config.frame_step)
        features = [self._in_groups(pose, valid) for pose, valid in parts]
        tokens = [part.token_mid_BJC for part in features if part.token_mid_BJC is not None]
        return PoseFeatures(
            mean_token(tokens, valid_BT) if tokens else None,
            woven([part.pose3d_BTJ3 for part in features]),
            woven([part.rep_BTJR for part in features]),
        )

    def _in_groups(self, pose_BTJ3: Tensor, valid_BT: Tensor | None) -> PoseFeatures:
        at_once = self._clips_at_once(pose_BTJ3)
        if at_once < pose_BTJ3.shape[0]:
            parts = zip(
                pose_BTJ3.split(at_once),
                valid_BT.split(at_once) if valid_BT is not None else itertools.repeat(None),
                strict=False,
            )
            return _concatenate([self._encode(pose, valid) for pose, valid in parts])
        return self._encode(pose_BTJ3, valid_BT)

    def _encode(self, pose_BTJ3: Tensor, valid_BT: Tensor | None) -> PoseFeatures:
        mask = self._mask(pose_BTJ3, valid_BT)
        x, token_mid = self._embed(pose_BTJ3), None
        for index in range(self.config.depth):
            x = self._pair(index, x, mask)
            if self.class_token is not None and index + 1 == self.config.middle:
                token_mid = x[:, 0].to(self.head.weight.dtype)
                if self.token_to_frames is not None:
                    x = torch.cat([x[:, :1], x[:, 1:] + self.token_to_frames(x[:, :1])], dim=1)
        rep, pose3d = self._regress(x if self.class_token is None else x[:, 1:])
        return PoseFeatures(token_mid, pose3d, rep)

    def token(self, pose_BTJ3: Tensor, valid_BT: Tensor | None = None) -> Tensor:
        """The class token after `middle` pairs, (B, J, C); the pairs above it are not computed."""
        if self.class_token is None:
            raise ValueError("this encoder has no class token")
        if self.config.frame_step == 1:
            return self._token(pose_BTJ3, valid_BT)
        parts = interleaved(pose_BTJ3, valid_BT, self.config.frame_step)
        return mean_token([self._token(pose, valid) for pose, valid in parts], valid_BT)

    def _token(self, pose_BTJ3: Tensor, valid_BT: Tensor | None) -> Tensor:
        mask, x = self._mask(pose_BTJ3, valid_BT), self._embed(pose_BTJ3)
        for index in range(self.config.middle):
            x = self._pair(index, x, mask)
        return x[:, 0].to(self.head.weight.dtype)

    def _clips_at_once(self, pose_BTJ3: Tensor) -> int:
        B, T, J, _ = pose_BTJ3.shape
        if pose_BTJ3.device.type != "cpu" or torch.compiler.is_compiling() or B == 0:
            return B  # a graph of free batch has no groups of fixed size
        groups = math.ceil(B / max(1, CPU_TOKENS // (T * J)))
        return math.ceil(B / groups)  # of like size, so that no small one is left over

    def _embed(self, pose_BTJ3: Tensor) -> Tensor:
        B, T, J, _ = pose_BTJ3.shape
        if self.config.slots < T or self.config.joints != J:
            raise ValueError(
                f"a clip of {T} frames and {J} joints does not fit an encoder for at most "
                f"{self.config.slots} frames of {self.config.joints} joints"
            )
        slots = self.temp_embed[:, :T] + self.pos_embed.unsqueeze(1)
        # In float32 even under autocast: bfloat16 would round coordinates by as much as a detector's jitter.
        with torch.autocast(device_type=pose_BTJ3.device.type, enabled=False):
            frames = _plus(self.joints_embed(pose_BTJ3.to(self.joints_embed.weight.dtype)), slots)
        if self.class_token is not None:
            frames = torch.cat([self.class_token.to(frames.dtype).expand(B, -1, -1, -1), frames], dim=1)
        device = frames.device.type
        if self.bf16_stream and torch.is_autocast_enabled(device):
            return frames.to(torch.get_autocast_dtype(device))
        return frames

    def _mask(self, pose_BTJ3: Tensor, valid_BT: Tensor | None) -> Tensor | None:
        """Which steps may be read: None for all, else bool that broadcasts to (B, 1, S, S)."""
        mask = valid_BT
        if mask is not None:
            if self.class_token is not None:
                mask = F.pad(mask, (1, 0), value=True)
            mask = mask[:, None, None, :]
        if self.class_token is not None and self.config.token_read_only:
            steps = pose_BTJ3.shape[1] + 1
            open_to = torch.ones(steps, steps, dtype=torch.bool, device=pose_BTJ3.device)
            open_to[1:, 0] = False
            mask = open_to[None, None] if mask is None else open_to & mask
        return mask

    def _pair(self, index: int, x_BSJC: Tensor, mask: Tensor | None) -> Tensor:
        """Both streams on the same input, then their blend."""
        st = self.blocks_st[index](x_BSJC, mask)
        ts = self.blocks_ts[index](x_BSJC, mask)
        return self.ts_attn[index](st, ts)

    def _regress(self, x_BTJC: Tensor) -> tuple[Tensor, Tensor]:
        """Representation and 3D pose in float32 even under autocast: bfloat16 would round joints by millimetres."""
        with torch.autocast(device_type=x_BTJC.device.type, enabled=False):
            dtype = self.head.weight.dtype
            rep = torch.tanh(self.pre_logits(self.norm(x_BTJC.to(dtype))))
            return rep, self.head(rep)

"""Random numbers that are a function of (seed, epoch, sample id, purpose, position), not of what was drawn before.

A counter-based generator: the finaliser of SplitMix64 applied to a key plus a counter, on int64 tensors,
for a whole batch at once and on whatever device the keys live. So a sample's draws do not change with the
batch it sits in, with padding (positions are counted with time first), workers, ranks or resumption.
Integers and uniforms are the same bits on every device; normals agree to the last bits of the
device's `log` and `cos`.

Shape suffixes: B clips.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")

# Two's complement forms of SplitMix64's unsigned constants (Steele, Lea and Flood, 2014).
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift; torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _wrapped(number: int) -> int:
    """The int64 that an integer wraps to: a compiler of graphs refuses constants that need more bits."""
    return (number + (1 << 63)) % (1 << 64) - (1 << 63)


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, a bijection on 64-bit words; int64 products wrap as unsigned ones do."""
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def _mix_number(x: int) -> int:
    """The same of a Python number: what a whole batch shares costs a GPU nothing."""
    x %= 1 << 64
    x = ((x ^ (x >> 30)) * _MIX_1) % (1 << 64)
    x = ((x ^ (x >> 27)) * _MIX_2) % (1 << 64)
    return x ^ (x >> 31)


def keys(seed: int, epoch: int, sample_id_B: Tensor) -> Tensor:
    """One int64 key per sample, on the device of `sample_id_B` (int64)."""
    shared = _mix_number(_mix_number(_GAMMA + seed) + _GAMMA + epoch)
    return _mix(sample_id_B + _wrapped(shared + _GAMMA))


def constant_when_compiled(function: Callable[P, R]) -> Callable[P, R]:
    """Mark what a compiled graph may keep as a constant: `torch.compiler.assume_constant_result`, but that
    imports the compiler, which takes longer than the rest of a command's start.
    """
    function._dynamo_marked_constant = True  # type: ignore[attr-defined]
    return function


Streams = tuple[tuple[int, tuple[int, ...]], ...]
"""(stream, shape) of each of several draws."""


@constant_when_compiled
def _layout(streams: Streams, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Constants of a joint draw, made once per device: each stream's offset, and each word's stream and counter."""
    return _make_layout(streams, device)


@functools.lru_cache(maxsize=64)
def _make_layout(streams: Streams, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    offset_S = torch.tensor([_wrapped(_GAMMA + stream) for stream, _ in streams], dtype=torch.int64)
    sizes = torch.tensor([math.prod(shape) for _, shape in streams])
    stream_W = torch.arange(len(streams)).repeat_interleave(sizes)
    counter_W = torch.cat([torch.arange(1, int(size) + 1) for size in sizes]) * _GAMMA
    return offset_S.to(device), stream_W.to(device), counter_W.to(device)


def joint_words(key_B: Tensor, streams: Streams) -> Tensor:
    """(B, W) int64: the words of several streams side by side, in a few operations for all; the bits of `words`."""
    offset_S, stream_W, counter_W = _layout(streams, key_B.device)
    return _mix(_mix(key_B[:, None] + offset_S).index_select(1, stream_W) + counter_W)


def split(drawn_BW: Tensor, streams: Streams) -> list[Tensor]:
    """What was made of `joint_words`, stream by stream, each (B, *shape)."""
    parts = drawn_BW.split([math.prod(shape) for _, shape in streams], dim=1)
    return [part.unflatten(1, shape) if shape else part[:, 0] for part, (_, shape) in zip(parts, streams, strict=True)]


def words(key_B: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """(B, *shape) int64 with 64 random bits each; `stream` keeps the purposes of one sample apart."""
    return joint_words(key_B, ((stream, shape),)).view(-1, *shape)


def as_uniform(word: Tensor) -> Tensor:
    """Words as float32 in [0, 1), on the grid of 2**-24."""
    return _shift_right(word, 40).to(torch.float32) * 2.0**-24


def as_normal(word: Tensor) -> Tensor:
    """Words as float32 standard normals (Box-Muller, one word a value; |x| stays below 6.7).

    Computed in float64, so that differences between devices' `log` and `cos` vanish in the rounding.
    """
    radius = torch.log((_shift_right(word, 32) + 1).to(torch.float64) * 2.0**-32).mul_(-2).sqrt_()
    angle = (word & 0xFFFFFFFF).to(torch.float64) * (2.0**-32 * 2 * math.pi)
    return (radius * torch.cos(angle)).to(torch.float32)


def as_integer(word: Tensor, bound: Tensor | int) -> Tensor:
    """Words as int64 in [0, bound); `bound` below 2**31, an int or a tensor of the same shape, at least 1."""
    return (_shift_right(word, 32) * bound) >> 32


def uniform(key_B: Tensor, stream: int, shape: tuple[int, ...] = ()) -> Tensor:
    """(B, *shape) float32 in [0, 1)."""
    return as_uniform(words(key_B, stream, shape))


def normal(key_B: Tensor, stream: int, shape: tuple[int, ...] = ()) -> Tensor:
    """(B, *shape) float32 standard normal."""
    return as_normal(words(key_B, stream, shape))


def integer(key_B: Tensor, stream: int, bound: Tensor | int) -> Tensor:
    """(B,) int64 in [0, bound)."""
    return as_integer(words(key_B, stream, ()), bound)

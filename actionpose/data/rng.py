"""Random numbers that are a function of (seed, epoch, sample id, purpose, position), not of what was drawn before.

A counter-based generator: the finaliser of SplitMix64 applied to a key plus a counter, on int64 tensors,
for a whole batch at once and on whatever device the keys live. So a sample's draws do not change with the
batch it sits in, with padding (positions are counted with time first), workers, ranks or resumption.
Integers and uniforms are the same bits on every device; normals agree to the last bits of the
device's `log` and `cos`.

Shape suffixes: B clips.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

# Two's complement forms of SplitMix64's unsigned constants (Steele, Lea and Flood, 2014).
_GAMMA = 0x9E3779B97F4A7C15 - (1 << 64)
_MIX_1 = 0xBF58476D1CE4E5B9 - (1 << 64)
_MIX_2 = 0x94D049BB133111EB - (1 << 64)


def _shift_right(x: Tensor, bits: int) -> Tensor:
    """Logical shift; torch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: Tensor) -> Tensor:
    """SplitMix64's finaliser, a bijection on 64-bit words; int64 products wrap as unsigned ones do."""
    x = (x ^ _shift_right(x, 30)) * _MIX_1
    x = (x ^ _shift_right(x, 27)) * _MIX_2
    return x ^ _shift_right(x, 31)


def keys(seed: int, epoch: int, sample_id_B: Tensor) -> Tensor:
    """One int64 key per sample, on the device of `sample_id_B` (int64)."""
    key = torch.zeros_like(sample_id_B, dtype=torch.int64)
    for word in (seed, epoch, sample_id_B):
        key = _mix(key + _GAMMA + word)
    return key


def words(key_B: Tensor, stream: int, shape: tuple[int, ...]) -> Tensor:
    """(B, *shape) int64 with 64 random bits each; `stream` keeps the purposes of one sample apart."""
    start = _mix(key_B + _GAMMA + stream)
    counter = torch.arange(1, math.prod(shape) + 1, dtype=torch.int64, device=key_B.device)
    return _mix(start[:, None] + counter * _GAMMA).view(-1, *shape)


def uniform(key_B: Tensor, stream: int, shape: tuple[int, ...] = ()) -> Tensor:
    """(B, *shape) float32 in [0, 1), on the grid of 2**-24."""
    return _shift_right(words(key_B, stream, shape), 40).to(torch.float32) * 2.0**-24


def normal(key_B: Tensor, stream: int, shape: tuple[int, ...] = ()) -> Tensor:
    """(B, *shape) float32 standard normal (Box-Muller, one word a value; |x| stays below 6.7).

    Computed in float64, so that differences between devices' `log` and `cos` vanish in the rounding.
    """
    word = words(key_B, stream, shape)
    radius = torch.log((_shift_right(word, 32) + 1).to(torch.float64) * 2.0**-32).mul_(-2).sqrt_()
    angle = (word & 0xFFFFFFFF).to(torch.float64) * (2.0**-32 * 2 * math.pi)
    return (radius * torch.cos(angle)).to(torch.float32)


def integer(key_B: Tensor, stream: int, bound: Tensor | int) -> Tensor:
    """(B,) int64 in [0, bound); `bound` below 2**31, an int or one per sample, at least 1."""
    return (_shift_right(words(key_B, stream, ()), 32) * bound) >> 32

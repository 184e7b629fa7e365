"""What pretraining does to clean 2D poses: detector-like noise, confused sides if asked, then one of three masks.

Everything is drawn per clip from (seed, epoch, sample id), never shared by a batch, and computed for the
whole batch on its device. Masked and padded entries are zero in x, y and confidence, as in MotionBERT.

Shape suffixes: B clips, T frames, J joints, K noise key frames.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from dataclasses import dataclass
from enum import IntEnum
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from actionpose.config import setting, shares
from actionpose.data import rng
from actionpose.skeleton import BODY_PARTS, FLIP_ORDER, LEFT, N_JOINTS, RIGHT

# MotionBERT's fit of a detector's error on Human3.6M, a row per joint in Human3.6M order: with probability `weight` a
# normal with this mean and deviation (x, y), otherwise a uniform draw. Screen units.
_NOISE = (
    (0.998745, (0.000813, 0.000212), (0.003663, 0.003573)),
    (0.966954, (-0.000148, 0.001998), (0.007135, 0.005109)),
    (0.889607, (0.002039, -0.001510), (0.006084, 0.005003)),
    (0.893835, (0.000944, 0.000908), (0.008953, 0.005293)),
    (0.974620, (0.001867, -0.000704), (0.006717, 0.005328)),
    (0.876673, (0.001933, -0.005204), (0.007013, 0.004921)),
    (0.821006, (0.000894, -0.001872), (0.009506, 0.005625)),
    (0.957807, (0.002468, 0.002334), (0.006588, 0.004968)),
    (0.918315, (0.002141, -0.006508), (0.005491, 0.005305)),
    (0.967940, (0.001656, 0.001655), (0.005339, 0.004877)),
    (0.984120, (0.000837, 0.001593), (0.003416, 0.003492)),
    (0.890993, (0.000794, -0.004622), (0.008007, 0.006087)),
    (0.801556, (0.001499, 0.000296), (0.005168, 0.004754)),
    (0.702770, (0.001159, 0.001630), (0.004990, 0.005089)),
    (0.880896, (0.002104, -0.003166), (0.007823, 0.007934)),
    (0.824629, (0.001682, -0.000330), (0.006009, 0.005721)),
    (0.728748, (0.001664, 0.001318), (0.005370, 0.005684)),
)
NOISE_WEIGHT, NOISE_MEAN, NOISE_STD = zip(*_NOISE, strict=True)

KEY_FRAME_SPACING = 242 / 26
"""Frames between two noise key frames: MotionBERT draws 27 over 243 frames. The spacing is kept for clips of
every length, so that noise is equally slow in all of them and does not depend on padding."""

# A detector's confidence against the size d of its error: a / (d + a) + b d + N(m, s^2), cut to [0, 1].
CONFIDENCE_A, CONFIDENCE_B, CONFIDENCE_MEAN, CONFIDENCE_STD = 0.028, 1.1, -0.0045857, 0.1431057


@dataclass(frozen=True, kw_only=True)
class CorruptConfig:
    """How 2D poses are corrupted in pretraining (paper, 'Objective Function' and appendix 'Pretraining')."""

    noise: bool = setting(True, "add detector-like noise; the paper says so without numbers, so MotionBERT's")
    noise_scale: float = setting(1.0, "factor on all displacements; 1 is MotionBERT's")
    noise_spread: float = setting(
        0.0, "the displacements of each clip are further multiplied by a factor from 1 - this to 1 + this"
    )
    certain: float = setting(
        0.0, "share of clips whose joints all have confidence 1, as in files that carry no confidence"
    )
    noise_range: float = setting(0.06, "width of the uniform part, in screen units: a draw is within half of it")
    jitter: float = setting(0.002, "deviation of the white noise of every frame, in screen units")
    swap_sides: float = setting(
        0.0,
        "share of clips in which left and right of the arms, the legs or both change places for some frames, as a "
        "detector confuses the sides of people from behind. 0: MotionBERT's fit of a detector's errors has no such "
        "thing, nor has the paper",
    )
    swap_frames: int = setting(
        15,
        "longest such time in frames; uniform from 1, and never more than half of the clip, of which the rest must say "
        "which side is which",
    )
    share_random: float = setting(0.5, "share of clips with random joints and frames masked; paper 50 %")
    share_part: float = setting(0.25, "share of clips with one of the six body parts masked; paper 25 %")
    share_window: float = setting(0.25, "share of clips with a time window masked; paper 25 %")
    joint_rate: float = setting(0.05, "probability of a joint of a frame to be masked; paper 5 %")
    frame_rate: float = setting(0.15, "probability of a whole frame to be masked; paper 15 %, MotionBERT 10 %")
    window_min: int = setting(30, "shortest time window (T1), in frames of a clip of `window_of`; paper 30")
    window_max: int = setting(80, "longest time window (T2), in frames of a clip of `window_of`; paper 80")
    window_of: int = setting(
        243,
        "clip length that window_min and window_max are meant for; other clips get windows in proportion, so that a "
        "short one is not hidden all but one frame. The paper's clips have 243 frames. 0: the same frames for any clip",
    )

    masks_from: float = setting(
        0.0,
        "share of the steps before any clip is masked: until then clips only carry the noise. The paper masks from the "
        "first step, but starts from trained weights",
    )

    finetune_share: float = setting(
        0.0,
        "share of fine-tuning's clips that are masked as in pretraining; its detections keep the errors they have. The "
        "paper fine-tunes on whole poses alone, which unlearns within a few hundred steps what masks taught",
    )

    def __post_init__(self) -> None:
        shares(
            self, "masks_from", "finetune_share", "noise_spread", "certain", "joint_rate", "frame_rate", "swap_sides"
        )
        shares(self, *(masks := ("share_random", "share_part", "share_window")))
        if sum(getattr(self, name) for name in masks) > 1 + 1e-9:
            raise ValueError(f"{', '.join(f'{name}={getattr(self, name)}' for name in masks)} add up to more than 1")
        if self.swap_frames < 1:
            raise ValueError(f"swap_frames is {self.swap_frames}: sides change places for at least 1 frame")
        if not 0 <= self.window_min <= self.window_max:
            raise ValueError(f"time windows from {self.window_min} to {self.window_max} frames do not exist")
        if self.window_of < 0 or 0 < self.window_of < self.window_max:
            raise ValueError(f"a window of {self.window_max} frames does not fit a clip of {self.window_of}")


class Mask(IntEnum):
    """Which mask a clip got; `NONE` when the shares leave a rest."""

    RANDOM = 0
    PART = 1
    WINDOW = 2
    NONE = 3


def masks_only(config: CorruptConfig, share: float) -> CorruptConfig:
    """The masks of `config` on `share` of the clips, its kinds in the same proportion, and no errors; from step one."""
    shares = {key: share * getattr(config, key) for key in ("share_random", "share_part", "share_window")}
    return dataclasses.replace(config, noise=False, swap_sides=0.0, masks_from=0.0, **shares)


def longest_window(config: CorruptConfig, frames: int) -> int:
    """The most frames in a row that are hidden in a clip of so many frames (`_window_mask`)."""
    longest = config.window_max
    if config.window_of:
        longest = (2 * longest * frames + config.window_of) // (2 * config.window_of)
    return min(longest, frames - 1)


class Corrupted(NamedTuple):
    """What corruption gives back.

    Attributes:
        pose2d_BTJ3: the corrupted input; zero wherever masked or padded.
        masked_BTJ: bool, True where the mask (or padding) took the joint.
        mask_B: int64, the `Mask` of each clip.
    """

    pose2d_BTJ3: Tensor
    masked_BTJ: Tensor
    mask_B: Tensor


class _Stream(IntEnum):
    """One number per purpose; changing one changes every run, so only ever add."""

    PICK = 0
    NORMAL = 1
    UNIFORM = 2
    JITTER = 3
    CONFIDENCE = 4
    KIND = 5
    JOINT = 6
    FRAME = 7
    PART = 8
    LENGTH = 9
    START = 10
    SPREAD = 11
    CERTAIN = 12
    SWAP = 13
    SWAP_KIND = 14
    SWAP_LENGTH = 15
    SWAP_START = 16


_Drawn = dict[int, Tensor]
"""Random numbers of a batch by stream: words for what becomes an integer, else the numbers themselves."""


def corrupt(
    pose2d_BTJ3: Tensor,
    valid_BT: Tensor,
    sample_id_B: Tensor,
    config: CorruptConfig,
    *,
    seed: int,
    epoch: int,
) -> Corrupted:
    """Corrupt a batch of clean 2D clips; the input is not modified.

    Args:
        pose2d_BTJ3: float32, x, y in screen units and confidence.
        valid_BT: bool, True on the first frames of each clip and False on its padding.
        sample_id_B: int64; with `seed` and `epoch` it decides the random numbers of a clip.
        config: rates and sizes.
        seed: of the run.
        epoch: counted from 0; each epoch corrupts a clip differently.
    """
    swap = config.swap_sides > 0
    drawn = _draw(rng.keys(seed, epoch, sample_id_B), pose2d_BTJ3.shape[1], noise=config.noise, mask=True, swap=swap)
    noisy = _moved(pose2d_BTJ3, drawn, config) if config.noise else pose2d_BTJ3
    noisy = _swapped(noisy, valid_BT, drawn, config) if swap else noisy
    masked_BTJ, mask_B = _masked(valid_BT, drawn, config)
    masked_BTJ = masked_BTJ | ~valid_BT[..., None]
    return Corrupted(noisy.masked_fill(masked_BTJ[..., None], 0.0), masked_BTJ, mask_B)


def _draw(key_B: Tensor, frames: int, *, noise: bool, mask: bool, swap: bool = False) -> _Drawn:
    """All random numbers of a batch in one joint draw: on a GPU a fifth of the operations of one draw a purpose."""
    T, J, K = frames, N_JOINTS, math.floor((frames - 1) / KEY_FRAME_SPACING) + 2
    normals: rng.Streams = (
        ((_Stream.NORMAL, (K, J, 2)), (_Stream.JITTER, (T, J, 2)), (_Stream.CONFIDENCE, (T, J))) if noise else ()
    )
    uniforms: rng.Streams = ()
    integers: rng.Streams = ()
    if noise:
        uniforms = ((_Stream.UNIFORM, (K, J, 2)), (_Stream.PICK, (K, J)), (_Stream.SPREAD, ()), (_Stream.CERTAIN, ()))
    if mask:
        uniforms += ((_Stream.KIND, ()), (_Stream.JOINT, (T, J)), (_Stream.FRAME, (T,)))
        integers = ((_Stream.PART, ()), (_Stream.LENGTH, ()), (_Stream.START, ()))
    if swap:
        uniforms += ((_Stream.SWAP, ()),)
        integers += ((_Stream.SWAP_KIND, ()), (_Stream.SWAP_LENGTH, ()), (_Stream.SWAP_START, ()))
    groups = (normals, uniforms, integers)
    sizes = [sum(math.prod(shape) for _, shape in group) for group in groups]
    words = rng.joint_words(key_B, normals + uniforms + integers).split(sizes, dim=1)
    drawn: _Drawn = {}
    for group, word, made in zip(groups, words, (rng.as_normal, rng.as_uniform, None), strict=True):
        values = rng.split(made(word) if made and group else word, group) if group else []
        drawn |= {stream: value for (stream, _), value in zip(group, values, strict=True)}
    return drawn


def add_noise(pose2d_BTJ3: Tensor, key_B: Tensor, config: CorruptConfig) -> Tensor:
    """Move x, y like a detector would and replace the confidence by one that fits the displacement."""
    return _moved(pose2d_BTJ3, _draw(key_B, pose2d_BTJ3.shape[1], noise=True, mask=False), config)


def _moved(pose2d_BTJ3: Tensor, drawn: _Drawn, config: CorruptConfig) -> Tensor:
    slow = _between_key_frames(_key_frames(drawn, config), pose2d_BTJ3.shape[1])
    moved = (slow + config.jitter * drawn[_Stream.JITTER]) * config.noise_scale
    if config.noise_spread:
        moved = moved * (1 + config.noise_spread * (2 * drawn[_Stream.SPREAD] - 1))[:, None, None, None]
    distance = torch.linalg.vector_norm(moved, dim=-1)
    spread = CONFIDENCE_MEAN + CONFIDENCE_STD * drawn[_Stream.CONFIDENCE]
    confidence = CONFIDENCE_A / (distance + CONFIDENCE_A) + CONFIDENCE_B * distance + spread
    confidence = confidence.clamp(0, 1)
    if config.certain:
        certain_B = drawn[_Stream.CERTAIN] < config.certain
        confidence = torch.where(certain_B[:, None, None], 1.0, confidence)
    return torch.cat([pose2d_BTJ3[..., :2] + moved, confidence.unsqueeze(-1)], dim=-1)


@functools.cache
def _noise_tables(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Mean, deviation (J, 2) and weight (J,), made once per device: a copy to a GPU in every step waits for it."""
    mean, std, weight = (torch.tensor(table, device=device) for table in (NOISE_MEAN, NOISE_STD, NOISE_WEIGHT))
    return mean, std, weight


def _key_frames(drawn: _Drawn, config: CorruptConfig) -> Tensor:
    """(B, K, J, 2) displacements: normal with probability `weight`, else uniform; one choice for x and y."""
    mean, std, weight = _noise_tables(drawn[_Stream.NORMAL].device)
    normal = mean + std * drawn[_Stream.NORMAL]
    uniform = (drawn[_Stream.UNIFORM] - 0.5) * config.noise_range
    return torch.where((drawn[_Stream.PICK] < weight).unsqueeze(-1), normal, uniform)


def _between_key_frames(key_frames_BKJ2: Tensor, frames: int) -> Tensor:
    """(B, T, J, 2): straight lines from key frame to key frame."""
    device = key_frames_BKJ2.device
    place = torch.arange(frames, dtype=torch.float64, device=device) / KEY_FRAME_SPACING
    left = place.floor().long()
    share = (place - left).to(key_frames_BKJ2.dtype)[:, None, None]
    return key_frames_BKJ2[:, left] * (1 - share) + key_frames_BKJ2[:, left + 1] * share


@functools.cache
def _sides(device: torch.device) -> tuple[Tensor, Tensor]:
    """Bool (3, J), which joints have a side: of arms, legs, both; and the order in which sides change places."""
    arms = [joint for joint in LEFT + RIGHT if joint in BODY_PARTS["arms"]]
    legs = [joint for joint in LEFT + RIGHT if joint not in arms]
    members = torch.zeros(3, N_JOINTS, dtype=torch.bool)
    for row, joints in enumerate((arms, legs, arms + legs)):
        members[row, joints] = True
    return members.to(device), torch.tensor(FLIP_ORDER, device=device)


def _swapped(pose2d_BTJ3: Tensor, valid_BT: Tensor, drawn: _Drawn, config: CorruptConfig) -> Tensor:
    """In some clips, left and right of one group of joints under each other's name for one run of frames."""
    members, order = _sides(pose2d_BTJ3.device)
    size_B = torch.minimum(1 + rng.as_integer(drawn[_Stream.SWAP_LENGTH], config.swap_frames), valid_BT.sum(dim=1) // 2)
    inside_BT = _run_of_frames(valid_BT, size_B, drawn[_Stream.SWAP_START])
    inside_BT = inside_BT & (drawn[_Stream.SWAP] < config.swap_sides)[:, None]
    chosen_BJ = members.index_select(0, rng.as_integer(drawn[_Stream.SWAP_KIND], len(members)))
    return torch.where(
        (inside_BT[..., None] & chosen_BJ[:, None])[..., None], pose2d_BTJ3.index_select(2, order), pose2d_BTJ3
    )


def _run_of_frames(valid_BT: Tensor, size_B: Tensor, word_B: Tensor) -> Tensor:
    """Bool (B, T): that many frames in a row, anywhere among the valid ones."""
    start = rng.as_integer(word_B, valid_BT.sum(dim=1) - size_B + 1)
    frame = torch.arange(valid_BT.shape[1], device=valid_BT.device)
    return (frame >= start[:, None]) & (frame < (start + size_B)[:, None])


def _masked(valid_BT: Tensor, drawn: _Drawn, config: CorruptConfig) -> tuple[Tensor, Tensor]:
    """One mask per clip: bool (B, T, J) and the `Mask` of each clip (B,).

    All three are drawn and one is kept: cheaper on a GPU than sorting clips by kind, and a clip's
    draws do not depend on which kind another clip got.
    """
    # Three comparisons with numbers, not one with a tensor that a GPU would have to be sent, and would wait for.
    first, second, third = _edges(config.share_random, config.share_part, config.share_window)
    share = drawn[_Stream.KIND]
    kind_B = (share >= first).long() + (share >= second) + (share >= third)
    options = (_random_mask(drawn, config), _part_mask(valid_BT, drawn), _window_mask(valid_BT, drawn, config))
    masked = torch.zeros_like(options[0])
    for kind, option in zip((Mask.RANDOM, Mask.PART, Mask.WINDOW), options, strict=True):
        masked = masked | (option & (kind_B == int(kind))[:, None, None])
    return masked, kind_B


@rng.constant_when_compiled
def _edges(*shares: float) -> list[float]:
    """Where the kinds of mask end on the line from 0 to 1, summed in float32 as they are compared."""
    edges: list[float] = np.cumsum(np.array(shares, dtype=np.float32), dtype=np.float32).tolist()
    return edges


def _random_mask(drawn: _Drawn, config: CorruptConfig) -> Tensor:
    """Single joints of single frames, and whole frames, each on its own."""
    joints = drawn[_Stream.JOINT] < config.joint_rate
    frames = drawn[_Stream.FRAME] < config.frame_rate
    return joints | frames[..., None]


@functools.cache
def _part_members(device: torch.device) -> Tensor:
    """(6, J) bool: which joints a body part has, made once per device."""
    members = torch.zeros(len(BODY_PARTS), N_JOINTS, dtype=torch.bool)
    for row, joints in enumerate(BODY_PARTS.values()):
        members[row, list(joints)] = True
    return members.to(device)


def _part_mask(valid_BT: Tensor, drawn: _Drawn) -> Tensor:
    """One of the six body parts, in all frames of the clip."""
    part_B = rng.as_integer(drawn[_Stream.PART], len(BODY_PARTS))
    chosen = _part_members(part_B.device).index_select(0, part_B)
    return chosen[:, None, :].expand(-1, valid_BT.shape[1], -1)


def _window_mask(valid_BT: Tensor, drawn: _Drawn, config: CorruptConfig) -> Tensor:
    """A run of frames, its length and start uniform; inside the valid frames, of which at least one stays.

    The length drawn is that of a clip of `window_of` frames; one of another length gets its share, rounded, at least 1.
    """
    length_B = valid_BT.sum(dim=1)
    size = config.window_min + rng.as_integer(drawn[_Stream.LENGTH], config.window_max - config.window_min + 1)
    if config.window_of:
        share = (2 * size * length_B + config.window_of) // (2 * config.window_of)
        size = torch.where(size > 0, share.clamp(min=1), 0)
    size = torch.minimum(size, (length_B - 1).clamp(min=0))
    inside = _run_of_frames(valid_BT, size, drawn[_Stream.START])
    return inside[..., None].expand(-1, -1, N_JOINTS)

"""Ways to degrade 2D input by a known amount: hide parts of it, add noise, or change its frame rate.

Random choices depend only on (seed, sample): every run gets the same input, and the levels of one curve are
nested, so that what a mild level hides a severe one hides too.

Shape suffixes: B clips, T frames, J joints.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import IntEnum

import torch
from torch import Tensor

from actionpose.config import setting
from actionpose.data import rng
from actionpose.data.corrupt import CorruptConfig, add_noise
from actionpose.skeleton import BODY_PARTS, N_JOINTS

Perturbation = Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]
"""(pose2d (B, T, 17, 3), valid (B, T), key (B,)) → the perturbed input, and bool (B, T, 17): what was hidden."""


class _Stream(IntEnum):
    """One number per purpose; only append. Far from those of `corrupt` and `batches`."""

    JOINTS = 301
    START = 302
    FRAMES = 303
    CONFIDENCE = 304


@dataclass(frozen=True, kw_only=True)
class RobustnessConfig:
    """Which curves are measured, at which levels. Every curve also has the clean level, with unchanged input."""

    curves: tuple[str, ...] = setting(
        ("part", "joints", "window", "frames", "noise", "confidence", "rate"), "curves to measure"
    )
    parts: tuple[str, ...] = setting(tuple(BODY_PARTS), "body parts hidden for the whole clip, one at a time")
    joints: tuple[float, ...] = setting((0.1, 0.25, 0.5, 0.75), "shares of the 17 joints hidden for the whole clip")
    window: tuple[int, ...] = setting(
        (10, 30, 60, 80), "consecutive frames that are completely hidden; shortened so that one frame stays"
    )
    frames: tuple[float, ...] = setting((0.1, 0.25, 0.5, 0.75, 0.9), "shares of frames lost, each independently")
    noise: tuple[float, ...] = setting(
        (1.0, 2.0, 4.0, 8.0),
        "multiples of the detector's error (`corrupt`). On projected 2D it replaces data.detections, so that "
        "the clean level of this curve is exact 2D; on stored detections it is added",
    )
    confidence: tuple[float, ...] = setting(
        (0.25, 0.5, 1.0), "shares of joints whose confidence is set to 0 while x and y stay; and once all are set to 1"
    )
    rate: tuple[float, ...] = setting(
        (0.25, 0.5, 2.0), "frame rate as a multiple of the model's: input and target are resampled in time"
    )
    seed: int = setting(0, "seed of all random choices here; separate from run.seed, so that runs can be compared")
    windows: int = setting(0, "measure on at most this many windows, evenly spread; 0: all")

    def __post_init__(self) -> None:
        wrong = sorted({*self.curves} - {*CURVES}) + sorted({*self.parts} - {*BODY_PARTS})
        if wrong or not self.curves:
            raise ValueError(f"{', '.join(wrong) or 'nothing'} is not a curve ({', '.join(CURVES)}) or a body part")
        shares = (*self.joints, *self.frames, *self.confidence)
        if shares and not (min(shares) > 0 and max(shares) <= 1):
            raise ValueError("shares of joints, frames and confidence must be above 0 and at most 1")
        if self.window and min(self.window) < 1:
            raise ValueError("windows start at 1 frame")
        if min((*self.noise, *self.rate, 1.0)) <= 0 or self.windows < 0:
            raise ValueError("noise and rate must be positive, windows not negative")


CURVES: dict[str, str] = {
    "part": "hidden body part",
    "joints": "share of joints hidden",
    "window": "frames hidden in a row",
    "frames": "share of frames missing",
    "noise": "joint noise, times the detector's",
    "confidence": "confidence",
    "rate": "frame rate, times the trained one",
}
"""Curve → label of its axis."""


@dataclass(frozen=True, kw_only=True)
class Level:
    """One point of a curve.

    Attributes:
        curve: name in `CURVES`.
        label: what the point is called: `clean`, a body part, or the amount.
        amount: position on the axis; for curves over names, the index of the name.
        perturb: hides or changes input with a detector's errors; None: the input is not changed here.
        noise: factor on the detector's error, added to exact input; None: the input that the settings ask for.
        rate: frame rate as a multiple of that of the shards.
    """

    curve: str
    label: str
    amount: float
    perturb: Perturbation | None = None
    noise: float | None = None
    rate: float = 1.0


NAMED = ("part", "confidence")
"""Curves whose levels are names, not amounts."""


def levels(config: RobustnessConfig) -> list[Level]:
    """All levels of the curves asked for, the clean one of each first; a rate of 1 is the clean one."""
    made: list[Level] = []
    for curve in config.curves:
        clean = 1.0 if curve == "rate" else 0.0
        made.append(Level(curve=curve, label="clean", amount=clean, noise=0.0 if curve == "noise" else None))
        made += _LEVELS[curve](config)
    return made


def _amounts(curve: str, amounts: tuple[float, ...], way: Callable[[float], Perturbation]) -> list[Level]:
    return [Level(curve=curve, label=f"{a:g}", amount=float(a), perturb=way(a)) for a in sorted(amounts)]


def _confidence_levels(config: RobustnessConfig) -> list[Level]:
    shares = [(f"0 for {share:.0%}", hide_confidence(share)) for share in sorted(config.confidence)]
    named = [*shares, ("1 for all", full_confidence)]
    return [Level(curve="confidence", label=n, amount=i, perturb=s) for i, (n, s) in enumerate(named, 1)]


_LEVELS: dict[str, Callable[[RobustnessConfig], list[Level]]] = {
    "part": lambda c: [Level(curve="part", label=p, amount=i, perturb=hide_part(p)) for i, p in enumerate(c.parts, 1)],
    "joints": lambda c: _amounts("joints", c.joints, hide_joints),
    "window": lambda c: _amounts("window", c.window, hide_window),
    "frames": lambda c: _amounts("frames", c.frames, hide_frames),
    "noise": lambda c: [Level(curve="noise", label=f"{a:g}", amount=a, noise=a) for a in sorted(c.noise)],
    "confidence": _confidence_levels,
    "rate": lambda c: [Level(curve="rate", label=f"{a:g}", amount=a, rate=a) for a in sorted(c.rate) if a != 1.0],
}


# --- hiding: x, y and confidence become 0, as in training -------------------------------------


def _hide(pose2d_BTJ3: Tensor, hidden_BTJ: Tensor, valid_BT: Tensor) -> tuple[Tensor, Tensor]:
    hidden = hidden_BTJ.expand(pose2d_BTJ3.shape[:3]) & valid_BT[..., None]
    return pose2d_BTJ3.masked_fill(hidden[..., None], 0.0), hidden


def hide_part(part: str) -> Perturbation:
    """One of the six body parts, in all frames."""
    member = torch.zeros(N_JOINTS, dtype=torch.bool)
    member[list(BODY_PARTS[part])] = True

    def perturb(pose2d: Tensor, valid: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        return _hide(pose2d, member.to(pose2d.device)[None, None], valid)

    return perturb


def hide_joints(share: float) -> Perturbation:
    """The same `share` of the joints in all frames of a clip, rounded to whole joints, at least one."""

    def perturb(pose2d: Tensor, valid: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        rank = rng.uniform(key, _Stream.JOINTS, (N_JOINTS,)).argsort(dim=1).argsort(dim=1)
        return _hide(pose2d, (rank < max(1, round(share * N_JOINTS)))[:, None], valid)

    return perturb


def hide_window(frames: float) -> Perturbation:
    """This many consecutive frames; one frame of the clip stays. A longer window contains the shorter ones."""

    def perturb(pose2d: Tensor, valid: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        length = valid.sum(dim=1)
        size = torch.minimum(torch.full_like(length, int(frames)), (length - 1).clamp(min=0))
        start = (rng.uniform(key, _Stream.START).double() * (length - size + 1)).floor().long()
        at = torch.arange(valid.shape[1], device=valid.device)
        inside = (at >= start[:, None]) & (at < (start + size)[:, None])
        return _hide(pose2d, inside[..., None], valid)

    return perturb


def hide_frames(share: float) -> Perturbation:
    """Each frame with this probability."""

    def perturb(pose2d: Tensor, valid: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        lost = rng.uniform(key, _Stream.FRAMES, (valid.shape[1],)) < share
        return _hide(pose2d, lost[..., None], valid)

    return perturb


# --- changing ---------------------------------------------------------------------------------


def hide_confidence(share: float) -> Perturbation:
    """Set the confidence of this share of all joints and frames to 0 and leave x and y; nothing is hidden."""

    def perturb(pose2d: Tensor, valid: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
        hit = rng.uniform(key, _Stream.CONFIDENCE, tuple(pose2d.shape[1:3])) < share
        confidence = pose2d[..., 2].masked_fill(hit, 0.0)
        return torch.cat([pose2d[..., :2], confidence[..., None]], dim=-1), torch.zeros_like(hit)

    return perturb


def full_confidence(pose2d: Tensor, valid: Tensor, key: Tensor) -> tuple[Tensor, Tensor]:
    """Set all confidences to 1: a detector that does not say how sure it is."""
    sure = torch.cat([pose2d[..., :2], torch.ones_like(pose2d[..., 2:])], dim=-1)
    return sure, torch.zeros(pose2d.shape[:3], dtype=torch.bool, device=pose2d.device)


def shake(pose2d_BTJ3: Tensor, sample_id_B: Tensor, factor: float, *, seed: int) -> Tensor:
    """Exact 2D with `factor` times the detector's error; at 1 bit-identical to `batches.Detector`."""
    if factor == 0:
        return pose2d_BTJ3
    return add_noise(pose2d_BTJ3, rng.keys(seed, 0, sample_id_B), CorruptConfig(noise_scale=factor))


def resample(x_BTJ3: Tensor, rate: float) -> Tensor:
    """Resample clips to `rate` times their frame rate, with linear interpolation, starting at the first frame."""
    place = torch.arange(int((x_BTJ3.shape[1] - 1) * rate + 1e-9) + 1, dtype=torch.float64) / rate
    left = place.floor().long().clamp(max=x_BTJ3.shape[1] - 1)
    right = (left + 1).clamp(max=x_BTJ3.shape[1] - 1)
    share = (place - left).to(x_BTJ3)[:, None, None]
    return x_BTJ3[:, left] * (1 - share) + x_BTJ3[:, right] * share


def resampled_counts(counts_B: Tensor, rate: float) -> Tensor:
    """Frames of clips of `counts` frames at the new rate: those at or before the clip's last frame."""
    return ((counts_B - 1).double() * rate + 1e-9).floor().long() + 1

"""Any length: overlapping windows through the model, blended where they overlap.

Shape suffixes: B windows, T frames, J joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor

from actionpose.arrays import Floats
from actionpose.data.place import to_metres, to_model
from actionpose.data.projection import both_ways
from actionpose.data.windows import window_starts
from actionpose.lift.source import LiftModel
from actionpose.lift.timeline import TimeGrid
from actionpose.progress import Progress
from actionpose.skeleton import ROOT


@dataclass(frozen=True, kw_only=True)
class Window:
    """Frames [start, start + length) of a stretch."""

    stretch: int
    start: int
    length: int


def plan_windows(grids: Sequence[TimeGrid], size: int, stride: int) -> list[Window]:
    """Windows over all stretches in which anything is seen, long ones first so that batches hold little padding."""
    plan = [
        Window(stretch=number, start=start, length=min(size, len(grid.seconds)))
        for number, grid in enumerate(grids)
        for start in window_starts(len(grid.seconds), size, stride)
        if (grid.confidence[start : start + size] > 0).any()
    ]
    return sorted(plan, key=lambda window: -window.length)


def blend_weight(length: int) -> Floats:
    """(T,) weight of a window's frames: highest in the middle, where the model sees most on both sides, never zero."""
    place = (np.arange(length) + 0.5) / length
    return np.sin(np.pi * place) ** 2 + 1e-3


def lift_grids(
    grids: Sequence[TimeGrid], sizes: Sequence[Floats], source: LiftModel, *, flip: bool, batch: int, progress: bool
) -> list[Floats]:
    """Root-relative 3D of every stretch, (T, 17, 3) metres of an adult; see `place` for the rule.

    Args:
        grids: stretches at one rate.
        sizes: `place.sizes_of` each.
        source: the model.
        flip: average with what the mirrored input gives.
        batch: windows at once; bounds memory.
        progress: say how far it is (`progress.Progress`).
    """
    total = [np.zeros((len(grid.seconds), 17, 3)) for grid in grids]
    weight = [np.zeros(len(grid.seconds)) for grid in grids]
    plan = plan_windows(grids, source.frames, max(1, source.frames // 2))
    with Progress("lifting", total=len(plan), unit="window", shown=progress) as bar, torch.inference_mode():
        for first in range(0, len(plan), batch):
            some = plan[first : first + batch]
            x_BTJ3, valid_BT = window_batch(some, grids, sizes, source)
            lift = partial(source.model.lift, valid_BT=valid_BT)
            lifted = both_ways(lift, x_BTJ3) if flip else lift(x_BTJ3)
            metres = to_metres(lifted.double().cpu().numpy(), source.unit)
            for window, pose in zip(some, metres, strict=True):
                part = slice(window.start, window.start + window.length)
                share = blend_weight(window.length)
                total[window.stretch][part] += pose[: window.length] * share[:, None, None]
                weight[window.stretch][part] += share
            bar.advance(len(some))
    return [_mean(t, w) for t, w in zip(total, weight, strict=True)]


def _mean(total: Floats, weight: Floats) -> Floats:
    """NaN where no window had anything to go by."""
    mean = total / np.where(weight > 0, weight, np.nan)[:, None, None]
    return mean - mean[:, ROOT : ROOT + 1]


def window_batch(
    some: Sequence[Window], grids: Sequence[TimeGrid], sizes: Sequence[Floats], source: LiftModel
) -> tuple[Tensor, Tensor | None]:
    """Windows as the model takes them (`padded`)."""
    shown = []
    for window in some:
        grid, part = grids[window.stretch], slice(window.start, window.start + window.length)
        shown.append(to_model(grid.points[part], grid.confidence[part], sizes[window.stretch][part], source.unit))
    return padded(shown, next(source.model.parameters()).device)


def padded(clips: Sequence[Floats], device: torch.device) -> tuple[Tensor, Tensor | None]:
    """Clips of different length as one batch: (B, T, J, 3) float32, and (B, T) what is not padding, or None for all."""
    length = np.array([len(clip) for clip in clips])
    pose2d = np.zeros((len(clips), length.max(), 17, 3), np.float32)
    for row, clip in enumerate(clips):
        pose2d[row, : len(clip)] = clip
    valid = np.arange(length.max()) < length[:, None]
    x_BTJ3 = torch.from_numpy(pose2d).to(device)
    return x_BTJ3, None if valid.all() else torch.from_numpy(valid).to(device)

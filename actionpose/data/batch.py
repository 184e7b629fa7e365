"""What a batch holds: as it is read from the shards, and as a task gets it.

Shape suffixes of the comments: B clips, T frames of the longest clip in the batch, J joints, K negatives, L tokens.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NotRequired, TypedDict

from torch import Tensor


class _Both(TypedDict):
    valid: Tensor  # (B, T) bool: frames of the clip itself, not its repeated last one
    padded: bool  # whether any frame is not valid; known without asking a GPU
    sample_id: Tensor  # (B,) int64, rows of the sample table
    unit_mm: Tensor  # (B,) float32, millimetres per screen unit
    epoch: int
    text: NotRequired[list[str]]  # for pretraining: the label of each clip
    negatives: NotRequired[list[list[str]]]  # and K others to tell it from
    text_at: NotRequired[Tensor]  # (B, 1 + K) int64: where they stand among the U distinct texts of the batch,
    text_rows: NotRequired[Tensor]  # (U,) int64, which are these rows of a frozen encoder's table,
    text_ids: NotRequired[Tensor]  # or (U, L) int64 tokens
    text_mask: NotRequired[Tensor]  # with (U, L) int64, 1 where there is one


class RawBatch(_Both):
    """What comes from the shards, before `Assembler.finish`."""

    frames: Tensor  # (B, T, J, 3) float32 as stored: metres, world, z up; with `pose2d` screen units, camera frame
    pose2d: NotRequired[Tensor]  # (B, T, J, 3) where it is stored, or each clip has a camera of its own
    camera: NotRequired[Tensor]  # (B, 3, 3) world to screen, where not
    pelvis: NotRequired[Tensor]  # (B, 3) world: the screen's centre, where that is not the window's own
    flipped: NotRequired[Tensor]  # (B,) bool
    zoom: NotRequired[Tensor]  # (B,) size factors


class Batch(_Both):
    """What a task gets, on the device."""

    pose2d: Tensor  # (B, T, J, 3) float32: x, y in screen units, confidence
    pose3d: Tensor  # (B, T, J, 3) float32: root-relative screen units
    weights: NotRequired[Mapping[str, float]]  # a part's share of a step's means over frames, pairs of frames, clips
    progress: NotRequired[float]  # share of the run's steps that are done

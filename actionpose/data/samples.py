"""Which samples there are: windows over the clips and motions of a shard folder, with their cameras and texts.

A sample is a span of mapped frames seen from one view. Nothing is read here beyond the shards' tables; frames
are cut when a batch is put together (`batches`). A sample's number in the table is its identity: all randomness
is keyed on it, so the same shards and the same settings always give the same samples.
"""

from __future__ import annotations

import copy
import functools
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Ints
from actionpose.balance import label_weights
from actionpose.config import at_least, section, setting
from actionpose.data.camera_config import CameraConfig
from actionpose.data.selection import select_motions
from actionpose.data.windows import every_start, split_clips, transition_start, window_starts
from actionpose.errors import UserError
from actionpose.geometry import SCREEN_PER_METRE, view_matrix
from actionpose.shards import ShardSet

MM_PER_METRE = 1000.0


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Which part of the shards is used, how it is cut, and what the loader does to it."""

    split: str = setting("train", "split to train on; empty: all splits")
    dev_share: float = setting(
        0.0,
        "share of the people of split train who are held out, by a hash of their names (one name in two datasets is "
        "one person): nothing trains on them, and eval.split=dev measures on them. Settings chosen on them leave the "
        "people of other splits unseen",
    )
    subjects_include: tuple[str, ...] = setting(
        (), "only these subjects, as `subject` or `dataset/subject`; empty: all. Lets a few play a target dataset"
    )
    subjects_exclude: tuple[str, ...] = setting((), "without these subjects")
    max_minutes: float = setting(
        0.0,
        "learn from no more than so many minutes of the chosen motions, always the same ones, those of fewer minutes "
        "among them; 0: all. Shows what little data is good for",
    )
    views: tuple[str, ...] = setting((), "views to project to; empty: those the shards name (the paper: front, side)")
    clip_frames: int = setting(243, "longest clip; the paper uses 243 frames, 81 on MPI-INF-3DHP")
    stride: int = setting(
        0,
        "frames between windows of a longer clip; the last one is aligned to the end (MotionBERT). 0: a third of "
        "clip_frames, which is MotionBERT's 81 of 243",
    )
    cut: Literal["cover", "split-clips", "every-start"] = setting(
        "cover",
        "windows of whole motions in fine-tuning. `cover`: every frame is in one, short motions stay short; "
        "`split-clips`: MotionBERT's on Human3.6M, full windows only, short videos stretched; `every-start`: P-STMO's "
        "on MPI-INF-3DHP, one at every multiple of the stride, the last ones stretched",
    )
    windows_per_clip: int = setting(8, "at most this many windows of one clip, evenly spread; the paper is silent")
    transitions: Literal["centre", "windows"] = setting(
        "centre", "a transition longer than clip_frames: one window around its middle, or windows as for any clip"
    )
    centre: Literal["window", "clip"] = setting(
        "window", "whose mean pelvis becomes the screen's centre; the paper is silent"
    )
    scale: float = setting(SCREEN_PER_METRE, "screen units per metre, orthographic; MotionBERT's factor for AMASS")
    detections: Literal["noise", "clean"] = setting(
        "noise",
        "fine-tuning and evaluation on projected 2D: with the detector's errors, the same in every epoch, or exact. "
        "Pretraining corrupts by itself; stored detections are used as they are",
    )
    detection_seed: int = setting(0, "seed of those errors; separate from run.seed, so that runs can be compared")
    flip: bool = setting(True, "mirror whole clips with probability 0.5, 2D and 3D together (MotionBERT)")
    flip_words: bool = setting(
        True, "swap left and right in the texts of a mirrored clip, so that they stay true; the paper is silent"
    )
    camera: CameraConfig = section(CameraConfig, "random cameras in place of the views")
    zoom: tuple[float, ...] = setting((1.0, 1.0), "range of a random size factor for each clip; 1 to 1 leaves it")
    bucket: bool = setting(True, "put clips of similar length into one batch, so that little is padded")
    balance: Literal["none", "label"] = setting(
        "none",
        "`none`: every sample once an epoch, as in the paper; `label`: pretraining draws as many samples with "
        "replacement, each with its label's weight, count^-0.5 as in manifests/labels.jsonl; fine-tuning has no labels",
    )
    shuffle_labels: bool = setting(
        False, "permute the labels among the clips in pretraining: a control for what texts add"
    )

    def __post_init__(self) -> None:
        if self.stride == 0:
            object.__setattr__(self, "stride", max(1, self.clip_frames // 3))
        if self.clip_frames < 2 or not 1 <= self.stride <= self.clip_frames:
            raise ValueError(f"stride {self.stride} must be between 1 and clip_frames {self.clip_frames}")
        at_least(self, 1, "windows_per_clip")
        at_least(self, 0, "max_minutes")
        if not 0 <= self.dev_share < 1:
            raise ValueError(f"dev_share {self.dev_share} is a share of the people, from 0 to below 1")
        if self.scale <= 0 or len(self.zoom) != 2 or not 0 < self.zoom[0] <= self.zoom[1]:
            raise ValueError(f"scale {self.scale} and zoom {list(self.zoom)} (from, to) must be positive")


# --- the table --------------------------------------------------------------------------------


@functools.cache
def _view_matrices(views: tuple[str, ...]) -> NDArray[np.float64]:
    """(views, 3, 3), made once: batches ask for them all the time."""
    return np.stack([view_matrix(view) for view in views])


@dataclass(frozen=True, kw_only=True)
class SampleTable:
    """Samples as equally long columns, N rows; row number = sample id.

    Attributes:
        shards: the frames, motions, clips and pairs.
        config: the settings the table was made with.
        shard: which file of the set.
        first: row of `pose3d` where the sample starts.
        length: frames in the sample, 1 … clip_frames.
        span: frames of the motion that it is made of; less than `length` where these are repeated.
        gap_at: frames of the sample before a gap; equal to `length` when it has none.
        gap: frames left out at the gap.
        motion: row of `shards.motions`.
        offset: first frame, counted from the motion's first (gaps included). A window may reach beyond the motion's
            ends; the frames there repeat the edge.
        pair: row of `shards.pairs`, -1 without text.
        view: index into `views`.
        heading: radians, the heading that the camera is relative to.
        unit_mm: float32, millimetres per screen unit.
        views: names of the views; `("camera",)` for stored 2D.
    """

    shards: ShardSet
    config: DataConfig
    shard: Ints
    first: Ints
    length: Ints
    span: Ints
    gap_at: Ints
    gap: Ints
    motion: Ints
    offset: Ints
    pair: Ints
    view: Ints
    heading: NDArray[np.float64]
    unit_mm: NDArray[np.float32]
    views: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.length)

    @property
    def stored_2d(self) -> bool:
        """Whether 2D comes from the shards rather than from a projection."""
        return self.shards.kind == "benchmark"

    @cached_property
    def weights(self) -> NDArray[np.float64] | None:
        """(N,) how often to draw each sample, on average 1; None: all equally, or without texts.

        A sample has the weight of its pair (`balance.label_weights`), counted over the pairs of the table, so its
        label's share of the samples is multiplied by it, whatever the number of windows and views.
        """
        if self.config.balance == "none" or (self.pair < 0).any():
            return None
        texts = self.shards.pairs["text"]
        of_label = label_weights(Counter(texts[np.unique(self.pair)].tolist()))
        weights = np.array([of_label[text] for text in texts[self.pair].tolist()])
        return weights / weights.mean()

    def cameras(self, ids: Ints) -> NDArray[np.float32]:
        """World → screen, (B, 3, 3) float32 with the scale in it, acting on column vectors."""
        if self.stored_2d:
            return np.broadcast_to(np.eye(3, dtype=np.float32), (len(ids), 3, 3))
        angle = -self.heading[ids]
        turn = np.zeros((len(ids), 3, 3))
        turn[:, 0, 0] = turn[:, 1, 1] = np.cos(angle)
        turn[:, 1, 0] = np.sin(angle)
        turn[:, 0, 1] = -turn[:, 1, 0]
        turn[:, 2, 2] = 1.0
        matrices = _view_matrices(self.views) * self.config.scale
        return (matrices[self.view[ids]] @ turn).astype(np.float32)

    def describe(self, sample: int) -> str:
        """A sample in words: motion, frames, view."""
        name = self.shards.motions["motion_id"][self.motion[sample]]
        start, stop = int(self.offset[sample]), int(self.offset[sample] + self.length[sample] + self.gap[sample])
        return f"sample {sample} ({name} frames {start}:{stop}, {self.views[self.view[sample]]})"


Row = tuple[int, int, int, int, int, int, float, int]
"""motion, first frame in it, length, gap_at, gap, pair, heading, span — one window before views."""


def pair_samples(shards: ShardSet, config: DataConfig) -> SampleTable:
    """Samples for pretraining: (pair, window, view).

    Raises:
        UserError: shards without texts, a filter that leaves nothing or names what is not there.
    """
    if shards.kind != "motion-text" or len(shards.pairs["clip"]) == 0:
        raise UserError(
            f"{shards.folder} has no motion with text, so there is nothing to align poses with",
            "pretrain on shards of `ap-data build-babel`; benchmark shards are for `ap-train finetune`",
        )
    wanted = select_motions(shards, config)
    if config.shuffle_labels:
        shards = with_shuffled_labels(shards, np.flatnonzero(wanted[shards.clips["motion"][shards.pairs["clip"]]]))
    return sample_table(shards, config, _pair_rows(shards, config, wanted))


def motion_samples(shards: ShardSet, config: DataConfig) -> SampleTable:
    """Samples for fine-tuning: windows over whole motions, per view, without texts.

    Raises:
        UserError: a filter that leaves nothing or names what is not there.
    """
    return sample_table(shards, config, _motion_rows(shards, config, select_motions(shards, config)))


def _pair_rows(shards: ShardSet, config: DataConfig, wanted: NDArray[np.bool_]) -> Iterator[Row]:
    clips, pairs, size = shards.clips, shards.pairs, config.clip_frames
    lengths = shards.clip_lengths()
    for pair, clip in enumerate(pairs["clip"].tolist()):
        motion, frames = int(clips["motion"][clip]), int(lengths[clip])
        if not wanted[motion] or frames < 1:
            continue
        start, heading = int(clips["start"][clip]), float(clips["heading"][clip])
        gap_at = int(clips["gap_start"][clip])
        gap = int(clips["gap_stop"][clip] - clips["gap_start"][clip])
        if frames > size and config.transitions == "centre" and pairs["kind"][pair] == "transition":
            borders = (int(pairs["border_a"][pair]), int(pairs["border_b"][pair])) if gap == 0 else (gap_at, gap_at)
            starts = [transition_start(frames, size, *borders)]
        else:
            starts = window_starts(frames, size, config.stride, config.windows_per_clip)
        for at in starts:
            length = min(size, frames)
            if gap == 0 or gap_at >= at + length:
                yield motion, start + at, length, length, 0, pair, heading, length
            elif gap_at <= at:
                yield motion, start + at + gap, length, length, 0, pair, heading, length
            else:
                yield motion, start + at, length, gap_at - at, gap, pair, heading, length


def _motion_rows(shards: ShardSet, config: DataConfig, wanted: NDArray[np.bool_]) -> Iterator[Row]:
    size, motions = config.clip_frames, shards.motions
    ids = np.flatnonzero(wanted)
    lengths: list[int] = (motions["stop"] - motions["start"])[ids].tolist()
    if config.cut == "cover":
        starts = ((k, window_starts(n, size, config.stride)) for k, n in enumerate(lengths) if n)
        windows = [(k, at, min(size, lengths[k])) for k, many in starts for at in many]
        stretched = False
    else:
        rule = split_clips if config.cut == "split-clips" else every_start
        windows, stretched = rule(lengths, size, config.stride), True
    for k, at, span in windows:
        length = size if stretched else span
        yield int(ids[k]), at, length, length, 0, -1, float(motions["heading"][ids[k]]), span


TEXT_COLUMNS = ("text", "raw", "text_a", "text_b", "act_cat", "concurrent")
"""What travels with a label; where a clip begins and what kind it is stays with the clip."""


def with_shuffled_labels(shards: ShardSet, pairs: NDArray[np.integer]) -> ShardSet:
    """The same shards, the labels of these pairs permuted among them; the permutation is always the same.

    A control for what texts add: motions, labels, the frequency of each label and its negatives stay the same. Any gain
    of such a pretraining does not come from texts.

    Args:
        shards: left as they are.
        pairs: (N,) rows of `shards.pairs`.
    """
    chosen = np.asarray(pairs, dtype=np.int64)
    permuted = chosen[np.random.default_rng(len(chosen)).permutation(len(chosen))]
    other = copy.copy(shards)
    other.pairs = dict(shards.pairs)
    for name in TEXT_COLUMNS:
        column = shards.pairs[name].copy()
        column[chosen] = shards.pairs[name][permuted]
        other.pairs[name] = column
    return other


def sample_table(shards: ShardSet, config: DataConfig, rows: Iterable[Row]) -> SampleTable:
    """Columns from rows, once for each view.

    Raises:
        UserError: no rows.
    """
    views = _views(shards, config)
    columns = list(zip(*rows, strict=True))
    if not columns:
        raise UserError(
            f"{shards.folder}: the chosen motions hold no frames to learn from", "choose others with data.*"
        )
    motion, start, length, gap_at, gap, pair = (np.asarray(c, dtype=np.int64) for c in columns[:6])
    heading, span = np.asarray(columns[6], dtype=np.float64), np.asarray(columns[7], dtype=np.int64)
    n = len(views)

    def each_view(column: NDArray[Any]) -> NDArray[Any]:
        return np.repeat(column, n)

    return SampleTable(
        shards=shards,
        config=config,
        shard=each_view(shards.motions["shard"][motion]),
        first=each_view(shards.motions["start"][motion] + start),
        length=each_view(length),
        span=each_view(span),
        gap_at=each_view(gap_at),
        gap=each_view(gap),
        motion=each_view(motion),
        offset=each_view(start),
        pair=each_view(pair),
        view=np.tile(np.arange(n, dtype=np.int64), len(motion)),
        heading=each_view(heading),
        unit_mm=_units(shards, config)[each_view(motion)],
        views=views,
    )


def _views(shards: ShardSet, config: DataConfig) -> tuple[str, ...]:
    if shards.kind == "benchmark":
        if not shards.has_pose2d:
            raise UserError(f"{shards.folder}: benchmark shards without 2D poses", "build them again with `ap-data`")
        return ("camera",)
    views = config.views or shards.views
    if not views:
        raise UserError(f"{shards.folder} names no views", 'choose them: -o \'data.views=["front", "side"]\'')
    return tuple(views)


def _units(shards: ShardSet, config: DataConfig) -> NDArray[np.float32]:
    """Millimetres per screen unit of each motion; of a benchmark's the mean over frames."""
    if shards.kind == "motion-text":
        return np.full(len(shards.motions["start"]), MM_PER_METRE / config.scale, dtype=np.float32)
    return np.asarray([video.mean_unit_mm for video in shards.videos], dtype=np.float32)

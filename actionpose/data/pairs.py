"""Text/motion pairs as a torch `Dataset`: samples of one length, with the label in them, for a plain `DataLoader`.

loader = torch.utils.data.DataLoader(ap.pairs("shards", clip_frames=81), batch_size=32, shuffle=True)
for batch in loader:
batch["pose2d"], batch["text"]      # (32, 81, 17, 3) float32, 32 labels
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypedDict

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from torch.utils.data import Dataset

from actionpose.config import from_dict
from actionpose.data.batches import Assembler, detector
from actionpose.data.samples import DataConfig, SampleTable, pair_samples
from actionpose.data.texts import mirror_words
from actionpose.shards import ShardSet


class PairSample(TypedDict):
    """One window of a labelled clip, seen from one view. T is `TextMotionPairs.frames`, the same for all samples.

    Axes are the camera's: x right, y down, z away from the camera. 1 screen unit is `unit_mm` millimetres.
    """

    text: str
    """The label."""
    pose2d: Tensor
    """(T, 17, 3) float32: x, y in screen units, and confidence (1 unless `detections="noise"`)."""
    pose3d: Tensor
    """(T, 17, 3) float32 screen units, relative to the pelvis (joint 0)."""
    valid: Tensor
    """(T,) bool: frames of the clip; after them the last one repeats."""
    unit_mm: float
    pair: int
    """Row of `shards.pairs`."""
    view: str


class TextMotionPairs(Dataset[PairSample]):
    """Samples (pair, window, view) of a shard folder; see `pairs`, which makes it.

    Attributes:
        table: which samples there are.
        frames: T, the length of every sample: that of the longest.
    """

    def __init__(self, table: SampleTable, *, augment: bool = False, seed: int = 0) -> None:
        self.table, self.frames, self.epoch = table, int(table.length.max()), 0
        self._assemble = Assembler(table=table, seed=seed, detect=detector(table.config), augment=augment)

    def set_epoch(self, epoch: int) -> None:
        """Augmentation depends on (seed, epoch, sample). Call before an epoch's iterator is made."""
        self.epoch = epoch

    def __len__(self) -> int:
        return len(self.table)

    def __getitem__(self, sample: int) -> PairSample:
        if not -len(self) <= sample < len(self):
            raise IndexError(f"sample {sample} of {len(self)}")
        return self.__getitems__([sample % len(self)])[0]

    def __getitems__(self, samples: Sequence[int]) -> list[PairSample]:
        """Many samples at once, as a `DataLoader` asks for them; cheaper than one by one."""
        ids = np.asarray(samples, dtype=np.int64)
        raw = self._assemble.read(ids, self.epoch)
        batch = self._assemble.finish(raw)
        flipped = raw["flipped"].tolist() if "flipped" in raw else [False] * len(ids)
        pose2d, pose3d = self._to_length(batch["pose2d"]), self._to_length(batch["pose3d"])
        valid = pad(batch["valid"], (0, self.frames - batch["valid"].shape[1]))
        unit_mm = batch["unit_mm"].tolist()
        return [
            PairSample(
                text=self._text(sample, flipped[row]),
                pose2d=pose2d[row],
                pose3d=pose3d[row],
                valid=valid[row],
                unit_mm=unit_mm[row],
                pair=int(self.table.pair[sample]),
                view=self.table.views[self.table.view[sample]],
            )
            for row, sample in enumerate(ids.tolist())
        ]

    def _to_length(self, pose_BTJ3: Tensor) -> Tensor:
        more = self.frames - pose_BTJ3.shape[1]
        return torch.cat([pose_BTJ3, pose_BTJ3[:, -1:].expand(-1, more, -1, -1)], dim=1)

    def _text(self, sample: int, flipped: bool) -> str:
        text = str(self.table.shards.pairs["text"][self.table.pair[sample]])
        return mirror_words(text) if flipped and self.table.config.flip_words else text


def pairs(
    shards: ShardSet | str | os.PathLike[str], *, augment: bool = False, seed: int = 0, **settings: Any
) -> TextMotionPairs:
    """Text/motion pairs of a shard folder as a torch `Dataset`.

    Args:
        shards: a shard folder of `ap-data build-babel`, by path or opened.
        augment: mirror and resize clips at random, as the settings `flip` and `zoom` say.
        seed: of the augmentation.
        settings: fields of `DataConfig`, such as `split` ("train"), `clip_frames` (243), `views`, `stride`. Unlike in
            training runs, `detections` is "clean": the 2D is exact.

    Raises:
        UserError: no shard folder, shards without labels, or a setting that does not exist or fit.
    """
    opened = shards if isinstance(shards, ShardSet) else ShardSet(Path(shards))
    config = from_dict(DataConfig, {"detections": "clean", **settings}, where="pairs")
    return TextMotionPairs(pair_samples(opened, config), augment=augment, seed=seed)

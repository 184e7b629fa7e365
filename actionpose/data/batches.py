"""From samples to batches: an order that only (seed, epoch) decides, and the arrays of one batch.

Frames are cut from the mapped shards and padded by repeating the last one. What the network sees is made of them
(`projection`) on the device that the batch is on by then: the GPU, if there is one.

Shape suffixes: B clips, T frames of the longest clip in the batch, J joints.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionpose.arrays import Ints
from actionpose.data import rng
from actionpose.data.batch import Batch, RawBatch
from actionpose.data.cameras import film
from actionpose.data.corrupt import CorruptConfig, add_noise
from actionpose.data.projection import mirror, project, root_relative, zoomed
from actionpose.data.samples import DataConfig, SampleTable
from actionpose.data.texts import Texts, mirror_words
from actionpose.data.windows import source_frames
from actionpose.skeleton import N_JOINTS, ROOT

Detect = Callable[[Tensor, Tensor], Tensor]
"""(pose2d (B, T, 17, 3), sample_id (B,)) → the same as a detector would see it."""

TEXT_KEYS = ("text", "negatives", "text_at", "text_rows", "text_ids", "text_mask")

BUCKET_FRAMES = 8
"""Lengths that differ by less than this share a bucket and are shuffled together."""

GPU_FRAMES = 8
"""What a batch's length is rounded up to for a GPU, whose kernels are chosen, planned or compiled for each new shape:
batches of up to 243 frames then have 31 lengths."""

FLIP_STREAM, ZOOM_STREAM, ORDER_STREAM = 101, 102, 103
"""Tell draws with the same (seed, epoch) apart."""


def epoch_batches(
    lengths: Ints,
    batch: int,
    *,
    seed: int,
    epoch: int,
    bucket: bool = True,
    weights: NDArray[np.float64] | None = None,
) -> list[Ints]:
    """Sample ids of every batch of an epoch; workers, ranks and resumption have no say in it.

    A random `len(lengths) % batch` samples sit an epoch out, so that all batches are full; a table smaller than a
    batch gives one batch of everything.

    Args:
        lengths: (N,) frames of each sample.
        batch: samples in a batch.
        seed: of the run.
        epoch: counted from 0.
        bucket: batches of similar length, in random order.
        weights: (N,) draw as many samples with replacement, this often each. One that comes twice in an epoch is
            corrupted in the same way both times, since corruption is keyed by its id. None: each sample comes once.
    """
    rng = np.random.default_rng((seed, epoch, ORDER_STREAM))
    if weights is None:
        order = rng.permutation(len(lengths))
    else:
        order = rng.choice(len(lengths), size=len(lengths), p=weights / weights.sum())
    if len(order) <= batch:
        return [order]
    order = order[: len(order) // batch * batch]
    if not bucket:
        return list(order.reshape(-1, batch))
    # The longest have a bucket of their own: most are whole windows, and a batch of them needs no mask.
    buckets = lengths // BUCKET_FRAMES + (lengths == lengths.max())
    order = order[np.argsort(buckets[order], kind="stable")]
    batches = order.reshape(-1, batch)
    return list(batches[rng.permutation(len(batches))])


def slice_rank(ids: Ints, rank: int, world: int) -> Ints:
    """The part of a global batch that one of `world` processes works on; the parts are equally large."""
    return ids[rank::world] if world > 1 else ids


# --- arrays -----------------------------------------------------------------------------------


def cut_frames(table: SampleTable, ids: Ints, name: str = "pose3d", frames: int = 0) -> NDArray[np.float32]:
    """Frames of the samples as stored, (B, T, 17, 3) float32; shorter samples repeat their last frame.

    T is that of the longest sample, or `frames`.
    """
    out = np.empty((len(ids), frames or int(table.length[ids].max()), N_JOINTS, 3), dtype=np.float32)
    columns = (table.shard, table.first, table.length, table.gap_at, table.gap)
    rows = zip(*(c[ids].tolist() for c in columns), strict=True)
    for into, sample, repeats, row in zip(out, ids.tolist(), _repeats(table, ids), rows, strict=True):
        shard, first, length, gap_at, gap = row
        if repeats:
            whole = table.shards.motion_frames(int(table.motion[sample]), name)
            start, span = int(table.offset[sample]), int(table.span[sample])
            into[:length] = whole[source_frames(start, span, length, len(whole))]
        else:
            stored = table.shards.mapped(shard, name)
            into[:gap_at] = stored[first : first + gap_at]
            if gap:
                into[gap_at:length] = stored[first + gap_at + gap : first + length + gap]
        into[length:] = into[length - 1]
    return out


def _repeats(table: SampleTable, ids: Ints) -> list[bool]:
    """Samples that repeat frames within their length: stretched, or reaching beyond their motion's ends."""
    start, stop = table.offset[ids], table.offset[ids] + table.length[ids] + table.gap[ids]
    frames = (table.shards.motions["stop"] - table.shards.motions["start"])[table.motion[ids]]
    found: list[bool] = ((table.span[ids] != table.length[ids]) | (start < 0) | (stop > frames)).tolist()
    return found


@functools.lru_cache(maxsize=4)
def _draws(seed: int, epoch: int, stream: int, samples: int) -> Tensor:
    """A uniform number for every sample in this epoch: drawn at once, since a few cost as much as their frames."""
    return rng.uniform(rng.keys(seed, epoch, torch.arange(samples)), stream)


@dataclass(frozen=True, kw_only=True)
class Assembler:
    """Puts batches together; holds no state, so any process gets the same batch for the same numbers.

    Attributes:
        table: the samples.
        seed: of the run; keys flips, sizes and negatives.
        texts: labels and negatives, for pretraining.
        read_texts: makes a text encoder's input of phrases, so that a step finds it on its device.
        detect: makes projected 2D look detected; None leaves it exact.
        augment: flips and sizes as the table's settings say; off for evaluation.
        round_to: batches get a multiple of so many frames, but no more than the table's longest sample, which is what
            an encoder must have slots for; what is beyond a clip's own frames is padding.
    """

    table: SampleTable
    seed: int = 0
    texts: Texts | None = None
    read_texts: Callable[[Sequence[str]], Mapping[str, Tensor]] | None = None
    detect: Detect | None = None
    augment: bool = True
    round_to: int = 1

    def __call__(self, ids: Ints, epoch: int) -> Batch:
        """The batch of these samples in this epoch."""
        return self.finish(self.read(ids, epoch))

    def read(self, ids: Ints, epoch: int) -> RawBatch:
        """What must come from the shards: frames as stored, and a few numbers and the texts of each clip.

        This alone is done where batches are loaded, in worker processes or ahead of a GPU; `finish` does the rest.
        """
        table, config = self.table, self.table.config
        lengths = table.length[ids]
        frames = self._frames(int(lengths.max()))
        sample_id = torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64))
        raw: RawBatch = {
            "frames": torch.from_numpy(cut_frames(table, ids, frames=frames)),
            "valid": torch.from_numpy(np.arange(frames) < lengths[:, None]),
            "padded": bool(lengths.min() < frames),
            "sample_id": sample_id,
            "unit_mm": torch.from_numpy(table.unit_mm[ids]),
            "epoch": epoch,
        }
        if table.stored_2d:
            raw["pose2d"] = torch.from_numpy(cut_frames(table, ids, "pose2d", frames))
        elif config.camera.random:
            self._film(raw)
        else:
            raw["camera"] = torch.from_numpy(np.ascontiguousarray(table.cameras(ids)))
            if config.centre == "clip":
                raw["pelvis"] = torch.from_numpy(np.stack([self._whole_pelvis(int(i)) for i in ids]))
        flipped = torch.zeros(len(ids), dtype=torch.bool)
        if self.augment and config.flip:
            flipped = raw["flipped"] = _draws(self.seed, epoch, FLIP_STREAM, len(table))[sample_id] < 0.5
        if self.augment and config.zoom[1] > config.zoom[0]:
            low, high = config.zoom
            raw["zoom"] = low + (high - low) * _draws(self.seed, epoch, ZOOM_STREAM, len(table))[sample_id]
        if self.texts is not None:
            raw["text"], raw["negatives"] = self._texts(ids, epoch, flipped)
            if self.read_texts is not None:
                self._read_texts(raw, self.read_texts)
        return raw

    def finish(self, raw: RawBatch) -> Batch:
        """A batch from what was read, computed on the device that it is on by now."""
        unit_mm = raw["unit_mm"]
        if "pose2d" in raw:
            pose2d, pose3d = raw["pose2d"], root_relative(raw["frames"])
        else:
            pose2d, pose3d = project(raw["frames"], raw["camera"], raw["valid"], raw.get("pelvis"))
        if "zoom" in raw:
            pose2d, pose3d, unit_mm = zoomed(pose2d, pose3d, unit_mm, raw["zoom"])
        if self.detect is not None and not self.table.stored_2d:
            pose2d = self.detect(pose2d, raw["sample_id"])  # after the size: a detector errs in pixels
        if "flipped" in raw:
            pose2d, pose3d = mirror(pose2d, raw["flipped"]), mirror(pose3d, raw["flipped"])
        batch: Batch = {
            "pose2d": pose2d,
            "pose3d": pose3d,
            "valid": raw["valid"],
            "padded": raw["padded"],
            "sample_id": raw["sample_id"],
            "unit_mm": unit_mm,
            "epoch": raw["epoch"],
        }
        return cast(Batch, {**{name: value for name, value in raw.items() if name in TEXT_KEYS}, **batch})

    def _frames(self, longest: int) -> int:
        """T of a batch whose longest clip has so many frames."""
        rounded = -(-longest // self.round_to) * self.round_to
        return min(rounded, int(self.table.length.max()))

    def _film(self, raw: RawBatch) -> None:
        """Give each clip a camera of its own: here, since sizes are found by lifting's own code, on the CPU."""
        config = self.table.config
        key_B = rng.keys(self.seed, raw["epoch"], raw["sample_id"])
        fps = float(self.table.shards.fps)
        raw["pose2d"], raw["frames"], factor = film(
            raw["frames"], raw["valid"], key_B, config.camera, unit=config.scale, fps=fps, training=self.augment
        )
        raw["unit_mm"] = raw["unit_mm"] / factor

    def _whole_pelvis(self, sample: int) -> NDArray[np.float32]:
        """World pelvis, mean over the clip that the sample is a window of, or its motion, (3,)."""
        pair = int(self.table.pair[sample])
        shards = self.table.shards
        if pair < 0:
            return shards.motion_frames(int(self.table.motion[sample]))[:, ROOT].mean(axis=0)
        return shards.clip_frames(int(shards.pairs["clip"][pair]))[:, ROOT].mean(axis=0)

    def _read_texts(self, raw: RawBatch, read: Callable[[Sequence[str]], Mapping[str, Tensor]]) -> None:
        rows = [[text, *others] for text, others in zip(raw["text"], raw["negatives"], strict=True)]
        place = {text: at for at, text in enumerate(dict.fromkeys(text for row in rows for text in row))}
        raw["text_at"] = torch.tensor([[place[text] for text in row] for row in rows])
        raw.update(cast(RawBatch, read(list(place))))

    def _texts(self, ids: Ints, epoch: int, flipped: Tensor) -> tuple[list[str], list[list[str]]]:
        assert self.texts is not None
        texts, negatives = [], []
        for sample, is_flipped in zip(ids.tolist(), flipped.tolist(), strict=True):
            text, others = self.texts.draw(sample, self.seed, epoch)
            if is_flipped and self.table.config.flip_words:
                text, others = mirror_words(text), [mirror_words(other) for other in others]
            texts.append(text)
            negatives.append(others)
        return texts, negatives


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Makes projected 2D look detected: the same errors for a sample in every epoch and every run."""

    config: CorruptConfig
    seed: int

    def __call__(self, pose2d: Tensor, sample_id: Tensor) -> Tensor:
        """(B, T, 17, 3) in and out; the errors depend only on the sample id and `data.detection_seed`."""
        return add_noise(pose2d, rng.keys(self.seed, 0, sample_id), self.config)


def detector(config: DataConfig) -> Detector | None:
    """The simulated detector for projected 2D, if the settings ask for one.

    Its errors are the noise model's defaults, whatever pretraining uses: the target data must not change when
    pretraining's noise is ablated.
    """
    return None if config.detections == "clean" else Detector(config=CorruptConfig(), seed=config.detection_seed)


# --- loading ----------------------------------------------------------------------------------


class _Plan(torch.utils.data.Sampler[tuple[int, Ints]]):
    """(epoch, ids) of the batches to come; the epoch reaches the workers with the ids."""

    def __init__(self) -> None:
        self.items: Sequence[tuple[int, Ints]] = ()

    def __iter__(self) -> Iterator[tuple[int, Ints]]:
        return iter(self.items)

    def __len__(self) -> int:
        return len(self.items)


class _Batches(torch.utils.data.Dataset[RawBatch]):
    """Map-style view of an assembler, for worker processes."""

    def __init__(self, assemble: Assembler) -> None:
        self.assemble = assemble

    def __getitem__(self, item: tuple[int, Ints]) -> RawBatch:
        epoch, ids = item
        return self.assemble.read(ids, epoch)


class Loader:
    """What batches of an epoch are made of, read in this process or in workers; the same either way.

    `assemble.finish` makes batches of it, once it is on the device.

    Args:
        assemble: makes a batch from ids.
        workers: processes; 0 makes batches in this one, which is the fastest for mapped shards on few cores.
        start: how workers start: `fork`, `forkserver` or `spawn`; empty for the platform's own way.
        pin: page-locked memory, for copies to a GPU that overlap with computing.
    """

    def __init__(self, assemble: Assembler, *, workers: int = 0, start: str = "", pin: bool = False) -> None:
        self.assemble, self.pin = assemble, pin
        self.plan = _Plan()
        self._loader = None
        if workers > 0:
            self._loader = torch.utils.data.DataLoader(
                _Batches(assemble),
                batch_size=None,
                sampler=self.plan,
                num_workers=workers,
                persistent_workers=True,
                multiprocessing_context=start or None,
                pin_memory=pin,
            )

    def __call__(self, epoch: int, batches: Sequence[Ints]) -> Iterator[RawBatch]:
        """What was read for these ids, batch by batch."""
        if self._loader is not None:
            self.plan.items = [(epoch, ids) for ids in batches]
            yield from self._loader
            return
        for ids in batches:
            yield _pinned(self.assemble.read(ids, epoch)) if self.pin else self.assemble.read(ids, epoch)


def _pinned(raw: RawBatch) -> RawBatch:
    return cast(RawBatch, {k: v.pin_memory() if isinstance(v, Tensor) else v for k, v in raw.items()})

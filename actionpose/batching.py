"""From samples to batches: an order that only (seed, epoch) decides, and the arrays of one batch.

Frames are cut from the mapped shards, padded by repeating the last one, turned into the view's camera frame and
scaled to screen units, all for the whole batch at once.

Shape suffixes: B clips, T frames of the longest clip in the batch, J joints.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionpose import keyed
from actionpose.corrupt import CorruptConfig, add_noise
from actionpose.data import DataConfig, Ints, SampleTable
from actionpose.negatives import Texts, mirror_words
from actionpose.skeleton import FLIP_ORDER, N_JOINTS, ROOT
from actionpose.windows import source_frames

Batch = dict[str, Any]
"""pose2d (B, T, 17, 3) float32 x, y in screen units and confidence; pose3d (B, T, 17, 3) float32 root-relative
screen units; valid (B, T) bool; sample_id (B,) int64; unit_mm (B,) float32; epoch int; for pretraining also text
list[str] and negatives list[list[str]], K each.
"""

Detect = Callable[[Tensor, Tensor], Tensor]
"""(pose2d (B, T, 17, 3), sample_id (B,)) → the same as a detector would see it."""

BUCKET_FRAMES = 8
"""Lengths that differ by less than this share a bucket and are shuffled together."""

_FLIP_COLUMNS = np.array([3 * joint + axis for joint in FLIP_ORDER for axis in range(3)])
"""Where the numbers of a mirrored row of joints come from."""

_REPEAT = np.tile(np.eye(3, dtype=np.float32), N_JOINTS)
"""(3, 51): a product with it repeats a joint for all joints, exactly and several times as fast as `np.tile`."""

FLIP_STREAM, ZOOM_STREAM, ORDER_STREAM = 101, 102, 103
"""Tell draws with the same (seed, epoch) apart."""


# --- order ------------------------------------------------------------------------------------


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
            spoilt alike both times, since that is keyed on its id. None: each sample comes once.
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
    order = order[np.argsort(lengths[order] // BUCKET_FRAMES, kind="stable")]
    batches = order.reshape(-1, batch)
    return list(batches[rng.permutation(len(batches))])


def slice_rank(ids: Ints, rank: int, world: int) -> Ints:
    """The part of a global batch that one of `world` processes works on; the parts are equally large."""
    return ids[rank::world] if world > 1 else ids


# --- arrays -----------------------------------------------------------------------------------


def cut_frames(table: SampleTable, ids: Ints, name: str = "pose3d") -> NDArray[np.float32]:
    """Frames of the samples as stored, (B, T, 17, 3) float32; shorter samples repeat their last frame."""
    lengths = table.length[ids]
    out = np.empty((len(ids), int(lengths.max()), N_JOINTS, 3), dtype=np.float32)
    columns = (table.shard, table.first, table.length, table.gap_at, table.gap)
    rows = zip(*(c[ids].tolist() for c in columns), strict=True)
    for into, sample, repeats, row in zip(out, ids.tolist(), _repeats(table, ids), rows, strict=True):
        shard, first, length, gap_at, gap = row
        if repeats:
            whole = table.shards.motion_frames(int(table.motion[sample]), name)
            start, span = int(table.offset[sample]), int(table.span[sample])
            into[:length] = whole[source_frames(start, span, length, len(whole))]
        else:
            frames = table.shards.mapped(shard, name)
            into[:gap_at] = frames[first : first + gap_at]
            if gap:
                into[gap_at:length] = frames[first + gap_at + gap : first + length + gap]
        into[length:] = into[length - 1]
    return out


def _repeats(table: SampleTable, ids: Ints) -> list[bool]:
    """Samples that repeat frames within their length: stretched, or reaching beyond their motion's ends."""
    start, stop = table.offset[ids], table.offset[ids] + table.length[ids] + table.gap[ids]
    frames = (table.shards.motions["stop"] - table.shards.motions["start"])[table.motion[ids]]
    found: list[bool] = ((table.span[ids] != table.length[ids]) | (start < 0) | (stop > frames)).tolist()
    return found


def mirror(pose_BTJ3: Tensor, flipped_B: Tensor) -> Tensor:
    """Mirror some clips of a batch: negate channel 0 and swap left and right joints."""
    if pose_BTJ3.device.type == "cpu":
        return _mirrored_rows(pose_BTJ3, flipped_B)
    mirrored = pose_BTJ3[flipped_B][:, :, list(FLIP_ORDER)]
    mirrored[..., 0].neg_()
    out = pose_BTJ3.clone()
    out[flipped_B] = mirrored
    return out


def _mirrored_rows(pose_BTJ3: Tensor, flipped_B: Tensor) -> Tensor:
    """The same, clip by clip in the cache, with a frame's numbers in one row: several times as fast on a CPU."""
    rows = pose_BTJ3.flatten(2).numpy()
    out = rows.copy()
    for clip in np.flatnonzero(flipped_B.numpy()):
        np.take(rows[clip], _FLIP_COLUMNS, axis=1, out=out[clip], mode="clip")
        np.negative(out[clip, :, ::3], out=out[clip, :, ::3])
    return torch.from_numpy(out).view(pose_BTJ3.shape)


@dataclass(frozen=True, kw_only=True)
class Assembler:
    """Puts batches together; holds no state, so any process gets the same batch for the same numbers.

    Attributes:
        table: the samples.
        seed: of the run; keys flips, sizes and negatives.
        texts: labels and negatives, for pretraining.
        detect: makes projected 2D look detected; None leaves it exact.
        augment: flips and sizes as the table's settings say; off for evaluation.
    """

    table: SampleTable
    seed: int = 0
    texts: Texts | None = None
    detect: Detect | None = None
    augment: bool = True

    def __call__(self, ids: Ints, epoch: int) -> Batch:
        """The batch of these samples in this epoch."""
        table, config = self.table, self.table.config
        valid = np.arange(int(table.length[ids].max())) < table.length[ids][:, None]
        pose2d, pose3d = self._stored(ids) if table.stored_2d else self._projected(ids, valid)
        unit_mm = torch.from_numpy(table.unit_mm[ids])
        sample_id = torch.from_numpy(np.ascontiguousarray(ids, dtype=np.int64))
        if self.detect is not None and not table.stored_2d:
            pose2d = self.detect(pose2d, sample_id)
        flipped = torch.zeros(len(ids), dtype=torch.bool)
        if self.augment and config.flip:
            flipped = keyed.uniform(keyed.keys(self.seed, epoch, sample_id), FLIP_STREAM) < 0.5
            if flipped.any():
                pose2d, pose3d = mirror(pose2d, flipped), mirror(pose3d, flipped)
        if self.augment and config.zoom[1] > config.zoom[0]:
            low, high = config.zoom
            factor = low + (high - low) * keyed.uniform(keyed.keys(self.seed, epoch, sample_id), ZOOM_STREAM)
            pose2d, pose3d, unit_mm = _zoomed(pose2d, pose3d, unit_mm, factor)
        batch: Batch = {
            "pose2d": pose2d,
            "pose3d": pose3d,
            "valid": torch.from_numpy(valid),
            "sample_id": sample_id,
            "unit_mm": unit_mm,
            "epoch": epoch,
        }
        if self.texts is not None:
            batch["text"], batch["negatives"] = self._texts(ids, epoch, flipped)
        return batch

    def _projected(self, ids: Ints, valid: NDArray[np.bool_]) -> tuple[Tensor, Tensor]:
        """Orthographic 2D with confidence 1 and root-relative 3D from world frames.

        Joints are kept side by side in one row of 51 numbers: sums over rows that long are several times faster
        than over rows of three.
        """
        frames = cut_frames(self.table, ids)
        B, T, J, _ = frames.shape
        camera = self.table.cameras(ids)
        to_screen = np.ascontiguousarray(camera.transpose(0, 2, 1))
        screen = np.matmul(frames.reshape(B, T * J, 3), to_screen).reshape(B, T, J * 3)
        root = np.ascontiguousarray(screen[:, :, :3])
        centre = self._centre(ids, root, valid, camera)
        pose2d = screen - np.tile(centre, J)[:, None]
        pose2d[:, :, 2::3] = 1.0
        screen -= np.matmul(root, _REPEAT)
        return torch.from_numpy(pose2d).view(B, T, J, 3), torch.from_numpy(screen).view(B, T, J, 3)

    def _centre(
        self, ids: Ints, root_BT3: NDArray[np.float32], valid_BT: NDArray[np.bool_], camera_B33: NDArray[np.float32]
    ) -> NDArray[np.float32]:
        """What becomes the screen's centre, (B, 3) screen units: the pelvis' mean over the window or the clip."""
        if self.table.config.centre == "window":
            weight = (valid_BT / valid_BT.sum(axis=1, keepdims=True)).astype(np.float32)
            return np.matmul(weight[:, None], root_BT3)[:, 0]
        pelvis = np.stack([self._whole_pelvis(int(i)) for i in ids])
        return np.matmul(camera_B33, pelvis[:, :, None])[:, :, 0]

    def _whole_pelvis(self, sample: int) -> NDArray[np.float32]:
        """World pelvis, mean over the clip that the sample is a window of, or its motion, (3,)."""
        pair = int(self.table.pair[sample])
        shards = self.table.shards
        if pair < 0:
            return shards.motion_frames(int(self.table.motion[sample]))[:, ROOT].mean(axis=0)
        return shards.clip_frames(int(shards.pairs["clip"][pair]))[:, ROOT].mean(axis=0)

    def _stored(self, ids: Ints) -> tuple[Tensor, Tensor]:
        """Stored detections as they are, stored 3D made root-relative."""
        frames = torch.from_numpy(cut_frames(self.table, ids))
        return torch.from_numpy(cut_frames(self.table, ids, "pose2d")), frames - frames[:, :, ROOT : ROOT + 1]

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


def _zoomed(pose2d: Tensor, pose3d: Tensor, unit_mm: Tensor, factor_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Clips at another size on the screen; in millimetres they stay what they are."""
    size = factor_B[:, None, None, None]
    return torch.cat([pose2d[..., :2] * size, pose2d[..., 2:]], dim=-1), pose3d * size, unit_mm / factor_B


@dataclass(frozen=True, kw_only=True)
class Detector:
    """Makes projected 2D look detected: the same errors for a sample in every epoch and every run."""

    config: CorruptConfig
    seed: int

    def __call__(self, pose2d: Tensor, sample_id: Tensor) -> Tensor:
        """(B, T, 17, 3) in and out; the draw hangs on the sample id and `data.detection_seed` alone."""
        return add_noise(pose2d, keyed.keys(self.seed, 0, sample_id), self.config)


def detector(config: DataConfig) -> Detector | None:
    """What stands for a detector on projected 2D, if the settings want one.

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


class _Batches(torch.utils.data.Dataset[Batch]):
    """Map-style view of an assembler, for worker processes."""

    def __init__(self, assemble: Assembler) -> None:
        self.assemble = assemble

    def __getitem__(self, item: tuple[int, Ints]) -> Batch:
        epoch, ids = item
        return self.assemble(ids, epoch)


class Loader:
    """Batches of an epoch, in this process or in worker processes; the batches are the same either way.

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

    def __call__(self, epoch: int, batches: Sequence[Ints]) -> Iterator[Batch]:
        """The batches with these ids, in order."""
        if self._loader is not None:
            self.plan.items = [(epoch, ids) for ids in batches]
            yield from self._loader
            return
        for ids in batches:
            batch = self.assemble(ids, epoch)
            yield {k: v.pin_memory() if self.pin and isinstance(v, Tensor) else v for k, v in batch.items()}

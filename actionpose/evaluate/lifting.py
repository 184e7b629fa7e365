"""Evaluation: lift held-out motions window by window, as a protocol cuts them, and score the frames that count.

Shape suffixes: B clips, T frames, n scored frames of one video.
"""

from __future__ import annotations

import dataclasses
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionpose.arrays import Ints
from actionpose.config import at_least, setting
from actionpose.data.batches import Assembler, Detect
from actionpose.data.projection import both_ways
from actionpose.data.samples import DataConfig, Row, SampleTable, sample_table
from actionpose.data.selection import select_motions
from actionpose.data.windows import Scored
from actionpose.errors import UserError
from actionpose.evaluate import scoring
from actionpose.evaluate.protocols import PROTOCOLS, Cut, frames_of, measured_motions, protocol_of, windowing_of
from actionpose.evaluate.result import Result
from actionpose.evaluate.scoring import Scores, score_video
from actionpose.progress import Progress
from actionpose.shards import ShardSet
from actionpose.skeleton import N_JOINTS, ROOT
from actionpose.train.runtime import Runtime

Lift = Callable[[Tensor, Tensor], Tensor]
"""(pose2d (B, T, 17, 3), valid (B, T)) → pose3d (B, T, 17, 3), root-relative screen units."""

Keep = Callable[[int, int, Ints, NDArray[np.float64]], None]
"""Takes motion, view, frames (n,) and their prediction (n, 17, 3), root-relative millimetres."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What a model is measured on, and how."""

    split: str = setting(
        "val",
        "split to measure on; benchmark shards, whose only other split is `test`, use that; empty: all splits",
    )
    subjects_include: tuple[str, ...] = setting((), "only these subjects, as `subject` or `dataset/subject`")
    subjects_exclude: tuple[str, ...] = setting((), "without these subjects")
    max_minutes: float = setting(
        0.0, "no more than so many minutes of these motions, always the same ones; 0: all. For many quick comparisons"
    )
    protocol: Literal["", "orthographic", "h36m-b", "h36m-a", "3dhp"] = setting(
        "", "which frames count and how they are averaged (docs/evaluation.md); empty: the one that the shards are for"
    )
    windowing: Literal["", "stitched", "chunks", "every-frame", "centre"] = setting(
        "",
        "how videos are cut: h36m-b and orthographic `stitched`; h36m-a `chunks` (MixSTE) or `every-frame` "
        "(VideoPose3D); 3dhp `centre` (P-STMO) or `stitched`; empty: the first of these",
    )
    drop_tails: bool | None = setting(
        None, "stitched windows: leave out frames after the last full one; unset: h36m-b does, as published numbers do"
    )
    legacy_ts56: bool = setting(
        False, "3dhp: scale predictions on TS5 and TS6 by 960 instead of 1024, as MotionAGFormer's code does"
    )
    flip_tta: bool = setting(True, "average the predictions for a clip and its mirror image (MotionBERT)")
    batch: int = setting(32, "clips lifted at once; does not change the result")
    baselines: bool = setting(False, "also score an untrained model; the training motions' mean pose always is")
    retrieval: bool = setting(
        True, "after pretraining: what it learned about actions, by search, naming and a linear probe (docs/learned.md)"
    )
    retrieval_clips: int = setting(
        1000, "while pretraining: at most this many labelled clips, always the same; 0: all, as after training"
    )
    probe_categories: int = setting(20, "the linear probe tells this many most frequent categories apart; 0: no probe")
    probe_clips: int = setting(5000, "the linear probe learns from at most this many clips of data.split; 0: all")

    def __post_init__(self) -> None:
        at_least(self, 1, "batch")
        at_least(self, 0, "max_minutes", "retrieval_clips", "probe_categories", "probe_clips")
        if self.windowing and self.protocol and self.windowing not in PROTOCOLS[self.protocol].windowings:
            raise ValueError(f"windowing '{self.windowing}' does not belong to protocol {self.protocol}")


# --- which frames -----------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class ScoredTable(SampleTable):
    """Windows to lift, and what of each counts.

    Attributes:
        cut: what decided so.
        counted_from: (N,) first place of a window that may count.
        counted_to: (N,) the place after the last.
        skipped: takes left out by the protocol, id → reason.
        left_out: valid frames of the other takes that no window counts.
    """

    cut: Cut
    counted_from: Ints
    counted_to: Ints
    skipped: dict[str, str]
    left_out: int

    def counted(self, sample: int) -> tuple[Ints, Ints]:
        """Frames of the motion that a window counts, and their places in it, both (n,)."""
        columns = (self.offset, self.span, self.length, self.counted_from, self.counted_to)
        window = Scored(*(int(column[sample]) for column in columns))
        return window.counted(*frames_of(self.shards, int(self.motion[sample])))


def held_out(shards: ShardSet, data: DataConfig, config: EvalConfig) -> ScoredTable:
    """Windows over the motions to measure on, cut as the protocol says.

    Raises:
        UserError: nothing is left to measure on; a protocol or windowing that does not fit.
    """
    chosen = to_measure(shards, data, config)
    wanted = select_motions(shards, chosen)
    protocol = protocol_of(shards, config.protocol, wanted)
    cut = Cut(
        protocol=protocol,
        windowing=windowing_of(protocol, config.windowing),
        size=data.clip_frames,
        drop_tails=protocol.drop_tails if config.drop_tails is None else config.drop_tails,
    )
    measured, skipped = measured_motions(shards, wanted, protocol)
    windows = {motion: cut.windows(*frames_of(shards, motion)) for motion in measured}
    table = sample_table(shards, chosen, _rows(shards, windows, protocol.name))
    every = [window for many in windows.values() for window in many for _ in table.views]
    counted_from, counted_to = (
        np.asarray([getattr(w, key) for w in every], dtype=np.int64) for key in Scored._fields[3:]
    )
    return ScoredTable(
        **{field.name: getattr(table, field.name) for field in dataclasses.fields(SampleTable)},
        cut=cut,
        counted_from=counted_from,
        counted_to=counted_to,
        skipped=skipped,
        left_out=sum(cut.left_out(*frames_of(shards, motion)) for motion in measured),
    )


def to_measure(shards: ShardSet, data: DataConfig, config: EvalConfig) -> DataConfig:
    """The settings of training with the motions of measuring; the split is `test` where benchmarks have no `val`."""
    there = set(shards.motions["split"])
    return dataclasses.replace(
        data,
        dev_share=data.dev_share if config.split else 0.0,  # all splits are all people
        split="test" if config.split == "val" and "val" not in there and "test" in there else config.split,
        subjects_include=config.subjects_include,
        subjects_exclude=config.subjects_exclude,
        max_minutes=config.max_minutes,
    )


def _rows(shards: ShardSet, windows: dict[int, list[Scored]], protocol: str) -> Iterator[Row]:
    if not any(windows.values()):
        raise UserError(
            f"{shards.folder}: the chosen motions hold no frame that {protocol} counts",
            "choose others with eval.split and eval.subjects_*",
        )
    for motion, many in windows.items():
        heading = float(shards.motions["heading"][motion])
        for window in many:
            yield motion, window.start, window.length, window.length, 0, -1, heading, window.span


# --- lifting ----------------------------------------------------------------------------------


@torch.inference_mode()
def lift_batch(lift: Lift, pose2d: Tensor, valid: Tensor, runtime: Runtime, *, flip_tta: bool) -> Tensor:
    """Prediction for 2D (B, T, 17, 3) as published code scores it, the same shape, float32 on the CPU, in screen units.

    Joint 0 is set to zero and the other joints stay where the model put them, as MotionBERT, MotionAGFormer and P-STMO
    do. Subtracting joint 0 instead would spread the model's error there over all joints.
    """
    pose2d, valid = pose2d.to(runtime.device), valid.to(runtime.device)
    pose3d = both_ways(lambda clips: lift(clips, valid), pose2d) if flip_tta else lift(pose2d, valid).clone()
    pose3d[:, :, ROOT] = 0
    return pose3d.cpu()


def score(
    lift: Lift,
    table: ScoredTable,
    config: EvalConfig,
    runtime: Runtime,
    *,
    detect: Detect | None = None,
    keep: Keep | None = None,
    what: str = "measuring",
) -> Scores:
    """Lift the table's windows and score the frames that count, in float64 millimetres.

    Args:
        lift: the model.
        table: of `held_out`.
        config: batch size, mirroring.
        runtime: device.
        detect: makes projected 2D look detected.
        keep: is given every video's prediction.
        what: is measured, in words, for the line about progress.
    """
    assemble = Assembler(table=table, detect=detect, augment=False)
    # Long ones first: a lack of memory shows at once. Windows of one length share a batch.
    order = np.argsort(-table.length, kind="stable")
    left = Counter(zip(table.motion.tolist(), table.view.tolist(), strict=True))
    seen: dict[tuple[int, int], list[_Piece]] = defaultdict(list)
    parts: list[Scores] = []
    progress = Progress(what, total=len(order), unit="window")
    with runtime.exact(), progress:
        for at in range(0, len(order), config.batch):
            ids = order[at : at + config.batch]
            batch = assemble(ids, 0)
            predicted = lift_batch(lift, batch["pose2d"], batch["valid"], runtime, flip_tta=config.flip_tta).numpy()
            target = batch["pose3d"].numpy()
            for row, sample in enumerate(ids.tolist()):
                video = (int(table.motion[sample]), int(table.view[sample]))
                frames, places = table.counted(sample)
                seen[video].append((frames, predicted[row, places], target[row, places]))
                left[video] -= 1
                if not left[video]:
                    parts.append(_score_video(table, config, video, seen.pop(video), keep))
            progress.advance(len(ids))
    return Scores.joined(parts)


_Piece = tuple[Ints, NDArray[np.float32], NDArray[np.float32]]
"""Frames, prediction and target of one window, in screen units."""


def _score_video(
    table: ScoredTable, config: EvalConfig, video: tuple[int, int], pieces: list[_Piece], keep: Keep | None
) -> Scores:
    """Errors of one video from one view, whose windows are all lifted."""
    motion, view = video
    frames, predicted, target = (np.concatenate(column) for column in zip(*pieces, strict=True))
    if not np.isfinite(predicted).all():
        bad = np.unique(frames[~np.isfinite(predicted).all(axis=(1, 2))])
        raise UserError(
            f"the prediction for {table.shards.motions['motion_id'][motion]} ({table.views[view]}) is not finite in "
            f"{len(bad)} of {len(frames)} frames, the first {bad[0]}",
            "its weights or this video's 2D are damaged: `ap-train inspect RUN`, `ap-data validate SHARDS --deep`",
        )
    unit = frame_units(table, motion, frames)
    p, g = predicted * predicted_units(table, motion, config, unit), target * unit
    if keep is not None:
        keep(motion, view, frames, p)
    return score_video(p, g, frames, motion=motion, view=view)


def frame_units(table: SampleTable, motion: int, frames: Ints) -> NDArray[np.float64]:
    """Millimetres per screen unit of these frames of a motion, (1, 1, 1) or (n, 1, 1)."""
    if table.stored_2d:
        return table.shards.videos[motion].units(frames)
    sample = int(np.flatnonzero(table.motion == motion)[0])
    return np.full((1, 1, 1), float(table.unit_mm[sample]))


def predicted_units(table: ScoredTable, motion: int, config: EvalConfig, unit: NDArray[np.float64]) -> Any:
    """What predictions are multiplied by: the unit, or with `legacy_ts56` what the video names as its legacy unit."""
    legacy = table.shards.videos[motion].legacy_unit_mm if config.legacy_ts56 and table.stored_2d else None
    return unit if legacy is None else legacy


def summarise(scores: Scores, table: ScoredTable) -> Result:
    """Scores as a result (`scoring.summarise`), with the conditions of the protocol.

    Raises:
        UserError: no frame was scored.
    """
    motions = np.unique(table.motion).tolist()
    how = "projected by random cameras" if table.config.camera.random else "projected"
    projected: dict[str, Any] = {"source_2d": f"{how}, {table.config.detections}"}
    return dataclasses.replace(
        scoring.summarise(scores, table.shards, table.cut.protocol, views=table.views),
        **(scoring.stated(table.shards, motions) if table.stored_2d else projected),
        clip_frames=table.cut.size,
        windowing=table.cut.windowing,
        drop_tails=table.cut.drop_tails,
        skipped=table.skipped,
        left_out=table.left_out,
    )


AVERAGED = 512
"""Clips that the mean pose is a mean over, evenly spread."""


def mean_pose_lift(table: SampleTable) -> Lift:
    """A lifter that knows nothing of its input: the mean root-relative pose of some of the table's clips.

    The same pose for every view, so for front and side views it is a person seen from neither: the error anyone
    beats who looks at the 2D.
    """
    ids = np.unique(np.linspace(0, len(table) - 1, min(AVERAGED, len(table))).astype(np.int64))
    total, frames = np.zeros((N_JOINTS, 3)), 0
    assemble = Assembler(table=table, augment=False)
    for at in range(0, len(ids), 32):
        batch = assemble(ids[at : at + 32], 0)
        total += batch["pose3d"][batch["valid"]].double().sum(dim=0).numpy()
        frames += int(batch["valid"].sum())
    mean = torch.from_numpy(total / frames).float()

    def lift(pose2d: Tensor, valid: Tensor) -> Tensor:
        return mean.to(pose2d.device).expand_as(pose2d)

    return lift

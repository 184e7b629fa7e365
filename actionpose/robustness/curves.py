"""How the error of a lifter grows as its input gets worse: occlusion, lost frames, noise, confidence, frame rate.

Each curve starts at its clean level. In addition to the error of whole poses, the error of the hidden joints alone is
measured, and of the same joints and frames when they are visible: whether a method reconstructs what it cannot see.

Shape suffixes: B clips, T frames, J joints, F frames that count.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionpose.config import section
from actionpose.data import rng
from actionpose.data.batch import Batch
from actionpose.data.batches import Assembler, Detector, detector
from actionpose.data.samples import DataConfig
from actionpose.data.selection import select_motions
from actionpose.errors import UserError
from actionpose.evaluate import metrics
from actionpose.evaluate.lifting import EvalConfig, Lift, ScoredTable, frame_units, held_out, lift_batch, to_measure
from actionpose.evaluate.protocols import protocol_of
from actionpose.progress import Progress
from actionpose.robustness.perturb import Level, RobustnessConfig, levels, resample, resampled_counts, shake
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.skeleton import ROOT
from actionpose.train.runtime import Runtime


@dataclass(frozen=True, kw_only=True)
class RobustRecipe(Recipe):
    """A recipe with the section `robust`, which only `ap-train robustness` reads."""

    robust: RobustnessConfig = section(RobustnessConfig, "robustness curves")


def robust_table(shards: ShardSet, data: DataConfig, config: EvalConfig) -> ScoredTable:
    """The protocol's windows, with all their frames counted: scoring one frame per window would waste the rest.

    Raises:
        UserError: nothing is left to measure on; a protocol that does not fit.
    """
    protocol = protocol_of(shards, config.protocol, select_motions(shards, to_measure(shards, data, config)))
    windowing: Any = "stitched" if "stitched" in protocol.windowings else "chunks"
    return held_out(shards, data, dataclasses.replace(config, protocol=protocol.name, windowing=windowing))


def measure_robustness(
    lift: Lift, table: ScoredTable, recipe: Recipe, config: RobustnessConfig, runtime: Runtime
) -> list[dict[str, Any]]:
    """All levels of all curves, each a row.

    Args:
        lift: the model.
        table: of `robust_table`.
        recipe: how the run is measured: its `data` and `eval`.
        config: curves and levels.
        runtime: device.

    Returns:
        For each level `curve`, `level`, `amount`, `frames` (that count), `mpjpe_mm` and `p_mpjpe_mm` (means over
        frames), `hidden_share` of their joints, `hidden_mm` (mean over the hidden joints alone, without joint 0, which
        is the origin), and `hidden_clean_mm`, the same joints' error on the clean input. The last two are None where
        nothing is hidden.
    """
    wanted = levels(config)
    sums = [_Sums() for _ in wanted]
    assemble = Assembler(table=table, augment=False)
    detect = None if table.stored_2d else detector(recipe.data)
    batches = _batches(table, recipe.eval.batch, config.windows)
    progress = Progress(f"{len(wanted)} levels", total=sum(map(len, batches)), unit="window")
    with runtime.exact(), torch.inference_mode(), progress:
        for ids in batches:
            clip = _clip_of(table, assemble(ids, 0), ids, seed=config.seed, flip_tta=recipe.eval.flip_tta)
            _measure_batch(lift, clip, wanted, sums, detect, runtime, recipe.data)
            progress.advance(len(ids))
    rows = []
    for level, total in zip(wanted, sums, strict=True):
        rows.append({"curve": level.curve, "level": level.label, "amount": level.amount, **total.means()})
    return rows


def _batches(table: ScoredTable, size: int, limit: int) -> list[NDArray[np.int64]]:
    """Ids, long windows first; at most `limit` windows, evenly spread, when that is not 0."""
    ids = np.arange(len(table))
    if limit and limit < len(ids):
        ids = np.unique(np.linspace(0, len(ids) - 1, limit).round().astype(np.int64))
    ids = ids[np.argsort(-table.length[ids], kind="stable")]
    return [ids[at : at + size] for at in range(0, len(ids), size)]


# --- one batch --------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class _Clip:
    """A batch with what scoring needs: `counted` (B, T) bool, `unit` (B, T) millimetres a screen unit."""

    pose2d: Tensor
    pose3d: Tensor
    valid: Tensor
    sample_id: Tensor
    counted: Tensor
    unit: Tensor
    seed: int
    flip_tta: bool

    @property
    def key(self) -> Tensor:
        """What the random choices for a clip depend on."""
        return rng.keys(self.seed, 0, self.sample_id)


def _clip_of(table: ScoredTable, batch: Batch, ids: NDArray[np.int64], *, seed: int, flip_tta: bool) -> _Clip:
    counted = torch.zeros_like(batch["valid"])
    unit = torch.ones(counted.shape, dtype=torch.float64)
    for row, sample in enumerate(ids.tolist()):
        frames, places = table.counted(sample)
        counted[row, places] = True
        units = frame_units(table, int(table.motion[sample]), frames).reshape(-1)
        unit[row, places] = torch.from_numpy(np.broadcast_to(units, places.shape).copy())
    return _Clip(
        pose2d=batch["pose2d"], pose3d=batch["pose3d"], valid=batch["valid"], sample_id=batch["sample_id"],
        counted=counted, unit=unit, seed=seed, flip_tta=flip_tta,
    )  # fmt: skip


def _measure_batch(
    lift: Lift,
    exact: _Clip,
    wanted: Sequence[Level],
    sums: Sequence[_Sums],
    detect: Detector | None,
    runtime: Runtime,
    data: DataConfig,
) -> None:
    """Add one batch to the sums of all levels; the clean input is lifted once for all curves that start from it."""
    seen = exact
    if detect is not None:
        seen = dataclasses.replace(exact, pose2d=detect(exact.pose2d, exact.sample_id))
    clean = _errors(seen, _lift(lift, seen, runtime))
    nothing = torch.zeros(exact.pose2d.shape[:3], dtype=torch.bool)
    known = {"seen": clean, **({"exact": clean} if detect is None else {})}
    for level, total in zip(wanted, sums, strict=True):
        if level.perturb is None and level.rate == 1.0 and not level.noise:
            name = "seen" if level.noise is None else "exact"
            if name not in known:
                known[name] = _errors(exact, _lift(lift, exact, runtime))
            total.add(known[name], nothing, known[name], exact.counted)
        elif level.rate != 1.0:
            played = _played(seen, level.rate)
            errors = _errors(played, _lift_long(lift, played, runtime, data.clip_frames))
            total.add(errors, torch.zeros(errors.joint.shape, dtype=torch.bool), errors, played.counted)
        else:
            perturbed, hidden = _perturbed(exact, seen, level, data)
            total.add(_errors(perturbed, _lift(lift, perturbed, runtime)), hidden, clean, exact.counted)


def _perturbed(exact: _Clip, seen: _Clip, level: Level, data: DataConfig) -> tuple[_Clip, Tensor]:
    """The input of a level, and what of it is hidden, (B, T, 17) bool."""
    if level.perturb is None:
        assert level.noise is not None
        moved = shake(exact.pose2d, exact.sample_id, level.noise, seed=data.detection_seed)
        return dataclasses.replace(exact, pose2d=moved), torch.zeros(moved.shape[:3], dtype=torch.bool)
    pose2d, hidden = level.perturb(seen.pose2d, seen.valid, seen.key)
    return dataclasses.replace(seen, pose2d=pose2d), hidden


def _played(clip: _Clip, rate: float) -> _Clip:
    """The clip and its target at another rate; a new frame counts if the frame at or before it does."""
    pose2d, pose3d = resample(clip.pose2d, rate), resample(clip.pose3d, rate)
    frames = pose2d.shape[1]
    valid = torch.arange(frames) < resampled_counts(clip.valid.sum(dim=1), rate)[:, None]
    before = (torch.arange(frames, dtype=torch.float64) / rate + 1e-9).floor().long()
    return dataclasses.replace(
        clip, pose2d=pose2d, pose3d=pose3d, valid=valid, counted=clip.counted[:, before] & valid,
        unit=clip.unit[:, before],
    )  # fmt: skip


# --- lifting and scoring ----------------------------------------------------------------------


def _lift(lift: Lift, clip: _Clip, runtime: Runtime) -> Tensor:
    return lift_batch(lift, clip.pose2d, clip.valid, runtime, flip_tta=clip.flip_tta)


def _lift_long(lift: Lift, clip: _Clip, runtime: Runtime, size: int) -> Tensor:
    """Lift clips longer than a model takes: windows side by side, the last one aligned to each clip's end."""
    if clip.pose2d.shape[1] <= size:
        return _lift(lift, clip, runtime)
    out = torch.zeros_like(clip.pose3d)
    length = clip.valid.sum(dim=1)
    for at in range(0, clip.pose2d.shape[1], size):
        rows = (length > at).nonzero().flatten()
        start = torch.minimum(torch.full_like(length, at), (length - size).clamp(min=0))[rows]
        place = start[:, None] + torch.arange(size)
        inside = place < length[rows, None]
        place = torch.minimum(place, length[rows, None] - 1)
        part = dataclasses.replace(clip, pose2d=clip.pose2d[rows[:, None], place], valid=inside)
        lifted = _lift(lift, part, runtime)
        fresh = inside & (place >= at)
        into = rows[:, None].expand_as(place)
        out[into[fresh], place[fresh]] = lifted[fresh]
    return out


@dataclass(frozen=True, kw_only=True)
class _Errors:
    """Millimetres: `joint` (B, T, 17), 0 where a frame does not count; `aligned` (F,) of those that do."""

    joint: NDArray[np.float64]
    aligned: NDArray[np.float64]


def _errors(clip: _Clip, predicted: Tensor) -> _Errors:
    counted = clip.counted.numpy()
    unit = clip.unit.numpy()[counted][:, None, None]
    p = predicted.numpy()[counted].astype(np.float64) * unit
    g = clip.pose3d.numpy()[counted].astype(np.float64) * unit
    joint = np.zeros(clip.pose3d.shape[:3])
    if len(p):
        joint[counted] = metrics.joint_errors(p, g)
    return _Errors(joint=joint, aligned=metrics.p_mpjpe(p, g) if len(p) else np.empty(0))


@dataclass(kw_only=True)
class _Sums:
    """Running totals of one level, in float64."""

    frames: int = 0
    error: float = 0.0
    aligned: float = 0.0
    joints: int = 0
    hidden: int = 0
    hidden_error: float = 0.0
    hidden_clean: float = 0.0

    def add(self, errors: _Errors, hidden_BTJ: Tensor, clean: _Errors, counted_BT: Tensor) -> None:
        """Count a batch in; `clean` are the errors of the same frames on clean input."""
        counted = counted_BT.numpy()
        self.frames += int(counted.sum())
        self.error += float(errors.joint.mean(axis=-1).sum())
        self.aligned += float(errors.aligned.sum())
        hidden = hidden_BTJ.numpy() & counted[..., None]
        hidden[..., ROOT] = False
        self.joints += int(counted.sum()) * (hidden.shape[-1] - 1)
        self.hidden += int(hidden.sum())
        self.hidden_error += float(errors.joint[hidden].sum())
        self.hidden_clean += float(clean.joint[hidden].sum())

    def means(self) -> dict[str, Any]:
        """The row of a level.

        Raises:
            UserError: no frame counts.
        """
        if not self.frames:
            raise UserError("no frame is left to measure on", "measure on more windows: -o robust.windows=0")
        return {
            "frames": self.frames,
            "mpjpe_mm": self.error / self.frames,
            "p_mpjpe_mm": self.aligned / self.frames,
            "hidden_share": self.hidden / self.joints,
            "hidden_mm": self.hidden_error / self.hidden if self.hidden else None,
            "hidden_clean_mm": self.hidden_clean / self.hidden if self.hidden else None,
        }

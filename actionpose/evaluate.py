"""Evaluation: lift held-out motions, score every frame once, and say by which protocol.

Shape suffixes: B clips, T frames, F scored frames.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionpose import metrics
from actionpose.batching import Assembler, Batch, Detect, mirror
from actionpose.config import setting
from actionpose.data import DataConfig, Ints, SampleTable, motion_samples
from actionpose.errors import UserError
from actionpose.runtime import Runtime
from actionpose.shards import ShardSet
from actionpose.skeleton import N_JOINTS, ROOT

Lift = Callable[[Tensor, Tensor], Tensor]
"""(pose2d (B, T, 17, 3), valid (B, T)) → pose3d (B, T, 17, 3), root-relative screen units."""


@dataclass(frozen=True, kw_only=True)
class EvalConfig:
    """What a model is measured on, and how."""

    split: str = setting("val", "split to measure on; empty: all that are there")
    subjects_include: tuple[str, ...] = setting((), "only these subjects, as `subject` or `dataset/subject`")
    subjects_exclude: tuple[str, ...] = setting((), "without these subjects")
    protocol: Literal["", "orthographic", "h36m"] = setting(
        "",
        "`orthographic`: mean over frames, on projected motion; `h36m`: mean of the action means, without the takes "
        "that are known to be damaged; empty: what the shards call for",
    )
    drop_tails: bool = setting(False, "leave out frames after the last full window, as published Human3.6M numbers do")
    flip_tta: bool = setting(True, "average the answers for a clip and its mirror image (MotionBERT)")
    batch: int = setting(32, "clips lifted at once; does not change the result")
    baselines: bool = setting(False, "also score the training motions' mean pose and an untrained model")
    retrieval: bool = setting(True, "for models with text: how often a motion finds its label, and a label its motion")

    def __post_init__(self) -> None:
        if self.batch < 1:
            raise ValueError("batch must be at least 1")


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Errors of the scored frames, as equally long columns.

    Attributes:
        motion: (F,) row of the shards' motions.
        view: (F,) view number.
        error: (F,) float64 MPJPE, mm.
        aligned: (F,) float64 P-MPJPE, mm.
        velocity: float64 mm per frame, one for each pair of neighbouring frames in a window.
    """

    motion: Ints
    view: Ints
    error: NDArray[np.float64]
    aligned: NDArray[np.float64]
    velocity: NDArray[np.float64]


# --- which frames -----------------------------------------------------------------------------


def held_out(shards: ShardSet, data: DataConfig, config: EvalConfig) -> SampleTable:
    """Windows that cover the motions to measure on, each frame counted in one of them.

    Raises:
        UserError: nothing is left to measure on.
    """
    chosen = dataclasses.replace(
        data,
        split=config.split,
        subjects_include=config.subjects_include,
        subjects_exclude=config.subjects_exclude,
    )
    return motion_samples(shards, chosen, stride=data.clip_frames)


def protocol_of(shards: ShardSet, asked: str) -> str:
    """The protocol's name: as asked, else what the shards call for.

    Raises:
        UserError: one that does not fit the shards.
    """
    datasets = {str(name).lower() for name in shards.motions["dataset"]}
    natural = "orthographic" if shards.kind == "motion-text" else "h36m"
    if asked and (asked == "orthographic") != (natural == "orthographic"):
        raise UserError(
            f"protocol '{asked}' does not fit {shards.folder}, which holds {', '.join(sorted(datasets))} "
            f"({shards.kind})",
            f"use --protocol {natural}, or other shards",
        )
    return asked or natural


def _scored(table: SampleTable, sample: int, config: EvalConfig) -> slice:
    """Frames of a window that count: not those the window before has; none of a tail when tails are dropped."""
    covered, length = int(table.covered[sample]), int(table.length[sample])
    if config.drop_tails and covered:
        return slice(0, 0)
    return slice(covered, length)


def _skipped(table: SampleTable, protocol: str) -> NDArray[np.bool_]:
    """Samples of takes that the protocol leaves out: those whose `extra` has a `skip` reason."""
    if protocol != "h36m":
        return np.zeros(len(table), dtype=bool)
    skip = np.asarray([bool(extra.get("skip")) for extra in table.shards.motions["extra"]], dtype=bool)
    return skip[table.motion]


def frame_units(table: SampleTable, sample: int) -> NDArray[np.float64] | float:
    """Millimetres per screen unit of a sample: one number, or one for each frame, (T, 1, 1)."""
    units = table.shards.motions["extra"][table.motion[sample]].get("unit_mm")
    if not table.stored_2d or not isinstance(units, list):
        return float(table.unit_mm[sample])
    start = int(table.offset[sample])
    return np.asarray(units[start : start + int(table.length[sample])], dtype=np.float64)[:, None, None]


# --- lifting ----------------------------------------------------------------------------------


@torch.inference_mode()
def lift_batch(lift: Lift, batch: Batch, runtime: Runtime, *, flip_tta: bool) -> Tensor:
    """Root-relative prediction for a batch, (B, T, 17, 3) float32 on the CPU, in screen units."""
    moved = runtime.move(batch)
    pose2d, valid = moved["pose2d"], moved["valid"]
    pose3d = lift(pose2d, valid)
    if flip_tta:
        everyone = torch.ones(len(pose2d), dtype=torch.bool, device=pose2d.device)
        pose3d = (pose3d + mirror(lift(mirror(pose2d, everyone), valid), everyone)) / 2
    return (pose3d - pose3d[:, :, ROOT : ROOT + 1]).cpu()


def score(
    lift: Lift,
    table: SampleTable,
    config: EvalConfig,
    runtime: Runtime,
    *,
    detect: Detect | None = None,
    protocol: str = "orthographic",
) -> Scores:
    """Lift the table's windows and score their frames, in float64 millimetres."""
    assemble = Assembler(table=table, detect=detect, augment=False)
    # Long ones first: a lack of memory shows at once. Windows of one length share a batch.
    order = np.flatnonzero(~_skipped(table, protocol))
    order = order[np.argsort(-table.length[order], kind="stable")]
    parts: list[tuple[Ints, Ints, Any, Any, Any]] = []
    with runtime.exact():
        for at in range(0, len(order), config.batch):
            ids = order[at : at + config.batch]
            batch = assemble(ids, 0)
            predicted = lift_batch(lift, batch, runtime, flip_tta=config.flip_tta).numpy()
            for row, sample in enumerate(ids.tolist()):
                parts.append(_score_one(table, sample, predicted[row], batch["pose3d"][row].numpy(), config))
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return Scores(motion=columns[0], view=columns[1], error=columns[2], aligned=columns[3], velocity=columns[4])


def _score_one(
    table: SampleTable, sample: int, predicted: NDArray[np.float32], target: NDArray[np.float32], config: EvalConfig
) -> tuple[Ints, Ints, Any, Any, Any]:
    window, length = _scored(table, sample, config), int(table.length[sample])
    unit = frame_units(table, sample)
    p, g = (pose[:length].astype(np.float64) * unit for pose in (predicted, target))
    p, g = p[window], g[window]
    frames = len(p)
    return (
        np.full(frames, table.motion[sample]),
        np.full(frames, table.view[sample]),
        metrics.mpjpe(p, g),
        metrics.p_mpjpe(p, g) if frames else np.empty(0),
        metrics.mpjve(p, g) if frames > 1 else np.empty(0),
    )


# --- summary ----------------------------------------------------------------------------------


def summarise(scores: Scores, table: SampleTable, protocol: str) -> dict[str, Any]:
    """Scores as a result row: the protocol's means, and means by action, dataset and view.

    Raises:
        UserError: no frame was scored.
    """
    if not len(scores.error):
        raise UserError(
            f"{table.shards.folder}: no frame is left to score",
            "shorten data.clip_frames, or set eval.drop_tails=false",
        )
    motions = table.shards.motions
    actions = _by(scores, motions["action"][scores.motion])
    views = np.asarray(table.views, dtype=object)[scores.view]
    by_action = protocol == "h36m" and bool(actions)
    pooled = actions.values() if by_action else [_mean(scores, np.ones(len(scores.error), dtype=bool))]
    return {
        "mpjpe_mm": float(np.mean([row["mpjpe_mm"] for row in pooled])),
        "p_mpjpe_mm": float(np.mean([row["p_mpjpe_mm"] for row in pooled])),
        "velocity_mm": float(scores.velocity.mean()) if len(scores.velocity) else None,
        "frames": len(scores.error),
        "motions": len(np.unique(scores.motion)),
        "protocol": protocol,
        "average": "of the action means" if by_action else "over frames",
        "frame_mpjpe_mm": float(scores.error.mean()),
        "actions": actions,
        "datasets": _by(scores, motions["dataset"][scores.motion]),
        "views": _by(scores, views),
    }


def _mean(scores: Scores, chosen: NDArray[np.bool_]) -> dict[str, Any]:
    return {
        "mpjpe_mm": float(scores.error[chosen].mean()),
        "p_mpjpe_mm": float(scores.aligned[chosen].mean()),
        "frames": int(chosen.sum()),
    }


def _by(scores: Scores, names: NDArray[Any]) -> dict[str, dict[str, Any]]:
    """Means for each name; frames without a name are in none."""
    return {str(name): _mean(scores, names == name) for name in sorted(set(names.tolist()) - {""})}


# --- baselines --------------------------------------------------------------------------------


def mean_pose_lift(table: SampleTable, limit: int = 512) -> Lift:
    """A lifter that knows nothing of its input: the mean root-relative pose of some of the table's clips.

    The same pose for every view, so for front and side views it is a person seen from neither: the error anyone
    beats who looks at the 2D.
    """
    ids = np.unique(np.linspace(0, len(table) - 1, min(limit, len(table))).astype(np.int64))
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


def table_rows(
    result: dict[str, Any], groups: Iterable[str] = ("views", "datasets", "actions")
) -> list[dict[str, Any]]:
    """A result as rows for people: all, then each view, dataset and action."""
    rows = [
        {"what": "all", "mpjpe_mm": result["mpjpe_mm"], "p_mpjpe_mm": result["p_mpjpe_mm"], "frames": result["frames"]}
    ]
    for group in groups:
        rows += [{"what": f"{group.removesuffix('s')} {name}", **row} for name, row in result[group].items()]
    return rows

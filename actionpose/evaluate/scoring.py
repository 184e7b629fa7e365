"""From poses in millimetres to a protocol's numbers: errors of frames, then their means. NumPy alone, no model.

All predictions are scored here and nowhere else, whether from a run of this toolkit or from a file.

Shape suffixes: n frames of one video, F scored frames of all, V neighbouring pairs, A neighbouring triples, M
ambiguous limbs.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Float64s, Floats, Ints
from actionpose.errors import UserError
from actionpose.evaluate import ambiguous, metrics
from actionpose.evaluate.protocols import SCENES, Protocol
from actionpose.evaluate.result import Result
from actionpose.geometry import root_relative
from actionpose.shards import ShardSet
from actionpose.skeleton import JOINT_NAMES

LIMB_ENDS = tuple(at for at, name in enumerate(JOINT_NAMES) if name.endswith(("wrist", "ankle")))
FAST_MM_S = 2000.0
"""Faster than this relative to the pelvis is a fast action: a wrist reaches it in running, throwing, dancing."""


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Errors of scored frames, as equally long columns.

    Attributes:
        motion: (F,) row of the shards' motions.
        view: (F,) view number.
        error: (F,) MPJPE, mm.
        aligned: (F,) P-MPJPE, mm.
        scaled: (F,) N-MPJPE, mm.
        pck: (F,) per cent of 14 joints nearer than 150 mm.
        auc: (F,) mean of PCK over 31 thresholds, per cent.
        velocity: (V,) mm per frame, a row for each two frames that are scored and follow each other in a video.
        velocity_motion: (V,) their motion.
        acceleration: (A,) mm per frame squared, a row for each three.
        acceleration_motion: (A,) their motion.
        ambiguous: (M,) mm, mean error of wrists or ankles whose 2D does not tell which is nearer (`ambiguous`).
        ordered: (M,) whether the nearer of the two is predicted to be nearer.
        stride: (F,) mm, how far the fastest wrist or ankle moved, relative to the pelvis, since the frame before; NaN
            where that one is not scored.
    """

    motion: Ints
    view: Ints
    error: Float64s
    aligned: Float64s
    scaled: Float64s
    pck: Float64s
    auc: Float64s
    velocity: Float64s
    velocity_motion: Ints
    acceleration: Float64s
    acceleration_motion: Ints
    ambiguous: Float64s
    ordered: NDArray[np.bool_]
    stride: Float64s

    @classmethod
    def joined(cls, parts: Sequence[Scores]) -> Scores:
        """The rows of all parts, in order."""
        columns: dict[str, Any] = {
            name: np.concatenate([getattr(part, name) for part in parts] or [np.empty(0)])
            for name in cls.__dataclass_fields__
        }
        return cls(**columns)


def score_video(
    predicted_n: NDArray[Any], target_n: NDArray[Any], frames_n: Ints, *, motion: int, view: int = 0
) -> Scores:
    """Errors of one video's scored frames.

    Args:
        predicted_n: (n, 17, 3) millimetres, Human3.6M order; the root may be anywhere.
        target_n: the same for the ground truth.
        frames_n: (n,) their numbers in the video; a frame may come twice. Motion errors take what follows by one.
        motion: row of the shards' motions.
        view: view number.
    """
    p, g = (root_relative(np.asarray(pose, dtype=np.float64)) for pose in (predicted_n, target_n))
    step = np.diff(frames_n) == 1
    velocity = metrics.mpjve(p, g)[step] if len(p) > 1 else np.empty(0)
    acceleration = metrics.acceleration_error(p, g)[step[1:] & step[:-1]] if len(p) > 2 else np.empty(0)
    limb_error, limb_ordered = ambiguous.errors(p, g)
    return Scores(
        motion=np.full(len(p), motion),
        view=np.full(len(p), view),
        error=metrics.mpjpe(p, g),
        aligned=metrics.p_mpjpe(p, g),
        scaled=metrics.n_mpjpe(p, g),
        pck=metrics.pck(p, g),
        auc=metrics.auc(p, g),
        velocity=velocity,
        velocity_motion=np.full(len(velocity), motion),
        acceleration=acceleration,
        acceleration_motion=np.full(len(acceleration), motion),
        ambiguous=limb_error,
        ordered=limb_ordered,
        stride=_stride(g, step),
    )


def _stride(target_n: Floats, follows: NDArray[np.bool_]) -> Float64s:
    moved = np.full(len(target_n), np.nan)
    if len(target_n) > 1:
        ends = np.diff(target_n[:, list(LIMB_ENDS)], axis=0)
        moved[1:] = np.where(follows, np.linalg.norm(ends, axis=-1).max(axis=1), np.nan)
    return moved


# --- means ------------------------------------------------------------------------------------


def summarise(scores: Scores, shards: ShardSet, protocol: Protocol, *, views: Sequence[str] = ("camera",)) -> Result:
    """Scores as a result: the protocol's headline, and means by action, dataset, sequence and view.

    Raises:
        UserError: no frame was scored.
    """
    if not len(scores.error):
        raise UserError(
            f"{shards.folder}: no frame is left to score", "shorten data.clip_frames, or set eval.drop_tails=false"
        )
    motions = shards.motions
    everyone = _mean(scores, protocol, shards)
    actions = _groups(scores, protocol, shards, motions["action"])
    headline = _mean_of(actions.values()) if protocol.by_action and actions else everyone
    groups: dict[str, Any] = {}
    if protocol.name == "3dhp":
        scene = {subject: name for name, subjects in SCENES.items() for subject in subjects}
        names = np.asarray([scene.get(str(subject), "") for subject in motions["subject"]], dtype=object)
        sequences = _groups(scores, protocol, shards, motions["subject"])
        groups = {
            "sequences": sequences,
            "sequence_mean": _mean_of(sequences.values()),
            "scenes": _groups(scores, protocol, shards, names),
        }
    return Result(
        **{key: headline[key] for key in everyone if key != "frames"},
        frames=len(scores.error),
        motions=len(np.unique(scores.motion)),
        protocol=protocol.name,
        title=protocol.title,
        average=f"of the {protocol.average}" if headline is not everyone else "over frames",
        frame_mpjpe_mm=everyone["mpjpe_mm"],
        frame_p_mpjpe_mm=everyone["p_mpjpe_mm"],
        ambiguous={
            "mpjpe_mm": _float(scores.ambiguous),
            "ordered": _float(100.0 * scores.ordered.astype(np.float64)),
            "limbs": len(scores.ambiguous),
        },
        fast=_fast(scores, shards),
        actions=actions,
        datasets=_groups(scores, protocol, shards, motions["dataset"]),
        views={name: _mean(scores, protocol, shards, view=n) for n, name in enumerate(views) if n in scores.view},
        **groups,
    )


def _fast(scores: Scores, shards: ShardSet) -> dict[str, Any]:
    fast = scores.stride * shards.rates[scores.motion] > FAST_MM_S
    return {
        "mpjpe_mm": _float(scores.error[fast]),
        "p_mpjpe_mm": _float(scores.aligned[fast]),
        "frames": int(fast.sum()),
    }


def _mean(
    scores: Scores,
    protocol: Protocol,
    shards: ShardSet,
    *,
    motions: NDArray[np.bool_] | None = None,
    view: int | None = None,
) -> dict[str, Any]:
    """Means over frames, of some motions or one view; motion errors are not separated by view."""
    every = np.ones(len(shards.motions["start"]), dtype=bool) if motions is None else motions
    frame = every[scores.motion] if view is None else scores.view == view
    means: dict[str, Any] = {
        "mpjpe_mm": _float(scores.error[frame]),
        "p_mpjpe_mm": _float(scores.aligned[frame]),
        "n_mpjpe_mm": _float(scores.scaled[frame]),
    }
    if view is None:
        step, bend = every[scores.velocity_motion], every[scores.acceleration_motion]
        velocity, acceleration = scores.velocity[step], scores.acceleration[bend]
        means["velocity_mm"] = _float(velocity)
        means["velocity_mm_s"] = _float(velocity * shards.rates[scores.velocity_motion[step]])
        means["acceleration_mm"] = _float(acceleration)
    means |= {name: _float(getattr(scores, name)[frame]) for name in protocol.extra}
    return {**means, "frames": int(frame.sum())}


def _float(values: Float64s) -> float | None:
    return float(values.mean()) if len(values) else None


def _groups(scores: Scores, protocol: Protocol, shards: ShardSet, names: NDArray[Any]) -> dict[str, dict[str, Any]]:
    """Means for each name that motions bear, (motions,); motions without a name are in none."""
    scored = np.unique(scores.motion)
    wanted = sorted({str(name) for name in names[scored]} - {""})
    return {name: _mean(scores, protocol, shards, motions=names == name) for name in wanted}


def _mean_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Unweighted mean of several rows of means; of those that have the number."""
    rows = list(rows)
    out: dict[str, Any] = {}
    for key in rows[0]:
        values = [row[key] for row in rows if row[key] is not None]
        out[key] = float(np.mean(values)) if values else None
    return {**out, "frames": sum(row["frames"] for row in rows)}


# --- for people -------------------------------------------------------------------------------


def table_rows(result: Result) -> list[dict[str, Any]]:
    """A result as rows: for Human3.6M its actions, for MPI-INF-3DHP its sequences, and both kinds of mean."""
    headline = result.to_json()
    columns = [key for key in COLUMNS if headline.get(key) is not None]
    baselines = [
        {"what": f"baseline: {name.replace('_', ' ')}", **means, "frames": result.frames}
        for name, means in (result.baselines or {}).items()
    ]

    def row(what: str, means: Mapping[str, Any]) -> dict[str, Any]:
        return {"what": what, **{key: means[key] for key in columns if key in means}, "frames": means["frames"]}

    if result.average == "of the action means":
        frame_mean = {"mpjpe_mm": result.frame_mpjpe_mm, "p_mpjpe_mm": result.frame_p_mpjpe_mm}
        return [
            *(row(name, means) for name, means in result.actions.items()),
            row("mean of actions", headline),
            {"what": "mean of frames", **frame_mean, "frames": result.frames},
            *baselines,
        ]
    if result.sequences is not None and result.scenes is not None and result.sequence_mean is not None:
        return [
            *(row(name, means) for name, means in result.sequences.items()),
            *(row(name, means) for name, means in result.scenes.items()),
            row("all frames", headline),
            row("mean of sequences", result.sequence_mean),
            *baselines,
        ]
    groups = (("view", result.views), ("dataset", result.datasets), ("action", result.actions))
    grouped = (row(f"{k} {name}", means) for k, many in groups for name, means in many.items())
    return [row("all", headline), *baselines, *grouped]


COLUMNS = ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm", "pck", "auc", "velocity_mm", "velocity_mm_s", "acceleration_mm")
"""Errors as a table shows them, from the left."""

CONDITIONS = (
    "protocol", "title", "average", "source_2d", "target", "unit_from", "clip_frames", "windowing", "drop_tails",
    "flip_tta", "legacy_ts56", "frames", "left_out", "split", "fingerprint", "commit", "version",
)  # fmt: skip
"""What a number cannot be compared without."""


def conditions(result: Result) -> dict[str, Any]:
    """The conditions of a result, without which its numbers cannot be compared."""
    shown = {key: value for key in CONDITIONS if (value := getattr(result, key)) is not None}
    if result.skipped is not None:
        shown["skipped"] = f"{len(result.skipped)} videos"
    return shown


def stated(shards: ShardSet, motions: Iterable[int]) -> dict[str, Any]:
    """Where the videos have their 2D from, their ground truth and their unit: each answer once, in words."""
    videos = [shards.videos[motion] for motion in motions]
    return {key: ", ".join(sorted({getattr(v, key) for v in videos})) for key in ("source_2d", "target", "unit_from")}

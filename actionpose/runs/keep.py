"""Choosing and lifting the clips that an evaluation keeps (`kept`): the same windows for every run on the same shards.

Shape suffixes: B clips, T frames, J joints.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from actionpose.arrays import Floats, Ints
from actionpose.data.batch import Batch
from actionpose.data.batches import Assembler, detector
from actionpose.data.windows import source_frames
from actionpose.errors import UserError
from actionpose.evaluate.embeddings import clip_features, held_out_clips, token
from actionpose.evaluate.lifting import ScoredTable, frame_units, lift_batch
from actionpose.evaluate.protocols import frames_of
from actionpose.model.action_pose import ActionPose
from actionpose.runs.kept import Kept
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train.runtime import Runtime

CLIPS, EMBEDDED = 24, 400
"""How many clips are kept, and embedded: at most, evenly spread."""

HIDDEN_SHARE = 1 / 3
"""Share of the masked clip that each mask hides: the first, the middle and the last third."""


def keep_clips(
    model: ActionPose, recipe: Recipe, table: ScoredTable, runtime: Runtime, *, masks: bool, about: dict[str, Any]
) -> Kept:
    """Lift a few windows and keep them with their truth.

    Args:
        model: in evaluation mode; embeddings come from its shared space, without one from its class token.
        recipe: what is measured.
        table: the windows that are scored.
        runtime: where to compute.
        masks: also hide the beginning, the middle and the end of one clip: for models that have seen masks.
        about: `Kept.about`.
    """
    ids = np.unique(np.linspace(0, len(table) - 1, min(CLIPS, len(table))).round().astype(np.int64))
    batch = runtime.move(Assembler(table=table, detect=detector(recipe.data), augment=False)(ids, 0))
    lengths, unit = table.length[ids], _units(table, ids, batch["valid"].shape[1])
    predicted = _lift(model, batch["pose2d"], batch["valid"], recipe, runtime) * unit
    whole = [(np.arange(length), row) for row, length in enumerate(lengths.tolist())]
    seen = np.where(
        batch["pose2d"][..., 2:].cpu().numpy() > 0, batch["pose2d"][..., :2].double().cpu().numpy() * unit, np.nan
    )
    target = batch["pose3d"].double().cpu().numpy() * unit
    poses: dict[str, Any] = {
        name: np.concatenate([values[row, frames] for frames, row in whole])
        for name, values in (("predicted", predicted), ("target", target), ("seen", seen))
    }
    if masks:
        longest = int(lengths.argmax())
        poses |= _masked(model, batch, longest, unit[longest, : lengths[longest]], recipe, runtime)
    return Kept(
        about=about,
        clip=np.array([_name(table, int(sample)) for sample in ids]),
        label=np.array([_label(table, int(sample)) for sample in ids]),
        first=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        **poses,
        **_embedded(model, recipe, table.shards, runtime),
    )


def _units(table: ScoredTable, ids: Ints, frames: int) -> Floats:
    """Millimetres per screen unit of each frame, (B, T, 1, 1), as evaluation scores it; 1 in padding."""
    unit = np.ones((len(ids), frames, 1, 1))
    for row, sample in enumerate(ids.tolist()):
        motion, length = int(table.motion[sample]), int(table.length[sample])
        whole, _ = frames_of(table.shards, motion)
        source = source_frames(int(table.offset[sample]), int(table.span[sample]), length, whole)
        unit[row, :length] = frame_units(table, motion, source)
    return unit


def _lift(model: ActionPose, pose2d_BTJ3: Tensor, valid_BT: Tensor, recipe: Recipe, runtime: Runtime) -> Floats:
    """(B, T, J, 3) screen units."""
    size, flip = recipe.eval.batch, recipe.eval.flip_tta
    inputs = zip(pose2d_BTJ3.split(size), valid_BT.split(size), strict=True)
    with runtime.exact():
        parts = [lift_batch(model.lift, pose2d, valid, runtime, flip_tta=flip) for pose2d, valid in inputs]
    return torch.cat(parts).double().numpy()


def _masked(
    model: ActionPose, batch: Batch, row: int, unit_T11: Floats, recipe: Recipe, runtime: Runtime
) -> dict[str, Any]:
    """The paper's Figure 4: predictions of one clip whose beginning, middle or end is hidden."""
    length = len(unit_T11)
    size = max(1, round(HIDDEN_SHARE * length))
    starts = np.array([0, (length - size) // 2, length - size], dtype=np.int64)
    hidden = batch["pose2d"][row].repeat(len(starts), 1, 1, 1)
    for number, start in enumerate(starts.tolist()):
        hidden[number, start : start + size] = 0.0
    valid_MT = batch["valid"][[row] * len(starts)]
    return {
        "masked_clip": row,
        "masked_frames": np.stack([starts, starts + size], axis=1),
        "masked": _lift(model, hidden, valid_MT, recipe, runtime)[:, :length] * unit_T11,
    }


def _name(table: ScoredTable, sample: int) -> str:
    motion = table.shards.motions["motion_id"][table.motion[sample]]
    return f"{motion}, {table.views[table.view[sample]]}, from frame {table.offset[sample]}"


def _label(table: ScoredTable, sample: int) -> str:
    """The text of a labelled clip around the window's middle, or a benchmark's action."""
    shards, motion = table.shards, int(table.motion[sample])
    if shards.kind == "benchmark":
        return str(shards.motions["action"][motion])
    middle = int(table.offset[sample]) + int(table.length[sample]) // 2
    clips, pairs = shards.clips, shards.pairs
    around = np.flatnonzero((clips["motion"] == motion) & (clips["start"] <= middle) & (middle < clips["stop"]))
    texts: NDArray[Any] = pairs["text"][np.isin(pairs["clip"], around)]
    return min(map(str, texts), key=len, default="")


def _embedded(model: ActionPose, recipe: Recipe, shards: ShardSet, runtime: Runtime) -> dict[str, Any]:
    """Features of labelled clips for a map, with their labels."""
    if not recipe.pose.class_token or not len(shards.pairs["clip"]):
        return {}
    try:
        clips = held_out_clips(recipe, shards, limit=EMBEDDED)
    except UserError:  # no labelled clip in the split
        return {}
    encode = token(model, mean=True) if model.pose_pool is None else model.embed_pose
    features = clip_features({"": encode}, clips, recipe, runtime)[""]
    labels = [(known or texts)[0] for known, texts in zip(clips.categories, clips.texts, strict=True)]
    return {"features": features.astype(np.float32), "feature_label": np.array(labels)}

"""Measuring a run: its checkpoint on held-out motions, with baselines and retrieval, recorded in the run folder."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from actionpose.data.batches import detector
from actionpose.data.samples import motion_samples
from actionpose.errors import UserError
from actionpose.evaluate.embeddings import what_it_learned
from actionpose.evaluate.lifting import ScoredTable, held_out, mean_pose_lift, score, summarise
from actionpose.evaluate.predictions import Recorder, about_predictions, write_predictions
from actionpose.evaluate.result import Result
from actionpose.jsonl import append_line
from actionpose.model.action_pose import ActionPose
from actionpose.model.frozen_text import FrozenTextEncoder
from actionpose.model.pretrained import weight_differences
from actionpose.progress import say
from actionpose.runs.folder import CONFIG, RESULTS
from actionpose.runs.keep import keep_clips
from actionpose.runs.kept import CLIPS, save_kept
from actionpose.runs.recipe import Recipe, check_network, recipe_of
from actionpose.shards import ShardSet
from actionpose.train import checkpoint
from actionpose.train.runtime import Runtime, seed_all, start


def load_model(found: checkpoint.Checkpoint, *, with_text: bool = False) -> ActionPose:
    """The checkpoint's model in evaluation mode; the text branch only if asked for and trained.

    Raises:
        UserError: damaged weights, or a text model that is no longer on disk.
    """
    recipe, weights = recipe_of(found), found.weights()
    check_network(found.path, recipe, weights)
    with_text = with_text and any(name.startswith("text_pool.") for name in weights)
    encoder = _saved_texts(found, recipe, weights) if with_text else None
    model = ActionPose(recipe.pose, recipe.text if with_text else None, recipe.pooling, encoder)
    own = {name: tensor for name, tensor in weights.items() if with_text or name.startswith("pose.")}
    compared, wanted = own, model.state_dict()
    if isinstance(model.text, FrozenTextEncoder):  # it compares its vectors itself
        compared, wanted = (
            {name: tensor for name, tensor in state.items() if not name.startswith("text.")}
            for state in (compared, wanted)
        )
    if lines := weight_differences(compared, wanted):
        raise UserError(f"{found.path} does not fit its own recipe: {lines[0]}", "use another checkpoint of the run")
    model.load_state_dict(own)
    return model.eval()


def _saved_texts(
    found: checkpoint.Checkpoint, recipe: Recipe, weights: Mapping[str, Tensor]
) -> FrozenTextEncoder | None:
    """The frozen text encoder's vectors that were saved with the weights; None where there are none."""
    vectors, texts = weights.get("text.table_VE"), found.meta.get("texts")
    if vectors is None:
        return None
    if not isinstance(texts, list) or vectors.ndim != 2 or len(texts) != len(vectors):
        raise UserError(f"{found.path} is damaged: its texts and their vectors do not match", "use another copy of it")
    return FrozenTextEncoder(recipe.text, texts, vectors)


def evaluate(
    run: Path,
    data: Path,
    recipe: Recipe,
    *,
    argv: list[str],
    version: str,
    commit: str = "",
    predictions: Path | None = None,
) -> Result:
    """Measure a run's best (else latest) checkpoint, or a named one, and add a line to `results.jsonl`.

    Args:
        run: run or checkpoint folder.
        data: shard folder.
        recipe: the run's own, with what the user changed in `eval`, `data` and `run`.
        argv: the command as typed, for the record.
        version: of the toolkit, for the record.
        commit: of the toolkit, if it runs from a checkout.
        predictions: a file to write the scored poses to (`predictions`), for benchmark shards.

    Raises:
        UserError: no such run or shards; a protocol that does not fit; predictions of projected views.
    """
    say(f"reading {run} and the tables of {data}")
    found, shards = checkpoint.find(run, hold=True), ShardSet(data)
    table = held_out(shards, recipe.data, recipe.eval)
    recorder = Recorder(shards) if predictions else None
    with start(recipe.run) as runtime:
        say(f"{found.path.name} on {runtime.why}: {len(table):,} windows of {table.cut.protocol.name}")
        with_text = _knows_texts(found, recipe, shards)
        model = load_model(found, with_text=with_text).to(runtime.device)
        detect = detector(recipe.data)
        scores = score(model.lift, table, recipe.eval, runtime, detect=detect, keep=recorder)
        measured = summarise(scores, table)
        measured = dataclasses.replace(
            measured,
            baselines=_baselines(recipe, shards, table, runtime),
            **(what_it_learned(model, recipe, shards, runtime) if with_text else {}),
        )
        about = {"checkpoint": found.path.name, "fingerprint": shards.fingerprint, "fps": shards.fps}
        kept = keep_clips(
            model, recipe, table, runtime, masks=found.meta["command"] == "pretrain", about={**about, "run": str(run)}
        )
    result = dataclasses.replace(
        measured,
        **_conditions(found, recipe, table),
        data=str(data),
        run=str(run),
        command=" ".join(argv),
        version=version,
        commit=commit or None,
        time=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        predictions=str(predictions) if predictions else None,
    )
    if predictions and recorder:
        write_predictions(predictions, recorder.videos, about_predictions(result))
    home = found.path.parent.parent
    if (home / CONFIG).is_file():
        append_line(home / RESULTS, result.to_json())
        save_kept(kept, home / CLIPS)
    return result


def _conditions(found: checkpoint.Checkpoint, recipe: Recipe, table: ScoredTable) -> dict[str, Any]:
    trained = recipe_of(found)
    legacy = recipe.eval.legacy_ts56 and table.cut.protocol.name == "3dhp"
    return {
        "fingerprint": table.shards.fingerprint,
        "split": table.config.split,
        "checkpoint": found.path.name,
        "step": found.step,
        "trained_by": found.meta["command"],
        "pretrained": bool(trained.init.pose),
        "seed": trained.run.seed,
        "flip_tta": recipe.eval.flip_tta,
        "legacy_ts56": True if legacy else None,
        "detections": "stored" if table.stored_2d else recipe.data.detections,
    }


def _baselines(
    recipe: Recipe, shards: ShardSet, table: ScoredTable, runtime: Runtime
) -> dict[str, dict[str, float]] | None:
    """Errors to compare with: the mean pose of the training motions; if asked, the model before any training.

    None where there are no training motions.
    """
    lifts = {}
    with suppress(UserError):  # shards of held-out motions alone
        lifts["mean_pose"] = mean_pose_lift(motion_samples(shards, recipe.data))
    if recipe.eval.baselines:
        seed_all(recipe.run.seed)
        lifts["untrained"] = ActionPose(recipe.pose).eval().to(runtime.device).lift
    rows = {}
    for name, lift in lifts.items():
        what = f"measuring {name.replace('_', ' ')}"
        scores = score(lift, table, recipe.eval, runtime, detect=detector(recipe.data), what=what)
        found = summarise(scores, table)
        rows[name] = {"mpjpe_mm": found.mpjpe_mm, "p_mpjpe_mm": found.p_mpjpe_mm}
    return rows or None


def _knows_texts(found: checkpoint.Checkpoint, recipe: Recipe, shards: ShardSet) -> bool:
    """Whether there is something to measure of what pretraining taught about actions."""
    return bool(recipe.eval.retrieval and found.meta["command"] == "pretrain" and len(shards.pairs["clip"]))

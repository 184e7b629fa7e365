"""Training jobs: a recipe and a shard folder become a run folder."""

from __future__ import annotations

import math
import time
import warnings
from contextlib import nullcontext
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from actionpose.config import Resolved, to_dict
from actionpose.data.batches import GPU_FRAMES, Assembler, Loader, detector
from actionpose.data.corrupt import masks_only
from actionpose.data.samples import SampleTable, motion_samples, pair_samples
from actionpose.data.texts import Texts
from actionpose.errors import UserError
from actionpose.evaluate.embeddings import aligned, held_out_clips, in_words, mean_recall
from actionpose.evaluate.lifting import held_out, score, summarise
from actionpose.model.action_pose import ActionPose
from actionpose.model.frozen_text import FrozenTextEncoder
from actionpose.model.pretrained import read_pose_state
from actionpose.model.text_encoder import MINILM, TextReader, in_parts, label_spread
from actionpose.progress import say, track
from actionpose.runs.folder import held_run, open_run, write_config
from actionpose.runs.init import check_init, load_init, with_encoder_of_init
from actionpose.runs.recipe import Recipe
from actionpose.runs.settle import finishing, settling
from actionpose.shards import ShardSet
from actionpose.train import checkpoint, log
from actionpose.train.left import Chore
from actionpose.train.runtime import Runtime, seed_all, start
from actionpose.train.schedule import StageConfig
from actionpose.train.tasks import FinetuneTask, PretrainTask, thinned_lengths
from actionpose.train.trainer import Measured, Trainer

Command = Literal["pretrain", "finetune"]
LABELS_CHECKED = 256

# --- training ---------------------------------------------------------------------------------


def samples(command: Command, recipe: Recipe, shards: ShardSet) -> SampleTable:
    """The samples of a stage."""
    return pair_samples(shards, recipe.data) if command == "pretrain" else motion_samples(shards, recipe.data)


def check_parts(command: Command, recipe: Recipe) -> None:
    """Refuse what computing a step in parts would change.

    Raises:
        UserError: the class token is standardised over the clips of a step, and a step is computed in parts, each of
            which would have statistics of its own; or a step has a single clip, which has no deviation.
    """
    if command != "pretrain" or not recipe.pooling.standardise or recipe.loss.lambda_con == 0:
        return
    if recipe.pretrain.accumulate > 1:
        raise UserError(
            f"pooling.standardise takes statistics over all clips of a step, and pretrain.accumulate="
            f"{recipe.pretrain.accumulate} computes a step in parts",
            "-o pretrain.accumulate=1 (a smaller pretrain.batch saves memory too), or -o pooling.standardise=false",
        )
    if recipe.pretrain.batch < 2:
        raise UserError(
            "pooling.standardise needs at least 2 clips in a step, and pretrain.batch is 1",
            "-o pretrain.batch=2 or more, or -o pooling.standardise=false",
        )


def plan(command: Command, resolved: Resolved[Recipe], data: Path) -> dict[str, Any]:
    """What training would do, for `--dry-run`; reads tables, builds no model and writes nothing."""
    recipe = resolved.value
    check_parts(command, recipe)
    shards = ShardSet(data)
    table = samples(command, recipe, shards)
    stage = recipe.pretrain if command == "pretrain" else recipe.finetune
    steps = stage.epochs * max(1, len(table) // stage.batch)
    labels = len(set(shards.pairs["text"][table.pair].tolist())) if command == "pretrain" else 0
    text = recipe.text.model if command == "pretrain" and recipe.loss.lambda_con > 0 else ""
    return {
        "command": command,
        "data": str(data),
        "fingerprint": shards.fingerprint,
        "samples": len(table),
        "frames": int(table.length.sum()),
        "longest": int(table.length.max()),
        "mean_length": float(table.length.mean()),
        "views": list(table.views),
        **({"labels": labels} if labels else {}),
        "steps": min(steps, stage.steps) if stage.steps else steps,
        "batch": stage.batch,
        "starts_from": _first_weights(resolved),
        **({"text_model": text if text == MINILM else _there(text)} if text else {}),
    }


def _first_weights(resolved: Resolved[Recipe]) -> str:
    """Where training would start; what is there is read, since it may not fit.

    Raises:
        UserError: damaged, or another network.
    """
    given = resolved.value.init.pose
    if given and Path(given).exists():
        check_init(with_encoder_of_init(resolved))
        if Path(given).is_file() and Path(given).name not in (checkpoint.WEIGHTS, checkpoint.META):
            read_pose_state(Path(given))
    return _there(given) if given else "random weights"


def _there(path: str) -> str:
    """The path, and whether there is anything: a plan may be made before what it needs."""
    return path if Path(path).exists() else f"{path} (not there)"


def train(
    command: Command, resolved: Resolved[Recipe], data: Path, out: Path, *, resume: bool, argv: list[str], version: str
) -> dict[str, Any]:
    """Train one stage into the run folder `out`; return what was made.

    Raises:
        UserError: data, settings or weights that do not fit; `out` in use; a loss that is not finite.
    """
    say(f"reading the tables of {data}")
    shards = ShardSet(data)
    recipe = with_encoder_of_init(resolved)
    stage = recipe.pretrain if command == "pretrain" else recipe.finetune
    check_parts(command, recipe)
    about = {
        "command": command,
        "recipe": to_dict(recipe),
        "data": {
            "folder": str(data.resolve()),
            "fingerprint": shards.fingerprint,
            "kind": shards.kind,
            "fps": float(shards.fps),  # what lifting resamples to, wherever the checkpoint goes
        },
        "versions": {"actionpose": version, "torch": torch.__version__},
        "argv": argv,
    }
    with start(recipe.run) as runtime, held_run(out) if runtime.main else nullcontext():
        found = open_run(out, about, resume=resume, defaults=to_dict(Recipe())) if runtime.main else None
        runtime.barrier()
        if not runtime.main:
            found = checkpoint.latest(out) if resume else None
        if found is None:
            check_init(recipe)
        table = samples(command, recipe, shards)
        seed_all(recipe.run.seed)
        model, task, texts = build(command, recipe, table, loaded=found is not None)
        model.to(runtime.device)
        task.to(runtime.device)
        on_gpu = runtime.device.type == "cuda"
        if recipe.run.compile is True or (recipe.run.compile == "auto" and on_gpu):
            model.pose.compile_blocks()
        model.pose.bf16_stream = recipe.run.precision == "bf16-stream"
        detect = detector(recipe.data) if command == "finetune" else None
        read_texts = _text_reader(model, texts) if texts is not None else None
        assemble = Assembler(
            table=table, seed=recipe.run.seed, texts=texts, read_texts=read_texts, detect=detect,
            round_to=GPU_FRAMES if on_gpu else 1,
        )  # fmt: skip
        loader = Loader(assemble, workers=recipe.run.workers, start=recipe.run.worker_start, pin=on_gpu)
        trainer = Trainer(
            task=task, model=model, loader=loader, stage=stage, run=recipe.run, runtime=runtime, folder=out,
            about=about, notes=partial(_saved_texts, model),
            counted=partial(thinned_lengths, step=recipe.pose.frame_step, seed=recipe.run.seed),
            validate=_validation(recipe, shards, model, runtime, stage), settle=settling(recipe, table, model, runtime),
            finish=finishing(recipe, table, model, texts, runtime),
        )  # fmt: skip
        if runtime.main and found is None:
            write_config(out, about, recipe, resolved.origins)
            if trainer.log.path.is_file():  # of an attempt that ended before its first checkpoint
                trainer.log.trim(-1)
            if texts is not None:
                trainer.log.event("labels", step=0, count=len(texts.vocabulary), spread=check_labels(model, texts))
        return _fit(trainer, found, command, out)


def build(
    command: Command, recipe: Recipe, table: SampleTable, *, loaded: bool
) -> tuple[ActionPose, torch.nn.Module, Texts | None]:
    """Model, task and texts; fine-tuning never constructs the text branch."""
    seed = recipe.run.seed
    if command == "finetune":
        model = ActionPose(recipe.pose)
        load_init(recipe, model, loaded)
        share = recipe.corrupt.finetune_share
        masks = masks_only(recipe.corrupt, share) if share else None
        return model, FinetuneTask(model, recipe.loss, masks, seed), None
    aligned = recipe.loss.lambda_con > 0
    if aligned and recipe.pose.middle == recipe.pose.depth:
        warn_of_unread_token(recipe.pose.depth)
    if aligned and recipe.text.model:
        say(f"loading the text model {recipe.text.model}")
    model = ActionPose(recipe.pose, recipe.text if aligned else None, recipe.pooling)
    if aligned and model.text is None:
        raise UserError(
            "pretraining aligns poses with text, but no text model is named",
            "-o text.model=FOLDER of BERT base (paper) or -o text.model=minilm; without text: -o loss.lambda_con=0",
        )
    load_init(recipe, model, loaded)
    texts = (
        Texts(table, recipe.loss.negatives, by_frequency=recipe.loss.negatives_by == "frequency") if aligned else None
    )
    return model, PretrainTask(model, recipe.corrupt, recipe.loss, seed), texts


def _text_reader(model: ActionPose, texts: Texts) -> TextReader:
    """What makes the text encoder's input; a frozen encoder embeds all texts first, which takes minutes for many."""
    assert model.text is not None
    for part in in_parts(texts.spellings()):
        model.text.reader(part)
    return model.text.reader()


def _saved_texts(model: ActionPose) -> dict[str, Any]:
    """The phrases whose vectors are saved in place of a frozen text encoder, for `meta.json`."""
    return {"texts": list(model.text.texts)} if isinstance(model.text, FrozenTextEncoder) else {}


def warn_of_unread_token(depth: int) -> None:
    """Say that texts cannot reach the poses: no block is left that could read what they taught the token."""
    log.warn(
        f"pose.middle is {depth}, the whole depth: the token that texts are aligned with is read above the last pair "
        "of blocks, so no frame can use what it learned, and texts act on poses through shared weights alone. "
        f"-o pose.middle={depth - 1} or a greater pose.depth lets frames read it"
        if depth > 1
        else "pose.depth is 1: no block is left above the token that texts are aligned with; take 2 or more"
    )


def _fit(trainer: Trainer, found: checkpoint.Checkpoint | None, command: Command, out: Path) -> dict[str, Any]:
    table, log = trainer.loader.assemble.table, trainer.log
    if found is not None:
        trainer.resume(found)
    parameters = sum(p.numel() for p in trainer.parameters)
    log.say(f"training on {trainer.runtime.why}; seed {trainer.run.seed}")
    log.say(f"{len(table)} samples, {trainer.total} steps of {trainer.stage.batch}, {parameters:,} parameters to train")
    if found is None:
        log.say(f"starting from {trainer.about['recipe']['init']['pose'] or 'random weights'}")
    else:
        log.say(f"resuming after step {found.step} of {found.path}")
    begun, first = time.monotonic(), trainer.state.step
    log.event("start", step=first, time=time.strftime("%Y-%m-%dT%H:%M:%S%z"), why=trainer.runtime.why)
    try:
        reason = trainer.fit()
    finally:
        log.close()
    state, seconds = trainer.state, time.monotonic() - begun
    log.event("end", step=state.step, reason=reason, seconds=round(seconds, 3))
    return {
        "command": command,
        "run": str(out),
        "reason": reason,
        "finished": state.finished,
        "step": state.step,
        "of": trainer.total,
        "epochs": round(state.step / trainer.steps_per_epoch, 2),
        "seconds": round(seconds, 2),
        "clips_per_s": round((state.step - first) * trainer.stage.batch / max(seconds, 1e-9), 2),
        "best_mpjpe_mm": state.best if trainer.stage.best_by == "mpjpe" else None,
        "best_step": state.best_step,
    }


def _validation(
    recipe: Recipe, shards: ShardSet, model: ActionPose, runtime: Runtime, stage: StageConfig
) -> Chore[Measured] | None:
    """The measure that chooses the best checkpoint; None without a split to measure on."""
    by_retrieval = stage.best_by == "retrieval"
    if by_retrieval and model.text is None:
        raise UserError(
            "best_by=retrieval needs a model that is aligned with text",
            "choose the best by mpjpe, or pretrain with a text.model and loss.lambda_con above 0",
        )
    if not stage.eval_every:
        return None
    try:
        table = held_out(shards, recipe.data, recipe.eval)
    except UserError as error:
        if runtime.main:
            log.warn(f"no evaluation while training: {error.message}")
        return None
    clips = None
    if model.text is not None and (recipe.eval.retrieval or by_retrieval):
        try:
            clips = held_out_clips(recipe, shards, limit=recipe.eval.retrieval_clips)
        except UserError as error:
            if by_retrieval:
                raise
            if runtime.main:
                log.warn(f"no retrieval while training: {error.message}")

    def validate() -> Measured:
        detect = detector(recipe.data)
        scores = score(model.lift, table, recipe.eval, runtime, detect=detect, what="measuring on held-out motions")
        result = summarise(scores, table)
        kept: dict[str, Any] = {k: getattr(result, k) for k in ("mpjpe_mm", "p_mpjpe_mm", "frames", "protocol")}
        words = f"MPJPE {result.mpjpe_mm:.1f} mm, P-MPJPE {result.p_mpjpe_mm:.1f} mm"
        if clips is None:
            return Measured(error=result.mpjpe_mm, row=kept, words=words)
        found = aligned(model, clips, recipe, runtime)
        error = -mean_recall(found) if by_retrieval else result.mpjpe_mm
        return Measured(error=error, row=kept | found, words=f"{words}, {in_words(found)}")

    looks = len(table) * (1 + recipe.eval.flip_tta) + (len(clips.table) if clips else 0)
    return Chore(validate, clips=looks)


def check_labels(model: ActionPose, texts: Texts) -> float | None:
    """How far the labels' text embeddings are apart before training, with a note when they are nearly identical.

    Looks at no more than 256 labels, evenly spread over the vocabulary.
    """
    vocabulary = sorted(texts.vocabulary)
    some = vocabulary[:: math.ceil(len(vocabulary) / LABELS_CHECKED)]
    if model.text is None or len(some) < 2:
        return None
    model.text.eval()
    with torch.no_grad(), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        spread = label_spread(torch.cat([model.text([text]) for text in track(some, "comparing labels", unit="label")]))
    for warning in caught:
        log.warn(str(warning.message))
    return spread

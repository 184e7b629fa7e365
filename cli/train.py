"""`ap-train`: pretrain with action labels, fine-tune the pose encoder, measure, look into a run.

With several GPUs: `torchrun --nproc-per-node 4 --no-python ap-train pretrain …`; the batch is then shared.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cli.ablate import ablate, budget_option, robustness, run_robustness
from cli.common import (
    F,
    Group,
    Settings,
    config_options,
    dry_run_option,
    emit,
    format_option,
    given,
    next_step,
    some_failed,
    toolkit_commit,
    toolkit_version,
    typed,
    version_option,
)
from cli.score import PROTOCOL_HELP, in_words, score, show_result

DATA_HELP = "Shard folder: the --out of `ap-data build-…`."
OUT_HELP = "Run folder to make; it must be new or empty unless --resume is given."
INIT_HELP = "First weights of the pose encoder: a run, a checkpoint, or a MotionBERT file."
GO_ON = "Go on: the same command with --resume"
RESUME_HELP = "Go on from the run's latest checkpoint; from the start if it has none yet."


@click.group(cls=Group)
@version_option()
def main() -> None:
    """Train and measure 2D-to-3D pose lifting on shards made by `ap-data`."""


def _training_options(body: F) -> F:
    options: list[Callable[[F], F]] = [
        click.option("--data", type=click.Path(path_type=Path), metavar="SHARDS", help=DATA_HELP),
        click.option("--out", type=click.Path(path_type=Path), metavar="RUN", help=OUT_HELP),
        budget_option,
        click.option("--resume", is_flag=True, help=RESUME_HELP),
        click.option(
            "--init", metavar="WEIGHTS", help="First pose encoder: a run, a checkpoint, or a MotionBERT file."
        ),
        config_options("actionpose"),
        dry_run_option,
        format_option,
    ]
    for option in reversed(options):
        body = option(body)
    return body


@main.command()
@_training_options
def pretrain(**given: Any) -> None:
    """Reconstruct 3D from spoilt 2D and align motion with action labels.

    Needs shards with labels (`ap-data build-babel`) and a text model (-o text.model=FOLDER, or the recipe `tiny`).
    """
    _train("pretrain", **given)


@main.command()
@_training_options
def finetune(**given: Any) -> None:
    """Refine the pose encoder on a target dataset, without labels.

    --init takes a pretraining run; without it the encoder starts from random weights.
    """
    _train("finetune", **given)


def _train(
    command: Any,
    *,
    data: Path | None,
    out: Path | None,
    resume: bool,
    budget_minutes: float | None,
    init: str | None,
    settings: Settings,
    dry_run: bool,
    format: str,
) -> None:
    from actionpose.runs import train as training
    from actionpose.runs.recipe import Recipe

    resolved = settings.resolve(Recipe, {"init.pose": init, "run.budget_minutes": budget_minutes})
    data, out = given(data, "--data"), given(out, "--out")
    if dry_run:
        emit(training.plan(command, resolved, data), format)
        next_step(f"nothing was made; without --dry-run this trains into {out}")
        return
    made = training.train(
        command, resolved, data, out, resume=resume, argv=typed("ap-train"), version=toolkit_version()
    )
    if os.environ.get("RANK", "0") != "0":
        return
    emit(made, format)
    if made["reason"].startswith("SIG"):
        next_step(
            f"stopped by {made['reason']} after step {made['step']}, saved in {out}. Go on: same command, --resume"
        )
        some_failed()
    next_step(_trained(command, made, data, out, settings))


def _trained(command: str, made: dict[str, Any], data: Path, out: Path, settings: Settings) -> str:
    done = f"{command} run of {made['step']} steps in {out}"
    if not made["finished"]:
        return f"{done}, out of time before step {made['of']}. {GO_ON}"
    if command == "finetune":
        return f"{done}. Next: ap-train evaluate {out} --data {data}"
    recipe = " ".join(f"-c {name}" for name in settings.files)
    tuned = out.with_name(out.name + "-finetuned")
    return f"{done}. Next: ap-train finetune {recipe} --data {data} --init {out} --out {tuned}".replace("  ", " ")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@click.option("--data", type=click.Path(path_type=Path), metavar="SHARDS", help=DATA_HELP)
@click.option("--protocol", metavar="NAME", help=PROTOCOL_HELP)
@click.option("--split", metavar="NAME", help="Split to measure on; the same as -o eval.split=NAME.")
@click.option(
    "--predictions", type=click.Path(path_type=Path), metavar="FILE", help="Write the scored poses too, as .npz, in mm."
)
@click.option(
    "--robustness", "spoil", is_flag=True, help="Measure curves of spoilt input instead, as `ap-train robustness RUN`."
)
@config_options("actionpose")
@dry_run_option
@format_option
def evaluate(
    run: Path,
    data: Path | None,
    protocol: str | None,
    split: str | None,
    predictions: Path | None,
    spoil: bool,
    settings: Settings,
    dry_run: bool,
    format: str,
) -> None:
    """Measure RUN (its best checkpoint, or one named by its folder) on held-out motions.

    Settings are those the run was trained with; -c and -o change them. A line is added to RUN/results.jsonl.
    """
    if spoil:
        run_robustness([(run.name, run)], data, None, settings, dry_run, format, split=split, protocol=protocol)
        return
    from actionpose.evaluate.embeddings import table_rows
    from actionpose.evaluate.lifting import held_out
    from actionpose.runs import evaluate
    from actionpose.runs.recipe import Recipe
    from actionpose.shards import ShardSet
    from actionpose.train import checkpoint

    found = checkpoint.find(run)
    options = {"eval.protocol": protocol, "eval.split": split}
    recipe = settings.resolve(Recipe, options, base=("the run", evaluate.recipe_of(found))).value
    data = given(data, "--data")
    if dry_run:
        table = held_out(ShardSet(data), recipe.data, recipe.eval)
        cut = {"protocol": table.protocol.name, "windowing": table.windowing, "windows": len(table)}
        emit({"checkpoint": str(found.path), "data": str(data), **cut}, format)
        next_step(f"nothing was measured or written; without --dry-run this adds a line to {run}")
        return
    row = evaluate.evaluate(
        run,
        data,
        recipe,
        argv=typed("ap-train"),
        version=toolkit_version(),
        commit=toolkit_commit(),
        predictions=predictions,
    )
    show_result(row, format)
    if format == "table" and (rows := table_rows(row)):
        click.echo()
        emit(rows, format)
    next_step(f"{in_words(row)} of {found.path}. Next: ap-train inspect {found.path.parent.parent}")


@main.command()
@click.argument("run", type=click.Path(path_type=Path))
@format_option
def inspect(run: Path, format: str) -> None:
    """Say what RUN is: its data, progress, losses, checkpoints and results."""
    from actionpose.runs import folder

    about = folder.inspect(run)
    emit(about, format)
    data = about["data"]["folder"]
    going_on = not about["state"].get("finished", False)
    advice = "it is not finished: give its command again with --resume" if going_on else "it is finished"
    next_step(f"{run}: {advice}. Measure it: ap-train evaluate {run} --data {data}")


for command in (score, ablate, robustness):
    main.add_command(command)


if __name__ == "__main__":
    main()

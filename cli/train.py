"""`ap-train`: pretrain with action labels, fine-tune the pose encoder, measure, inspect a run.

With several GPUs: `torchrun --nproc-per-node 4 --no-python ap-train pretrain …`; the batch is then shared.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import click

from actionpose.progress import duration
from actionpose.version import toolkit_version
from cli.ablate import ablate
from cli.app import Command, Group, given, typed, version_option
from cli.evaluate import evaluate, robustness, score
from cli.look import report
from cli.options import DATA_HELP, OutFolder, PathLike, budget_option, dry_run_option, option_group
from cli.output import command_line, emit, format_option, loading, next_step, some_failed
from cli.settings import Settings, config_options

OUT_HELP = "Run folder to make; it must be new or empty unless --resume is given."
INIT_HELP = "Initial pose encoder: a run, a checkpoint, or a MotionBERT file."
CONTINUE = "Continue: the same command with --resume"
RESUME_HELP = "Continue from the run's latest checkpoint, or from the start if it has none yet."


@click.group(cls=Group, extra="train")
@version_option()
def main() -> None:
    """Train and measure 2D-to-3D pose lifting on shards made by `ap-data`."""


_training_options = option_group(
    click.option("--data", type=PathLike, metavar="SHARDS", help=DATA_HELP),
    click.option("--out", type=OutFolder, metavar="RUN", help=OUT_HELP),
    budget_option,
    click.option("--resume", is_flag=True, help=RESUME_HELP),
    click.option("--init", metavar="WEIGHTS", help=INIT_HELP),
    config_options("actionpose"),
    dry_run_option,
    format_option,
)


@click.command(cls=Command, kept=f"the steps since the last checkpoint are lost. {CONTINUE}")
@_training_options
def pretrain(**given: Any) -> None:
    """Reconstruct 3D from masked, noisy 2D and align motion with action labels.

    Needs shards with labels (`ap-data build-babel`) and a text model (-o text.model=FOLDER, or the recipe `tiny`).

    \b
    ap-train pretrain -c small --data shards --out runs/pretrain
    ap-train pretrain --data shards -o text.model=bert-base-uncased -o run.device=cuda --out runs/paper
    """
    _train("pretrain", **given)


@click.command(cls=Command, kept=f"the steps since the last checkpoint are lost. {CONTINUE}")
@_training_options
def finetune(**given: Any) -> None:
    """Refine the pose encoder on a target dataset, without labels.

    --init takes a pretraining run; without it the encoder starts from random weights.

    \b
    ap-train finetune -c small --data shards --init runs/pretrain --out runs/finetune
    ap-train finetune -c finetune_h36m --data shards/h36m-b --init latest_epoch.bin --out runs/h36m
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
    loading("torch")
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
    emit(_in_short(made) if format == "table" else made, format)
    if made["reason"].startswith("SIG"):
        next_step(f"stopped by {made['reason']} after step {made['step']}, saved in {out}. {CONTINUE}")
        some_failed()
    next_step(_trained(command, made, data, out, settings))


def _in_short(made: dict[str, Any]) -> dict[str, Any]:
    """What a person reads of a training: no rows without a value."""
    best = made["best_mpjpe_mm"]
    return {
        "run": made["run"],
        "steps": f"{made['step']} of {made['of']}, {made['epochs']:g} epochs",
        "time": f"{duration(made['seconds'])}, {made['clips_per_s']:.3g} clips/s",
        **({"best": f"MPJPE {best:.1f} mm at step {made['best_step']}"} if best is not None else {}),
    }


def _trained(command: str, made: dict[str, Any], data: Path, out: Path, settings: Settings) -> str:
    done = f"{command} run of {made['step']} steps in {out}"
    if not made["finished"]:
        return f"{done}, out of time before step {made['of']}. {CONTINUE}"
    if command == "finetune":
        return f"{done}. Next: {command_line('ap-train', 'evaluate', out, '--data', data)}"
    recipe = [word for name in settings.files for word in ("-c", name)]
    tuned = out.with_name(out.name + "-finetuned")
    following = command_line("ap-train", "finetune", *recipe, "--data", data, "--init", out, "--out", tuned)
    return f"{done}. Next: {following}"


@click.command(cls=Command)
@click.argument("run", type=PathLike)
@format_option
def inspect(run: Path, format: str) -> None:
    """What is in RUN: its data, progress, losses, checkpoints and results."""
    from actionpose.runs import folder

    about = folder.inspect(run)
    emit(about, format)
    data = about["data"]["folder"]
    going_on = not about["state"].get("finished", False)
    advice = "it is not finished: run its command again with --resume" if going_on else "it is finished"
    next_step(f"{run}: {advice}. Measure it: {command_line('ap-train', 'evaluate', run, '--data', data)}")


for command in (pretrain, finetune, evaluate, inspect, score, ablate, robustness, report):
    main.add_command(command)


if __name__ == "__main__":
    main()

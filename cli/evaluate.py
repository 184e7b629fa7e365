"""`ap-train evaluate`, `score`, `robustness`: the numbers of a run, of a file of predictions, and of degraded input."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actionpose.version import toolkit_commit, toolkit_version
from cli.app import Command, given, typed
from cli.options import DATA_HELP, OutFolder, PathLike, dry_run_option
from cli.output import command_line, emit, format_option, loading, next_step, note
from cli.settings import Settings, config_options

if TYPE_CHECKING:
    from actionpose.evaluate.result import Result

PROTOCOL_HELP = "h36m-b, h36m-a, 3dhp or orthographic; by default the one that the shards are for."
SCORED = ("h36m-b", "h36m-a", "3dhp")
WINDOWINGS = ("stitched", "chunks", "every-frame", "centre")


def show_result(result: Result, format: str) -> None:
    """Print a result: a table with the numbers and the conditions they depend on, or everything as JSON."""
    from actionpose.evaluate.scoring import conditions, table_rows

    rows = table_rows(result)
    if format == "table":
        rows = [{key: round(v, 1) if isinstance(v, float) else v for key, v in row.items()} for row in rows]
    emit(result.to_json() if format == "json" else rows, format)
    if format == "table":
        click.echo()
        emit(conditions(result), format)


def in_words(result: Result) -> str:
    """The headline of a result with its protocol."""
    numbers = f"MPJPE {result.mpjpe_mm:.1f} mm, P-MPJPE {result.p_mpjpe_mm:.1f} mm"
    if result.pck is not None:
        numbers = f"MPJPE {result.mpjpe_mm:.1f} mm, PCK {result.pck:.1f}, AUC {result.auc:.1f}"
    mean = (result.baselines or {}).get("mean_pose")
    beside = f"; the mean pose of the training motions has MPJPE {mean['mpjpe_mm']:.1f} mm" if mean else ""
    return f"{numbers} ({result.protocol}, average {result.average}, {result.frames:,} frames{beside})"


@click.command(cls=Command, kept="nothing was written")
@click.argument("run", type=PathLike)
@click.option("--data", type=PathLike, metavar="SHARDS", help=DATA_HELP)
@click.option("--protocol", metavar="NAME", help=PROTOCOL_HELP)
@click.option("--split", metavar="NAME", help="Split to measure on; the same as -o eval.split=NAME.")
@click.option("--predictions", type=PathLike, metavar="FILE", help="Write the scored poses too, as .npz, in mm.")
@click.option(
    "--robustness", "curves", is_flag=True, help="Measure error curves instead, as `ap-train robustness RUN` does."
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
    curves: bool,
    settings: Settings,
    dry_run: bool,
    format: str,
) -> None:
    """Measure RUN (its best checkpoint, or one named by its folder) on held-out motions.

    Settings are those the run was trained with; -c and -o change them. A line is added to RUN/results.jsonl.

    \b
    ap-train evaluate runs/finetune --data shards
    """
    if curves:
        if predictions is not None:
            raise click.UsageError("--robustness keeps no poses: leave --predictions out, or measure without it")
        run_robustness([(run.name, run)], data, None, settings, dry_run, format, split=split, protocol=protocol)
        return
    loading("torch")
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
        cut = {"protocol": table.cut.protocol.name, "windowing": table.cut.windowing, "windows": len(table)}
        emit({"checkpoint": str(found.path), "data": str(data), **cut}, format)
        next_step(f"nothing was measured or written; without --dry-run this adds a line to {run}")
        return
    result = evaluate.evaluate(
        run,
        data,
        recipe,
        argv=typed("ap-train"),
        version=toolkit_version(),
        commit=toolkit_commit(),
        predictions=predictions,
    )
    show_result(result, format)
    if format == "table" and (rows := table_rows(result.to_json())):
        click.echo()
        emit(rows, format)
    following = command_line("ap-train", "inspect", found.path.parent.parent)
    next_step(f"{in_words(result)} of {found.path}. Next: {following}")


@click.command(cls=Command, kept="nothing was written")
@click.argument("predictions", type=PathLike)
@click.option("--data", type=PathLike, metavar="SHARDS", required=True, help="Benchmark shards with the ground truth.")
@click.option("--protocol", type=click.Choice(SCORED), help="By default that of the file or the shards.")
@click.option("--split", metavar="NAME", help="Split that the file covers [default: the file's, or test].")
@click.option(
    "--joints",
    type=click.Choice(["h36m", "3dhp"]),
    help="Order of the 17 joints in the file [default: h36m in .npz, 3dhp in .mat].",
)
@click.option(
    "--window",
    type=click.IntRange(min=1),
    metavar="T",
    help="Frames in a window [default: the file's, or published T].",
)
@click.option(
    "--windowing",
    type=click.Choice(WINDOWINGS),
    help="How videos were cut into windows [default: the protocol's first].",
)
@click.option(
    "--drop-tails/--keep-tails",
    default=None,
    help="Drop frames after the last full window [default: as the protocol does].",
)
@format_option
def score(
    predictions: Path,
    data: Path,
    protocol: str | None,
    split: str | None,
    joints: Any,
    window: int | None,
    windowing: str | None,
    drop_tails: bool | None,
    format: str,
) -> None:
    """Score a file of PREDICTIONS (.npz or .mat, millimetres) against benchmark shards.

    The file holds an array (n, 17, 3) for each video, named as its motion (TS1, s_09_act_02_subact_01_ca_01), with all
    frames or those that count; or (3, 17, 1, n) as for MPI-INF-3DHP's Matlab code. See docs/evaluation.md.
    """
    from actionpose.evaluate.predictions import Rules, read_predictions, score_predictions
    from actionpose.shards import ShardSet

    rules = Rules(
        protocol=protocol or "", split=split or "", windowing=windowing or "", clip_frames=window, drop_tails=drop_tails
    )
    shards = ShardSet(data)
    scored = score_predictions(shards, read_predictions(predictions, joints), rules)
    commit = toolkit_commit() or None
    result = dataclasses.replace(scored, data=str(data), version=toolkit_version(), commit=commit)
    show_result(result, format)
    if result.doubt:
        note(result.doubt)
    next_step(f"{in_words(result)} of {predictions}. Quote the protocol with the number: docs/evaluation.md")


@click.command(cls=Command, kept="nothing was written")
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--data", type=PathLike, metavar="SHARDS", help="Shard folder to measure on.")
@click.option("--split", metavar="NAME", help="Split to measure on; the same as -o eval.split=NAME.")
@click.option(
    "--out", type=OutFolder, metavar="DIR", help="Folder for the curves [default: robustness/ in RUN, if there is one]."
)
@config_options("actionpose")
@dry_run_option
@format_option
def robustness(
    runs: tuple[str, ...],
    data: Path | None,
    split: str | None,
    out: Path | None,
    settings: Settings,
    dry_run: bool,
    format: str,
) -> None:
    """Accuracy on degraded input: occlusion, lost frames, noise, confidence, frame rate, each at several levels.

    RUN is a run folder, LABEL=RUN to name it in the figure, or the folder of a grid, which means all its finished
    cells. Runs with the same label are averaged. All of them get the same degraded input.

    \b
    ap-train robustness runs/finetune --data shards
    ap-train robustness scratch=runs/a pretrained=runs/b --data shards --out runs/compared
    ap-train robustness runs/grid --data shards --out runs/grid-robustness
    """
    named = [pair for text in runs for pair in _labelled(text)]
    if out is None and len(runs) > 1:
        raise click.UsageError("several runs need --out: a folder for their curves.")
    if out is None and len(named) > 1:
        out = Path(runs[0].rpartition("=")[2]) / "robustness"
    run_robustness(named, data, out, settings, dry_run, format, split=split)


def run_robustness(
    named: list[tuple[str, Path]],
    data: Path | None,
    out: Path | None,
    settings: Settings,
    dry_run: bool,
    format: str,
    *,
    split: str | None = None,
    protocol: str | None = None,
) -> None:
    """Measure labelled runs and print the curves; `ap-train evaluate --robustness` ends here too.

    Without `out` they go to `robustness/` in the first run's folder.
    """
    loading("torch")
    from actionpose import charts
    from actionpose.robustness.curves import RobustRecipe
    from actionpose.robustness.perturb import levels
    from actionpose.robustness.report import MeasuredRun, terminal_rows
    from actionpose.robustness.report import robustness as measure_all
    from actionpose.runs import evaluate as evaluation
    from actionpose.train import checkpoint

    subjects, options = [], {"eval.split": split, "eval.protocol": protocol}
    for label, run in named:
        found = checkpoint.find(run, hold=not dry_run)
        base: Any = evaluation.recipe_of(found)
        recipe = settings.resolve(RobustRecipe, options, base=("the run", base)).value
        subjects.append(MeasuredRun(label=label, found=found, recipe=recipe))
    data = given(data, "--data")
    out = out or subjects[0].found.path.parent.parent / "robustness"
    if dry_run:
        wanted = levels(subjects[0].recipe.robust)
        emit({"runs": [str(s.found.path) for s in subjects], "levels": len(wanted), "out": str(out)}, format)
        next_step("nothing was measured or written; run it without --dry-run to do so")
        return
    whole = measure_all(subjects, data, out, argv=typed("ap-train"), version=toolkit_version(), say=note)
    emit(whole if format == "json" else whole["rows"] if format == "csv" else terminal_rows(whole["rows"]), format)
    if not charts.can_draw():
        note(f"no figure was drawn: matplotlib is not installed; {charts.ADVICE}, then the same command again")
    next_step(f"curves of {len(subjects)} run(s), {whole['protocol']}, {whole['split']}: {out}. See docs/robustness.md")


def _labelled(text: str) -> list[tuple[str, Path]]:
    """(label, run) of one argument: a run, LABEL=RUN, or a grid."""
    from actionpose.ablation.folder import GRID, cells_of

    label, equals, rest = text.rpartition("=")
    if not equals or Path(text).exists():
        label, rest = "", text
    path = Path(rest)
    if (path / GRID).is_file():
        return [(f"{label} {row}".strip(), run) for row, run in cells_of(path)]
    generic = path.name in ("finetune", "pretrain") and path.parent.name
    return [(label or (f"{path.parent.name}/{path.name}" if generic else path.name), path)]

"""`ap-train ablate`, `ap-train robustness`: which part of pretraining helps, and what a run makes of spoilt input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cli.common import (
    Command,
    F,
    Settings,
    config_options,
    dry_run_option,
    emit,
    format_option,
    given,
    next_step,
    note,
    some_failed,
    toolkit_version,
    typed,
)

PathLike = click.Path(path_type=Path)


def budget_option(body: F) -> F:
    """`--budget-minutes`: also the key run.budget_minutes."""
    return click.option(
        "--budget-minutes",
        type=click.FloatRange(0, min_open=True),
        metavar="N",
        help="Save and stop after this long; the same command with --resume goes on.",
    )(body)


@click.command(cls=Command)
@click.option("--data", type=PathLike, metavar="SHARDS", help="Shard folder with labels, for pretraining.")
@click.option(
    "--target", type=PathLike, metavar="SHARDS", help="Shards to fine-tune and measure on [default: those of --data]."
)
@click.option("--out", type=PathLike, metavar="DIR", help="Folder of the grid; new or empty unless --resume is given.")
@click.option("--seeds", metavar="LIST", help="Seeds, such as 0,1,2; the same as -o ablate.seeds=[0,1,2].")
@click.option("--rows", metavar="LIST", help="Rows of the table, such as baseline,both; see docs/ablation.md.")
@click.option(
    "--row", "own", multiple=True, metavar="ROW", help="A further row, 'name: section.key=value; …'; may be repeated."
)
@budget_option
@click.option("--resume", is_flag=True, help="Go on with the grid in DIR; what is finished stays.")
@click.option("--init", metavar="WEIGHTS", help="First pose encoder of all rows: a run, or a MotionBERT file.")
@config_options("actionpose")
@dry_run_option
@format_option
def ablate(
    data: Path | None,
    target: Path | None,
    out: Path | None,
    seeds: str | None,
    rows: str | None,
    own: tuple[str, ...],
    budget_minutes: float | None,
    resume: bool,
    init: str | None,
    settings: Settings,
    dry_run: bool,
    format: str,
) -> None:
    """Which part of pretraining helps: the paper's Table 3, over seeds, from one command.

    Each row and seed is a pretraining (none for `baseline`), a fine-tuning and a measurement in DIR/ROW-seedK.
    Ends with a table and a figure in DIR, of what there is when it was stopped.

    \b
    ap-train ablate -c tiny --data shards --out runs/grid --seeds 0,1,2 --budget-minutes 30
    ap-train ablate -c tiny --data shards --out runs/grid --seeds 0,1,2 --budget-minutes 30 --resume
    """
    from actionpose import charts
    from actionpose.ablation import grid as grids
    from actionpose.ablation.report import report
    from actionpose.ablation.settings import AblateRecipe
    from actionpose.ablation.table import terminal_rows

    grids.refuse_many_processes()
    options = {"init.pose": init, "ablate.seeds": _numbers(seeds), **_row_options(rows, own)}
    resolved = settings.resolve(AblateRecipe, options)
    data, out = given(data, "--data"), given(out, "--out")
    grid = grids.Grid(resolved, data, target, out)
    if dry_run:
        emit(grid.plan(), format)
        next_step(f"nothing was made; without --dry-run this works through {len(grid.cells)} cells in {out}")
        return
    grid.open(resume=resume, argv=typed("ap-train"))
    minutes = budget_minutes or resolved.value.run.budget_minutes
    outcome = grid.run(argv=typed("ap-train"), version=toolkit_version(), minutes=minutes, say=note)
    told = report(grid, outcome)
    emit(told if format == "json" else terminal_rows(told["table"]), format)
    if outcome.results and not charts.can_draw():
        note(f"no figure was drawn: matplotlib is not installed; {charts.ADVICE}, then the same command with --resume")
    _end(outcome.reason, outcome.missing, len(grid.cells), out)


def _end(reason: str, missing: list[str], cells: int, out: Path) -> None:
    """The last line: what there is, what is missing, how to go on."""
    if reason == "done":
        next_step(
            f"all {cells} cells are done; the table is {out}/table.md. Next: ap-train robustness {out} --data SHARDS"
        )
        return
    why = "the time is up" if reason == "budget" else f"stopped by {reason}"
    next_step(
        f"{why} with {cells - len(missing)} of {cells} cells done, all saved; missing: {', '.join(missing)}. "
        "Go on: the same command with --resume"
    )
    if reason != "budget":
        some_failed()


# --- robustness -------------------------------------------------------------------------------


@click.command(cls=Command)
@click.argument("runs", nargs=-1, required=True, metavar="RUN...")
@click.option("--data", type=PathLike, metavar="SHARDS", help="Shard folder to measure on.")
@click.option("--split", metavar="NAME", help="Split to measure on; the same as -o eval.split=NAME.")
@click.option(
    "--out", type=PathLike, metavar="DIR", help="Folder for the curves [default: robustness/ in RUN, if there is one]."
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
    """What spoilt input does to runs: occlusion, lost frames, noise, confidence, frame rate, each at several levels.

    RUN is a run folder, LABEL=RUN to name it in the figure, or the folder of a grid, which stands for all its finished
    cells. Runs with one label are averaged. All of them get the same spoilt input.

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
    from actionpose import charts
    from actionpose.robustness.curves import RobustRecipe
    from actionpose.robustness.perturb import levels
    from actionpose.robustness.report import Subject, terminal_rows
    from actionpose.robustness.report import robustness as measure_all
    from actionpose.runs import evaluate as evaluation
    from actionpose.train import checkpoint

    subjects, options = [], {"eval.split": split, "eval.protocol": protocol}
    for label, run in named:
        found = checkpoint.find(run)
        base: Any = evaluation.recipe_of(found)
        recipe = settings.resolve(RobustRecipe, options, base=("the run", base)).value
        subjects.append(Subject(label=label, found=found, recipe=recipe))
    data = given(data, "--data")
    out = out or subjects[0].found.path.parent.parent / "robustness"
    if dry_run:
        wanted = levels(subjects[0].recipe.robust)
        emit({"runs": [str(s.found.path) for s in subjects], "levels": len(wanted), "out": str(out)}, format)
        next_step("nothing was measured or written; leave --dry-run out to do it")
        return
    whole = measure_all(subjects, data, out, argv=typed("ap-train"), version=toolkit_version(), say=note)
    emit(whole if format == "json" else whole["rows"] if format == "csv" else terminal_rows(whole["rows"]), format)
    if not charts.can_draw():
        note(f"no figure was drawn: matplotlib is not installed; {charts.ADVICE}, then the same command again")
    next_step(
        f"curves of {len(subjects)} run(s), {whole['protocol']}, {whole['split']}: {out}. docs/robustness.md reads them"
    )


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


# --- arguments --------------------------------------------------------------------------------


def _row_options(rows: str | None, own: tuple[str, ...]) -> dict[str, Any]:
    """`--rows` and `--row`; rows of one's own are also asked for, after the others."""
    if not own:
        return {"ablate.rows": _names(rows)}
    from actionpose.ablation.settings import AblateConfig

    names = _names(rows) or list(AblateConfig().rows)
    names += [name for text in own if (name := text.partition(":")[0].strip()) not in names]
    return {"ablate.rows": names, "ablate.own_rows": list(own)}


def _names(text: str | None) -> list[str] | None:
    return None if text is None else [part.strip() for part in text.split(",") if part.strip()]


def _numbers(text: str | None) -> list[int] | None:
    try:
        return None if text is None else [int(part) for part in _names(text) or []]
    except ValueError as error:
        raise click.UsageError(f"--seeds {text}: not a list of whole numbers such as 0,1,2") from error

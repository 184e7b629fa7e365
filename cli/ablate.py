"""`ap-train ablate`: which part of pretraining helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from actionpose.version import toolkit_version
from cli.app import Command, given, typed
from cli.options import OutFolder, PathLike, budget_option, dry_run_option
from cli.output import command_line, emit, format_option, loading, next_step, note, some_failed
from cli.settings import Settings, config_options

SHOWN = 8
"""Missing cells that are named."""


@click.command(cls=Command, kept="finished cells are kept. Continue: the same command with --resume")
@click.option("--data", type=PathLike, metavar="SHARDS", help="Shard folder with labels, for pretraining.")
@click.option(
    "--target", type=PathLike, metavar="SHARDS", help="Shards to fine-tune and measure on [default: those of --data]."
)
@click.option("--out", type=OutFolder, metavar="DIR", help="Folder of the grid; new or empty unless --resume is given.")
@click.option("--seeds", metavar="LIST", help="Seeds, such as 0,1,2; the same as -o ablate.seeds=[0,1,2].")
@click.option("--rows", metavar="LIST", help="Rows of the table, such as baseline,both; see docs/ablation.md.")
@click.option(
    "--row", "own", multiple=True, metavar="ROW", help="A further row, 'name: section.key=value; …'; may be repeated."
)
@budget_option
@click.option("--resume", is_flag=True, help="Continue the grid in DIR; finished cells are kept.")
@click.option("--init", metavar="WEIGHTS", help="Initial pose encoder of all rows: a run, or a MotionBERT file.")
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
    Ends with a table and a figure in DIR, of the finished cells if it was stopped.

    \b
    ap-train ablate -c tiny --data shards --out runs/grid --seeds 0,1,2 --budget-minutes 30
    ap-train ablate -c tiny --data shards --out runs/grid --seeds 0,1,2 --budget-minutes 30 --resume
    """
    loading("torch")
    from actionpose import charts
    from actionpose.ablation import grid as grids
    from actionpose.ablation.settings import AblateRecipe
    from actionpose.ablation.table import terminal_rows, write_table

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
    content = write_table(grid, outcome)
    emit(content if format == "json" else terminal_rows(content["table"]), format)
    if outcome.results and not charts.can_draw():
        note(f"no figure was drawn: matplotlib is not installed; {charts.ADVICE}, then the same command with --resume")
    _end(outcome.reason, outcome.missing, len(grid.cells), out)


def _end(reason: str, missing: list[str], cells: int, out: Path) -> None:
    if reason == "done":
        following = command_line("ap-train", "robustness", out, "--data", "SHARDS")
        next_step(f"all {cells} cells are done; the table is {out}/table.md. Next: {following}")
        return
    why = "the time is up" if reason == "budget" else f"stopped by {reason}"
    shown = ", ".join([*missing[:SHOWN], *(["…"] if len(missing) > SHOWN else [])])
    next_step(
        f"{why} with {cells - len(missing)} of {cells} cells done, all saved; missing: {shown}. "
        "Continue: the same command with --resume"
    )
    if reason != "budget":
        some_failed()


# --- arguments --------------------------------------------------------------------------------


def _row_options(rows: str | None, own: tuple[str, ...]) -> dict[str, Any]:
    """`--rows` and `--row`; the user's own rows come after the others."""
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

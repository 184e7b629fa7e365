"""`ap-data validate`: what a shard folder promises, checked one by one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import click

from cli.app import Command
from cli.options import PathLike
from cli.output import command_line, emit, format_option, next_step, say, some_failed


@click.command(cls=Command)
@click.argument("shards", type=PathLike)
@click.option("--deep", is_flag=True, help="Also read every frame: checksums, bones, left and right, gravity, copies.")
@click.option(
    "--against", type=PathLike, metavar="PATH", help="Another shard folder, or the content.jsonl of one, to compare."
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MM",
    help="With --against: largest RMS difference per coordinate, millimetres [default: 0.1].",
)
@format_option
def validate(shards: Path, deep: bool, against: Path | None, tolerance: float | None, format: str) -> None:
    """Check a shard folder. One line per invariant; exit status 1 if one is broken.

    With --against, compare two builds, whatever machines they were made on. The other lab only needs to send its
    manifests/content.jsonl, from which no motion can be reconstructed.

    \b
    ap-data validate shards
    ap-data validate shards --deep
    ap-data validate shards --against theirs/content.jsonl
    """
    from pipeline.pack.content import TOLERANCE_M
    from pipeline.validate.tables import validate as run

    if tolerance is not None and against is None:
        raise click.UsageError("--tolerance is for --against")
    tolerance_m = TOLERANCE_M if tolerance is None else tolerance / 1000
    checks = run(shards, deep=deep, against=against, tolerance_m=tolerance_m)
    if format == "table":
        say("\n".join(check.line() for check in checks))
    else:
        emit([check.row() for check in checks], format)
    verdicts = Counter(check.verdict for check in checks)
    counted = f"{verdicts['ok']} of {len(checks)} invariants hold, {verdicts['warning']} warnings"
    if verdicts["broken"]:
        names = ", ".join(check.name for check in checks if check.verdict == "broken")
        listing = command_line("ap-data", "validate", shards, "--format", "json")
        next_step(f"{counted}, {verdicts['broken']} broken: {names}. All violations: {listing}")
        some_failed()
    following = ("inspect", shards) if deep else ("validate", shards, "--deep")
    next_step(f"{counted}. Next: {command_line('ap-data', *following)}")

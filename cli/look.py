"""`ap-data inspect`, `preview`, `report`: what is in a folder, one motion, the whole as a page."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import click

from cli.common import Command, emit, format_option, next_step, note

PathLike = click.Path(path_type=Path)


@click.command(cls=Command)
@click.argument("path", type=PathLike)
@click.option("--table", "table", metavar="NAME", help="A manifest inside PATH: motions, clips, pairs, failures, …")
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Rows to show: 'label~walk', 'frames>=60', 'split=val'."
)
@click.option("--limit", type=click.IntRange(0), default=20, show_default=True, help="Rows to show at most; 0 for all.")
@format_option
def inspect(path: Path, table: str | None, where: tuple[str, ...], limit: int, format: str) -> None:
    """What is in a shard folder, a stage folder or a manifest.

    \b
    ap-data inspect shards
    ap-data inspect shards --table pairs --where 'label~^transit' --where 'split=val'
    ap-data inspect shards --table failures --format csv --limit 0
    """
    from pipeline.inspect import kind_of, manifest_of, select, shard_summary, shard_text, stage_summary

    kind = kind_of(path)
    if kind == "run":
        raise click.UsageError(f"{path} is a training run; look at it with `ap-train inspect {path}`")
    if kind == "manifest" or table or where:
        manifest = path if kind == "manifest" else manifest_of(path, table or "pairs")
        rows = select(manifest, where)
        shown = list(itertools.islice(rows, limit or None))
        emit([_short(row) for row in shown] if format == "table" else shown, format)
        if limit and (more := sum(1 for _ in rows)):
            note(f"{more:,} more rows; --limit 0 shows all")
        return
    if kind == "stage":
        emit(stage_summary(path), format)
    elif format == "table":
        click.echo(shard_text(path))
        next_step(f"Next: ap-train pretrain -c tiny --data {path} --out runs/pretrain")
    else:
        emit(shard_summary(path), format)


def _short(row: dict[str, Any], width: int = 48) -> dict[str, Any]:
    """A row that fits a terminal: long texts and lists are cut; `--format json` has them whole."""
    out = {}
    for name, value in row.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        out[name] = f"{text[: width - 1]}…" if isinstance(text, str) and len(text) > width else text
    return out

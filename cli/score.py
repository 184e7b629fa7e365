"""`ap-train score`: a benchmark's numbers for a file of predictions, whoever made them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from cli.common import Command, emit, format_option, next_step, note, toolkit_commit, toolkit_version

PathLike = click.Path(path_type=Path)
PROTOCOL_HELP = "h36m-b, h36m-a, 3dhp or orthographic; by default what the shards call for."
SCORED = ("h36m-b", "h36m-a", "3dhp")
WINDOWINGS = ("stitched", "chunks", "every-frame", "centre")


def show_result(row: Mapping[str, Any], format: str) -> None:
    """Print a result row: its table with what the numbers cannot be compared without, or all of it as JSON."""
    from actionpose.evaluate.scoring import beside, table_rows

    emit(row if format == "json" else table_rows(row), format)
    if format == "table":
        click.echo()
        emit(beside(row), format)


def in_words(row: Mapping[str, Any]) -> str:
    """The headline of a result row with its protocol."""
    numbers = f"MPJPE {row['mpjpe_mm']:.1f} mm, P-MPJPE {row['p_mpjpe_mm']:.1f} mm"
    if "pck" in row:
        numbers = f"MPJPE {row['mpjpe_mm']:.1f} mm, PCK {row['pck']:.1f}, AUC {row['auc']:.1f}"
    return f"{numbers} ({row['protocol']}, average {row['average']}, {row['frames']} frames)"


@click.command(cls=Command)
@click.argument("predictions", type=PathLike)
@click.option("--data", type=PathLike, metavar="SHARDS", required=True, help="Benchmark shards with the ground truth.")
@click.option("--protocol", type=click.Choice(SCORED), help="By default what the file or the shards say.")
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
@click.option("--windowing", type=click.Choice(WINDOWINGS), help="How videos were cut [default: the protocol's first].")
@click.option(
    "--drop-tails/--keep-tails", default=None, help="Leave out frames after the last full window [default: protocol]."
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
    row = score_predictions(shards, read_predictions(predictions, joints), rules)
    row |= {"data": str(data), "version": toolkit_version(), "commit": toolkit_commit() or None}
    show_result(row, format)
    if row.get("doubt"):
        note(str(row["doubt"]))
    next_step(f"{in_words(row)} of {predictions}. Quote the protocol with the number: docs/evaluation.md")

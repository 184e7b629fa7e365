"""`ap-data inspect`, `preview`, `report`: what is in a folder, one motion as a picture, an HTML page."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actionpose.progress import waiting
from cli.app import Command
from cli.options import PathLike, data_config, input_options, split_output
from cli.output import command_line, emit, format_option, frames_bar, next_step, note, say
from cli.settings import Settings, config_options

if TYPE_CHECKING:
    from pipeline.config import DataConfig
    from pipeline.view.find import Preview


@click.command(cls=Command)
@click.argument("path", type=PathLike)
@click.option("--table", "table", metavar="NAME", help="A manifest inside PATH: motions, clips, pairs, failures, …")
@click.option(
    "--where", multiple=True, metavar="CONDITION", help="Rows to show: 'label~walk', 'kind=transition', 'split=val'."
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
    from pipeline.view.summary import (
        kind_of,
        main_table,
        manifest_of,
        next_command,
        select,
        shard_summary,
        shard_text,
        stage_summary,
    )

    kind = kind_of(path)
    if kind == "run":
        raise click.UsageError(
            f"{path} is a training run; look at it with `{command_line('ap-train', 'inspect', path)}`"
        )
    if kind == "manifest" or table or where:
        manifest = path if kind == "manifest" else manifest_of(path, table or main_table(path))
        rows = select(manifest, where)
        shown = list(itertools.islice(rows, limit or None))
        emit([_short(row) for row in shown] if format == "table" else shown, format)
        if limit and (more := sum(1 for _ in rows)):
            note(f"{more:,} more rows; --limit 0 shows all")
        return
    if kind == "stage":
        emit(stage_summary(path), format)
    elif format == "table":
        say(shard_text(path))
        next_step(f"Next: {next_command(path)}")
    else:
        emit(shard_summary(path), format)


def _short(row: dict[str, Any], width: int = 48) -> dict[str, Any]:
    """A row that fits a terminal: long texts and lists are shortened; `--format json` has them in full."""
    out = {}
    for name, value in row.items():
        text = ", ".join(map(str, value)) if isinstance(value, list) else value
        out[name] = f"{text[: width - 1]}…" if isinstance(text, str) and len(text) > width else text
    return out


@click.command(cls=Command)
@click.argument("path", type=PathLike)
@config_options("pipeline")
@click.option(
    "--output", type=PathLike, help="A .png, .gif, .mp4 or .html; of a body .png or .glb [default: the terminal]."
)
@click.option("--clip", default="", metavar="ID", help="Clip or motion of a shard folder.")
@click.option("--label", default="", metavar="TEXT", help="First clip of a shard folder with this label.")
@click.option("--views", default="front,side", show_default=True, metavar="LIST", help="Views to draw.")
@click.option("--frame", type=int, help="Frame of a motion to draw as a mesh [default: the middle].")
@input_options("body", "regressor")
def preview(
    path: Path,
    settings: Settings,
    output: Path | None,
    clip: str,
    label: str,
    views: str,
    frame: int | None,
    **inputs: str | None,
) -> None:
    """Draw one motion: a clip of a shard folder, a file of keypoints, or a motion file with its body.

    \b
    ap-data preview shards --label 'transit from walk to sit' --output sit.mp4
    ap-data preview walk.npz
    ap-data preview AMASS/KIT/3/walk_poses.npz --body BODY --output walk.glb
    """
    from pipeline.view.find import find_clip
    from pipeline.view.pictures import clip_as_text

    settings, output = split_output(settings, output)
    config = data_config(settings, **inputs)
    if config.inputs.body:
        _preview_body(path, config, output, frame)
    elif output is None:
        found = find_clip(path, clip, label)
        say(f"{_named(found)}\n{clip_as_text(found.frames, found.heading, fps=found.fps)}")
    else:
        _preview_clip(output, tuple(v.strip() for v in views.split(",")), lambda: find_clip(path, clip, label))
    if output is not None:
        next_step(f"The picture is {output}.")


def _preview_body(path: Path, config: DataConfig, output: Path | None, frame: int | None) -> None:
    from actionpose.picture.show import check_suffix
    from pipeline.stages.inputs import check_inputs
    from pipeline.view.find import show_body

    if output is None:
        raise click.UsageError("a body is drawn into a file: --output OUT.png or OUT.glb")
    suffix = check_suffix(output, (".png", ".glb"))
    check_inputs(config, ("body",) if suffix == ".glb" else ("body", "regressor"), "preview")
    note(show_body(path, config, output, frame))


def _preview_clip(output: Path, views: tuple[str, ...], find: Callable[[], Preview]) -> None:
    from actionpose.picture.scene import OBLIQUE, Person, Scene
    from actionpose.picture.show import check_suffix, show

    if output.suffix.lower() == ".glb":
        raise click.UsageError("a .glb holds a body: give a motion file with --body BODY")
    check_suffix(output)
    clip = find()
    about = f"{len(clip.frames)} frames, {len(clip.frames) / clip.fps:.1f} s at {clip.fps:g} frames a second"
    people = (Person(points=clip.frames.astype(float)),)
    shown = f"{clip.source} · {about}" if clip.source else about
    scene = Scene(
        title=clip.title, about=shown, people=people, fps=clip.fps, heading=clip.heading, views=(OBLIQUE, *views)
    )
    show([scene], output, bar=frames_bar)
    note(f"{_named(clip)}: {about}")


def _named(clip: Preview) -> str:
    return f"{clip.title}   ({clip.source})" if clip.source else clip.title


@click.command(cls=Command)
@click.option("--shards", type=PathLike, required=True, help="A shard folder.")
@click.option("--run", "runs", type=PathLike, multiple=True, help="A training run; repeat for several.")
@click.option("--out", type=PathLike, required=True, help="The HTML file to write.")
@click.option("--title", metavar="TEXT", help="Heading of the page [default: the runs and the shards].")
@click.option("--demo", is_flag=True, help="Add a note that demo results cannot be compared with published ones.")
def report(shards: Path, runs: tuple[Path, ...], out: Path, title: str | None, demo: bool) -> None:
    """An HTML page about shards and runs: results, predictions on the truth, curves, what was built. No network needed.

    Predictions, masks and embeddings are those that the last `ap-train evaluate` of each run kept; curves of degraded
    input are those of `ap-train robustness`. `ap-data report` and `ap-train report` are one command.

    \b
    ap-train report --shards shards --run runs/finetune --run runs/scratch --out report.html
    """
    from actionpose.report.build import build_report, summary_text

    names = ", ".join(run.resolve().name for run in runs)
    where = f"{shards.resolve().parent.name}/{shards.resolve().name}"
    with waiting(f"drawing {out}"):
        summary = build_report(shards, runs, out, title or (f"{names} on {where}" if names else where), demo=demo)
    say(summary_text(summary))
    for line in summary.notes:
        note(f"note: {line}")
    next_step(f"The report is {out}; open it in a browser.")

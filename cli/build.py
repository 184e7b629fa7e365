"""`ap-data demo`, the stages one by one, `build-babel` and `status`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actionpose.extras import require
from cli.app import Command, debugging
from cli.options import (
    OUTPUT_HELP,
    OutFolder,
    PathLike,
    build_for,
    data_config,
    dry_run_option,
    input_options,
    run_options,
    split_output,
    work_option,
    workers_option,
)
from cli.output import command_line, emit, format_option, next_step, note, some_failed
from cli.settings import Settings, config_options

if TYPE_CHECKING:
    from pipeline.config import RunOptions
    from pipeline.stages.build import Build

KEPT = "finished items are kept, and the same command continues"


@click.command(cls=Command)
@click.option("--out", type=PathLike, required=True, help="Folder to make the demo world in.")
@click.option("--minutes", type=float, default=10.0, show_default=True, help="Total length of all motion.")
@click.option("--seed", type=int, default=0, show_default=True, help="Another seed makes other people and motions.")
@workers_option
def demo(out: Path, minutes: float, seed: int, workers: int) -> None:
    """Make the demo world and build it: body, motion and labels in the real file formats, no licence needed.

    OUT/smplh/{male,female,neutral}/model.npz, OUT/J_regressor_h36m.npy, OUT/amass/, OUT/babel/{train,val}.json, then
    OUT/shards/, and look-alikes of the benchmarks' files, made from the same motion, in OUT/h36m/ and OUT/3dhp/, and
    OUT/film.json, ten seconds as a 2D detector sees them. The same seed gives the same bytes.

    \b
    ap-data demo --out demo
    """
    require("data", "`ap-data demo`")
    from actionpose.config import load_config
    from actionpose.shards import ShardSet
    from pipeline.config import DataConfig, Inputs, RunOptions
    from pipeline.demo.film import write_demo_film
    from pipeline.demo.h36m import write_demo_h36m
    from pipeline.demo.mpi3dhp import write_demo_3dhp
    from pipeline.demo.world import make_world

    inputs = Inputs(
        amass=str(out / "amass"), babel=str(out / "babel"), body=str(out), regressor=str(out / "J_regressor_h36m.npy")
    )
    config = replace(load_config(DataConfig), inputs=inputs)
    run = RunOptions(workers=workers, debug=debugging())
    build = build_for(config, out / "shards", out / "stages", run)
    make_world(out, minutes=minutes, seed=seed)
    build.run()
    filmed = ShardSet(out / "shards")
    write_demo_h36m(out / "h36m", filmed)
    write_demo_3dhp(out / "3dhp", filmed)
    write_demo_film(out, filmed, seed)
    _report_build(build, out / "shards")


# --- one stage at a time ----------------------------------------------------------------------


@click.command(cls=Command, kept=KEPT)
@config_options("pipeline")
@input_options("amass")
@click.option("--work", type=PathLike, required=True, help="Where stages keep their results.")
@run_options
def index(settings: Settings, amass: str | None, work: Path, run: RunOptions) -> None:
    """Read every motion file: edition, rate, length, checksum; list what cannot be used and why.

    \b
    ap-data index --amass AMASS --work work
    """
    _run_target(build_for(data_config(settings, amass=amass), work / "shards", work, run), "index")


def _one_or_all(file: Path | None, output: Path | None, work: Path | None) -> None:
    if file is not None and output is None:
        raise click.UsageError("give the file for the result of FILE: --output OUT.npz")
    if file is None and work is None:
        raise click.UsageError("give one FILE and --output OUT.npz, or --work DIR to run over everything")


@click.command(cls=Command, kept=KEPT)
@click.argument("file", type=PathLike, required=False)
@config_options("pipeline")
@click.option("--output", type=PathLike, help=OUTPUT_HELP)
@input_options("amass", "body", "regressor", "dmpls")
@click.option("--method", type=click.Choice(["fast", "mesh"]), help="fast: exact without a mesh; mesh: through smplx.")
@click.option("--fps", type=float, help="Frames per second of the result [default: 30].")
@click.option("--work", type=PathLike, help="Where stages keep their results (without FILE).")
@run_options
def keypoints(
    settings: Settings, file: Path | None, output: Path | None, work: Path | None, run: RunOptions, **given: Any
) -> None:
    """SMPL+H motion to 17 Human3.6M keypoints at a true 30 Hz: one FILE, or all of AMASS as a stage.

    The result of one FILE holds keypoints (T, 17, 3) float32 in metres, AMASS world frame (z up), fps, joint_names and
    frame_times (seconds).

    \b
    ap-data keypoints walk_poses.npz --body BODY --regressor R.npy --output walk.npz
    ap-data keypoints --amass AMASS --body BODY --regressor R.npy --work work --workers 4
    """
    settings, output = split_output(settings, output)
    given["keypoints.method"], given["keypoints.fps"] = given.pop("method"), given.pop("fps")
    config = data_config(settings, **given)
    _one_or_all(file, output, work)
    if file is None or output is None:
        assert work is not None
        _run_target(build_for(config, work / "shards", work, run), "keypoints")
        return
    from pipeline.stages.inputs import check_inputs
    from pipeline.stages.keypoints import keypoints_file

    check_inputs(config, ("body", "regressor"), "keypoints")
    result = keypoints_file(file, output, config)
    why = "" if result.stated else " (the file names no gender; keypoints.missing_gender decides)"
    note(f"{len(result.keypoints)} frames at {result.fps:g} Hz, {result.gender} body{why}")
    following = command_line("ap-data", "project-2d", output, "--output", output.with_suffix(".2d.npz"))
    next_step(f"Keypoints are in {output}. Next: {following}")


@click.command("project-2d", cls=Command, kept=KEPT)
@click.argument("file", type=PathLike, required=False)
@config_options("pipeline")
@click.option("--output", type=PathLike, help=OUTPUT_HELP)
@click.option("--views", metavar="LIST", help="Comma-separated: front, side, back, yaw+45, … [default: front,side].")
@click.option(
    "--heading",
    type=click.Choice(["canonical", "world"]),
    help="Turn each person to the front camera (canonical), or not (world).",
)
@input_options("amass", "babel", "body", "regressor", "dmpls")
@click.option("--work", type=PathLike, help="Where stages keep their results (without FILE).")
@run_options
def project_2d(
    settings: Settings, file: Path | None, output: Path | None, work: Path | None, run: RunOptions, **given: Any
) -> None:
    """Keypoints to orthographic views: one FILE that `keypoints` wrote, or the clips of all motions as a stage.

    The result of one FILE holds pose2d (V, T, 17, 2) and pose3d_cam (V, T, 17, 3) in metres, x right, y down, z away
    from the camera, pose2d_screen in screen units, and the view table (views, cameras, heading).

    \b
    ap-data project-2d walk.npz --views front,side --output walk.2d.npz
    """
    settings, output = split_output(settings, output)
    views = given.pop("views")
    given["project.views"] = [view.strip() for view in views.split(",")] if views else None
    given["project.heading"] = given.pop("heading")
    config = data_config(settings, **given)
    _one_or_all(file, output, work)
    if file is None or output is None:
        assert work is not None
        _run_target(build_for(config, work / "shards", work, run), "project-2d")
        return
    from pipeline.stages.project import project_file

    result = project_file(file, output, config.project)
    note(f"{result['frames']} frames, heading {result['heading']:.3f} rad ({result['heading_from']})")
    next_step(f"Views {', '.join(result['views'])} are in {output}.")


@click.command(cls=Command, kept=KEPT)
@config_options("pipeline")
@input_options("amass", "babel")
@click.option("--work", type=PathLike, help="Where stages keep their results.")
@dry_run_option
@format_option
@run_options
def pairs(
    settings: Settings, dry_run: bool, work: Path | None, format: str, run: RunOptions, **inputs: str | None
) -> None:
    """BABEL labels to label/motion pairs, with "transit from A to B". `--dry-run` needs only the BABEL JSON.

    --dry-run counts the pairs that the settings give, and those that each other policy would give.

    \b
    ap-data pairs --babel BABEL --dry-run
    ap-data pairs --babel BABEL --dry-run -o pairs.transition=cut --format json
    """
    config = data_config(settings, **inputs)
    if not dry_run:
        if work is None:
            raise click.UsageError("give --work DIR, or --dry-run to see only the counts")
        _run_target(build_for(config, work / "shards", work, run), "pairs")
        return
    from pipeline.stages.inputs import check_inputs
    from pipeline.stages.label_counts import plan_from_json, plans_by_policy

    check_inputs(config, ("babel",), "pairs")
    folder = Path(config.inputs.babel)
    emit({**plan_from_json(folder, config), "policies": plans_by_policy(folder, config)}, format)
    next_step(
        "Nothing was written. Next: ap-data build-babel --amass DIR --babel DIR --body DIR --regressor FILE --out DIR"
    )


@click.command("build-babel", cls=Command, kept=KEPT)
@config_options("pipeline")
@input_options("amass", "babel", "body", "regressor", "dmpls")
@click.option("--out", type=OutFolder, required=True, help="Folder of the shards.")
@work_option
@run_options
@dry_run_option
def build_babel(
    settings: Settings, out: Path, work: Path | None, dry_run: bool, run: RunOptions, **inputs: str | None
) -> None:
    """All stages that are missing or stale, then the shards. Run again after an interruption, it continues.

    \b
    ap-data build-babel --amass AMASS --babel BABEL --body BODY --regressor R.npy --out shards --workers 4
    """
    build = build_for(data_config(settings, **inputs), out, work, run)
    if dry_run:
        build.open_inputs()
        _print_status(build, "table")
        next_step("Nothing was written.")
        return
    build.run()
    _report_build(build, out)


@click.command(cls=Command)
@config_options("pipeline")
@input_options("amass", "babel", "body", "regressor", "dmpls")
@click.option("--out", type=OutFolder, required=True, help="Folder of the shards.")
@work_option
@format_option
def status(settings: Settings, out: Path, work: Path | None, format: str, **given: Any) -> None:
    """Which stages are up to date, and why the others are not. Writes nothing.

    \b
    ap-data status --amass AMASS --babel BABEL --body BODY --regressor R.npy --out shards
    """
    from pipeline.view.summary import benchmark_status

    if (built := benchmark_status(out)) is not None:
        emit([built], format)
        next_step("The command that built it reads the files again, and writes nothing if they are unchanged.")
        return
    build = build_for(data_config(settings, **given), out, work)
    _print_status(build, format)


# --- the end of several commands ----------------------------------------------------


def _run_target(build: Build, target: str) -> None:
    results = build.run(target)
    folder = results[target].folder
    if build.failures:
        _say_failures(build)
        next_step(f"Stage {target} is in {folder}, without what failed.")
        some_failed()
    next_step(f"Stage {target} is in {folder}. Next: {command_line('ap-data', 'inspect', folder)}")


def _report_build(build: Build, out: Path) -> None:
    from pipeline.view.summary import shard_summary

    s = shard_summary(out)
    note(
        f"{s['motions']:,} motions, {s['hours']:.2f} h at {s['fps']:g} Hz, {s['clips']:,} clips, {s['pairs']:,} pairs "
        f"({s['transitions']:,} transitions), {s['labels']:,} labels"
    )
    if build.failures:
        _say_failures(build)
        left = ", without what failed" if s["motions"] else ", and hold nothing: everything failed"
        next_step(f"Shards are in {out}{left}.")
        some_failed()
    next_step(f"Shards are in {out}. Next: {command_line('ap-data', 'inspect', out)}")


def _say_failures(build: Build) -> None:
    for stage, reasons in build.failures.items():
        folder = build.results[stage].folder
        counted = ", ".join(f"{number} x {reason}" for reason, number in reasons.items())
        note(f"{stage}: {counted}; each with its reason in {folder / 'failures.jsonl'}")
    note("Fix the files and run the same command with --retry-failed: only the failed items are done again.")


def _print_status(build: Build, format: str) -> None:
    rows = [
        {
            "stage": row.stage,
            "state": row.state,
            "rows": ", ".join(f"{n} {name}" for name, n in row.rows.items() if n),
            "why": "; ".join(row.why),
            "folder": str(row.folder),
        }
        for row in build.status()
    ]
    emit(rows, format)

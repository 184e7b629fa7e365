"""`ap-data build-h36m` and `build-3dhp`: files of a benchmark become shards that training and evaluation read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actionpose import progress
from actionpose.extras import require
from cli.app import Command
from cli.options import OutFolder, PathLike, dry_run_option
from cli.output import command_line, emit, format_option, next_step, note, some_failed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from pipeline.mpi3dhp.recognise import Asked
    from pipeline.pack.benchmark import BenchmarkFile, BenchmarkMotion, Rejected, Written


@click.command("build-h36m", cls=Command)
@click.option(
    "--h36m", type=PathLike, required=True, help="The file to start from, or a folder with one build's files."
)
@click.option("--cameras", type=PathLike, help="Camera extrinsics: metadata.xml, cameras.pkl, JSON or npz.")
@click.option("--detections", type=PathLike, help="2D for data_3d_h36m.npz: a data_2d_h36m_*.npz.")
@click.option("--out", type=OutFolder, required=True, help="Folder of the shards.")
@dry_run_option
@format_option
def build_h36m(
    h36m: Path, cameras: Path | None, detections: Path | None, out: Path, dry_run: bool, format: str
) -> None:
    """Human3.6M to shards: MotionBERT's pickle (protocol h36m-b) or VideoPose3D's npz files (protocol h36m-a).

    Files are recognised by content. Cameras and detections next to data_3d_h36m.npz are found automatically.

    \b
    ap-data build-h36m --h36m h36m_sh_conf_cam_source_final.pkl --out shards/h36m-b
    ap-data build-h36m --h36m data_3d_h36m.npz --detections data_2d_h36m_cpn_ft_h36m_dbb.npz \\
        --cameras metadata.xml --out shards/h36m-a
    """
    require("data", "preparing data")
    from actionpose.shards import check_place
    from pipeline.h36m import build as reader

    check_place(out)
    note(f"reading {h36m}")
    with progress.waiting(f"reading {h36m}"):
        opened = reader.open_h36m(h36m, cameras, detections)
    report_files(opened.files, (*opened.notes, *opened.problems), format if dry_run else "")
    if dry_run:
        report_plan(opened.videos, opened.motions())
        return
    report_written(reader.build_h36m(opened, out), format)


@click.command("build-3dhp", cls=Command)
@click.option(
    "--mpi-inf-3dhp",
    type=PathLike,
    required=True,
    help="Folder with data_train_3dhp.npz and data_test_3dhp.npz, or one of them.",
)
@click.option(
    "--annotation",
    type=click.Choice(["auto", "universal", "metric"]),
    default="auto",
    show_default=True,
    help="Which 3D the files hold: univ_annot3 or annot3; auto: decided from geometry.",
)
@click.option("--out", type=OutFolder, required=True, help="Folder of the shards.")
@dry_run_option
@format_option
def build_3dhp(mpi_inf_3dhp: Path, annotation: Asked, out: Path, dry_run: bool, format: str) -> None:
    """MPI-INF-3DHP to shards: P-STMO's two npz, or the official test folders (protocol 3dhp).

    Files are recognised by content; counts are compared with the published ones. Joints are permuted to
    Human3.6M order, 2D is normalised by each sequence's own image size, the 3D divided by 1024 mm.

    \b
    ap-data build-3dhp --mpi-inf-3dhp 3dhp --out shards/3dhp
    """
    require("data", "preparing data")
    from actionpose.shards import check_place
    from pipeline.mpi3dhp.build import build, motions
    from pipeline.mpi3dhp.recognise import chosen

    check_place(out)
    note(f"reading {mpi_inf_3dhp}")
    with progress.waiting(f"reading {mpi_inf_3dhp}"):
        used = chosen(mpi_inf_3dhp, annotation)
    remarks = [f"{looked.file.path.name}: {problem}" for looked in used for problem in looked.file.problems]
    report_files([looked.file for looked in used], remarks, format if dry_run else "")
    if dry_run:
        videos = sum(looked.file.counts["videos"] for looked in used)
        report_plan(videos, (motion for looked in used for motion in motions(looked)))
        return
    report_written(build(used, out), format)


# --- output shared by all benchmarks' commands ----------------------------------------------------


def report_files(files: Sequence[BenchmarkFile], remarks: Sequence[str], format: str) -> None:
    """Which files these are, which protocols they permit, and what is unusual about them.

    Args:
        files: what was recognised.
        remarks: lines about them.
        format: of the result on stdout, when this is the result (`--dry-run`); empty otherwise.
    """
    from pipeline.pack.benchmark import describe

    if format == "json":
        emit([describe(file) for file in files], format)
    elif format:
        emit([_row(file) for file in files], format)
    else:
        for file in files:
            row = _row(file)
            permits = f"; permits {row['permits']}" if row["permits"] else ""
            note(f"{row['file']}: {file.sentence}{permits} ({row['counts']})")
    for line in remarks:
        note(line)


def report_plan(number: int, videos: Iterable[BenchmarkMotion | Rejected]) -> None:
    """What the build would do.

    Raises:
        UserError: it would refuse these videos.
    """
    from pipeline.pack.benchmark import misfits

    for misfit in misfits(videos):
        raise misfit
    next_step(f"Nothing was written. Next: the same without --dry-run makes {number:,} videos of it.")


def _row(file: BenchmarkFile) -> dict[str, str]:
    counts = ", ".join(f"{number:,} {name.replace('_', ' ')}" for name, number in file.counts.items())
    permits = ", ".join(file.protocols)
    row = {"file": file.path.name, "layout": file.layout, "permits": permits, "counts": counts}
    return {**row, "fingerprint": file.sha256.removeprefix("sha256:")[:16]}


def report_written(written: Written, format: str) -> None:
    """What was built, what was not and why, and what to type next; status 1 if a video was rejected."""
    summary, out = written.summary, written.folder
    if format != "table":
        emit(_result(written), format)
    splits = ", ".join(f"{c['motions']:,} videos and {c['frames']:,} frames of {s}" for s, c in summary.splits.items())
    note(f"{splits}; {summary.hours:.2f} h" + ("" if written.fresh else "; these shards existed already"))
    for text, number in summary.left_out.items():
        note(f"{number:,} videos are packed, but excluded by {text}")
    for reasons in written.failures.values():
        listed = ", ".join(f"{number:,} x {reason}" for reason, number in reasons.items())
        note(f"rejected: {listed}; each with its reason in {out / 'manifests' / 'failures.jsonl'}")
    if written.failures:
        next_step(f"Shards are in {out}, without the videos that were rejected.")
        some_failed()
    next_step(f"Shards are in {out}. Next: {command_line('ap-data', 'inspect', out)}")


def _result(written: Written) -> dict[str, Any]:
    index = written.index
    return {
        "path": str(written.folder),
        "fresh": written.fresh,
        "fingerprint": index["fingerprint"],
        **index["summary"],
    }

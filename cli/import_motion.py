"""`ap-data import`: motion in other formats, with a label table, into AMASS layout and BABEL's format."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actionpose.characters import shell_word
from cli.app import Command
from cli.options import OutFolder, PathLike, dry_run_option
from cli.output import emit, format_option, next_step, note, some_failed

if TYPE_CHECKING:
    from pipeline.importers.job import Report
    from pipeline.importers.skeletons import Table

SHOWN = 10
"""Rejected files that are named on the screen; the manifest has all."""


@click.command("import", cls=Command)
@click.argument("files", type=PathLike, nargs=-1, required=True)
@click.option("--labels", type=PathLike, help="Table (CSV or TSV): file, description, and if wanted start and end.")
@click.option("--out", type=OutFolder, help="Folder to make: amass/, babel/ and import.jsonl.")
@click.option("--body", type=PathLike, help="Folder with the SMPL+H body to retarget to [default: the demo body].")
@click.option("--skeleton", metavar="NAME", help="Which table of joint names to use [default: the one that fits].")
@click.option("--joints", type=PathLike, help="A joint map of your own (TOML), instead of a table.")
@click.option("--asf", type=PathLike, help="The skeleton of AMC files [default: the one next to them].")
@click.option("--fps", type=click.FloatRange(1, 1000), help="The rate of all files, instead of what they state.")
@click.option("--angles", type=click.Choice(["degrees", "radians"]), help="Unit of angles, if not the format's.")
@click.option("--up", type=click.Choice(["y", "z"]), help="The vertical axis of the files [default: found].")
@click.option(
    "--floor",
    type=click.Choice(["auto", "fit", "keep"]),
    default="auto",
    show_default=True,
    help="auto: planted feet are put at z = 0 when within 0.25 m of it; fit: always; keep: never.",
)
@click.option("--dataset", default="", help="Folder name of the dataset [default: from the table].")
@click.option("--subject", default="", help="Folder name of the subject [default: from file names].")
@click.option(
    "--val-share",
    type=click.FloatRange(0, 1),
    default=0.1,
    show_default=True,
    help="Share of subjects that go to val.json.",
)
@click.option("--workers", type=click.IntRange(0), default=0, show_default=True, help="Processes.")
@click.option("--overwrite", is_flag=True, help="Replace an earlier import in OUT.")
@dry_run_option
@format_option
def import_motion(files: tuple[Path, ...], out: Path | None, dry_run: bool, format: str, **given: Any) -> None:
    """BVH, ASF/AMC and SMPL files to AMASS layout, with labels from a table in BABEL's format.

    FILES are files, or folders that are searched for .bvh, .amc, .npz and .pkl. Every file gets a line in
    OUT/import.jsonl: what was found, checked and left out, or why it is rejected; status 1 when one is.

    \b
    ap-data import cmu/*.bvh --labels descriptions.tsv --out cmu-amass
    """
    from pipeline.importers.job import run

    if out is None and not dry_run:
        raise click.UsageError("say which folder to make: --out DIR (or look first: --dry-run)")
    job = _job(files, None if dry_run else out, **given)
    report = run(job)
    emit(_result(report, out, dry_run, rows=format == "json"), format)
    _say_rejected(report)
    _say_warnings(report)
    _last_line(report, out, given["body"], dry_run=dry_run, labelled=job.labels is not None)
    if report.rejected or not report.imported:
        some_failed()


def _job(files: tuple[Path, ...], out: Path | None, *, labels: Path | None, body: Path | None, **given: Any) -> Any:
    from pipeline.importers.figure import load_figure
    from pipeline.importers.job import Job, find_files
    from pipeline.importers.labels import LabelTable
    from pipeline.importers.take import Options

    angles = given.pop("angles")
    options = Options(
        table=_table(given.pop("skeleton"), given.pop("joints")),
        degrees=None if angles is None else angles == "degrees",
        fps=given.pop("fps"),
        up=given.pop("up") or "",
        floor=given.pop("floor"),
        asf=given.pop("asf"),
        dataset=given.pop("dataset"),
        subject=given.pop("subject"),
    )
    return Job(
        files=find_files(files, out=out),
        labels=LabelTable(labels) if labels else None,
        out=out,
        figure=load_figure(body),
        options=options,
        **given,
    )


def _table(name: str | None, file: Path | None) -> Table | None:
    from pipeline.importers.skeletons import read_table, tables

    if name and file:
        raise click.UsageError("give --skeleton or --joints, not both")
    if file:
        return read_table(file)
    shipped = tables()
    if name and name not in shipped:
        raise click.UsageError(f"there is no skeleton '{name}'; there are {', '.join(shipped)}; or write one: --joints")
    return shipped[name] if name else None


def _result(report: Report, out: Path | None, dry_run: bool, *, rows: bool) -> dict[str, Any]:
    """Counts; for programs also the rows that the screen or the manifest has otherwise."""
    result = report.summary() | ({} if dry_run else {"out": str(out)})
    if rows:
        result["rejected_files"] = [{k: row[k] for k in ("file", "reason", "message")} for row in report.rejected]
        result["takes"] = report.imported
    return result


def _say_rejected(report: Report) -> None:
    for row in report.rejected[:SHOWN]:
        note(f"rejected {row['file']}: {row['message']}")
    if len(report.rejected) > SHOWN:
        note(f"… and {len(report.rejected) - SHOWN:,} more rejected")


def _say_warnings(report: Report) -> None:
    warned = [row for row in report.imported if row["warnings"]]
    for row in warned[:SHOWN]:
        note(f"warning {row['file']}: {'; '.join(row['warnings'])}")
    if len(warned) > SHOWN:
        note(f"… and {len(warned) - SHOWN:,} more with warnings")
    unmapped = sorted({name for row in report.imported for name in row["unmapped"]})
    if unmapped:
        note(f"nothing is taken from the joints {', '.join(unmapped[:30])}{' …' if len(unmapped) > 30 else ''}")
    if report.unused_labels:
        note(f"{len(report.unused_labels):,} takes of the table have no file, such as {report.unused_labels[0]}")


def _last_line(report: Report, out: Path | None, body: Path | None, *, dry_run: bool, labelled: bool) -> None:
    counts = report.summary()
    if dry_run:
        next_step(f"Nothing was written: {counts['imported']:,} of {counts['files']:,} files can be imported.")
        return
    if not counts["imported"]:
        next_step(f"No file could be imported; {out}/import.jsonl says why, file by file.")
        return
    assert out is not None
    done = (
        f"{counts['imported']:,} takes ({counts['hours']:.2f} h) are in {out}, one line per file in {out}/import.jsonl."
    )
    where, folder = shell_word(str(out)), shell_word(str(body)) if body else "demo"
    if not labelled:
        next_step(f"{done} Next: ap-data index --amass {where}/amass --work {where}/stages")
        return
    command = (
        f"ap-data build-babel --amass {where}/amass --babel {where}/babel --body {folder} "
        f"--regressor {'' if body else 'demo/'}J_regressor_h36m.npy --out {where}/shards"
    )
    splits = [split for split in ("train", "val") if counts[split]]
    if len(splits) == 1:
        command += f" -o 'pairs.splits=[\"{splits[0]}\"]'"
    before = "" if body else "ap-data demo --out demo (makes the demo body), then "
    next_step(f"{done} Next: {before}{command}")

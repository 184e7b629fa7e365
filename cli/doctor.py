"""`ap-data doctor` and `convert-model`: what the user's folders really hold, and what to do next."""

from __future__ import annotations

import shutil
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from actionpose.characters import printable
from cli.app import Command, coloured
from cli.options import PathLike, data_config, dry_run_option, input_options
from cli.output import command_line, emit, format_option, next_step, note, say, some_failed
from cli.settings import Settings, config_options

if TYPE_CHECKING:
    from pipeline.config import DataConfig
    from pipeline.doctor.diagnose import Diagnosis

NEEDED = ("amass", "babel", "body", "regressor")
"""Inputs that a build of pairs needs."""

GENDERS = click.Choice(["female", "male", "neutral"])

_COLOURS = {"ok": "green", "warning": "yellow", "wrong": "red", "missing": "red"}


@click.command(cls=Command)
@config_options("pipeline")
@input_options("amass", "babel", "body", "regressor", "dmpls", "h36m", "mpi_inf_3dhp")
@click.option(
    "--out",
    type=PathLike,
    default=Path("shards"),
    show_default=True,
    help="Where a build would write; its free space is checked.",
)
@click.option("--quick", is_flag=True, help="Read the headers of two files per subject; trust the names of the rest.")
@click.option(
    "--deep", is_flag=True, help="Read every motion completely: finds values that are not finite, and exact copies."
)
@format_option
def doctor(settings: Settings, out: Path, quick: bool, deep: bool, format: str, **given: Any) -> None:
    """Check AMASS, BABEL, body, regressor and benchmarks by content; one verdict and one next action per item.

    Give any of the inputs. The exit status is 1 if something given is wrong or missing; warnings do not count.

    \b
    ap-data doctor --amass AMASS --babel BABEL --body BODY --regressor R.npy
    ap-data doctor --amass AMASS --quick
    ap-data doctor --h36m H36M --mpi-inf-3dhp 3DHP
    ap-data doctor -c my.toml --format json
    """
    from pipeline.doctor.diagnose import diagnose

    if quick and deep:
        raise click.UsageError("--quick reads little and --deep reads everything: give one of them")
    config = data_config(settings, **given)
    found = diagnose(config, out=out, quick=quick, deep=deep)
    if format == "json":
        emit(found.as_data(), "json")
    elif format == "csv":
        columns = ("item", "verdict", "message", "action")
        emit([{name: row[name] for name in columns} for row in found.as_data()["items"]], "csv")
    else:
        _print(found)
    next_step(_next(found, config, settings, out))
    if not found.sound:
        some_failed()


def _print(found: Diagnosis) -> None:
    width = min(max(shutil.get_terminal_size((110, 40)).columns, 80), 140)
    printed: dict[str, str] = {}
    for finding in found.findings:
        verdict = coloured(f"{finding.verdict:<9}", _COLOURS[finding.verdict])
        message = printable(_wrapped(f"{finding.item:<16} {finding.message}", width, first=9, rest=26).lstrip())
        click.echo(verdict + message)  # the colour is ours; the rest may hold any characters
        if finding.verdict != "ok" or finding.item == "amass.overrides":
            for line in finding.lines:
                say(_wrapped(line, width, first=28, rest=30))
        if finding.action:
            # One download can fix several items: print it once.
            before = printed.setdefault(finding.action, finding.item)
            action = finding.action if before == finding.item else f"as for {before}"
            say(_wrapped(f"→ {action}", width, first=26, rest=28))


def _wrapped(text: str, width: int, *, first: int, rest: int) -> str:
    return textwrap.fill(
        text,
        width,
        initial_indent=" " * first,
        subsequent_indent=" " * rest,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _next(found: Diagnosis, config: DataConfig, settings: Settings, out: Path) -> str:
    stopping = [finding for finding in found.findings if finding.stops]
    named = {"h36m": config.inputs.h36m, "mpi_inf_3dhp": config.inputs.mpi_inf_3dhp}
    benchmarks = {name: Path(place) for name, place in named.items() if place}
    given = {name: value for name in NEEDED if (value := getattr(config.inputs, name))}
    if not given and not benchmarks and not config.inputs.dmpls:
        return "Nothing was given. To see everything without any licence: ap-data demo --out demo"
    if stopping:
        things = "1 thing" if len(stopping) == 1 else f"{len(stopping)} things"
        return f"{things} to fix first: follow the arrows, then run this command again."
    if not given and benchmarks:
        return f"Ready. Next: {' ; '.join(_builds(benchmarks))}"
    if found.not_given:
        return f"These inputs can be used. A build also needs --{', --'.join(found.not_given)}."
    if config.keypoints.dmpls:
        given["dmpls"] = config.inputs.dmpls
    options = [word for name, value in given.items() for word in (f"--{name}", value)]
    options += [word for file in settings.files for word in ("-c", file)]
    options += [word for text in settings.overrides for word in ("-o", text)]
    return f"Ready. Next: {command_line('ap-data', 'build-babel', *options, '--out', out)}"


def _builds(benchmarks: dict[str, Path]) -> list[str]:
    """One command for each build that the files permit, each with its own folder."""
    from pipeline.doctor.benchmarks import starts_h36m

    commands = []
    if "h36m" in benchmarks:
        starts = starts_h36m(benchmarks["h36m"])
        for place, detections in starts:
            more = ["--detections", detections] if detections else []
            name = "" if len(starts) == 1 else f"-{(detections or place).stem}"
            out = f"shards-h36m{name}"
            commands.append(command_line("ap-data", "build-h36m", "--h36m", place, *more, "--out", out))
    if "mpi_inf_3dhp" in benchmarks:
        folder = benchmarks["mpi_inf_3dhp"]
        commands.append(command_line("ap-data", "build-3dhp", "--mpi-inf-3dhp", folder, "--out", "shards-3dhp"))
    return commands


@click.command("convert-model", cls=Command)
@click.argument("file", type=PathLike)
@click.option("--out", type=PathLike, help="The file to write, BODY/smplh/GENDER/model.npz.")
@click.option("--gender", type=GENDERS, help="Gender of the body [default: from the names of OUT and FILE].")
@dry_run_option
def convert_model(file: Path, out: Path | None, gender: str | None, dry_run: bool) -> None:
    """A SMPL+H pickle (.pkl) to model.npz. The pickle is read, never executed; chumpy is not needed.

    The SMPLH_*.pkl of the MANO site have 10 shape coefficients where AMASS has 16, and are refused: download 'Extended
    SMPL+H model' instead, which needs no conversion. `--dry-run` says what FILE is.

    \b
    ap-data convert-model SMPLH_FEMALE.pkl --out body/smplh/female/model.npz
    """
    from pipeline.body.convert import convert, recognise
    from pipeline.body.smplh import gender_in_name

    if dry_run:
        note(f"{file} is {recognise(file).sentence}")
        next_step("Nothing was written.")
        return
    if out is None:
        raise click.UsageError("give the file to write: --out BODY/smplh/GENDER/model.npz")
    if out.suffix != ".npz":
        raise click.UsageError(f"--out {out} should end in .npz")
    gender = gender or gender_in_name(out) or gender_in_name(file)
    if gender is None:
        raise click.UsageError("give the body's gender: --gender female, male or neutral")
    found = convert(file, out, gender)
    note(f"{found.sentence}, {found.vertices:,} vertices, {gender}")
    next_step(f"The body is in {out}. Next: {command_line('ap-data', 'doctor', '--body', out.parent)}")

"""`ap-data convert-model`: a SMPL+H pickle becomes the npz that everything here reads, without running it."""

from __future__ import annotations

from pathlib import Path

import click

from cli.common import Command, dry_run_option, next_step, note

PathLike = click.Path(path_type=Path)
GENDERS = click.Choice(["female", "male", "neutral"])


@click.command("convert-model", cls=Command)
@click.argument("file", type=PathLike)
@click.option("--out", type=PathLike, help="The file to write, BODY/smplh/GENDER/model.npz.")
@click.option("--gender", type=GENDERS, help="Whose body it is [default: from the names of OUT and FILE].")
@dry_run_option
def convert_model(file: Path, out: Path | None, gender: str | None, dry_run: bool) -> None:
    """A SMPL+H pickle (.pkl) to model.npz. The pickle is read, never executed; chumpy is not needed.

    The SMPLH_*.pkl of the MANO site have 10 shape coefficients where AMASS has 16, and are refused: download 'Extended
    SMPL+H model' instead, which needs no conversion. `--dry-run` says what FILE is.

    \b
    ap-data convert-model SMPLH_FEMALE.pkl --out body/smplh/female/model.npz
    """
    from pipeline.body.convert import convert, recognise

    if dry_run:
        note(f"{file} is {recognise(file).sentence}")
        next_step("Nothing was written.")
        return
    if out is None:
        raise click.UsageError("say where to write it: --out BODY/smplh/GENDER/model.npz")
    if out.suffix != ".npz":
        raise click.UsageError(f"--out {out} should end in .npz")
    gender = gender or _named(out) or _named(file)
    if gender is None:
        raise click.UsageError("whose body is it? --gender female, male or neutral")
    found = convert(file, out, gender)
    note(f"{found.sentence}, {found.vertices:,} vertices, {gender}")
    next_step(f"The body is in {out}. Next: ap-data doctor --body {out.parent}")


def _named(path: Path) -> str | None:
    words = f"{path.parent.name} {path.stem}".lower().replace("_", " ").split()
    return next((gender for gender in ("female", "male", "neutral") if gender in words), None)

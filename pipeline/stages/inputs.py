"""The user's paths before a build starts: given, there, and openable, so that nothing small fails after long work."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from pathlib import Path

from actionpose.errors import UserError
from actionpose.places import kind_of, not_there
from pipeline.body.dmpls import load_dmpls
from pipeline.body.regressor import regressor_for
from pipeline.body.smplh import GENDERS, available_genders, load_body
from pipeline.config import DataConfig
from pipeline.sources.amass import motion_files
from pipeline.sources.babel import babel_files

FIRST = 50
"""Motion files whose place is looked at."""

EXCHANGED = "are --amass and --babel exchanged?"


def check_inputs(config: DataConfig, names: Iterable[str], needed_by: str) -> None:
    """These inputs are given and there.

    Raises:
        UserError: one is not, with the option that gives it.
    """
    for name in names:
        value = getattr(config.inputs, name)
        if not value:
            raise UserError(
                f"{name}: no path given, and {needed_by} needs it",
                f"give --{name} PATH, or inputs.{name} in a settings file; `ap-data demo --out DIR` makes them all",
            )
        if not Path(value).exists():
            raise not_there(Path(value), f"check the path given with --{name}")


def open_inputs(config: DataConfig, names: Iterable[str]) -> None:
    """Look into these inputs as the build will: the roots, the label files, every body, the regressor on each body.

    Motions and labels themselves are read later, item by item.

    Raises:
        UserError: one that the build could not use.
    """
    if "amass" in names:
        _open_amass(Path(config.inputs.amass))
    if "babel" in names:
        _open_babel(Path(config.inputs.babel), config)
    if "body" in names:
        _open_body(config)


def _open_amass(root: Path) -> None:
    if not any(root.glob("*/")) and (root / "train.json").is_file():
        raise UserError(f"{root} holds BABEL's labels, not AMASS motions", EXCHANGED)
    places = [place for place in islice(motion_files(root), FIRST) if isinstance(place, Path)]
    depth = max((len(place.relative_to(root).parts) for place in places), default=3)
    if depth < 3:
        what = "one dataset" if depth == 2 else "one subject"
        parts = "/".join(("SUBJECT", "NAME_poses.npz")[-depth:])
        raise UserError(
            f"{root} is {what} of AMASS: its files are at {parts}",
            f"give the folder that holds the datasets: --amass {root.resolve().parents[2 - depth]}",
        )


def _open_babel(folder: Path, config: DataConfig) -> None:
    try:
        babel_files(folder, config.pairs)
    except UserError as error:
        if inside := sorted(path.parent for path in folder.glob("*/train.json")):
            raise UserError(error.message, f"did you mean --babel {inside[0]}?") from error
        if kind_of(folder) == "motion":
            raise UserError(f"{folder} holds motion files, not BABEL's labels", EXCHANGED) from error
        raise


def _open_body(config: DataConfig) -> None:
    folder, regressor = config.inputs.body, config.inputs.regressor
    genders = available_genders(folder)
    root = Path(folder)
    if root.is_dir() and root.name.lower() in GENDERS and len(genders) == 1:
        above = root.parent.parent if root.parent.name.lower() == "smplh" else root.parent
        raise UserError(
            f"{root} is the {root.name} body alone, and motions need the body of their own gender", f"--body {above}"
        )
    for gender in genders or (config.keypoints.missing_gender,):
        body = load_body(folder, "neutral" if gender == "skip" else gender)
        regressor_for(regressor, folder, body.gender)
        if config.keypoints.dmpls and config.inputs.dmpls:
            load_dmpls(config.inputs.dmpls, body.gender, len(body.v_template))

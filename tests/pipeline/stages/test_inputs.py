"""A build looks into its small inputs before any long work, and so does its dry run."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from cli.data import main
from pipeline.stages.build import Build
from tests.makers.worlds import World


def swapped(world: World, tmp_path: Path, name: str) -> dict[str, str]:
    """Inputs that are wrong in one way each."""
    inputs = world.config.inputs
    np.save(tmp_path / "regressor.npy", np.ones((17, 5)))
    dataset = next(path for path in Path(inputs.amass).iterdir() if path.is_dir())
    subject = next(path for path in dataset.iterdir() if path.is_dir())
    gender = next(Path(inputs.body).rglob("model.npz")).parent
    return {
        "a dataset": {"amass": str(dataset)},
        "a subject": {"amass": str(subject)},
        "exchanged": {"amass": inputs.babel, "babel": inputs.amass},
        "motions as labels": {"babel": inputs.amass},
        "above the labels": {"babel": str(world.root)},
        "one body": {"body": str(gender)},
        "labels as body": {"body": inputs.babel},
        "another matrix": {"regressor": str(tmp_path / "regressor.npy")},
        "a slip": {"regressor": inputs.regressor.replace("regressor", "regresor")},
    }[name]


WRONG = [
    ("a dataset", "is one dataset of AMASS", "--amass "),
    ("a subject", "is one subject of AMASS", "--amass "),
    ("exchanged", "holds BABEL's labels", "exchanged?"),
    ("motions as labels", "holds motion files", "exchanged?"),
    ("above the labels", "there is no", "did you mean --babel"),
    ("one body", "body alone", "--body "),
    ("labels as body", "SMPL+H body in", "--body DIR"),
    ("another matrix", "regressor.npy", ""),
    ("a slip", "there is no", "did you mean"),
]


@pytest.mark.parametrize(("name", "says", "advice"), WRONG)
def test_what_the_build_could_not_use_is_refused_before_the_first_stage(world, tmp_path, name, says, advice):
    inputs = dataclasses.replace(world.config.inputs, **swapped(world, tmp_path, name))
    config = dataclasses.replace(world.config, inputs=inputs)
    with pytest.raises(UserError) as refused:
        Build(config, tmp_path / "work", tmp_path / "out").run()
    assert says in refused.value.message
    assert advice in refused.value.hint
    assert not (tmp_path / "work").exists()


def test_the_folder_that_is_advised_is_the_right_one(world, tmp_path):
    for name, key in (("a dataset", "amass"), ("a subject", "amass"), ("one body", "body")):
        inputs = dataclasses.replace(world.config.inputs, **swapped(world, tmp_path, name))
        with pytest.raises(UserError) as refused:
            Build(dataclasses.replace(world.config, inputs=inputs), tmp_path / "work", tmp_path / "out").open_inputs()
        advised = refused.value.hint.rpartition(f"--{key} ")[2]
        assert Path(advised).resolve() == Path(getattr(world.config.inputs, key)).resolve()


@pytest.mark.parametrize("name", ["a dataset", "one body", "another matrix", "motions as labels"])
def test_a_dry_run_fails_where_the_build_would(world, tmp_path, name):
    given = world.options
    for key, value in swapped(world, tmp_path, name).items():
        given[given.index(f"--{key}") + 1] = value
    done = CliRunner().invoke(main, ["build-babel", *given, "--out", str(tmp_path / "out"), "--dry-run"])
    assert done.exit_code == 1
    assert "→" in done.stderr
    assert not (tmp_path / "out").exists()

"""A package that is not installed is one sentence with the line that installs it."""

from __future__ import annotations

import re
import tomllib

import pytest

from actionpose.errors import UserError
from actionpose.extras import EXTRAS, MissingPackageError, missing, needed_for
from tests.makers.places import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
DISTRIBUTION = {"PIL": "pillow", "sklearn": "scikit-learn"}


def names(requirements: list[str]) -> set[str]:
    return {re.split(r"[<>=\[ ]", requirement)[0] for requirement in requirements}


def test_the_table_says_what_pyproject_says():
    optional = PROJECT["optional-dependencies"]
    assert {extra: names(optional[extra]) for extra in EXTRAS} == {
        extra: {DISTRIBUTION.get(package, package) for package in packages} for extra, packages in EXTRAS.items()
    }
    (everything,) = optional["all"]
    assert everything == f"actionpose[{','.join(sorted(EXTRAS))}]"


def test_the_citation_and_the_package_have_one_version():
    text = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {PROJECT['version']}\n" in text
    assert f"\nlicense: {PROJECT['license']}\n" in text


def test_the_core_is_what_reads_shards():
    assert names(PROJECT["dependencies"]) == {"click", "h5py", "numpy"}


def test_every_requirement_states_a_lowest_version():
    groups = [PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in EXTRAS)]
    assert [r for group in groups for r in group if ">=" not in r] == []


def test_what_is_installed_here_meets_the_requirements():
    pinned = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    for group in (PROJECT["dependencies"], *(PROJECT["optional-dependencies"][extra] for extra in EXTRAS)):
        for requirement in group:
            name, lowest = requirement.split(">=")
            assert numbers(pinned[name]) >= numbers(lowest), requirement


def numbers(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"\d+", version)]


@pytest.mark.parametrize(
    ("module", "preferred", "line"),
    [
        ("torch", "", "pip install 'actionpose[train]'"),
        ("torch.nn", "lift", "pip install 'actionpose[lift]'"),
        ("dask", "data", "pip install 'actionpose[cluster]'"),
        ("smplx", "data", "pip install 'actionpose[mesh]'"),
    ],
)
def test_the_sentence_names_the_package_and_the_line(module: str, preferred: str, line: str):
    found = missing(ModuleNotFoundError(name=module), "`ap-data x`", preferred)
    assert found is not None
    assert found.message == f"`ap-data x` needs the package '{module.partition('.')[0]}', which is not installed"
    assert found.hint == line


def test_it_is_an_import_error_and_a_user_error():
    with pytest.raises(MissingPackageError), needed_for("a mesh"):
        raise ModuleNotFoundError(name="smplx")
    assert issubclass(MissingPackageError, UserError)
    assert issubclass(MissingPackageError, ImportError)


def test_a_module_that_no_extra_brings_stays_the_error_it_is():
    with pytest.raises(ModuleNotFoundError, match="ours"), needed_for("a mesh"):
        raise ModuleNotFoundError("ours", name="actionpose.nowhere")

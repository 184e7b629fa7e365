"""An ordinary installation, without the checkout and the development tools, has everything it needs."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from tests.makers.places import ROOT
from tests.makers.wheel import PACKAGES, environment_with, run


@pytest.fixture(scope="session")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; the dependencies are those of this one."""
    return environment_with(wheel, tmp_path_factory.mktemp("environment"))


def files_of(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return set(archive.namelist())


def test_the_wheel_holds_every_module_and_every_data_file(wheel: Path):
    expected = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert expected - files_of(wheel) == set()


def test_the_wheel_holds_nothing_else(wheel: Path):
    tops = {name.partition("/")[0] for name in files_of(wheel)}
    extra = {name for name in tops if not name.startswith("actionpose-")}
    assert extra == set(PACKAGES)


def test_the_tables_about_the_datasets_travel_along(wheel: Path):
    shipped = {Path(name).name for name in files_of(wheel) if "/share/actionpose/manifests/" in name}
    assert shipped == {path.name for path in (ROOT / "manifests").glob("*.toml")}


def test_the_licence_travels_along(wheel: Path):
    assert any(name.endswith("licenses/LICENSE") for name in files_of(wheel))
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("command", ["ap-data", "ap-train", "ap-lift"])
def test_the_commands_are_on_the_path(installed: Path, command: str, tmp_path: Path):
    done = run(installed / "bin" / command, "--help", cwd=tmp_path)
    assert done.stdout.startswith(f"Usage: {command}")


def test_an_installation_does_not_lean_on_the_checkout(installed: Path, tmp_path: Path):
    code = (
        "import actionpose, cli, pipeline; from pipeline.sources import facts; "
        "print(actionpose.__file__, cli.__file__, pipeline.__file__, facts.manifests_folder(), sep='\\n'); "
        "print(facts.canonical_dataset('BioMotionLab_NTroje'))"
    )
    *places, canonical = run(installed / "bin" / "python", "-c", code, cwd=tmp_path).stdout.split()
    assert all(Path(place).is_relative_to(installed) for place in places)
    assert canonical == "BMLrub"


def test_shipped_recipes_are_found_by_name(installed: Path, tmp_path: Path):
    code = """
from cli.settings import recipe_names, recipe_path
for name in recipe_names("actionpose"):
    print(recipe_path(name, "actionpose"))
"""
    found = run(installed / "bin" / "python", "-c", code, cwd=tmp_path).stdout.split()
    assert {Path(path).name for path in found} == {path.name for path in (ROOT / "actionpose/recipes").glob("*.toml")}
    assert all(Path(path).is_relative_to(installed) for path in found)

"""An ordinary installation, without the checkout and the development tools, has everything it needs."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

from tests.makers.places import ROOT

PACKAGES = ("actionpose", "cli", "pipeline")


def run(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    copy, out = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in (*PACKAGES, "manifests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    run(sys.executable, "-c", build, out, cwd=copy)
    (found,) = out.glob("*.whl")
    return found


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A fresh environment with the wheel in it; the dependencies are those of this one."""
    home = tmp_path_factory.mktemp("environment")
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    python = home / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).stdout.strip())
    run(
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "install",
        "--quiet",
        "--no-deps",
        "--no-index",
        wheel,
        cwd=home,
    )
    (site / "zz_dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # after our own packages
    return home


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

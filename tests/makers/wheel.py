"""The wheel of this checkout, and fresh environments with it in them, made offline."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterable
from importlib import metadata
from pathlib import Path

from tests.makers.places import ROOT

PACKAGES = ("actionpose", "cli", "pipeline")


def run(*command: str | Path, cwd: Path, status: int = 0) -> subprocess.CompletedProcess[str]:
    """Run a command that knows nothing of this process; it must end with the status."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == status, f"{command}\n{done.stdout}\n{done.stderr}"
    return done


def build_wheel(copy: Path, out: Path) -> Path:
    """The wheel, built from a copy so that the checkout stays as it is."""
    for name in (*PACKAGES, "manifests"):
        shutil.copytree(ROOT / name, copy / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy / name)
    build = "import sys; from setuptools import build_meta; build_meta.build_wheel(sys.argv[1])"
    run(sys.executable, "-c", build, out, cwd=copy)
    (found,) = out.glob("*.whl")
    return found


def environment_with(wheel: Path, home: Path, only: Iterable[str] | None = None) -> Path:
    """A fresh environment with the wheel in it; returns its folder.

    Args:
        wheel: to install, without what it requires.
        home: the folder to make it in.
        only: distributions of this environment that are visible there; None: all of them.
    """
    run(sys.executable, "-m", "venv", "--without-pip", home, cwd=home)
    python = home / "bin" / "python"
    site = Path(run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=home).stdout.strip())
    pip = (sys.executable, "-m", "pip", "--python", python, "install", "--quiet", "--no-deps", "--no-index")
    run(*pip, wheel, cwd=home)
    if only is None:
        (site / "zz_dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")  # after our own packages
        return home
    for name in only:
        found = metadata.distribution(name)
        tops = {file.parts[0] for file in found.files or () if file.parts[0] not in ("..", "__pycache__")}
        for top in tops:
            (site / top).symlink_to(Path(str(found.locate_file(top))))
    return home

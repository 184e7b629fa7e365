"""Cases of files that would harm, and of files of other programs given to the wrong command."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from actionpose import isolated
from actionpose.errors import UserError
from tests.cases.case import ap_data, ap_train, case, unless_refused
from tests.makers.shards import make_benchmark

SECONDS = 120.0
QUICK = isolated.Limits(memory=1 << 30, seconds=2)


@case("untrusted")
def untrusted(folder: Path, scratch: Path) -> str:
    """Every hostile pickle is refused by its name, soon, by every command that reads pickles, and runs nothing."""
    wrong = []
    for path in untrusted_pickles(folder, scratch):
        begun = time.monotonic()
        for read in ("pipeline.untrusted.pickles:unpickle", "pipeline.body.convert:model_members"):
            try:
                found = isolated.call(read, path, limits=QUICK)
            except UserError as error:
                if str(path) not in error.message:
                    wrong.append(f"{path.stem}: refused without its name")
            else:
                if not is_plain(found):
                    wrong.append(f"{path.stem}: {type(found).__name__} came out")
        if time.monotonic() - begun > SECONDS:
            wrong.append(f"{path.stem}: takes more than {SECONDS:.0f} s")
    if (scratch / "PWNED").exists():
        wrong.append("something was run")
    if fault := unless_refused(ap_data("convert-model", scratch / "leak_objptr.pkl", "--dry-run"), "leak_objptr.pkl"):
        wrong.append(f"convert-model: {fault}")
    return "; ".join(wrong)


def is_plain(value: object) -> bool:
    """Whether a value is nothing but numbers, texts, arrays of them and containers of these."""
    if isinstance(value, dict):
        return all(is_plain(item) for item in (*value, *value.values()))
    if isinstance(value, list | tuple):
        return all(map(is_plain, value))
    plain = value is None or isinstance(value, bool | int | float | str | bytes)
    return plain or (isinstance(value, np.ndarray) and not value.dtype.hasobject)


def untrusted_pickles(folder: Path, scratch: Path) -> list[Path]:
    """The pickles that mk.py writes beside itself, made in a scratch folder: the cases may be read-only."""
    (scratch / "mk.py").write_bytes((folder / "mk.py").read_bytes())
    subprocess.run([sys.executable, "mk.py"], cwd=scratch, check=True, capture_output=True, timeout=SECONDS)
    return sorted(scratch.glob("*.pkl"))


@case("alphapose-json")
def alphapose_json(folder: Path, scratch: Path) -> str:
    """2D detections are called what they are by every command that reads 3D."""
    return _each_refuses(folder / "alphapose-results.json", scratch, "2D detections", "26 joints", "ap-lift run")


@case("bare-npy")
def bare_npy(folder: Path, scratch: Path) -> str:
    """An array without names is called what it is, with the line that makes a file of it."""
    return _each_refuses(folder / "poses.npy", scratch, "a bare array of shape (12, 17, 3)", "numpy.savez")


def _each_refuses(path: Path, scratch: Path, *words: str) -> str:
    """What is wrong with the refusals of the commands that read a file of 3D keypoints or predictions."""
    shards = make_benchmark(scratch / "shards", lengths=(33, 32))
    given = {
        "project-2d": ap_data("project-2d", path, "--output", scratch / "views.npz"),
        "preview": ap_data("preview", path, "-o", scratch / "picture.png"),
        "score": ap_train("score", path, "--data", shards),
    }
    faults = {name: unless_refused(done, *words) for name, done in given.items()}
    return "; ".join(f"{name}: {fault}" for name, fault in faults.items() if fault)

"""Small inputs that once gave a wrong answer, run against the code as it is now: one line for each, and its verdict.

    python -m tests.cases.run_cases [FOLDER]

FOLDER holds a folder per case, each with a WHAT.md that says what is right; by default $ACTIONPOSE_SHARED/cases, or
../shared/cases beside the checkout. A case is a function here, registered under the name of its folder; it returns what
is wrong.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from actionpose import isolated
from actionpose.errors import UserError
from tests.makers.places import ROOT

Case = Callable[[Path, Path], str]
"""`case(folder, scratch)` → what is wrong, in words; empty when all is right."""

CASES: dict[str, Case] = {}
SECONDS = 120.0
UNCHECKED = "no check is written yet"
QUICK = isolated.Limits(memory=1 << 30, seconds=5)


def case(name: str) -> Callable[[Case], Case]:
    """Register a function as the case of that folder."""

    def register(function: Case) -> Case:
        CASES[name] = function
        return function

    return register


def cases_folder() -> Path:
    """Where the cases lie, whether they are there or not."""
    shared = os.environ.get("ACTIONPOSE_SHARED") or ROOT.parent / "shared"
    return Path(shared) / "cases"


def ap_data(*words: object) -> subprocess.CompletedProcess[str]:
    """`ap-data` as a user runs it."""
    command = [sys.executable, "-m", "cli.data", *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=SECONDS)


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
    done = ap_data("convert-model", scratch / "leak_objptr.pkl", "--dry-run")
    if done.returncode != 1 or "leak_objptr.pkl" not in done.stderr:
        wrong.append(f"convert-model: {done.stderr[:100]}")
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


def run(folder: Path, wanted: list[str] | None = None) -> list[tuple[str, float, str]]:
    """(case, seconds, what is wrong) of each case that is there; a case without a function is said to have none."""
    rows = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        if wanted and place.name not in wanted:
            continue
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            try:
                wrong = CASES[place.name](place, Path(scratch)) if place.name in CASES else UNCHECKED
            except subprocess.TimeoutExpired:
                wrong = f"takes more than {SECONDS:.0f} s"
        rows.append((place.name, time.monotonic() - begun, wrong))
    return rows


def main() -> None:
    """Print the table; status 1 when a case is wrong."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else cases_folder()
    rows = run(folder)
    for name, seconds, wrong in rows:
        verdict = "right" if not wrong else "-" if wrong == UNCHECKED else "WRONG"
        print(f"{verdict:<6} {name:<32} {seconds:6.1f} s  {wrong}")
    sys.exit(any(wrong not in ("", UNCHECKED) for _, _, wrong in rows))


if __name__ == "__main__":
    main()

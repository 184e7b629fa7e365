"""Small inputs that once gave a wrong answer, run against the code as it is now: one line for each, and its verdict.

    python -m tests.cases.run_cases [FOLDER]

FOLDER holds a folder per case, each with a text that says what is right; by default $ACTIONPOSE_SHARED/cases, or
../shared/cases beside the checkout. A case is a function in a module beside this one, registered under the name of its
folder.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.cases import benchmarks, labels, motions, strangers  # noqa: F401 (each registers its cases)
from tests.cases.case import CASES
from tests.makers.places import SHARED

UNCHECKED = "no check is written yet"


def cases_folder() -> Path:
    """Where the cases lie, whether they are there or not."""
    return SHARED / "cases"


def run(folder: Path) -> list[tuple[str, float, str]]:
    """(case, seconds, what is wrong) of each case that is there; a case without a function is said to have none."""
    rows = []
    for place in sorted(path for path in folder.iterdir() if path.is_dir()):
        begun = time.monotonic()
        with tempfile.TemporaryDirectory() as scratch:
            try:
                fault = CASES[place.name](place, Path(scratch)) if place.name in CASES else UNCHECKED
            except subprocess.TimeoutExpired as error:
                fault = f"takes more than {error.timeout:.0f} s"
        rows.append((place.name, time.monotonic() - begun, fault))
    return rows


def main() -> None:
    """Print the table; status 1 when a case is wrong or has no check."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else cases_folder()
    rows = run(folder)
    for name, seconds, fault in rows:
        print(f"{'WRONG' if fault else 'right':<6} {name:<32} {seconds:6.1f} s  {fault}")
    sys.exit(any(fault for _, _, fault in rows))


if __name__ == "__main__":
    main()

"""What a case is, and the ways in which one gives its input to the code: as a user would."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from benchmarks.bodies import synthetic_body, synthetic_regressor, write_body
from cli.data import main as data
from cli.train import main as train

Case = Callable[[Path, Path], str]
"""`case(folder, scratch)` → what is wrong, in words; empty when all is right."""

CASES: dict[str, Case] = {}


def case(name: str) -> Callable[[Case], Case]:
    """Register a function as the case of that folder."""

    def register(function: Case) -> Case:
        CASES[name] = function
        return function

    return register


def ap_data(*words: object) -> Result:
    """`ap-data` with these words."""
    return CliRunner().invoke(data, [str(word) for word in words])


def ap_train(*words: object) -> Result:
    """`ap-train` with these words."""
    return CliRunner().invoke(train, [str(word) for word in words])


def wrong(**checks: bool) -> str:
    """The names of the checks that hold, as words: each names a fault."""
    return "; ".join(name.replace("_", " ") for name, holds in checks.items() if holds)


def unless_refused(done: Result, *words: str) -> str:
    """What is wrong with a command that should have refused, in a sentence that has all these words."""
    said = " ".join(done.stderr.split())
    faults = wrong(
        the_exit_status_is_not_1=done.exit_code != 1,
        it_is_reported_as_a_bug="this is a bug" in said,
        it_advises_to_load_unsafely="allow_pickle" in said or "weights_only" in said,
    )
    missing = [word for word in words if word.casefold() not in said.casefold()]
    return "; ".join(filter(None, (faults, f"not said: {missing}; said: {said[:200]}" if missing else "")))


def planned(labels: Path, *more: str) -> dict[str, Any]:
    """What `ap-data pairs --dry-run` counts for a folder that holds val.json alone."""
    done = ap_data("pairs", "--babel", labels, "--dry-run", "-o", 'pairs.splits=["val"]', "--format", "json", *more)
    assert done.exit_code == 0, done.stderr
    plan: dict[str, Any] = json.loads(done.stdout)
    return plan


def body_options(scratch: Path) -> tuple[object, ...]:
    """Options that name a small made-up body and its regressor."""
    model, regressor = synthetic_body(320), scratch / "regressor.npy"
    for gender in ("female", "male", "neutral"):
        write_body(model, scratch / "body" / "smplh" / gender / "model.npz")
    np.save(regressor, synthetic_regressor(model))
    return "--body", scratch / "body", "--regressor", regressor

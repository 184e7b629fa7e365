"""Cases of BABEL's labels: counted twice, misspelt, or no longer true."""

from __future__ import annotations

import contextlib
import io
import runpy
import sys
from pathlib import Path
from unittest import mock

from actionpose.data import texts
from actionpose.shards import ShardSet
from tests.cases.case import ap_data, body_options, case, planned, wrong


@case("babel-same-twice")
def babel_same_twice(folder: Path, scratch: Path) -> str:
    """One file under two names is told without AMASS, and its pairs are counted once."""
    doctor = ap_data("doctor", "--babel", folder)
    plan = ap_data("pairs", "--babel", folder, "--dry-run", "--format", "json")
    return wrong(
        the_doctor_does_not_stop=doctor.exit_code != 1 or "in both splits" not in doctor.stdout,
        no_remark_on_the_size_of_train="6,615" not in doctor.stdout,
        pairs_counted_twice='"pairs": 1,' not in plan.stdout,
    )


@case("lemma-slips")
def lemma_slips(folder: Path, scratch: Path) -> str:
    """The texts are English where BABEL's lemmatiser slipped."""
    right = {"swing arms", "arms outstretched", "lower hands", "hold a ball in front of her"}
    found = set(planned(folder)["top_labels"])
    return f"texts are {sorted(found)}" if found != right else ""


@case("same-to-same")
def same_to_same(folder: Path, scratch: Path) -> str:
    """Transitions between two labels of one text are counted apart, and can be left out."""
    plan, without = planned(folder), planned(folder, "-o", "pairs.same_label_transitions=false")
    return wrong(
        not_counted_apart=plan["transitions"]["same_label"] != 1,
        no_switch=(plan["transitions"]["kept"], without["transitions"]["kept"]) != (1, 0),
    )


@case("mirror-clockwise")
def mirror_clockwise(folder: Path, scratch: Path) -> str:
    """Words that name a direction are true of the mirrored clip. check.py prints what is not."""
    printed = io.StringIO()
    # check.py names the module under which the function once stood.
    with mock.patch.dict(sys.modules, {"actionpose.negatives": texts}), contextlib.redirect_stdout(printed):
        runpy.run_path(str(folder / "check.py"))
    lines = printed.getvalue().splitlines()
    return "; ".join(line for line in lines if "should be" in line) if lines else "check.py printed nothing"


@case("plan-one-frame-short")
def plan_one_frame_short(folder: Path, scratch: Path) -> str:
    """The plan made from durations and the build made from motions have the same pairs."""
    inputs = ("--amass", folder / "amass", "--babel", folder, *body_options(scratch))
    built = ap_data("build-babel", *inputs, "-o", 'pairs.splits=["val"]', "--out", scratch / "shards")
    made = len(ShardSet(scratch / "shards").pairs["text"]) if built.exit_code == 0 else built.stderr
    plan = planned(folder)["pairs"]
    return f"{plan} pairs planned, {made} made, 2 are right" if (plan, made) != (2, 2) else ""

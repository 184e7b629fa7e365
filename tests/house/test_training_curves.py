"""The figure of pretraining runs draws what their logs say, of unfinished runs too."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.makers.places import ROOT

SCRIPT = ROOT / "scripts" / "training_curves.py"


def write_log(run: Path, *, evaluated: bool) -> Path:
    run.mkdir()
    report = {"mpjpe_mm": 100.0, "con": 2.0, "own_text_first": 0.3}
    rows: list[dict] = [{"step": step, "losses": {"total": 1.0}, "report": report} for step in (20, 40)]
    if evaluated:
        way = {"r5": 20.0, "r10": 30.0, "chance": {"r5": 3.0, "r10": 6.0}}
        rows.append({"event": "eval", "step": 40, "mpjpe_mm": 90.0,
                     "retrieval": {"text_to_motion": way, "motion_to_text": way}})  # fmt: skip
    (run / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return run


def test_curves_of_a_finished_and_of_an_unfinished_run(tmp_path):
    pytest.importorskip("matplotlib")
    runs = [write_log(tmp_path / "a", evaluated=True), write_log(tmp_path / "b", evaluated=False)]
    done = subprocess.run(
        [sys.executable, SCRIPT, tmp_path / "curves.png", *runs], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_without_runs_it_says_how_it_is_called():
    done = subprocess.run([sys.executable, SCRIPT], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "OUT.png RUN" in done.stderr

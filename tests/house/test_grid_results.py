"""The page's words about the grid follow from its numbers."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from actionpose.robustness.perturb import RobustnessConfig, levels
from scripts.grid_results import LEVELS
from tests.makers.places import ROOT

SEEDS = (0, 1, 2, 3, 4)
NOISE = (0.4, -0.3, 0.1, -0.2, 0.0)
HIGHER = {"plain": 0.0, "map": 0.0, "mmm": -5.0, "both": -5.0, "shuffled": -2.0}
"""What each row adds to the errors. Texts do nothing, corruption helps by 5 mm, wrong texts harm by 3."""

IDEAS = {"frames": -9.0}
"""A further row, 4 mm better than both."""


def cell(row: str, seed: int, minutes: float) -> dict:
    error = (
        60.0
        + seed
        + (HIGHER | IDEAS)[row]
        + (NOISE[seed] if row in ("map", "both") else 0.0)
        + (10.0 if minutes else 0.0)
    )
    return {"row": row, "seed": seed, "minutes": minutes, "mpjpe_mm": error, "ambiguous_mm": error, "fast_mm": error}


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    """The page after the script went over it twice."""
    tmp_path = tmp_path_factory.mktemp("results")
    grid, robust, ideas = (tmp_path / name for name in ("grid", "robust", "ideas"))
    page = tmp_path / "results.md"
    for folder in (grid, robust, ideas):
        folder.mkdir()
    cells = [cell(row, seed, minutes) for minutes in (5.0, 0.0) for row in HIGHER for seed in SEEDS]
    config = {
        "ablate": {"seeds": SEEDS, "minutes": [5.0, 0.0], "rows": list(HIGHER)},
        "pretrain": {"steps": 300},
        "finetune": {"steps": 80, "batch": 16},
        "run": {"log_every": 20},
    }
    (grid / "grid.json").write_text(json.dumps({"settings": config}))
    (grid / "table.json").write_text(json.dumps({"cells": cells, "missing": [], "conditions": {"frames": 1234}}))
    for row in HIGHER:
        for seed in SEEDS:
            log = grid / f"{row}-seed{seed}" / "pretrain" / "log.jsonl"
            log.parent.mkdir(parents=True)
            lines = [{"step": step, "report": {"mpjpe_mm": 400.0 - step + seed}} for step in range(20, 301, 20)]
            log.write_text("".join(json.dumps(line) + "\n" for line in [*lines, {"event": "end", "step": 300}]))
    more = [cell(row, seed, 0.0) for row in IDEAS for seed in SEEDS]
    (ideas / "table.json").write_text(json.dumps({"cells": more}))
    rows = [
        {"label": c["row"], "seed": c["seed"], "curve": "part", "level": "arms", "mpjpe_mm": 2 * c["mpjpe_mm"]}
        for c in cells
        if not c["minutes"]
    ]
    (robust / "robustness.json").write_text(json.dumps({"rows": rows}))
    page.write_text("before\n<!-- grid: made by scripts/grid_results.py -->\nof last year\n<!-- grid: end -->\nafter\n")
    for _ in range(2):
        command = [sys.executable, ROOT / "scripts" / "grid_results.py", grid, robust, page, "--ideas", ideas]
        subprocess.run(command, check=True, cwd=ROOT)
    return page.read_text()


def test_what_is_around_the_markers_stays_and_what_was_between_goes(page):
    assert page.startswith("before\n<!-- grid:")
    assert page.endswith("<!-- grid: end -->\nafter\n")
    assert "of last year" not in page
    assert "5 seeds, measured on the same 1,234 frames" in page


def test_an_effect_is_named_only_where_its_interval_leaves_out_zero(page):
    assert "**texts, poses exact and whole**, all frames, all minutes: no effect can be shown (+0.0 ± 0.3 mm" in page
    assert "**texts, poses corrupted**, all frames, all minutes: no effect can be shown" in page
    assert "**corruption, no texts**, all frames, all minutes: helps (-5.0 ± 0.0 mm, lower in 5 of 5 seeds)" in page
    assert "**the right texts instead of wrong ones, poses corrupted**, all frames, all minutes: helps (-3.0" in page


def test_every_amount_and_every_condition_has_its_numbers(page):
    assert "Fine-tuned on 5 minutes:" in page
    assert "| plain | 72.0 ± 1.6 |" in page
    assert "| plain | 62.0 ± 1.6 |" in page
    assert "| arms hidden | 124.0 ± 3.2 |" in page
    assert "Of 7 comparisons 7 are certainly better" in page
    assert "| texts, poses corrupted | +0.00 ± 0.34 |" in page


def test_further_rows_are_held_against_the_method_and_against_no_texts(page):
    assert "| frames | 53.0 ± 1.6 |" in page
    assert "| frames | `both`, the method as it is | **-4.00 ± 0.34** |" in page
    assert "| frames | `mmm`, no texts | **-4.00 ± 0.00** |" in page


def test_the_levels_it_looks_for_are_those_of_robustness():
    assert set(LEVELS) <= {(level.curve, level.label) for level in levels(RobustnessConfig())}


def test_how_fast_poses_are_learned_is_read_from_the_logs(page):
    assert "| row | step 100 | step 200 | step 300 |" in page
    assert "| mmm | 302.0 ± 1.6 | 202.0 ± 1.6 | 102.0 ± 1.6 |" in page

"""The report shows predictions on their truth, the right run and clips first, and fits every window."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.report.build import build_report
from actionpose.report.compare import error_charts, pairing
from actionpose.report.learned import flat_map
from actionpose.runs.kept import load_kept, save_kept
from actionpose.runs.results import read_run
from actionpose.skeleton import JOINT_NAMES
from tests.actionpose.report.test_build import Page as Source
from tests.actionpose.report.test_build import embedded, result, write_run
from tests.makers.browser import Page, browser
from tests.makers.kept import kept_clips
from tests.makers.patience import until
from tests.makers.walker import make_shards

WITH, WITHOUT = 40.0, 60.0


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    root = tmp_path_factory.mktemp("runs")
    made = [
        write_run(root / "pretrain", results=[result(50.0)], command="pretrain"),
        write_run(root / "with", results=[result(WITH)], init="pretrain"),
        write_run(root / "without", results=[result(WITHOUT)]),
    ]
    for run, error, masks in zip(made, (50.0, WITH, WITHOUT), (True, False, False), strict=True):
        save_kept(kept_clips(error, masks=masks, seed=int(error)), run / "clips.npz")
    curve = [{"curve": "noise", "amount": a, "mpjpe_mm": 40 + 10 * a, "level": str(a)} for a in (0, 1, 2)]
    curve += [{"curve": "part", "amount": 1, "mpjpe_mm": 71.26, "level": "arms"}]
    (made[1] / "robustness").mkdir()
    (made[1] / "robustness" / "robustness.json").write_text(json.dumps({"rows": curve}))
    return made


@pytest.fixture(scope="module")
def report(runs: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    build_report(make_shards(folder / "shards"), runs, folder / "report.html", "Two runs")
    return folder / "report.html"


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as found:
        yield found


def test_the_joint_of_the_largest_difference_is_named_whichever_run_is_worse_there(runs: list[Path]) -> None:
    two = pairing([read_run(run) for run in runs[1:]])
    assert two is not None
    off = np.zeros((17, 3))
    off[JOINT_NAMES.index("head"), 0] = 900.0
    far = dataclasses.replace(two, kept=dataclasses.replace(two.kept, predicted=two.kept.predicted + off))
    assert "The largest difference: head" in error_charts(far)


def test_what_was_kept_comes_back_to_the_millimetre(tmp_path: Path) -> None:
    kept = kept_clips(30.0, masks=True)
    save_kept(kept, tmp_path / "clips.npz")
    again = load_kept(tmp_path / "clips.npz")
    np.testing.assert_allclose(again.predicted, kept.predicted, atol=1.0)
    np.testing.assert_array_equal(again.clip, kept.clip)
    assert again.errors(0).mean() == pytest.approx(kept.errors(0).mean(), abs=0.5)
    np.savez(tmp_path / "other.npz", about=np.asarray("{}"))
    with pytest.raises(UserError, match="does not hold the clips"):
        load_kept(tmp_path / "other.npz")


def test_a_pretrained_run_is_compared_with_one_that_is_not(runs: list[Path]) -> None:
    found = pairing([read_run(run) for run in runs])
    assert found is not None
    assert found.other is not None
    assert (found.first.name, found.other.name) == ("with", "without")
    mine, theirs = found.means()
    assert theirs is not None
    differences = (mine - theirs)[found.order()]
    assert (np.diff(differences) >= 0).all()
    assert pairing([]) is None


def test_runs_of_other_windows_are_not_compared(runs: list[Path], tmp_path: Path) -> None:
    lone = write_run(tmp_path / "lone", results=[result(30.0)])
    save_kept(kept_clips(30.0, clips=5), lone / "clips.npz")
    found = pairing([read_run(runs[1]), read_run(lone)])
    assert found is not None
    assert found.other is None


def test_the_verdict_and_predictions_come_before_the_data(report: Path) -> None:
    source = report.read_text()
    places = [source.index(f'<section id="{name}">') for name in ("results", "predictions", "training", "data", "clip")]
    assert places == sorted(places)
    assert source.index("With pretraining the MPJPE is") < places[0]
    clips = embedded(source)
    first = clips[0]
    assert [person["name"] for person in first["people"]] == ["with", "truth", "without", "truth"]
    assert [person["ghost"] for person in first["people"]] == [False, True, False, True]
    assert re.fullmatch(r"\w[\w ]*: with \d+ mm, without \d+ mm", first["title"])
    assert Source(source).open == []


def test_masks_hide_three_places_and_are_drawn_hollow(report: Path) -> None:
    masked = [clip for clip in embedded(report.read_text()) if "hidden" in clip["title"]]
    assert [clip["title"].partition(":")[0] for clip in masked] == [
        "the beginning is hidden", "the middle is hidden", "the end is hidden",
    ]  # fmt: skip
    assert [round(clip["labels"][0]["from"]) for clip in masked] == [0, 9, 18]
    assert all("filled" in clip["people"][0] for clip in masked)


def test_results_on_other_shards_are_pointed_out(report: Path) -> None:
    assert "it was measured on other shards than these (sha256:d…)" in report.read_text()


def test_curves_of_degraded_input_are_drawn(report: Path) -> None:
    section = report.read_text().partition('<section id="robustness">')[2].partition("</section>")[0]
    assert "joint noise, times the detector" in section
    assert "<path" in section
    assert '<td>arms</td><td class="num">71.3</td>' in section  # parts have no order: a table


def test_a_map_keeps_groups_apart() -> None:
    kept = kept_clips(10.0)
    points, how = flat_map(kept.features)
    assert how in ("t-SNE", "PCA")
    groups = [points[kept.feature_label == name] for name in dict.fromkeys(kept.feature_label.tolist())]
    inside = np.mean([np.linalg.norm(group - group.mean(axis=0), axis=1).mean() for group in groups])
    between = np.linalg.norm(np.array([group.mean(axis=0) for group in groups]) - points.mean(axis=0), axis=1).mean()
    assert between > 1.5 * inside


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (390, True)])
def test_the_report_plays_without_complaint_and_fits(page: Page, report: Path, width: int, dark: bool) -> None:
    page.problems.clear()
    page.open(report, width=width, dark=dark)
    players: Any = page.run("document.querySelectorAll('.player').length")
    assert players == 3
    values = "[...document.querySelectorAll('.slider')].map((s) => s.value)"
    before = page.run(values)
    for i in range(players):
        until(lambda i=i: page.run(values)[i] != before[i])
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.problems == []


COLOURED = """[...document.querySelectorAll('.player canvas')].map((canvas) => {
  const {width, height} = canvas, {data} = canvas.getContext('2d').getImageData(0, 0, width, height), rows = [];
  for (let i = 0; i < data.length; i += 4) {
    const [r, g, b, a] = data.subarray(i, i + 4);
    if (a > 128 && Math.max(r, g, b) - Math.min(r, g, b) > 60) rows.push(Math.floor(i / 4 / width));
  }
  return [height, rows.length ? (rows.at(-1) - rows[0] + 1) / height : 0];
})"""
"""Height of each canvas, and the share of it from the first to the last row that has the colour of a side."""


def test_figures_fill_their_canvases(page: Page, report: Path) -> None:
    page.open(report, width=1280)
    found: Any = page.run(COLOURED)
    shares = [share for height, share in found if height > 200]  # what is lower are curves
    assert len(shares) == 8
    assert min(shares) > 0.5

"""Pages with a player, in a real browser: they play, ask for nothing, complain about nothing and fit their window."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from actionpose.picture.player import write_page
from actionpose.picture.scene import Person, Scene
from tests.actionpose.picture.test_pictures import with_input
from tests.makers.browser import Page, browser
from tests.makers.patience import until
from tests.makers.walker import walking

SIZES = [(1280, False), (1280, True), (390, False), (390, True)]


@pytest.fixture(scope="module")
def page() -> Iterator[Page]:
    with browser() as found:
        yield found


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    first = with_input(60)
    truth = Person(points=walking(60).astype(float) + 0.03, name="truth", ghost=True)
    long_name = "OpenCMU/86/86_11_poses__0123456789012345678901234567890123456789_a_name_without_any_place_to_break_it"
    second = Scene(
        title=long_name, about=long_name, people=(*first.people, truth), fps=30.0, views=("front", "side"),
        errors_mm={"a": np.linspace(0, 60, 60), "b": np.full(60, np.nan)},
    )  # fmt: skip
    out = tmp_path_factory.mktemp("page") / "clip.html"
    write_page([dataclasses.replace(first, title="<b>bold</b>"), second], out)
    return out


@pytest.mark.parametrize(("width", "dark"), SIZES)
def test_the_page_plays_without_complaint_and_fits(page: Page, file: Path, width: int, dark: bool) -> None:
    page.problems.clear()
    page.open(file, width=width, dark=dark)
    before = page.run("document.querySelector('.slider').value")
    until(lambda: page.run("document.querySelector('.slider').value") != before)
    assert page.run("document.documentElement.scrollWidth") <= width
    page.run("pick = document.querySelector('.pick'); pick.value = 1; pick.dispatchEvent(new Event('change'))")
    assert page.run("document.documentElement.scrollWidth") <= width
    assert page.problems == []


def test_canvases_show_both_sides_of_the_body(page: Page, file: Path) -> None:
    page.open(file)
    page.run("document.querySelector('.play').click()")
    count = """(() => { const c = document.querySelector('%s'), pen = c.getContext('2d');
      const d = pen.getImageData(0, 0, c.width, c.height).data; let n = [0, 0];
      for (let i = 0; i < d.length; i += 4) {
        if (d[i + 3] > 250 && d[i] > 200 && d[i + 2] < 90) n[0]++;
        if (d[i + 3] > 250 && d[i] < 80 && d[i + 2] > 170) n[1]++;
      } return n; })()"""
    for canvas in (".space", ".flat canvas"):
        left, right = page.run(count % canvas)
        assert left > 300
        assert right > 300


def test_a_paused_player_stays_and_the_slider_moves_it(page: Page, file: Path) -> None:
    page.open(file)
    page.run("document.querySelector('.play').click()")
    page.run("s = document.querySelector('.slider'); s.value = 15; s.dispatchEvent(new Event('input'))")
    time.sleep(0.2)
    assert page.run("document.querySelector('.clock').textContent") == "0.50 s · 16/60"
    assert page.run("document.querySelector('.phase').textContent") == "wave"
    assert page.run("document.querySelector('.band.now').textContent") == "wave"


def test_names_from_files_stay_text(page: Page, file: Path) -> None:
    page.open(file)
    assert page.run("document.title") == "<b>bold</b>"
    assert page.run("document.querySelectorAll('b').length") == 0

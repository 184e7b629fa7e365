"""Long work is never silent: a bar on a terminal, a line a minute elsewhere, from one process only."""

from __future__ import annotations

import io
import re
import time

import pytest

from actionpose import progress
from actionpose.progress import Progress, duration, track
from tests.makers.patience import until


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def hurried(monkeypatch):
    """A minute takes two hundredths of a second."""
    monkeypatch.setattr(progress, "FIRST_S", 0.01)
    monkeypatch.setattr(progress, "EVERY_S", 0.02)


def test_work_that_takes_long_says_how_far_it_is_and_how_long_it_will_take(hurried):
    text = io.StringIO()
    with Progress("scoring", total=2000, unit="window", stream=text) as work:
        until(lambda: "windows\n" in text.getvalue())
        work.advance(500)
        until(lambda: text.getvalue().count("500 of 2,000 windows, ") >= 2)
    lines = text.getvalue().splitlines()
    assert lines[0] == "scoring: 0 of 2,000 windows"
    assert lines[-1].startswith("scoring: 500 of 2,000 windows, ")
    assert lines[-1].endswith("s left")


def test_one_unit_that_takes_minutes_does_not_stop_the_lines(hurried):
    text = io.StringIO()
    with Progress("reading", total=1, stream=text):
        until(lambda: text.getvalue().count("reading: 0 of 1 items") >= 3)


def test_work_that_is_soon_over_says_nothing():
    text = io.StringIO()
    with Progress("scoring", total=3, stream=text) as work:
        work.advance(3)
    assert text.getvalue() == ""


def test_a_terminal_gets_a_bar_with_the_time_left_which_goes_when_the_work_is_over(hurried):
    text = Terminal()
    with Progress("scoring", total=4, unit="window", stream=text) as work:
        work.advance(2)
        time.sleep(0.15)
        work.advance(1)
    assert "scoring:  75%" in text.getvalue()
    assert re.search(r"<\d\d:\d\d", text.getvalue())
    assert text.getvalue().endswith("\r")
    assert "\n" not in text.getvalue()


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_only_the_first_of_several_processes_writes(hurried, monkeypatch, stream):
    monkeypatch.setenv("RANK", "1")
    text = stream()
    with Progress("scoring", total=2, stream=text):
        time.sleep(0.05)
    progress.say("a line", text)
    assert text.getvalue() == ""


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_work_that_cannot_be_counted_says_how_long_it_takes(hurried, stream):
    text = stream()
    with progress.waiting("reading a\x1b[2J.pkl", text):
        until(lambda: len(re.findall(r"reading a\\x1b\[2J\.pkl: \d+s so far", text.getvalue())) >= 3)
    said = text.getvalue()
    assert said.endswith("\r\033[K" if stream is Terminal else "\n")
    time.sleep(0.05)
    assert text.getvalue() == said


def test_of_work_inside_other_work_only_the_outer_speaks(hurried):
    text = io.StringIO()
    with progress.waiting("reading a", text), progress.waiting("reading b", text):
        until(lambda: "reading a" in text.getvalue())
    with Progress("building", total=1, stream=text), progress.waiting("reading c", text):
        until(lambda: "building" in text.getvalue())
    assert "reading b" not in text.getvalue()
    assert "reading c" not in text.getvalue()
    with progress.waiting("reading d", text):
        until(lambda: "reading d" in text.getvalue())


def test_tracked_things_come_as_they_are():
    assert list(track(iter("abc"), "reading", total=3)) == ["a", "b", "c"]


@pytest.mark.parametrize(("seconds", "text"), [(47, "47s"), (200, "3m20s"), (18420, "5h07m")])
def test_durations_are_short(seconds, text):
    assert duration(seconds) == text

"""The time left counts what is done between steps and after them; Ctrl-C is answered at once."""

from __future__ import annotations

import io
import signal
import time

import pytest
import torch

from actionpose.config import resolve
from actionpose.jsonl import read_lines
from actionpose.runs import train as training
from actionpose.runs.recipe import Recipe
from actionpose.train import log as logs
from actionpose.train.left import FORWARD, Chore, times_due
from actionpose.train.log import RunLog, in_words
from actionpose.train.signals import SignalWatch
from tests.makers.shards import tiny

ROW = {"step": 60, "epoch": 0, "losses": {"total": 0.078, "3d": 0.048}, "lr": 1e-3, "wait_s": 0.1, "clips_per_s": 12.4,
       "report": {"mpjpe_mm": 217.8, "own_text_first": 0.081}, "eta_s": 310.0}  # fmt: skip


@pytest.mark.parametrize(
    ("step", "total", "epoch", "every", "due"),
    [
        (0, 40, 10, 1, 4),  # four epochs
        (0, 45, 10, 1, 5),  # a last one that is cut short
        (39, 40, 10, 1, 1),  # the last step is to come
        (40, 40, 10, 1, 0),
        (0, 40, 10, 2, 2),
        (0, 30, 10, 2, 2),  # at the end, too
        (0, 40, 10, 0, 0),  # never
        (0, 40, 10, 40, 1),  # once, at the end
    ],
)
def test_work_between_steps_is_counted_as_often_as_it_is_due(step, total, epoch, every, due):
    assert times_due(step, total, epoch, every) == due


def test_work_is_estimated_by_its_clips_until_it_has_been_timed():
    chore = Chore(lambda: time.sleep(0.02), clips=300)
    assert chore.lasts(clip_s=0.1) == pytest.approx(300 * 0.1 * FORWARD)
    chore()
    assert 0.02 <= chore.lasts(clip_s=0.1) < 5


def test_the_last_line_of_steps_still_counts_what_follows(shards, tmp_path):
    torch.set_num_threads(1)
    resolved = resolve(Recipe, overrides=tiny("finetune.steps=2", "finetune.eval_every=1"))
    training.train("finetune", resolved, shards, tmp_path / "run", resume=False, argv=[], version="0")
    rows = [row for row in read_lines(tmp_path / "run/log.jsonl") if "losses" in row]
    assert rows[-1]["step"] == 2
    assert rows[-1]["eta_s"] > 0


def test_a_line_of_steps_holds_what_a_person_reads(tmp_path):
    text = io.StringIO()
    RunLog(tmp_path, total=480, stream=text).steps(ROW)
    assert text.getvalue() == "step 60/480 | MPJPE 218 mm, own text first 8 % | 12 clips/s | 5m10s left\n"
    assert read_lines(tmp_path / "log.jsonl")[0]["losses"] == ROW["losses"]


def test_fine_tuning_says_nothing_of_texts():
    assert in_words({**ROW, "report": {"mpjpe_mm": 67.0}, "clips_per_s": 1.72}) == "MPJPE 67 mm | 1.7 clips/s"


def test_long_steps_are_reported_without_a_terminal_too(tmp_path, monkeypatch):
    text = io.StringIO()
    log = RunLog(tmp_path, total=480, stream=text)
    log.tick(1, 900.0)
    assert text.getvalue() == ""
    monkeypatch.setattr(logs, "EVERY_S", 0.0)
    log.tick(2, 900.0)
    assert text.getvalue() == "step 2/480 | 15m00s left\n"


def test_the_bar_of_a_terminal_shows_error_and_time_left(tmp_path):
    text = io.StringIO()
    text.isatty = lambda: True  # type: ignore[method-assign]
    log = RunLog(tmp_path, total=480, stream=text)
    log.steps(ROW)
    log.tick(61, 300.0)
    assert "step 61/480 |" in text.getvalue()
    assert "MPJPE 218 mm, own text first 8 % | 12 clips/s | 5m00s left" in text.getvalue().rpartition("\n")[2]
    log.close()


# --- Ctrl-C -----------------------------------------------------------------------------------


def test_ctrl_c_is_answered_before_the_step_is_over_and_twice_stops(capfd):
    before = signal.getsignal(signal.SIGINT)
    with SignalWatch() as watch:
        signal.raise_signal(signal.SIGINT)
        assert watch.name == "SIGINT"
        assert "stopping after this step; press again to stop now" in capfd.readouterr().err
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) is before

"""A stage killed and run again equals one that was not; one bad item never sinks the rest; stale says why."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from actionpose.errors import UserError
from actionpose.files import PARTIAL
from pipeline.config import RunOptions
from pipeline.engine.journal import locked
from pipeline.engine.manifest import KeypointRow, read_rows
from pipeline.engine.runner import Runner
from pipeline.engine.stage import read_meta, run_stage, why_stale
from tests.makers.places import ROOT
from tests.makers.stages import items, stage
from tests.makers.trees import tree


def test_one_bad_item_does_not_sink_the_rest_and_has_its_reason(tmp_path):
    result = run_stage(stage(), items(6, m001="item", m002="skip", m003="bug"), {}, tmp_path, Runner(RunOptions()))
    assert [row.motion_id for row in read_rows(result.table("keypoints"), KeypointRow)] == ["m000", "m004", "m005"]
    assert result.failures == {"bad content": 1, "unexpected error": 1}
    assert result.meta["skipped"] == {"not ours": 1}
    assert "ZeroDivisionError" in result.table("failures").read_text()


def test_retry_does_only_the_failed_items_again(tmp_path):
    first = run_stage(stage(), items(4, m001="item"), {}, tmp_path, Runner(RunOptions()))
    before = (first.folder / "files/m000.npy").stat().st_mtime_ns
    again = run_stage(stage(), items(4), {}, tmp_path, Runner(RunOptions()))
    assert not again.fresh
    assert again.failures == {"bad content": 1}
    retried = run_stage(stage(), items(4), {}, tmp_path, Runner(RunOptions(retry_failed=True)))
    assert retried.failures == {}
    assert (retried.folder / "files/m000.npy").stat().st_mtime_ns == before
    clean = run_stage(stage(), items(4), {}, tmp_path / "clean", Runner(RunOptions()))
    assert tree(retried.folder) == tree(clean.folder)


def test_a_retry_leaves_a_folder_alone_that_another_run_has(tmp_path):
    first = run_stage(stage(), items(4, m001="item"), {}, tmp_path, Runner(RunOptions()))
    unfinished = first.folder.with_name(first.folder.name + PARTIAL)
    with locked(unfinished):
        (unfinished / "theirs").touch()
        with pytest.raises(UserError, match="another run is writing"):
            run_stage(stage(), items(4), {}, tmp_path, Runner(RunOptions(retry_failed=True)))
    assert (unfinished / "theirs").is_file()
    assert read_meta(first.folder) == first.meta


def test_finished_stage_is_not_run_again(tmp_path):
    first = run_stage(stage(), items(3), {}, tmp_path, Runner(RunOptions()))
    assert first.fresh
    assert not run_stage(stage(), items(3), {}, tmp_path, Runner(RunOptions())).fresh


def test_stale_says_what_differs(tmp_path):
    run_stage(stage(views=["front"], fps=30), items(2), {}, tmp_path, Runner(RunOptions()))
    assert why_stale(stage(views=["front"], fps=30), tmp_path) == []
    assert why_stale(stage(views=["side", "front"], fps=30), tmp_path) == [
        'views: was ["front"], now ["side", "front"]'
    ]
    assert why_stale(replace(stage(views=["front"], fps=30), version=2), tmp_path) == ["version: was 1, now 2"]
    assert why_stale(replace(stage(), name="other"), tmp_path) == ["not built yet"]


@pytest.mark.parametrize("workers", [2])
def test_bytes_do_not_depend_on_workers(tmp_path, workers):
    plain = run_stage(stage(), items(30, m004="item"), {}, tmp_path / "a", Runner(RunOptions()))
    with Runner(RunOptions(workers=workers)) as runner:
        many = run_stage(stage(), items(30, m004="item"), {}, tmp_path / "b", runner)
    assert tree(plain.folder) == tree(many.folder)


SCRIPT = """
import sys, logging
sys.path.insert(0, {root!r})
from pathlib import Path
from pipeline.config import RunOptions
from pipeline.engine.stage import Runner, run_stage
from tests.makers.stages import items, stage
run_stage(stage(), items(40), {{"sleep": 0.02}}, Path({work!r}), Runner(RunOptions()))
"""


def test_killed_and_run_again_gives_the_same_bytes(tmp_path):
    whole = run_stage(stage(), items(40), {}, tmp_path / "whole", Runner(RunOptions()))
    script = SCRIPT.format(root=str(ROOT), work=str(tmp_path / "killed"))
    kills = 0
    for wait in (0.25, 0.1, 0.35):
        process = subprocess.Popen([sys.executable, "-c", script])
        journal = (
            stage().folder(tmp_path / "killed").with_name(stage().folder(tmp_path).name + ".partial") / "journal.jsonl"
        )
        deadline = time.time() + 30
        start = journal.stat().st_size if journal.exists() else 0
        while process.poll() is None and time.time() < deadline:
            if journal.exists() and journal.stat().st_size > start:
                break
            time.sleep(0.01)
        time.sleep(wait)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills >= 1
    assert not stage().folder(tmp_path / "killed").exists()
    resumed = run_stage(stage(), items(40), {}, tmp_path / "killed", Runner(RunOptions()))
    assert tree(resumed.folder) == tree(whole.folder)


def test_an_incomplete_line_and_a_short_array_are_done_again(tmp_path):
    whole = run_stage(stage(), items(5), {}, tmp_path / "whole", Runner(RunOptions()))
    partial = stage().folder(tmp_path / "torn").with_name(whole.folder.name + ".partial")
    failing = items(5, m004="item")
    run_stage(stage(), failing, {}, tmp_path / "torn", Runner(RunOptions()))
    published = stage().folder(tmp_path / "torn")
    os.replace(published, partial)
    lines = [
        f'{{"id":"m{i:03d}","rows":{{"keypoints":[{row}]}}}}\n'
        for i, row in enumerate((partial / "keypoints.jsonl").read_text().splitlines())
    ]
    (partial / "journal.jsonl").write_text("".join(lines) + '{"id":"m004","ro')
    (partial / "files/m001.npy").write_bytes(b"short")
    (partial / "files/.m002.4711.partial.npy").write_bytes(b"left aside by a run that was killed")
    resumed = run_stage(stage(), items(5), {}, tmp_path / "torn", Runner(RunOptions()))
    assert tree(resumed.folder) == tree(whole.folder)


def test_one_cause_for_all_stops_early_and_keeps_what_is_done(tmp_path):
    bad = items(60, **{f"m{i:03d}": "item" for i in range(5, 60)})
    for again in (False, True):  # a second run of the same command begins with what failed and what is left
        looked_at = "15 of 20 items looked at failed" if not again else "items looked at failed"
        with pytest.raises(UserError, match=looked_at) as error:
            run_stage(stage(), bad, {}, tmp_path, Runner(RunOptions()))
        assert "same command again" in error.value.hint
        assert error.value.message.endswith("item is bad")
    result = run_stage(stage(), bad, {}, tmp_path, Runner(RunOptions(max_failure_share=1.0)))
    assert result.failures == {"bad content": 55}


def test_two_runs_do_not_write_one_folder(tmp_path, caplog):
    import fcntl

    folder = stage().folder(tmp_path)
    partial = folder.with_name(folder.name + ".partial")
    partial.mkdir(parents=True)
    with open(partial.with_name(f".{partial.name}.lock"), "w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another run is writing"):
            run_stage(stage(), items(1), {}, tmp_path, Runner(RunOptions()))


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"):
        run_stage(stage(), items(1), {}, tmp_path / "file", Runner(RunOptions()))


def test_an_early_stop_names_the_last_item_that_failed_not_the_last_one_seen(tmp_path):
    names = {f"m{i:03d}": "item" for i in range(18)}
    with pytest.raises(UserError, match=r"the last failure, m017: .+"):
        run_stage(stage(), items(40, **names), {}, tmp_path, Runner(RunOptions()))


def test_a_result_that_is_of_no_use_with_a_part_missing_is_not_published(tmp_path):
    whole = replace(stage(), whole=True)
    with pytest.raises(UserError, match=r"1 of 4 items failed, so nothing is published; the first, m001: .*"):
        run_stage(whole, items(4, m001="item"), {}, tmp_path, Runner(RunOptions()))
    assert not whole.folder(tmp_path).exists()
    finished = run_stage(whole, items(4), {}, tmp_path, Runner(RunOptions()))
    assert finished.failures == {}

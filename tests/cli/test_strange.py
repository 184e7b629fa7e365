"""What a terminal, a spreadsheet and a shell get to see of strange names and broken machines."""

from __future__ import annotations

import json
import os
import pickle
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.characters import json_text, printable, writable
from cli.app import Command
from cli.data import main
from cli.output import emit
from cli.train import main as train
from tests.makers.shards import options, tiny

STRANGE = "walk \x1b[31m\x07\x9b2J \u202eflip\ud800\0"


def test_nothing_that_a_terminal_obeys_is_printed(capsys: pytest.CaptureFixture[str]):
    for form in ("table", "csv", "json"):
        emit([{"label": STRANGE.replace("\ud800", ""), "frames": 3}], form)
        out = capsys.readouterr().out
        assert printable(out.replace("\n", "")) == out.replace("\n", "")
    assert json.loads(out) == [{"label": STRANGE.replace("\ud800", ""), "frames": 3}]
    emit([{"label": "walk\nError: run", "frames": 3}], "table")
    assert capsys.readouterr().out.count("\n") == 3, "a row is a line"
    assert printable("a\tb\nc é 走") == "a\tb\nc é 走"
    assert writable(printable(STRANGE)) == printable(STRANGE)
    assert json.loads(json_text(json.dumps("\u202e", ensure_ascii=False))) == "\u202e"


def test_cells_that_begin_like_formulas_are_texts(capsys: pytest.CaptureFixture[str]):
    emit([{"text": "=1+1"}, {"text": "@x"}, {"text": "-"}, {"text": "walk"}, {"text": -2.5}], "csv")
    assert capsys.readouterr().out.split() == ["text", "'=1+1", "'@x", "-", "walk", "-2.5"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(28, "No space left on device", "/data/x.h5"), "the disk is full"),
        (OSError(28, "No space left on device"), "the output: No space left"),
        (PermissionError(13, "Permission denied", "train.json"), "train.json: Permission denied"),
        (PermissionError(13, "Permission denied", "babel/train.json"), "check its permissions"),
        (OSError("14280 requested and 992 written"), "the disk is full"),
        (MemoryError(), "not enough memory"),
    ],
)
def test_what_the_machine_brings_about_is_no_bug(error: Exception, words: str):
    def body() -> None:
        raise error

    result = CliRunner().invoke(Command("x", callback=body))
    assert result.exit_code == 1
    assert words in result.stderr
    assert "bug" not in result.stderr


def test_a_closed_stdout_is_no_bug(shards):
    words = ["sh", "-c", 'exec "$@" >&-', "sh", sys.executable, "-m", "cli.data", "inspect", shards]
    done = subprocess.run(words, timeout=120, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, "Next:" in done.stderr) == (0, True)


def test_what_is_a_bug_is_still_called_one():
    def body() -> None:
        raise ZeroDivisionError("here")

    assert "this is a bug" in CliRunner().invoke(Command("x", callback=body)).stderr


@pytest.mark.parametrize(("pattern", "words"), [("[", "not a pattern"), (r"(a*)*\1b", "too long"), ("(.*)*(.*)*=", "")])
def test_a_pattern_ends_in_a_sentence_or_a_result(tmp_path: Path, pattern: str, words: str):
    row = {"id": "x", "stage": "index", "reason": "a" * 3000, "message": ""}
    (tmp_path / "failures.jsonl").write_text(json.dumps(row) + "\n")
    result = CliRunner().invoke(main, ["inspect", str(tmp_path / "failures.jsonl"), "--where", f"reason~{pattern}"])
    assert "bug" not in result.stderr
    assert words in result.stderr


def test_no_command_waits_for_a_pipe(world, shards, tmp_path: Path):
    from cli.lift import main as ap_lift
    from cli.train import main as ap_train

    pipe, out = tmp_path / "pipe.npz", str(tmp_path / "out.npz")
    os.mkfifo(pipe)
    body, regressor = world.config.inputs.body, world.config.inputs.regressor

    def waited(*_: object) -> None:
        raise AssertionError("it opened the pipe and waits")

    before = signal.signal(signal.SIGALRM, waited)
    try:
        for program, words in (
            (main, ["doctor", *(f"--{option}={pipe}" for option in ("amass", "babel", "body", "regressor"))]),
            (main, ["doctor", f"--h36m={pipe}", f"--mpi-inf-3dhp={pipe}"]),
            (main, ["keypoints", pipe, "--body", body, "--regressor", regressor, "--output", out]),
            (main, ["keypoints", pipe, "--body", pipe, "--regressor", pipe, "--output", out]),
            (main, ["project-2d", pipe, "--output", out]),
            (main, ["preview", pipe]),
            (main, ["inspect", pipe]),
            (main, ["convert-model", pipe, "--out", out, "--gender", "male"]),
            (main, ["build-h36m", "--h36m", pipe, "--out", out]),
            (main, ["build-3dhp", "--mpi-inf-3dhp", pipe, "--out", out]),
            (main, ["import", pipe, "--out", out]),
            (ap_train, ["score", pipe, "--data", shards]),
            (ap_train, ["evaluate", pipe, "--data", shards]),
            (ap_train, ["pretrain", "-c", pipe, "--data", shards, "--out", out]),
            (ap_lift, ["run", pipe, "-o", out]),
            (ap_lift, ["view", pipe, "-o", out]),
            (ap_lift, ["export", pipe, "-o", tmp_path / "out.bvh"]),
        ):
            signal.alarm(120)  # loading torch may take long
            result = CliRunner().invoke(program, list(map(str, words)))
            signal.alarm(0)
            assert result.exit_code in (1, 2), (words, result.output)
            assert "bug" not in result.output, (words, result.output)
            assert f"did you mean {pipe}" not in result.output, (words, result.output)
    finally:
        signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("name", ["objects.npy", "objects.npz", "pickle.npy", "pickle.npz"])
def test_no_message_advises_to_load_a_file_unsafely(world, shards, tmp_path: Path, name: str):
    from cli.lift import main as ap_lift
    from cli.train import main as ap_train

    file, held = tmp_path / name, np.array([{}], dtype=object)
    if name.startswith("pickle"):
        file.write_bytes(pickle.dumps({"keypoints": [1]}))
    elif name.endswith("npy"):
        np.save(file, held)
    else:
        np.savez(file, keypoints=held, poses=held, v_template=held, TS1=held)
    body, out = world.config.inputs.body, str(tmp_path / "out.npz")
    for program, words in (
        (main, ["doctor", "--regressor", file, "--body", file, "--amass", tmp_path]),
        (main, ["keypoints", file, "--body", body, "--regressor", world.config.inputs.regressor, "--output", out]),
        (main, ["keypoints", file, "--body", file, "--regressor", file, "--output", out]),
        (main, ["preview", file]),
        (main, ["project-2d", file, "--output", out]),
        (main, ["convert-model", file, "--out", out, "--gender", "male"]),
        (ap_train, ["score", file, "--data", shards]),
        (ap_train, ["finetune", "--data", shards, "--init", file, "--out", tmp_path / "run"]),
        (ap_lift, ["run", file, "-o", out, "--model", file]),
        (ap_lift, ["export", file, "-o", tmp_path / "x.bvh"]),
    ):
        done = CliRunner().invoke(program, list(map(str, words)))
        assert done.exit_code == 1, words
        assert not re.search("unsafe|allow_pickle|weights_only|Traceback|bug", done.output + done.stderr), words


def test_no_command_falls_over_a_name_that_is_no_utf8(shards: Path, tmp_path: Path):
    data, run = (tmp_path / os.fsdecode(b"caf\xe9 " + name) for name in (b"shards", b"run"))
    shutil.copytree(shards, data)
    keypoints = tmp_path / os.fsdecode(b"caf\xe9.npz")
    with open(keypoints, "wb") as handle:
        np.savez(handle, keypoints=np.zeros((4, 17, 3)) + np.arange(17)[:, None] * 0.1, fps=30.0)
    steps = options(tiny("finetune.steps=1", "finetune.eval_every=0"))
    for command, words in (
        (main, ("inspect", data)),
        (main, ("report", "--shards", data, "--out", tmp_path / "r.html")),
        (main, ("preview", keypoints, "-o", keypoints.with_suffix(".png"))),
        (train, ("finetune", *steps, "--data", data, "--out", run)),
        (train, ("inspect", run)),
    ):
        done = CliRunner().invoke(command, [str(word) for word in words])
        assert done.exit_code == 0, done.output
    assert json.loads((run / "config.json").read_text())["data"]["folder"] == str(data.resolve())

"""A run folder belongs to one training at a time."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from actionpose.errors import UserError
from actionpose.runs.folder import held_run, read_config
from actionpose.runs.results import read_run
from tests.makers.places import ROOT


def test_a_second_training_is_refused_while_the_first_runs_and_let_in_after_it(tmp_path: Path):
    code = f"""
import sys
from pathlib import Path
from actionpose.runs.folder import held_run
with held_run(Path({str(tmp_path / "run")!r})):
    print("held", flush=True)
    sys.stdin.read()
"""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(ROOT)!r})\n{code}"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout is not None
        assert first.stdout.readline() == "held\n"
        with pytest.raises(UserError, match="another training"), held_run(tmp_path / "run"):
            pass
        first.kill()  # however it ends
    with held_run(tmp_path / "run"):
        pass
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("content", ["", "[1]", '"finetune"', "{}", '{"command": "finetune"}', "[" * 100_000])
def test_a_config_that_says_something_else_is_damaged(tmp_path: Path, content: str):
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(UserError, match=r"config\.json is damaged"):
        read_config(tmp_path)
    assert any("is damaged" in note for note in read_run(tmp_path).notes)


def test_a_run_that_may_not_be_read_is_not_called_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def closed(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "read_text", closed)
    with pytest.raises(UserError, match=r"cannot read .*config\.json: Permission denied") as error:
        read_config(tmp_path)
    assert error.value.hint == "check its permissions"

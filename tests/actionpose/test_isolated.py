"""Reading in a child process: every way in which a reader can go wrong is one sentence, and plain values come back."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose import isolated, progress
from actionpose.errors import UserError
from actionpose.isolated import Limits, call
from tests.makers import readers

SMALL = Limits(memory=1 << 29, seconds=2)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "strange.pkl"
    path.write_bytes(b"x" * 100)
    return path


@pytest.mark.parametrize(
    ("reader", "words"),
    [
        ("crash", "crashes the process that reads it"),
        ("loop", "takes more than 2 seconds"),
        ("fill", "more than 0.5 GiB of memory"),
        ("leave", "no sound answer"),
        ("raise_something", "ZeroDivisionError: of no use"),
        ("make_object", "it holds a object"),
        ("make_laughs", "it holds more than|takes more than"),
        ("make_loop", "nested more than 40 deep"),
    ],
)
def test_any_failure_of_a_reader_is_one_sentence_with_the_files_name(file: Path, reader: str, words: str):
    begun = time.monotonic()
    with pytest.raises(UserError, match=words) as caught:
        call(f"tests.makers.readers:{reader}", file, limits=SMALL)
    assert str(file) in caught.value.message
    assert "\n" not in caught.value.message
    assert caught.value.hint
    assert time.monotonic() - begun < 30


def test_a_reader_that_never_ends_costs_the_processor_time_it_may_have(file: Path):
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
    with pytest.raises(UserError, match="takes more than 1 seconds"):
        call("tests.makers.readers:loop", file, limits=replace(SMALL, seconds=1))
    assert resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before < 3.5  # starting it included


@pytest.mark.parametrize("closed", [(0,), (0, 1, 2)])
def test_a_file_is_read_whichever_streams_are_closed(file: Path, closed: tuple[int, ...]):
    code = f"""
import os
from dataclasses import replace
from pathlib import Path
for number in {closed}:
    os.close(number)
from actionpose.isolated import call
os._exit(len(call("tests.makers.readers:make_plain", Path({str(file)!r}))))
"""
    assert subprocess.run([sys.executable, "-c", code], timeout=120).returncode == len(readers.make_plain(file))


def test_a_limit_of_the_machine_is_not_blamed_on_the_file(file: Path):
    code = f"""
import resource
from dataclasses import replace
from pathlib import Path
from actionpose.errors import UserError
from actionpose.isolated import call
resource.setrlimit(resource.RLIMIT_FSIZE, (1, 1))
try:
    call("tests.makers.readers:make_plain", Path({str(file)!r}))
except UserError as error:
    print(error)
"""
    said = subprocess.run([sys.executable, "-c", code], timeout=120, capture_output=True, text=True).stdout
    assert str(file) in said
    assert "ulimit -f" in said
    assert "harm" not in said


def test_a_file_that_takes_long_is_not_read_in_silence(file: Path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "FIRST_S", 0.2)
    with pytest.raises(UserError):
        call("tests.makers.readers:loop", file, limits=SMALL)
    assert f"reading {file}: " in capsys.readouterr().err


def test_what_the_reader_itself_says_of_the_file_arrives_word_for_word(file: Path):
    with pytest.raises(UserError) as caught:
        call("tests.makers.readers:refuse", file, "too old")
    assert (caught.value.message, caught.value.hint) == (f"{file}: too old", "take another")


def same(a: Any, b: Any) -> bool:
    if isinstance(b, np.ndarray):
        assert (type(a), a.dtype, a.shape) == (np.ndarray, b.dtype, b.shape)
        return all(same(x, y) for x, y in zip(a.tolist(), b.tolist(), strict=True)) if b.dtype.hasobject else (
            np.array_equal(a, b)
        )  # fmt: skip
    if isinstance(b, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in b)
    if isinstance(b, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return bool(a == b or b != b)


def test_plain_values_come_back_as_they_were(file: Path):
    found, expected = call("tests.makers.readers:make_plain", file), readers.make_plain(file)
    assert same(found, expected)
    found["c"][0, 0] = 9.0  # a copy of one's own, as from any reader
    assert found["c"][0, 0] == 9.0


def test_nothing_but_an_ordinary_file_is_opened(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for place, words in ((tmp_path / "pipe", "a pipe"), (tmp_path, "a folder"), (Path("/dev/zero"), "a device")):
        with pytest.raises(UserError, match=words):
            call("tests.makers.readers:make_plain", place)
    with pytest.raises(UserError, match="No such file"):
        call("tests.makers.readers:make_plain", tmp_path / "none")


def test_values_may_be_nested_40_deep_and_no_deeper(file: Path):
    assert len(str(call("tests.makers.readers:make_nested", file, 40))) == 82
    with pytest.raises(UserError, match="nested more than 40 deep"):
        call("tests.makers.readers:make_nested", file, 41)


def test_an_array_that_is_listed_often_is_handed_over_once(file: Path):
    arrays = call("tests.makers.readers:make_shared", file)
    assert len(arrays) == 1000
    assert arrays[999][-1] == (1 << 21) - 1


def test_numbers_have_at_most_128_bits(file: Path):
    assert call("tests.makers.readers:make_number", file, 128) == (1 << 128) - 1
    with pytest.raises(UserError, match="it holds a number of 129 bits"):
        call("tests.makers.readers:make_number", file, 129)


@pytest.mark.parametrize("status", [1, 99, 100, 199, 255])
def test_whatever_a_child_ends_with_is_a_sentence(file: Path, status: int):
    with pytest.raises(UserError, match=rf"the process that reads it failed \(status {status}\)"):
        call("tests.makers.readers:end_with", file, status)


def test_what_a_reader_started_ends_with_it(file: Path):
    status = Path("/proc") / str(call("tests.makers.readers:start_another", file)) / "status"
    if not Path("/proc/self/status").is_file():
        pytest.skip("this system does not show its processes under /proc")
    until = time.monotonic() + 10
    while status.is_file() and "State:\tZ" not in status.read_text() and time.monotonic() < until:
        time.sleep(0.01)
    assert not status.is_file() or "State:\tZ" in status.read_text()


FORGED = {
    "an array beyond the end": ["a", "<f8", [1000], 0, False],
    "an array before the beginning": ["a", "<f8", [1], -8, False],
    "an array of pointers": ["a", "|O8", [1], 0, False],
    "an array of nothing": ["a", "<U0", [1], 0, False],
    "an array of a negative length": ["a", "<f8", [-1], 0, False],
    "letters that are none": ["a", "<U1", [1], 8, False],
    "a list that multiplies": ["l", [1, 1 << 40]],
    "a number of things below none": ["l", [1, -1]],
    "a kind that is not known": ["x", 1],
    "an object without a name": {"a": 1},
}


def forge(value: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the child hand back a value that was made by hand."""

    def run(request: Any, answer: Any, limits: Limits) -> int:
        text = json.dumps({"value": value}).encode()
        answer.write(bytes(8) + b"\xff" * 8 + text + len(text).to_bytes(8, "little"))
        return 0

    monkeypatch.setattr(isolated, "_run", run)


@pytest.mark.parametrize("name", FORGED)
def test_an_answer_is_not_believed(name: str, file: Path, monkeypatch: pytest.MonkeyPatch):
    """A child that was taken over hands back nothing but sound values."""
    forge(FORGED[name], monkeypatch)
    with pytest.raises(UserError, match="no sound answer"):
        call("tests.makers.readers:make_plain", file)


@pytest.mark.parametrize(("second", "refused"), [(5, False), (6, True)])
def test_entries_of_all_lists_of_an_answer_count_together(
    second: int, refused: bool, file: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(isolated, "MAX_ENTRIES", 12)
    forge(["l", [["l", [1, 5]], 1, ["t", [2, second]], 1]], monkeypatch)
    if refused:
        with pytest.raises(UserError, match="it is too long"):
            call("tests.makers.readers:make_plain", file)
    else:
        assert call("tests.makers.readers:make_plain", file) == [[1] * 5, (2,) * 5]

"""Files are whole or absent, whatever happens while they are written."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import signal
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.files import atomic_path, locked_beside, publish_folder, sha256_file, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def die_while_writing(path: Path, moment: str) -> None:
    """Kill a process, with no chance to clean up, at one moment of writing `path`."""
    code = """
import os, signal, sys
from actionpose import files
path, moment = sys.argv[1:]
die = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
if moment == "before the rename":
    os.replace = die
if moment == "while flushing":
    os.fsync = die
with files.atomic_path(path) as aside:
    aside.write_text("half")
    if moment == "in the block":
        die()
"""
    done = subprocess.run([sys.executable, "-c", code, str(path), moment], check=False, cwd=path.parent)
    assert done.returncode == -signal.SIGKILL


def test_the_file_appears_with_its_content_and_nothing_else_stays(tmp_path: Path):
    write_text(tmp_path / "deep" / "er" / "note.txt", "größer\n")
    assert (tmp_path / "deep" / "er" / "note.txt").read_bytes() == "größer\n".encode()
    assert names(tmp_path / "deep" / "er") == ["note.txt"]


def test_a_failing_block_leaves_the_old_file_and_no_temporary_one(tmp_path: Path):
    target = tmp_path / "result.json"
    write_text(target, "old")

    def write_and_fail() -> None:
        with atomic_path(target) as aside:
            aside.write_text("half of the ne")
            raise RuntimeError("the model exploded")

    with pytest.raises(RuntimeError, match="exploded"):
        write_and_fail()
    assert target.read_text() == "old"
    assert names(tmp_path) == ["result.json"]


def test_nothing_is_at_the_final_path_before_the_block_ends(tmp_path: Path):
    with atomic_path(tmp_path / "x.txt") as aside:
        aside.write_text("content")
        assert not (tmp_path / "x.txt").exists()
    assert (tmp_path / "x.txt").read_text() == "content"


@pytest.mark.parametrize("moment", ["in the block", "while flushing", "before the rename"])
def test_a_process_killed_while_writing_leaves_the_old_file_whole(tmp_path: Path, moment: str):
    target = tmp_path / "state.pt"
    write_text(target, "old and whole")
    die_while_writing(target, moment)
    assert target.read_text() == "old and whole"
    die_while_writing(tmp_path / "fresh.pt", moment)
    assert not (tmp_path / "fresh.pt").exists()
    # The next writer is not disturbed by what the dead one left.
    write_text(target, "new")
    assert target.read_text() == "new"


def test_the_temporary_name_keeps_the_suffix_so_that_writers_add_none(tmp_path: Path):
    with atomic_path(tmp_path / "pose.npy") as aside:
        assert aside.suffix == ".npy"
        assert aside.parent == tmp_path
        np.save(aside, np.arange(3))
    np.testing.assert_array_equal(np.load(tmp_path / "pose.npy", allow_pickle=False), [0, 1, 2])


def test_two_processes_writing_one_file_do_not_meet(tmp_path: Path):
    code = "import sys; from actionpose.files import atomic_path\nwith atomic_path(sys.argv[1]) as p: print(p.name)"
    with atomic_path(tmp_path / "same.txt") as mine:
        done = subprocess.run(
            [sys.executable, "-c", code, str(tmp_path / "same.txt")], capture_output=True, text=True, check=False
        )
        mine.write_text("mine")
    assert done.stdout.strip() not in ("", mine.name)
    assert (tmp_path / "same.txt").read_text() == "mine"


def test_a_folder_in_place_of_a_file_is_reported_for_the_user_to_fix(tmp_path: Path):
    (tmp_path / "taken").mkdir()
    with pytest.raises(UserError, match=r"cannot write .*taken") as caught:
        write_text(tmp_path / "taken", "text")
    assert "folder of that name" in caught.value.hint
    assert names(tmp_path) == ["taken"]


def test_a_device_or_a_pipe_is_not_replaced_by_a_file(tmp_path: Path):
    pipe = tmp_path / "pipe.npz"
    os.mkfifo(pipe)
    with pytest.raises(UserError, match="is a pipe, not a file"):
        write_text(pipe, "x")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_file_in_place_of_a_folder_is_reported_for_the_user_to_fix(tmp_path: Path):
    write_text(tmp_path / "file", "")
    for path in ("file/x.txt", "file/deeper/x.txt"):
        with pytest.raises(UserError, match="cannot write") as caught:
            write_text(tmp_path / path, "text")
        assert "not a folder" in caught.value.hint


@pytest.mark.parametrize(
    ("code", "advice"), [(errno.ENOSPC, "disk is full"), (errno.EACCES, "may write to"), (errno.EROFS, "read-only")]
)
def test_a_disk_that_refuses_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, advice: str):
    def refuse(*_: object) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", refuse)
    with pytest.raises(UserError, match=r"cannot write .*x\.txt") as caught:
        write_text(tmp_path / "x.txt", "text")
    assert advice in caught.value.hint
    assert names(tmp_path) == []


def test_trouble_with_another_file_inside_the_block_is_not_blamed_on_this_one(tmp_path: Path):
    def read_what_is_locked() -> None:
        with atomic_path(tmp_path / "out.txt"):
            raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/locked.npz")

    with pytest.raises(PermissionError, match=r"locked\.npz"):
        read_what_is_locked()


def test_checksums_carry_their_algorithm_and_agree(tmp_path: Path):
    content = b"\x00\xff" * 100_000
    (tmp_path / "blob").write_bytes(content)
    assert sha256_file(tmp_path / "blob") == "sha256:" + hashlib.sha256(content).hexdigest()


# --- folders ----------------------------------------------------------------------------------


def folder(path: Path, content: str) -> Path:
    path.mkdir(parents=True)
    (path / "rows.jsonl").write_text(content)
    return path


def test_a_published_folder_replaces_the_old_one_whole(tmp_path: Path):
    final = folder(tmp_path / "stage-1234", "old")
    (final / "only-in-old").write_text("")
    publish_folder(folder(tmp_path / "stage-1234.partial", "new"), final)
    assert names(tmp_path) == ["stage-1234"]
    assert names(final) == ["rows.jsonl"]
    assert (final / "rows.jsonl").read_text() == "new"


def test_a_folder_is_never_published_over_a_file_or_a_device(tmp_path: Path):
    os.mkfifo(tmp_path / "stage-1234")
    with pytest.raises(UserError, match="is there already and is not a folder"):
        publish_folder(folder(tmp_path / "stage-1234.partial", "new"), tmp_path / "stage-1234")
    assert (tmp_path / "stage-1234").is_fifo()


def test_publishing_nothing_takes_nothing_away(tmp_path: Path):
    final = folder(tmp_path / "stage-1234", "old")
    with pytest.raises(FileNotFoundError, match="nothing to publish"):
        publish_folder(tmp_path / "stage-1234.partial", final)
    assert (final / "rows.jsonl").read_text() == "old"


def test_publishing_again_after_a_kill_between_the_renames_ends_with_the_new_folder(tmp_path: Path):
    final = folder(tmp_path / "stage-1234", "old")
    partial = folder(tmp_path / "stage-1234.partial", "new")
    code = """
import os, signal, sys
from pathlib import Path
from actionpose.files import publish_folder
real, calls = os.replace, []
def replace_once(*paths):
    if calls:
        os.kill(os.getpid(), signal.SIGKILL)
    calls.append(real(*paths))
os.replace = replace_once
publish_folder(Path(sys.argv[1]), Path(sys.argv[2]))
"""
    done = subprocess.run([sys.executable, "-c", code, str(partial), str(final)], check=False)
    assert done.returncode == -signal.SIGKILL
    assert not final.exists()  # absent, never mixed
    publish_folder(partial, final)
    assert (final / "rows.jsonl").read_text() == "new"
    assert names(tmp_path) == ["stage-1234"]


def test_who_waits_at_a_lock_that_goes_holds_the_next_one_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Between opening and locking the file, its holder ends and takes it away: another lock would be a second one."""
    folder, taken, flock = tmp_path / "run", UserError("taken", ""), fcntl.flock
    with ExitStack() as first:
        first.enter_context(locked_beside(folder, taken))

        def ends_meanwhile(handle: Any, how: int) -> None:
            first.close()
            flock(handle, how)

        monkeypatch.setattr(fcntl, "flock", ends_meanwhile)
        with locked_beside(folder, taken):
            monkeypatch.setattr(fcntl, "flock", flock)
            with pytest.raises(UserError, match="taken"), locked_beside(folder, taken):
                pass
    assert not names(tmp_path)

"""What a long build lives through: kills, a full disk, a read-only one, and a tree with every hostile file there is."""

from __future__ import annotations

import errno
import io
import json
import os
import pickle
import random
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from pipeline.config import RunOptions
from pipeline.stages.build import Build
from tests.makers.trees import tree
from tests.makers.worlds import World, make_world, write_motion

COMMAND = [sys.executable, "-m", "cli.data", "build-babel"]


@pytest.fixture(scope="module")
def whole(world: World, tmp_path_factory) -> dict[str, str]:
    """Checksums of a build that nothing happened to."""
    folder = tmp_path_factory.mktemp("whole")
    return built(world, folder)


def built(world: World, folder: Path, **options) -> dict[str, str]:
    Build(world.config, folder / "stages", folder / "shards", RunOptions(**options)).run()
    return tree(folder / "shards")


# --- kills ------------------------------------------------------------------------------------


def state(folder: Path) -> tuple[int, int]:
    """How far a build is, roughly: files, and bytes of journals."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    return len(files), sum(path.stat().st_size for path in files if path.name == "journal.jsonl" and path.exists())


def killed(command: list[str], folder: Path, delay: float) -> bool:
    """Start a build, wait until it writes, then `delay` more seconds, then SIGKILL; False when it was done before."""
    before = state(folder)
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    deadline = time.time() + 30
    while process.poll() is None and time.time() < deadline:
        try:
            if state(folder) != before:
                break
        except FileNotFoundError:  # a folder was published between listing and looking
            break
        time.sleep(0.004)
    time.sleep(delay)
    alive = process.poll() is None
    if alive:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    return alive


@pytest.mark.slow
def test_ten_kills_in_a_row_at_random_moments_change_no_byte(tmp_path):
    world = make_world(tmp_path / "world", takes=6)
    expected = built(world, tmp_path / "whole")
    folder = tmp_path / "killed"
    folder.mkdir()
    command = [*COMMAND, *world.options, "--out", str(folder / "shards"), "--work", str(folder / "stages")]
    draw = random.Random(20)
    kills = 0
    for attempt in range(30):
        workers = "2" if attempt % 3 == 0 else "0"
        if killed([*command, "--workers", workers], folder, draw.uniform(0, 0.25)):
            kills += 1
        else:  # it was faster: begin again
            shutil.rmtree(folder)
            folder.mkdir()
        if kills == 10:
            break
    assert kills == 10
    subprocess.run([*command, "--workers", "2"], check=True, capture_output=True)
    assert tree(folder / "shards") == expected
    assert not list(folder.rglob("*.partial*"))


# --- a full disk ------------------------------------------------------------------------------


class Full:
    """Counts calls of a function and lets them fail, from one on, as a full disk does."""

    def __init__(self, call, after: int) -> None:
        self.call, self.after, self.calls = call, after, 0

    def __call__(self, *args, **kwargs):
        self.calls += 1
        if self.calls > self.after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return self.call(*args, **kwargs)


@pytest.mark.parametrize("after", [0, 1, 5, 12, 25, 33])
def test_a_disk_that_fills_up_at_any_file_costs_no_byte_once_there_is_space(world, whole, tmp_path, monkeypatch, after):
    """Every file is flushed before it is renamed; from the n-th on there is no space: arrays, tables, shards, index."""
    with monkeypatch.context() as full:
        counting = Full(os.fsync, after)
        full.setattr(os, "fsync", counting)
        with pytest.raises(UserError) as error:
            built(world, tmp_path)
    assert "No space left" in error.value.message
    assert "disk is full" in error.value.hint
    assert not (tmp_path / "shards").exists()
    assert built(world, tmp_path, retry_failed=True) == whole


@pytest.mark.parametrize("after", [0, 3, 9])
def test_a_disk_that_fills_up_at_the_journal_costs_no_byte(world, whole, tmp_path, monkeypatch, after):
    from pipeline.engine import journal

    counting = Full(journal.Journal.append, after)
    with monkeypatch.context() as full:
        full.setattr(journal.Journal, "append", lambda self, outcome, handle: counting(self, outcome, handle))
        with pytest.raises(UserError, match="No space left") as error:
            built(world, tmp_path)
    assert "finished work is kept" in error.value.hint
    assert built(world, tmp_path) == whole


@pytest.mark.parametrize("after", [0, 3, 4])
def test_a_publishing_that_fails_costs_no_byte(world, whole, tmp_path, monkeypatch, after):
    from pipeline.engine import stage

    with monkeypatch.context() as full:
        full.setattr(stage, "publish_folder", Full(stage.publish_folder, after))
        with pytest.raises(UserError, match="No space left"):
            built(world, tmp_path)
    assert built(world, tmp_path) == whole


REAL_DISK = """
set -e
mkdir -p {disk}
mount -t tmpfs -o size=160k none {disk}
set +e
{build} 2> {log}/full; echo $? > {log}/full.code
mount -o remount,ro {disk}
{build} 2> {log}/readonly; echo $? > {log}/readonly.code
mount -o remount,rw,size=100m {disk}
{build} --retry-failed 2> {log}/again; echo $? > {log}/again.code
cp -r {disk}/shards {log}/shards
"""


def test_a_real_disk_full_then_read_only_then_larger(world, whole, tmp_path):
    """On a file system of 160 kB of our own, with worker processes."""
    if subprocess.run(["unshare", "-rm", "true"], check=False, capture_output=True).returncode:
        pytest.skip("this system gives us no mount namespace")
    disk = tmp_path / "disk"
    build = " ".join(map(json.dumps, [*COMMAND, *world.options, "--out", str(disk / "shards"), "--workers", "2"]))
    script = REAL_DISK.format(disk=disk, log=tmp_path, build=build)
    subprocess.run(["unshare", "-rm", "sh", "-c", script], check=True, capture_output=True)
    codes = {name: int((tmp_path / f"{name}.code").read_text()) for name in ("full", "readonly", "again")}
    printed = {name: (tmp_path / name).read_text() for name in codes}
    assert "Traceback" not in "".join(printed.values())
    assert "No space left" in printed["full"]
    assert "ead-only" in printed["readonly"]
    assert codes["full"] > 0
    assert codes["readonly"] > 0
    assert codes["again"] == 0, printed["again"]
    assert tree(tmp_path / "shards") == whole


# --- hostile files ----------------------------------------------------------------------------

SENTINEL = "actionpose-was-here"


class Payload:
    """What a hostile pickle would do."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def with_member(path: Path, name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> None:
    """Replace the bytes of one member of an npz."""
    with zipfile.ZipFile(path) as archive:
        members = {entry: archive.read(entry) for entry in archive.namelist()}
    members[name] = content
    with zipfile.ZipFile(path, "w", method) as archive:
        for entry, data in members.items():
            archive.writestr(entry, data)


def header(shape: tuple[int, ...], descr: str = "<f8") -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": descr, "fortran_order": False, "shape": shape})
    return buffer.getvalue()


def hostile_tree(root: Path, sentinel: Path) -> dict[str, str]:
    """Every kind of file nobody wants, beside good ones; name → the reason it must be refused with."""
    payload = pickle.dumps(Payload(sentinel))

    def place(name: str, **changes) -> Path:
        path = root / "Hostile" / "1" / f"{name}_poses.npz"
        write_motion(path, seconds=0.5, fps=60, **changes)
        return path

    frames = 30
    poses = np.zeros((frames, 156))
    for name, changes in {
        "nan poses": {"poses": np.where(np.arange(frames)[:, None] == 7, np.nan, poses)},
        "infinite trans": {"trans": np.full((frames, 3), np.inf)},
        "nan betas": {"betas": np.full(16, np.nan)},
    }.items():
        place(name, **changes)
    place("zero frames", poses=poses[:0], trans=np.zeros((0, 3)))
    place("wide poses", poses=np.zeros((frames, 165)))
    place("flat poses", poses=np.zeros(frames * 156))
    place("short trans", trans=np.zeros((frames - 1, 3)))
    place("rate 0", mocap_framerate=np.array(0.0))
    place("rate nan", mocap_framerate=np.array(np.nan))
    place("rate -30", mocap_framerate=np.array(-30.0))
    place("rate 1e9", mocap_framerate=np.array(1e9))
    place("rate text", mocap_framerate=np.array("fast"))
    place("giant", betas=np.full(16, 1e9))
    np.savez(place("objects"), poses=np.full((frames, 156), None), trans=np.zeros((frames, 3)))
    with_member(place("payload in poses"), "poses.npy", header((frames, 156), "|O") + payload)
    with_member(place("payload in betas"), "betas.npy", header((16,), "|O") + payload)
    with_member(place("payload in gender"), "gender.npy", header((), "|O") + payload)
    with_member(place("payload for npy"), "poses.npy", payload)
    place("whole payload").write_bytes(payload)
    with_member(place("announces all"), "poses.npy", header((10**12, 156)) + bytes(999))
    with_member(place("announces more"), "poses.npy", header((10**6, 156)) + bytes(999))
    with_member(place("betas bomb"), "betas.npy", header((10**9,)) + bytes(10**6), zipfile.ZIP_DEFLATED)
    cut = place("cut short")
    cut.write_bytes(cut.read_bytes()[:2000])
    flipped = place("flipped bytes")
    with_member(flipped, "trans.npy", zipfile.ZipFile(flipped).read("trans.npy"), zipfile.ZIP_DEFLATED)
    content = bytearray(flipped.read_bytes())
    content[5000:5010] = bytes(255 - byte for byte in content[5000:5010])
    flipped.write_bytes(content)
    place("no bytes").write_bytes(b"")
    place("web page").write_text("<!DOCTYPE html>")
    (root / "Hostile" / "1" / "broken link_poses.npz").symlink_to("nowhere")
    os.mkfifo(root / "Hostile" / "1" / "pipe_poses.npz")
    return {
        "nan poses": "not finite",
        "infinite trans": "not finite",
        "nan betas": "not finite",
        "zero frames": "absurd length",
        "wide poses": "SMPL-X edition",
        "flat poses": "wrong width",
        "short trans": "wrong width",
        "rate 0": "absurd rate",
        "rate nan": "absurd rate",
        "rate -30": "absurd rate",
        "rate 1e9": "absurd rate",
        "rate text": "wrong type",
        "giant": "absurd value",
        "objects": "Python objects inside",
        "payload in poses": "Python objects inside",
        "payload in betas": "Python objects inside",
        "payload in gender": "Python objects inside",
        "payload for npy": "damaged",
        "whole payload": "damaged",
        "announces all": "absurd length",
        "announces more": "wrong width",
        "betas bomb": "absurd length",
        "cut short": "damaged",
        "flipped bytes": "damaged",
        "no bytes": "damaged",
        "web page": "a web page",
        "broken link": "cannot be read",
        "pipe": "cannot be read",
    }


def test_a_tree_of_hostile_files_is_one_build_with_a_reason_for_each(world, whole, tmp_path):
    shutil.copytree(world.root, tmp_path / "world")
    hostile = World(tmp_path / "world")
    sentinel = tmp_path / SENTINEL
    expected = hostile_tree(hostile.root / "amass", sentinel)
    command = [*COMMAND, *hostile.options, "--out", str(tmp_path / "shards"), "--workers", "2", "--max-failures", "1"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    assert not sentinel.exists()
    rows = [json.loads(line) for line in (tmp_path / "shards/manifests/failures.jsonl").read_text().splitlines()]
    assert {row["id"].removeprefix("Hostile/1/"): row["reason"] for row in rows} == expected
    # The shards themselves are those of the world without the hostile files.
    shards = {name: sha for name, sha in tree(tmp_path / "shards").items() if name.endswith(".h5")}
    assert shards == {name: sha for name, sha in whole.items() if name.endswith(".h5")}

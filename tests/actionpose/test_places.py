"""Errors about paths name the real cause: what stands there instead, or which path was probably meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionpose.places import kind_of, not_a_run, not_shards, not_there


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A folder with a world and two runs, by their marks alone."""
    for name in (
        "demo/world/shards/index.json",
        "demo/world/shards/meta.json",
        "demo/world/stages/index-0123/meta.json",
        "demo/world/amass/KIT/3/walk_poses.npz",
        "runs/a/checkpoints/step_000001/weights.safetensors",
        "runs/b/config.toml",
        "empty/notes.txt",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    return tmp_path


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("demo/world/shrads", "demo/world/shards"),
        ("demo/wrold/shards", "demo/world/shards"),
        ("dmeo", "demo"),
        ("runs/c", "runs/a"),
    ],
)
def test_a_slip_of_the_fingers_is_answered_with_the_path_that_is_there(home: Path, typed: str, meant: str):
    error = not_there(home / typed, "try again")
    assert error.message == f"there is no {home / typed}"
    assert error.hint == (f"did you mean {home / meant}?" if meant != "runs/a" else "try again")


@pytest.mark.parametrize(
    ("path", "says", "next_move"),
    [
        ("demo/world", "is not a shard folder, but holds", "demo/world/shards"),
        ("demo", "is not a shard folder, but holds", "demo/world/shards"),
        ("demo/world/amass", "holds motion files", "build-babel"),
        ("runs/a", "is a run of ap-train, not a shard folder", "ap-data build-"),
        ("runs/a/checkpoints/step_000001", "is a checkpoint of ap-train", "ap-data build-"),
        ("empty/notes.txt", "is a file", "ap-data build-"),
        ("empty", "is not a shard folder: it has no index.json", "continues where it stopped"),
        ("demo/world/shard", "there is no", "did you mean"),
    ],
)
def test_what_is_given_in_place_of_shards_is_named(home: Path, path: str, says: str, next_move: str):
    error = not_shards(home / path)
    assert says in error.message
    assert next_move in error.hint


@pytest.mark.parametrize(
    ("path", "says", "next_move"),
    [
        ("demo/world/shards", "is a shard folder, not a run", "--data"),
        ("runs", "is not a run, but holds some", "give one of them"),
        ("runs/b", "is a run without a checkpoint yet", "--resume"),
        ("demo/world/stages/index-0123", "is a stage of a build", "run folder"),
        ("empty", "is not a run of ap-train", "run folder"),
        ("run", "there is no", "did you mean"),
    ],
)
def test_what_is_given_in_place_of_a_run_is_named(home: Path, path: str, says: str, next_move: str):
    error = not_a_run(home / path)
    assert says in error.message
    assert next_move in error.hint


def test_a_folder_that_cannot_be_listed_is_no_trouble(home: Path, monkeypatch: pytest.MonkeyPatch):
    def refused(self: Path):
        raise PermissionError

    monkeypatch.setattr(Path, "iterdir", refused)
    assert "there is no" in not_there(home / "demo/x", "look").message
    assert kind_of(home / "empty") == ""

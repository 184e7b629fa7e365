"""Every file under the root gets a row with its true rate, or the reason why it is no motion."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine.item import Item, ItemError, Skip
from pipeline.sources.amass import motion_id
from pipeline.stages.index import index_items, index_one, motion_row
from tests.makers.worlds import RATES, World, make_world, write_motion

CONTEXT = {"rate_overrides": True}


def look(root: Path, path: Path, **context):
    item = Item(motion_id(path.relative_to(root)), {"source": path.relative_to(root).as_posix(), "bytes": 1})
    return index_one(item, {**CONTEXT, "amass": str(root), **context}, root)["motions"][0]


@pytest.mark.parametrize(
    ("stored", "true"),
    [(59.9999885559082, 60), (120.00002, 120), (100, 100), (59.94005994, 59.94005994), (250, 250)],
)
def test_rates_are_kept_as_stored_and_used_as_true(tmp_path, stored, true):
    path = tmp_path / "KIT" / "1" / "a_poses.npz"
    write_motion(path, fps=stored, seconds=1)
    row = look(tmp_path, path)
    assert (row.fps_stored, row.fps_true) == (stored, true)
    assert bool(row.rate_note) == (stored != true)


def test_the_two_ssm_subjects_were_captured_at_60_and_the_row_says_why(tmp_path):
    path = tmp_path / "SSM_synced" / "20161014_50033" / "punch_poses.npz"
    write_motion(path, fps=RATES["ssm"], seconds=1)
    row = look(tmp_path, path)
    assert row.fps_true == 60
    assert len(row.rate_note) > 20
    assert look(tmp_path, path, rate_overrides=False).fps_true == 120


@pytest.mark.parametrize(
    ("stored", "read"),
    [
        (np.array("female"), "female"),
        (np.array(b"male"), "male"),
        (np.array(["neutral"]), "neutral"),
        (np.array("b'female'"), "female"),
        (np.array("unknown"), ""),
        (None, ""),
    ],
)
def test_gender_in_every_spelling(tmp_path, stored, read):
    path = tmp_path / "KIT" / "1" / "a_poses.npz"
    write_motion(path, seconds=1, gender=stored)
    assert look(tmp_path, path).gender == read


def test_the_same_motion_unpacked_twice_is_a_failure_not_a_silent_choice(tmp_path):
    write_motion(tmp_path / "KIT" / "1" / "a_poses.npz", seconds=0.1)
    write_motion(tmp_path / "KIT" / "KIT" / "1" / "a_poses.npz", seconds=0.1)
    items = index_items(tmp_path)
    assert len({item.id for item in items}) == 2
    with pytest.raises(ItemError, match="dataset, subject and name of"):
        index_one(items[1], {**CONTEXT, "amass": str(tmp_path)}, tmp_path)


def test_names_with_blanks_and_parentheses_keep_them(world: World):
    ids = [item.id for item in index_items(world.root / "amass")]
    assert "BioMotionLab_NTroje/rub001/0001_turn (left)" in ids


def test_world_is_made_as_described(tmp_path):
    assert len(index_items(make_world(tmp_path).root / "amass")) == 7


def test_files_that_are_no_motion_are_skipped_quietly(tmp_path):
    for name in ("shape.npz", "neutral_stagei.npz", "odd.npz"):
        path = tmp_path / "KIT" / "1" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, betas=np.zeros(16))
        with pytest.raises(Skip):
            look(tmp_path, path)


@pytest.mark.parametrize("folder", ["MyLab/s1", "SSM_synced/other", "CMU/01"])
@pytest.mark.parametrize("stored", [120.00004577636719, float(np.float32(120.00004577636719))])
def test_a_rate_that_only_wrong_recordings_store_is_recognised_in_any_folder(tmp_path, folder, stored):
    write_motion(tmp_path / folder / "jump_poses.npz", fps=stored, seconds=1)
    row = look(tmp_path, tmp_path / folder / "jump_poses.npz")
    assert row.fps_true == 60
    assert "gravity" in row.rate_note


def test_what_cannot_be_read_or_named_is_a_failure_with_its_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    root = make_world(tmp_path).root / "amass"
    good = index_items(root)
    source = root / good[0].data["source"]
    os.link(source, os.fsencode(source.parent) + b"/caf\xe9_poses.npz")
    os.mkfifo(source.parent / "pipe_poses.npz")
    os.symlink("/sys", root / "system")
    os.symlink("..", source.parent / "up")
    items = index_items(root)
    assert len(items) == len(good) + 3
    failed = {}
    for item in items:
        with suppress(Skip):
            try:
                motion_row(item, root, rate_overrides=False)
            except ItemError as error:
                failed[item.id] = error.message
    assert sorted(failed) == sorted({item.id for item in items} - {item.id for item in good})
    assert "not UTF-8" in next(message for name, message in failed.items() if "caf" in name)
    assert "operating system" in failed["system"]

"""Copies are found by a stage of their own, reported, and left out when asked for; no build goes on without it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.shards import ShardSet
from pipeline.config import PackConfig
from pipeline.engine.manifest import DuplicateRow, KeypointRow, read_rows
from pipeline.engine.stage import read_meta
from pipeline.stages.build import Build
from pipeline.validate.tables import validate
from pipeline.view.summary import select
from tests.makers.worlds import World, annotation, label, make_world, sequence, whole, write_motion


@pytest.fixture(scope="module")
def doubled(tmp_path_factory: pytest.TempPathFactory) -> World:
    """The small world, with one training motion once more in val, under another subject and later by 20 frames."""
    root = tmp_path_factory.mktemp("doubled")
    world = make_world(root)
    source = root / "amass/KIT/3/walk_01_poses.npz"
    with np.load(source) as file:
        cut = {name: file[name][20:] if file[name].ndim == 2 else file[name] for name in file.files}
    copy_path = root / "amass/KIT/9/walk_77_poses.npz"
    frames = len(cut["poses"])
    write_motion(copy_path, seconds=frames / 100, fps=100, **cut)
    val = json.loads((root / "babel/val.json").read_text())
    segments = annotation(label("stroll", 0, 2.0, 1), label("sit", 2.0, frames / 100, 2))
    val["900"] = sequence(900, "KIT/KIT/9/walk_77_poses.npz", frames / 100, segments, whole("stroll"))
    (root / "babel/val.json").write_text(json.dumps(val))
    return world


def test_a_build_reports_copies_and_validate_warns(doubled: World, tmp_path: Path):
    build = Build(doubled.config, tmp_path / "stages", tmp_path / "shards")
    build.run()
    (row,) = read_rows(build.out / "manifests/duplicates.jsonl", DuplicateRow)
    assert read_meta(build.results["copies"].folder)["tables"]["duplicates"]["rows"] == 1
    assert (row.motion_a, row.motion_b, row.straddles, row.dropped) == ("KIT/3/walk_01", "KIT/9/walk_77", True, "")
    assert row.shift == -6  # 20 frames at 100 Hz
    warned = {check.name: check for check in validate(build.out, deep=True)}
    assert warned["copies"].verdict == warned["copies found"].verdict == "warning"
    assert "KIT/9/walk_77" in warned["copies"].line()
    assert [c.line() for c in warned.values() if c.verdict == "broken"] == []


def test_a_build_can_leave_copies_out_each_pair_with_its_reason(doubled: World, tmp_path: Path):
    config = replace(doubled.config, pack=PackConfig(duplicates="drop"))
    build = Build(config, tmp_path / "stages", tmp_path / "shards")
    build.run()
    shards = ShardSet(build.out)
    assert "KIT/3/walk_01" not in shards.motions["motion_id"]
    assert "KIT/9/walk_77" in shards.motions["motion_id"]
    dropped = list(select(build.out / "manifests/dropped.jsonl", ("reason=same take as another motion",)))
    gone = [row for row in select(build.out / "manifests/pairs.jsonl") if row["clip_id"].startswith("KIT/3/walk_01#")]
    assert sorted(row["drop_id"] for row in dropped) == sorted(row["pair_id"] for row in gone)
    assert shards.index["summary"]["dropped"]["same take as another motion"] == len(gone) > 0
    checks = validate(build.out, deep=True)
    assert [check.line() for check in checks if check.verdict == "broken"] == []
    assert [check.verdict for check in checks if check.name.startswith("copies")] == ["ok", "ok"]
    assert [row.state for row in Build(config, build.work, build.out).status()] == ["current"] * 6


def test_a_motion_that_cannot_be_compared_stops_the_build_and_nothing_is_half_done(world: World, tmp_path: Path):
    build = Build(world.config, tmp_path / "stages", tmp_path / "shards")
    found = build.run()["copies"].folder
    content = (found / "duplicates.jsonl").read_bytes()
    shutil.rmtree(found)
    keypoints = build.results["keypoints"]
    labelled = {pair["clip_id"].rpartition("#")[0] for pair in select(build.out / "manifests/pairs.jsonl")}
    rows = read_rows(keypoints.table("keypoints"), KeypointRow)
    path = keypoints.folder / next(row.file for row in rows if row.motion_id in labelled)
    sound = path.read_bytes()
    path.write_bytes(sound[:100])
    with pytest.raises(UserError, match="copies: "):
        Build(world.config, build.work, tmp_path / "again").run()
    assert not found.exists()
    assert not (tmp_path / "again").exists()
    path.write_bytes(sound)
    Build(world.config, build.work, tmp_path / "again").run()
    assert (found / "duplicates.jsonl").read_bytes() == content

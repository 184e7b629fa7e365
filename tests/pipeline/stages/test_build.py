"""From files to shards: right numbers, same bytes however it is run, current when it is, stale with the reason."""

from __future__ import annotations

import errno
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.geometry import camera_matrix, facing_heading, to_camera
from actionpose.shards import ShardSet
from benchmarks.bodies import plain_vertices
from pipeline.body.regressor import load_regressor
from pipeline.body.smplh import load_body
from pipeline.config import KeypointConfig, PackConfig, ProjectConfig, RunOptions
from pipeline.engine.manifest import ClipRow, MotionRow, PairRow, ViewRow, read_rows
from pipeline.pack import motions
from pipeline.stages.build import Build
from tests.makers.places import ROOT
from tests.makers.trees import tree
from tests.makers.worlds import World, make_world


@pytest.fixture(scope="module")
def built(world: World, tmp_path_factory) -> Build:
    folder = tmp_path_factory.mktemp("built")
    build = Build(world.config, folder / "stages", folder / "shards")
    build.run()
    return build


def rows(build: Build, table: str, row_type):
    return {row.key: row for row in read_rows(build.out / "manifests" / f"{table}.jsonl", row_type)}


def test_every_motion_lands_on_a_true_30_hz(built):
    motions = rows(built, "motions", MotionRow)
    keypoints = {
        p["motion_id"]: p for p in map(json.loads, (built.out / "manifests/keypoints.jsonl").read_text().splitlines())
    }
    assert len(motions) == 6
    for motion_id, row in motions.items():
        expected = int(np.floor((row.frames - 1) / row.fps_true * 30 + 1e-6)) + 1
        assert keypoints[motion_id]["frames"] == expected
    ssm = motions["SSM_synced/20161014_50033/punch"]
    assert (ssm.fps_true, keypoints[ssm.motion_id]["frames"]) == (60, 240)


def test_keypoints_equal_the_plainly_written_body(world, built):
    """Through every stage and the shard, against six straight steps in float64 at a frame both have."""
    shards = ShardSet(built.out)
    number = list(shards.motions["motion_id"]).index("DFaust_67/50002/50002_jump")
    path = world.root / "amass" / shards.motions["source"][number]
    with np.load(path) as file:
        poses, trans, betas, gender = (file[k] for k in ("poses", "trans", "betas", "gender"))
    model = load_body(world.root / "body", gender)
    regressor = load_regressor(world.root / "regressor.npy", model)
    oracle = np.einsum("kv,tvc->tkc", regressor.matrix, plain_vertices(model, poses[::2], betas, trans[::2]))
    np.testing.assert_allclose(shards.motion_frames(number), oracle, atol=1e-5)


def test_label_times_follow_the_corrected_clock(built):
    """The SSM motion is stored as 4 s at 120 Hz but lasts 8 s: a label from 2.2 s to the end is 4.4 s to 8 s."""
    clips = rows(built, "clips", ClipRow)
    (sit,) = [c for c in clips.values() if c.motion_id.startswith("SSM") and c.kind == "segment" and c.start == 132]
    assert sit.stop == 240


def test_shards_hold_what_the_manifests_say(built):
    shards = ShardSet(built.out)
    shards.verify()
    pairs, clips = rows(built, "pairs", PairRow), rows(built, "clips", ClipRow)
    assert sorted(shards.pairs["pair_id"]) == sorted(pairs)
    assert sorted(shards.clips["clip_id"]) == sorted(clips)
    for number, pair_id in enumerate(shards.pairs["pair_id"]):
        clip = int(shards.pairs["clip"][number])
        assert shards.clips["clip_id"][clip] == pairs[pair_id].clip_id
        assert shards.pairs["text"][number] == pairs[pair_id].text
        assert shards.pairs["concurrent"][number] == pairs[pair_id].concurrent
        row = clips[pairs[pair_id].clip_id]
        assert len(shards.clip_frames(clip)) == row.stop - row.start == shards.clip_lengths()[clip]
    assert set(shards.motions["split"]) == {"train", "val"}


def test_front_means_front(built):
    shards, views = ShardSet(built.out), rows(built, "views", ViewRow)
    for number, clip_id in enumerate(shards.clips["clip_id"]):
        frames, heading = shards.clip_frames(number), float(shards.clips["heading"][number])
        assert heading == views[clip_id].heading
        turned = facing_heading(frames @ camera_matrix("front", heading).T @ camera_matrix("front"))
        assert abs(turned[0]) < 1e-6 or views[clip_id].heading_from == "level"
        front = to_camera(frames, camera_matrix("front", heading))
        assert (front[:, 4, 0] - front[:, 1, 0]).mean() > 0  # the left hip stands to the right in the picture


def test_counts_in_the_index_are_those_of_the_tables(built):
    shards = ShardSet(built.out)
    summary = shards.index["summary"]
    assert summary["motions"] == len(shards.motions["motion_id"]) == 5
    assert summary["pairs"] == len(shards.pairs["text"])
    assert summary["clips"] == len(shards.clips["clip_id"])
    assert summary["frames"] == sum(row["frames"] for row in shards.index["shards"])
    assert summary["transitions"] == {"found": 8, "kept": 4, "dropped": {"opens the sequence": 4}}
    assert summary["unlabelled_motions"] == 1
    assert summary["skipped"] == {"index": {"not a motion": 1}}
    assert sum(summary["labels"].values()) == summary["pairs"]


def test_bytes_do_not_depend_on_workers_or_on_running_twice(world, built, tmp_path):
    build = Build(world.config, tmp_path / "stages", tmp_path / "shards", RunOptions(workers=2))
    build.run()
    assert tree(build.out) == tree(built.out)
    before = {p: p.stat().st_mtime_ns for p in build.out.rglob("*")}
    Build(world.config, tmp_path / "stages", tmp_path / "shards").run()
    assert {p: p.stat().st_mtime_ns for p in build.out.rglob("*")} == before


def test_a_running_scheduler_gives_the_same_bytes(world, built, tmp_path):
    from distributed import LocalCluster

    with LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=":0") as cluster:
        options = RunOptions(scheduler=cluster.scheduler_address)
        Build(world.config, tmp_path / "stages", tmp_path / "shards", options).run()
    assert tree(tmp_path / "shards") == tree(built.out)


def test_the_mesh_gives_the_same_keypoints(world, built, tmp_path):
    config = replace(world.config, keypoints=KeypointConfig(method="mesh"))
    build = Build(config, tmp_path / "stages", tmp_path / "shards")
    build.run()
    fast, mesh = ShardSet(built.out), ShardSet(build.out)
    assert fast.fingerprint != mesh.fingerprint
    np.testing.assert_allclose(mesh.mapped(0), fast.mapped(0), atol=1e-5)


def test_small_shards_hold_the_same_motions(world, built, tmp_path):
    config = replace(world.config, pack=PackConfig(max_frames=200))
    build = Build(config, tmp_path / "stages", tmp_path / "shards")
    build.run()
    small, large = ShardSet(build.out), ShardSet(built.out)
    assert len(small.index["shards"]) > len(large.index["shards"])
    assert list(small.motions["motion_id"]) == list(large.motions["motion_id"])
    for number in range(len(small.motions["motion_id"])):
        np.testing.assert_array_equal(small.motion_frames(number), large.motion_frames(number))
    for number in range(len(small.clips["clip_id"])):
        np.testing.assert_array_equal(small.clip_frames(number), large.clip_frames(number))


def test_status_says_what_is_stale_and_why(world, built):
    build = Build(world.config, built.work, built.out)
    assert [(row.stage, row.state) for row in build.status()] == [
        (name, "current") for name in ("index", "keypoints", "pairs", "project-2d", "copies", "pack")
    ]
    changed = replace(world.config, project=ProjectConfig(views=("side",)))
    status = {row.stage: row for row in Build(changed, built.work, built.out).status()}
    assert status["keypoints"].state == "current"
    assert status["project-2d"].why == ['project.views: was ["front", "side"], now ["side"]']
    assert status["pack"].state == "waiting"
    nowhere = {row.stage: row for row in Build(world.config, built.work / "new", built.work / "out").status()}
    assert nowhere["index"].why == ["not built yet"]


def test_pairs_are_rebuilt_without_touching_keypoints(world, tmp_path):
    folder = tmp_path / "world"
    shutil.copytree(world.root, folder)
    first = Build(World(folder).config, tmp_path / "stages", tmp_path / "shards")
    first.run()
    val = folder / "babel" / "val.json"
    val.write_text(val.read_text().replace("walk forward", "stroll"))
    second = Build(World(folder).config, tmp_path / "stages", tmp_path / "shards")
    results = second.run()
    assert [name for name, result in results.items() if result.fresh] == ["pairs", "project-2d", "copies", "pack"]
    assert "stroll" in ShardSet(second.out).pairs["text"]


def test_one_damaged_motion_is_a_failure_with_a_reason_and_its_pairs_are_counted(world, tmp_path):
    folder = tmp_path / "world"
    shutil.copytree(world.root, folder)
    path = folder / "amass/KIT/3/walk_01_poses.npz"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    build = Build(World(folder).config, tmp_path / "stages", tmp_path / "shards")
    build.run()
    assert build.failures == {"index": {"damaged": 1}}
    summary = ShardSet(build.out).index["summary"]
    assert summary["motions"] == 4
    assert summary["skipped"]["pairs"] == {"motion not found": 1}
    path.write_bytes(whole)
    rebuilt = Build(World(folder).config, tmp_path / "stages", tmp_path / "shards")
    rebuilt.run()
    assert rebuilt.failures == {}
    assert ShardSet(rebuilt.out).index["summary"]["motions"] == 5


def test_a_missing_input_and_a_foreign_folder_are_named(world, tmp_path):
    with pytest.raises(UserError, match="no path given") as error:
        Build(replace(world.config, inputs=replace(world.config.inputs, body="")), tmp_path, tmp_path / "o").run()
    assert "--body" in error.value.hint
    with pytest.raises(UserError, match="there is no"):
        Build(
            replace(world.config, inputs=replace(world.config.inputs, babel="nowhere")), tmp_path, tmp_path / "o"
        ).run()
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("do not lose")
    with pytest.raises(UserError, match="not empty"):
        Build(world.config, tmp_path / "s", tmp_path / "mine").run()
    assert (tmp_path / "mine" / "thesis.txt").exists()


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {root!r})
from tests.makers.worlds import World
from pipeline.stages.build import Build
folder = Path({folder!r})
Build(World(Path({world!r})).config, folder / "stages", folder / "shards").run()
"""


def test_a_build_killed_at_any_moment_and_run_again_has_the_same_bytes(tmp_path):
    world = make_world(tmp_path / "world", takes=8)
    whole = Build(world.config, tmp_path / "whole/stages", tmp_path / "whole/shards")
    started = time.time()
    whole.run()
    took = time.time() - started
    folder = tmp_path / "killed"
    script = KILLED.format(root=str(ROOT), folder=str(folder), world=str(world.root))
    kills = 0
    for share in (0.1, 0.35, 0.6):
        process = subprocess.Popen([sys.executable, "-c", script], stderr=subprocess.DEVNULL)
        deadline = time.time() + 20
        while not (folder / "stages").exists() and time.time() < deadline and process.poll() is None:
            time.sleep(0.005)
        time.sleep(share * took)
        if process.poll() is None:
            os.kill(process.pid, signal.SIGKILL)
            kills += 1
        process.wait()
    assert kills
    Build(world.config, folder / "stages", folder / "shards").run()
    assert tree(folder / "shards") == tree(tmp_path / "whole/shards")


def test_times_of_files_decide_nothing_and_their_contents_all(tmp_path):
    world = make_world(tmp_path / "world")
    build = Build(world.config, tmp_path / "stages", tmp_path / "shards")
    first = build.run("index")["index"]
    files = sorted((world.root / "amass").rglob("*_poses.npz"))
    for number, path in enumerate(files):
        os.utime(path, (10**9 + number, 10**9 + number))
    again = Build(world.config, tmp_path / "stages", tmp_path / "shards").run("index")["index"]
    assert (again.fresh, again.content, again.folder) == (False, first.content, first.folder)
    whole = files[0].read_bytes()
    files[0].write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))  # the same size, in the comment of the archive or damaged
    changed = Build(world.config, tmp_path / "stages", tmp_path / "shards").run("index")["index"]
    assert changed.fresh
    assert changed.content != first.content or changed.failures


def test_shards_are_never_published_while_one_of_them_failed(world, tmp_path, monkeypatch):
    honest = motions.write_shard

    def on_a_small_disk(path: Path, **given: Any) -> Any:
        if "val" in path.name:
            raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
        return honest(path, **given)

    out = tmp_path / "shards"
    with monkeypatch.context() as patched:
        patched.setattr(motions, "write_shard", on_a_small_disk)
        with pytest.raises(UserError, match=r"pack: 1 of \d+ items failed, so nothing is published"):
            Build(world.config, tmp_path / "stages", out).run()
    assert not out.exists()
    Build(world.config, tmp_path / "stages", out).run()
    assert {"train", "val"} <= {str(split) for split in ShardSet(out).motions["split"]}

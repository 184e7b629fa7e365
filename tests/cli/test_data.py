"""`ap-data` as a user types it: exit status, last line, advice, and nothing touched when asked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from actionpose import progress
from actionpose.skeleton import JOINT_NAMES
from cli.data import main
from tests.makers.screen import screen_to_camera
from tests.makers.shards import make_benchmark
from tests.makers.worlds import World, write_motion


def run(*args: object) -> Result:
    return CliRunner().invoke(main, [str(arg) for arg in args])


@pytest.fixture(scope="module")
def shards(world: World, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("cli") / "shards"
    result = run("build-babel", *world.options, "--out", out)
    assert result.exit_code == 0, result.output
    assert result.stderr.splitlines()[-1] == f"Shards are in {out}. Next: ap-data inspect {out}"
    return out


def walk(world: World) -> Path:
    return world.root / "amass/KIT/3/walk_01_poses.npz"


def body(world: World) -> list[object]:
    return ["--body", world.root / "body", "--regressor", world.root / "regressor.npy"]


def test_keypoints_of_one_file(world, tmp_path):
    out = tmp_path / "walk.npz"
    result = run("keypoints", walk(world), *body(world), "-o", out)
    assert result.exit_code == 0, result.output
    with np.load(out) as file:
        assert file["keypoints"].shape == (120, 17, 3)
        assert file["keypoints"].dtype == np.float32
        assert float(file["fps"]) == 30
        assert tuple(file["joint_names"]) == JOINT_NAMES
        np.testing.assert_allclose(file["frame_times"], np.arange(120) / 30)
        assert file["keypoints"][:, 10, 2].mean() > file["keypoints"][:, 3, 2].mean() + 1  # the head is up along z
    assert f"Next: ap-data project-2d {out}" in result.stderr


@pytest.mark.parametrize(
    ("gender", "says"), [("F", "female body\n"), ("woman", "neutral body (the file names no gender")]
)
def test_the_body_of_a_motion_is_named_and_that_its_gender_is_unknown(world, tmp_path, gender, says):
    write_motion(tmp_path / "a_poses.npz", seconds=1, gender=np.array(gender))
    result = run("keypoints", tmp_path / "a_poses.npz", *body(world), "-o", tmp_path / "k.npz")
    assert says in result.stderr


def test_mesh_and_fast_agree_and_fps_is_an_option(world, tmp_path):
    for method in ("fast", "mesh"):
        options = ["--method", method, "--fps", 25, "-o", tmp_path / f"{method}.npz"]
        assert run("keypoints", walk(world), *body(world), *options).exit_code == 0
    with np.load(tmp_path / "fast.npz") as fast, np.load(tmp_path / "mesh.npz") as mesh:
        assert len(fast["keypoints"]) == 100
        np.testing.assert_allclose(fast["keypoints"], mesh["keypoints"], atol=1e-5)


def test_views_of_one_file(world, tmp_path):
    assert run("keypoints", walk(world), *body(world), "-o", tmp_path / "k.npz").exit_code == 0
    result = run("project-2d", tmp_path / "k.npz", "--views", "front,side,yaw+30pitch+10", "-o", tmp_path / "v.npz")
    assert result.exit_code == 0, result.output
    with np.load(tmp_path / "v.npz") as file, np.load(tmp_path / "k.npz") as keypoints:
        assert file["pose2d"].shape == (3, 120, 17, 2)
        assert file["pose3d_cam"].shape == (3, 120, 17, 3)
        assert list(file["views"]) == ["front", "side", "yaw+30pitch+10"]
        np.testing.assert_array_equal(file["pose2d"], file["pose3d_cam"][..., :2])
        front, side = file["pose2d"][:2]
        np.testing.assert_allclose(front[..., 1], side[..., 1], atol=1e-6)  # they share the vertical
        back = np.einsum("vij,vtkj->vtki", file["cameras"].transpose(0, 2, 1), file["pose3d_cam"])
        np.testing.assert_allclose(back, np.broadcast_to(keypoints["keypoints"], back.shape), atol=1e-6)
        screen = np.concatenate([file["pose2d_screen"][0], np.zeros((120, 17, 1))], axis=-1)
        undone = screen_to_camera(screen, file["screen_centre"][0], float(file["screen_per_metre"]))
        np.testing.assert_allclose(undone[..., :2], front, atol=1e-5)


def test_o_is_a_setting_when_it_has_a_dotted_key_and_a_file_otherwise(world, tmp_path):
    out = tmp_path / "k.npz"
    result = run("keypoints", walk(world), *body(world), "-o", "keypoints.fps=15", "-o", out)
    assert result.exit_code == 0, result.output
    with np.load(out) as file:
        assert len(file["keypoints"]) == 60
    assert run("keypoints", walk(world), *body(world), "-o", out, "-o", tmp_path / "b.npz").exit_code == 2
    assert run("keypoints", walk(world), *body(world)).exit_code == 2


def test_stages_run_one_by_one_over_everything(world, tmp_path):
    work = tmp_path / "work"
    for command, options in (
        ("index", ["--amass", world.root / "amass"]),
        ("keypoints", world.options[:2] + [str(x) for x in body(world)]),
        ("pairs", world.options[:4]),
        ("project-2d", world.options),
    ):
        result = run(command, *options, "--work", work)
        assert result.exit_code == 0, result.output
        assert f"Stage {command} is in" in result.stderr
    stages = sorted(path.name.rsplit("-", 1)[0] for path in work.iterdir() if path.is_dir())
    assert stages == ["index", "keypoints", "pairs", "project-2d"]


def test_a_settings_file_may_say_home_and_out_may_be_the_folder_one_is_in(world, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(world.root))
    paths = {"amass": "~/amass", "babel": "~/babel", "body": "~/body", "regressor": "~/regressor.npy"}
    (tmp_path / "my.toml").write_text("[inputs]\n" + "".join(f'{name} = "{path}"\n' for name, path in paths.items()))
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    result = run("build-babel", "-c", tmp_path / "my.toml", "--out", ".")
    assert result.exit_code == 0, result.output
    assert (tmp_path / "here" / "index.json").is_file()
    assert (tmp_path / "here.stages").is_dir()


def test_home_is_home_after_an_equals_sign_too(world, tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert run("keypoints", walk(world), *body(world), "--output=~/k.npz").exit_code == 0
    assert (tmp_path / "k.npz").is_file()


def test_the_plan_of_the_pairs_is_json_and_writes_nothing(world, tmp_path):
    result = run("pairs", "--babel", world.root / "babel", "--dry-run", "--format", "json")
    plan = json.loads(result.stdout)
    assert {"sequences", "segments", "pairs", "labels", "transitions"} <= set(plan)
    assert plan["transitions"] == {"found": 8, "kept": 4, "same_label": 0, "dropped": {"opens the sequence": 4}}
    assert plan["policies"]["pairs.transition=skip"]["pairs"] == plan["pairs"] - 4
    assert "Nothing was written" in result.stderr


def test_inspect_as_json_has_the_promised_keys(shards):
    data = json.loads(run("inspect", shards, "--format", "json").stdout)
    promised = "motions clips pairs transitions frames hours failures labels fps views fingerprint"
    assert set(promised.split()) <= set(data)
    assert data["motions"] == 5
    assert data["fps"] == 30
    assert data["views"] == ["front", "side"]
    assert data["hours"] == pytest.approx(data["frames"] / 30 / 3600, abs=1e-4)


def test_inspect_for_people_and_by_condition(shards):
    text = run("inspect", shards).stdout
    assert "transit from walk forward to sit" in text
    assert "60 (stored as 120) Hz" in text
    found = json.loads(
        run("inspect", shards, "--where", "label~^walk", "--where", "split=val", "--format", "json").stdout
    )
    assert {row["text"] for row in found} == {"walk forward"}
    assert {row["split"] for row in found} == {"val"}
    bad = run("inspect", shards, "--table", "clips", "--where", "colour=red")
    assert bad.exit_code == 1
    assert "it has: clip_id" in bad.stderr


def test_status_and_dry_run_touch_nothing(world, shards, tmp_path):
    rows = json.loads(run("status", *world.options, "--out", shards, "--format", "json").stdout)
    assert {row["state"] for row in rows} == {"current"}
    result = run("build-babel", *world.options, "--out", tmp_path / "new", "--dry-run")
    assert result.exit_code == 0
    assert "not built yet" in result.stdout
    assert list(tmp_path.iterdir()) == []
    taken = run("build-babel", *world.options, "--out", world.root, "--dry-run")
    assert (taken.exit_code, "holds no shards" in taken.stderr) == (1, True)


def test_a_corrupted_motion_ends_with_status_1_and_says_how_to_continue(world, tmp_path):
    shutil.copytree(world.root, tmp_path / "w")
    other = World(tmp_path / "w")
    path = walk(other)
    path.write_bytes(path.read_bytes()[:2000])
    result = run("build-babel", *other.options, "--out", tmp_path / "shards")
    assert result.exit_code == 1
    assert "1 x damaged" in result.stderr
    assert "--retry-failed" in result.stderr
    failures = json.loads(run("inspect", tmp_path / "shards", "--table", "failures", "--format", "json").stdout)
    assert failures[0]["id"] == "KIT/3/walk_01"
    assert "download it again" in failures[0]["message"]
    assert run("inspect", tmp_path / "shards").exit_code == 0


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("--body", "nowhere"), ("nowhere", "--body")),
        (("--regressor", "nowhere.npy"), ("nowhere.npy", "--regressor")),
        (("-o", "pairs.min_frame=3"), ("min_frame", "did you mean 'pairs.min_frames'")),
        (("-o", "pairs.transition=blend"), ("blend", "span, cut, skip")),
        (("-o", "project.views=['top']"), ("top", "front")),
        (("-c", "nowhere.toml"), ("nowhere.toml", "check the path")),
    ],
)
def test_wrong_input_names_the_thing_and_the_next_move(world, tmp_path, change, named):
    result = run("build-babel", *world.options, "--out", tmp_path / "out", *change)
    assert result.exit_code == 1
    for text in named:
        assert text in result.stderr
    assert "Traceback" not in result.stderr


def test_a_body_folder_without_bodies_says_where_to_get_one(world, tmp_path):
    (tmp_path / "empty").mkdir()
    result = run("keypoints", walk(world), *body(world)[2:], "--body", tmp_path / "empty", "-o", tmp_path / "k.npz")
    assert result.exit_code == 1
    assert "smplh.tar.xz" in result.stderr
    assert "ap-data demo" in result.stderr


def test_half_written_folders_are_named_as_such(shards, tmp_path):
    partial = tmp_path / "shards.partial"
    partial.mkdir()
    assert "half done" in run("inspect", partial).stderr
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "x.txt").write_text("x")
    assert "is not a shard folder" in run("inspect", tmp_path / "other").stderr
    copy = tmp_path / "copy"
    shutil.copytree(shards, copy)
    next(copy.glob("train-*.h5")).unlink()
    from actionpose.errors import UserError
    from actionpose.shards import ShardSet

    with pytest.raises(UserError, match=r"train-00000\.h5 is missing"):
        ShardSet(copy)


def test_wrong_usage_is_status_2():
    assert run("build-babel", "--no-such-option").exit_code == 2
    result = run("bulid-babel")
    assert result.exit_code == 2
    assert "did you mean 'build-babel'" in result.stderr


def test_preview_draws_a_clip_here_and_into_a_file(world, shards, tmp_path):
    here = run("preview", shards, "--label", "transit from walk")
    assert here.exit_code == 0, here.output
    assert "transit from walk forward to sit" in here.stdout
    assert any("\u2800" < sign <= "\u28ff" for sign in here.stdout)
    for name, begins in (("clip.png", b"\x89PNG"), ("clip.html", b"<!DOCTYPE html>"), ("clip.gif", b"GIF89a")):
        assert run("preview", shards, "--label", "wave right hand", "-o", tmp_path / name).exit_code == 0
        assert (tmp_path / name).read_bytes().startswith(begins)
    other = run("preview", shards, "--label", "wave right hand", "-o", tmp_path / "clip.avi")
    assert (other.exit_code, ".html, .mp4, .gif or .png" in other.stderr) == (1, True)
    assert "with --body" in run("preview", shards, "--label", "wave", "-o", tmp_path / "clip.glb").stderr
    assert "no label contains 'fly'" in run("preview", shards, "--label", "fly").stderr


def test_preview_never_takes_another_clip_than_the_one_asked_for(world, tmp_path):
    assert run("keypoints", walk(world), *body(world), "-o", tmp_path / "k.npz").exit_code == 0
    assert "is one motion" in run("preview", tmp_path / "k.npz", "--label", "walk").stderr
    videos = make_benchmark(tmp_path / "videos")
    assert "have no labels" in run("preview", videos, "--label", "walk").stderr


def test_preview_puts_a_motion_on_its_body(world, tmp_path):
    for name in ("body.png", "body.glb"):
        result = run("preview", walk(world), *body(world), "-o", tmp_path / name)
        assert result.exit_code == 0, result.output
    assert (tmp_path / "body.glb").read_bytes()[:4] == b"glTF"
    film = run("preview", walk(world), *body(world), "-o", tmp_path / "body.mp4")
    assert (film.exit_code, ".png or .glb" in film.stderr) == (1, True)
    assert (
        "frames 0 to 399" in run("preview", walk(world), *body(world), "--frame", 999, "-o", tmp_path / "x.png").stderr
    )


def test_report_of_shards_alone_is_one_page(shards, tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "FIRST_S", 0.0)
    result = run("report", "--shards", shards, "--out", tmp_path / "report.html")
    assert result.exit_code == 0, result.output
    assert "5 motions" in result.stdout
    assert re.search(r"report\.html: \d+s so far", result.stderr)  # drawing many runs takes longer than a person waits
    assert "<html" in (tmp_path / "report.html").read_text()

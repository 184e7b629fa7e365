"""ap-data build-h36m: every layout end to end, copies that differ, and what is made of them."""

from __future__ import annotations

import json
import pickle
import tracemalloc
from collections import Counter

import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from actionpose.geometry import camera_matrix, root_relative, screen_to_pixel, to_camera
from actionpose.shards import ShardSet
from cli.data import main
from cli.train import main as score_main
from pipeline.demo.h36m import place_of
from pipeline.h36m.build import build_h36m, open_h36m
from pipeline.h36m.cameras import camera_named, world_to_camera
from pipeline.h36m.motionbert import motions, read_content
from pipeline.view.find import find_clip
from tests.makers.h36m import PICKLE, dumped, loaded, make_h36m, run

MODULES = (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    """The look-alikes of a few short takes; read-only."""
    return make_h36m(tmp_path_factory.mktemp("h36m"))


@pytest.fixture(scope="module")
def b(demo, tmp_path_factory):
    """Protocol B shards."""
    out = tmp_path_factory.mktemp("b") / "shards"
    result = run("--h36m", demo / PICKLE, "--out", out)
    assert result.exit_code == 0, result.stderr
    return ShardSet(out)


@pytest.fixture(scope="module")
def a(demo, tmp_path_factory):
    """Protocol A shards with the detections that have noise."""
    out = tmp_path_factory.mktemp("a") / "shards"
    cpn = demo / "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    result = run("--h36m", demo / "data_3d_h36m.npz", "--detections", cpn, "--out", out)
    assert result.exit_code == 0, result.stderr
    return ShardSet(out)


def videos(shards):
    """motion_id → (row of the table, 2D, 3D)."""
    columns = shards.motions
    return {
        str(motion_id): (
            {name: columns[name][n] for name in columns},
            shards.motion_frames(n, "pose2d"),
            shards.motion_frames(n),
        )
        for n, motion_id in enumerate(columns["motion_id"])
    }


def near(one, other, limit):
    return one.shape == other.shape and np.abs(one - other).max() < limit


def same_frames(one, other):
    ours, theirs = videos(one), videos(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        for k in (1, 2):
            assert np.abs(ours[name][k] - theirs[name][k]).max() < 1e-6, name
    return True


# --- protocol B -------------------------------------------------------------------------------


def test_every_frame_of_the_pickle_comes_back_from_the_shards(demo, b):
    data, have = loaded(demo), videos(b)
    assert len(have) == 7 * 3 * 4
    assert (b.kind, b.fps, b.has_pose2d) == ("benchmark", 50.0, True)
    for split, fields in data.items():
        starts = [n for n, s in enumerate(fields["source"]) if n == 0 or s != fields["source"][n - 1]]
        for start, stop in zip(starts, [*starts[1:], len(fields["source"])], strict=True):
            row, pose2d, pose3d = have[f"h36m/{fields['source'][start]}"]
            extra, size = row["extra"], (row["extra"]["width"], row["extra"]["height"])
            assert (row["split"], extra["camera"]) == (split, fields["camera_name"][start])
            assert near(screen_to_pixel(pose2d[..., :2], *size), fields["joint_2d"][start:stop], 1e-3)
            assert near(pose2d[..., 2], fields["confidence"][start:stop, :, 0], 1e-7)
            image = fields["joint3d_image"][start:stop]
            assert near(screen_to_pixel(pose3d[..., :2], *size), image[..., :2], 1e-3)
            assert near(pose3d[..., 2] * size[0] / 2, image[..., 2], 1e-3)


def test_millimetres_of_test_are_those_in_the_file(demo, b):
    fields, have = loaded(demo)["test"], videos(b)
    source = np.array(fields["source"])
    for name in sorted(set(source)):
        row, _, pose3d = have[f"h36m/{name}"]
        truth = fields["joints_2.5d_image"][source == name]
        made = pose3d * np.array(row["extra"]["unit_mm"])[:, None, None]
        assert near(root_relative(made), root_relative(truth), 0.01)
        assert row["extra"]["unit_from"] == "stored"
    assert row["action"] in set(fields["action"])


def test_the_scale_of_train_is_an_estimate_and_says_so(b):
    for row, _, _ in videos(b).values():
        if row["split"] == "train":
            assert row["extra"]["unit_from"] == "computed"
            assert 1500 < row["extra"]["unit_mm"] < 3500


def test_takes_that_a_protocol_leaves_out_stay_with_the_reason(a, b):
    assert {n.rpartition("_ca_")[0] for n, (row, _, _) in videos(b).items() if "skip" in row["extra"]} == {
        "h36m/s_09_act_05_subact_02"
    }
    assert {n.rpartition(".")[0] for n, (row, _, _) in videos(a).items() if "skip" in row["extra"]} == {
        "h36m/S11_Directions"
    }
    assert sum(b.index["summary"]["left_out"].values()) == sum(a.index["summary"]["left_out"].values()) == 4


VARIANTS = {
    "float64": lambda f: {k: np.asarray(v, np.float64) if np.asarray(v).dtype.kind == "f" else v for k, v in f.items()},
    "flat confidence": lambda f: {**f, "confidence": f["confidence"][..., 0]},
    "other spelling": lambda f: {k.replace("joint_2d", "Joints_2D").replace("2.5d", "25d"): v for k, v in f.items()},
    "arrays of text": lambda f: {k: np.array(v) if isinstance(v, list) else v for k, v in f.items()},
    "camera numbers": lambda f: {**f, "camera_name": [int(c) for c in f["camera_name"]]},
    "bytes": lambda f: {**f, "camera_name": [c.encode() for c in f["camera_name"]]},
    "confidence as third channel": lambda f: {
        **{k: v for k, v in f.items() if k != "confidence"},
        "joint_2d": np.concatenate([f["joint_2d"], f["confidence"]], axis=-1),
    },
    "column of factors": lambda f: {k: v[:, None] if k == "2.5d_factor" else v for k, v in f.items()},
    "inverse factors": lambda f: {k: 1 / v if k == "2.5d_factor" else v for k, v in f.items()},
    "no factors": lambda f: {k: v for k, v in f.items() if k != "2.5d_factor"},
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_copies_that_differ_in_form_give_the_same_frames(demo, b, tmp_path, variant):
    changed = {split: VARIANTS[variant](fields) for split, fields in loaded(demo).items()}
    opened = open_h36m(dumped(tmp_path / "copy.pkl", changed))
    build_h36m(opened, tmp_path / "shards")
    other = ShardSet(tmp_path / "shards")
    assert same_frames(other, b)
    for (row, _, _), (want, _, _) in zip(videos(other).values(), videos(b).values(), strict=True):
        assert np.array(row["extra"]["unit_mm"]) == pytest.approx(np.array(want["extra"]["unit_mm"]), rel=1e-4)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_pickles_of_both_numpy_generations_are_read(demo, tmp_path, protocol):
    data = {split: {k: v[:120] for k, v in fields.items()} for split, fields in loaded(demo).items()}
    text = pickle.dumps(data, protocol=protocol)
    if protocol == 2:
        here = MODULES[0] if MODULES[0] in text else MODULES[1]
        assert here in text
        texts = [text.replace(here, module) for module in MODULES]
    else:
        texts = [text]
    for text in texts:
        (tmp_path / "x.pkl").write_bytes(text)
        assert read_content(tmp_path / "x.pkl").counts["test_frames"] == 120


def test_without_confidence_every_detection_counts_fully(demo, tmp_path):
    data = {s: {k: v for k, v in f.items() if k != "confidence"} for s, f in loaded(demo).items()}
    opened = open_h36m(dumped(tmp_path / "x.pkl", data))
    assert any("no confidences" in problem for problem in opened.problems)
    build_h36m(opened, tmp_path / "shards")
    assert {
        float(v) for _, pose2d, _ in videos(ShardSet(tmp_path / "shards")).values() for v in pose2d[..., 2].flat
    } == {1}


def problems_of(path):
    return " | ".join(open_h36m(path).problems)


def test_what_does_not_fit_together_is_told(demo, tmp_path):
    data = loaded(demo)
    assert "published file 566,920" in problems_of(demo / PICKLE)
    data["test"]["joints_2.5d_image"] = data["test"]["joints_2.5d_image"] * np.float32(1.1)
    assert "is not joint3d_image x 2.5d_factor" in problems_of(dumped(tmp_path / "1.pkl", data))
    data["test"]["2.5d_factor"] = data["test"]["2.5d_factor"] * 10
    assert "expected 3.5 to 6.5" in problems_of(dumped(tmp_path / "2.pkl", data))
    data["train"]["joint_2d"] = data["train"]["joint3d_image"][..., :2]
    assert "joint_2d equals joint3d_image" in problems_of(dumped(tmp_path / "3.pkl", data))
    data["train"]["joint_2d"] = data["train"]["joint_2d"] + 500
    assert "pixels from joint3d_image" in problems_of(dumped(tmp_path / "4.pkl", data))
    data["test"]["action"] = [a.replace("Walking", "Greeting") for a in data["test"]["action"]]
    data["train"]["camera_name"] = data["train"]["camera_name"][::-1]
    problems = problems_of(dumped(tmp_path / "6.pkl", data))
    assert "test action labels" in problems
    assert "train camera_name" in problems
    del data["train"]
    assert "no train part" in problems_of(dumped(tmp_path / "5.pkl", data))


def test_one_bad_video_is_a_rejection_with_its_reason_and_the_others_are_built(demo, tmp_path):
    data = loaded(demo)
    source = data["test"]["source"]
    first = source.index("s_11_act_14_subact_01_ca_01")
    data["test"]["joint_2d"][first + 3, 5] = np.nan
    data["test"]["camera_name"] = [
        "12345678" if s.startswith("s_09_act_14") else c
        for s, c in zip(source, data["test"]["camera_name"], strict=True)
    ]
    data["train"]["source"] = [s.replace("s_05_act_14", "s_09_act_14") for s in data["train"]["source"]]
    data["train"]["source"] = [s.replace("s_06_act_14", "walk") for s in data["train"]["source"]]
    result = run("--h36m", dumped(tmp_path / "x.pkl", data), "--out", tmp_path / "shards")
    assert result.exit_code == 1
    rows = [json.loads(line) for line in (tmp_path / "shards/manifests/failures.jsonl").read_text().splitlines()]
    assert Counter(row["reason"] for row in rows) == {
        "not finite": 1,
        "subject does not belong to train": 4,
        "unknown camera": 4,
        "unreadable name": 4,
    }
    assert [row["id"] for row in rows if row["reason"] == "not finite"] == ["h36m/s_11_act_14_subact_01_ca_01"]
    assert len(ShardSet(tmp_path / "shards").motions["motion_id"]) == 84 - len(rows) == 84 - 13


# --- protocol A -------------------------------------------------------------------------------


def test_camera_frames_are_the_world_seen_from_the_camera(demo, a):
    world = np.load(demo / "data_3d_h36m.npz", allow_pickle=True)["positions_3d"].item()
    kept = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    have = videos(a)
    assert len(have) == 7 * 3 * 4
    for row, pose2d, pose3d in have.values():
        extra = row["extra"]
        place = place_of(int(row["subject"][1:]), camera_named(extra["camera"]))
        want = world_to_camera(world[row["subject"]][extra["take"]][:, kept].astype(np.float64), place)
        assert near(pose3d * extra["unit_mm"], 1000 * want, 0.01)
        assert (extra["target"], extra["source_2d"], extra["protocols"]) == ("camera", "cpn", ["h36m-a"])
        assert len(pose2d) == len(pose3d)  # the detections were longer


def test_without_detections_the_projection_is_the_2d_and_equals_the_ground_truth_file(demo, tmp_path):
    only = tmp_path / "only"
    only.mkdir()
    for name in ("data_3d_h36m.npz", "metadata.xml"):
        (only / name).write_bytes((demo / name).read_bytes())
    result = run("--h36m", only, "--out", tmp_path / "projected")
    assert result.exit_code == 0
    assert "projected from the 3D" in result.stderr
    files = ("--h36m", demo / "data_3d_h36m.npz", "--detections", demo / "data_2d_h36m_gt.npz")
    assert run(*files, "--out", tmp_path / "given").exit_code == 0
    assert same_frames(ShardSet(tmp_path / "projected"), ShardSet(tmp_path / "given"))
    assert ShardSet(tmp_path / "given").index["summary"]["source_2d"] == {"gt": 84}


@pytest.mark.parametrize("cameras", ["metadata.xml", "cameras.pkl", "cameras.json"])
def test_every_cameras_file_gives_the_same_frames(demo, a, tmp_path, cameras):
    files = ("--h36m", demo / "data_3d_h36m.npz", "--detections", demo / "data_2d_h36m_cpn_ft_h36m_dbb.npz")
    assert run(*files, "--cameras", demo / cameras, "--out", tmp_path / "shards").exit_code == 0
    assert same_frames(ShardSet(tmp_path / "shards"), a)


def test_cameras_of_other_people_are_noticed_and_nothing_is_built(demo, tmp_path):
    table = json.loads((demo / "cameras.json").read_text())
    for entries in table.values():
        entries[0]["orientation"], entries[1]["orientation"] = entries[2]["orientation"], entries[0]["orientation"]
    del table["S7"]
    (tmp_path / "c.json").write_text(json.dumps(table))
    files = ("--h36m", demo / "data_3d_h36m.npz", "--detections", demo / "data_2d_h36m_gt.npz")
    result = run(*files, "--cameras", tmp_path / "c.json", "--out", tmp_path / "shards")
    assert result.exit_code == 1
    failures = [json.loads(x) for x in (tmp_path / "shards/manifests/failures.jsonl").read_text().splitlines()]
    assert {row["reason"] for row in failures} >= {"no camera"}
    assert {row["reason"] for row in failures} & {"cameras do not fit", "behind the camera"}
    assert len(failures) == 6 * 3 * 2 + 3 * 4


def test_positions_without_cameras_or_with_two_detections_say_what_to_type(demo, tmp_path):
    (tmp_path / "data_3d_h36m.npz").write_bytes((demo / "data_3d_h36m.npz").read_bytes())
    assert "--cameras" in run("--h36m", tmp_path, "--out", tmp_path / "o").stderr
    several = run("--h36m", demo / "data_3d_h36m.npz", "--out", tmp_path / "o").stderr
    assert "--detections" in several
    assert "data_2d_h36m_gt.npz" in several
    builds = run("--h36m", demo, "--out", tmp_path / "o").stderr
    assert f"--h36m {demo / PICKLE}" in builds


def test_detections_of_other_joints_are_refused(demo, tmp_path):
    for joints, sides, layout in ((16, [[1, 2], [3, 4]], "mpii"), (17, [[1, 3, 5], [2, 4, 6]], "coco")):
        metadata = {"layout_name": layout, "num_joints": joints, "keypoints_symmetry": sides}
        np.savez(tmp_path / "d.npz", positions_2d=np.array({}, dtype=object), metadata=np.array(metadata, dtype=object))
        result = run("--h36m", demo / "data_3d_h36m.npz", "--detections", tmp_path / "d.npz", "--out", tmp_path / "o")
        assert result.exit_code == 1
        assert layout in result.stderr


# --- and scored -------------------------------------------------------------------------------


def scored(path, videos, shards, *options):
    np.savez(path, **videos)
    result = CliRunner().invoke(
        score_main, ["score", str(path), "--data", str(shards.folder), "--format", "json", *options]
    )
    assert result.exit_code == 0, result.stderr
    return json.loads(result.stdout)


def test_millimetres_straight_from_the_files_score_zero_and_left_out_takes_do_not_count(demo, a, b, tmp_path):
    fields = loaded(demo)["test"]
    source = np.array(fields["source"])
    truth_b = {name: fields["joints_2.5d_image"][source == name].astype(np.float64) for name in sorted(set(source))}
    world = np.load(demo / "data_3d_h36m.npz", allow_pickle=True)["positions_3d"].item()
    kept = [0, 1, 2, 3, 6, 7, 8, 12, 13, 14, 15, 17, 18, 19, 25, 26, 27]
    truth_a = {
        name: 1000
        * world_to_camera(
            world[row["subject"]][row["extra"]["take"]][:, kept].astype(np.float64),
            place_of(int(row["subject"][1:]), camera_named(row["extra"]["camera"])),
        )
        for name, (row, _, _) in videos(a).items()
        if row["split"] == "test"
    }
    for shards, truth, left_out, actions in (
        (b, truth_b, "s_09_act_05_subact_02", {"Greeting", "Directions", "Walking"}),
        (a, truth_a, "S11_Directions.", {"Greeting", "Directions", "Walking"}),
    ):
        perfect = scored(tmp_path / "perfect.npz", truth, shards, "--window", "10")
        assert perfect["mpjpe_mm"] < 0.01
        assert set(perfect["actions"]) == actions
        wrong = {n: v + 1e6 * np.arange(17)[:, None] if left_out in n else v for n, v in truth.items()}
        assert scored(tmp_path / "wrong.npz", wrong, shards, "--window", "10")["mpjpe_mm"] < 0.01
        moved = {n: v + np.array([30.0, 0, 40.0]) * (np.arange(17) > 0)[:, None] for n, v in truth.items()}
        off = scored(tmp_path / "moved.npz", moved, shards, "--window", "10")["mpjpe_mm"]
        assert off == pytest.approx(50 * 16 / 17, abs=0.01)  # the root counts, with 0


# --- the folder that is made ------------------------------------------------------------------


def test_equal_builds_are_equal_bytes_and_a_second_one_does_nothing(demo, b, tmp_path):
    here = tmp_path / "elsewhere"
    here.mkdir()
    (here / PICKLE).write_bytes((demo / PICKLE).read_bytes())
    assert run("--h36m", here / PICKLE, "--out", tmp_path / "shards").exit_code == 0
    files = sorted(path.relative_to(b.folder) for path in b.folder.rglob("*") if path.is_file())
    assert files == sorted(p.relative_to(tmp_path / "shards") for p in (tmp_path / "shards").rglob("*") if p.is_file())
    assert all((b.folder / name).read_bytes() == (tmp_path / "shards" / name).read_bytes() for name in files)
    stamp = (tmp_path / "shards/index.json").stat().st_mtime_ns
    again = run("--h36m", here / PICKLE, "--out", tmp_path / "shards")
    assert "these shards existed already" in again.stderr
    assert (tmp_path / "shards/index.json").stat().st_mtime_ns == stamp


def test_the_result_can_be_inspected_and_validated(a, b):
    for shards, protocol in ((a, "h36m-a"), (b, "h36m-b")):
        shown = CliRunner().invoke(main, ["inspect", str(shards.folder)])
        assert protocol in shown.stdout
        assert "finetune_h36m" in shown.stderr
        data = json.loads(CliRunner().invoke(main, ["inspect", str(shards.folder), "--format", "json"]).stdout)
        assert data["protocols"] == [protocol]
        assert {file["layout"] for file in data["source"]} & {"motionbert-pickle", "videopose3d-3d"}
        checked = CliRunner().invoke(main, ["validate", str(shards.folder), "--deep"])
        assert checked.exit_code == 0, checked.stdout
        rows = CliRunner().invoke(main, ["inspect", str(shards.folder), "--where", "subject=S9", "--format", "json"])
        assert {row["subject"] for row in json.loads(rows.stdout)} == {"S9"}
        status = CliRunner().invoke(main, ["status", "--out", str(shards.folder), "--format", "json"])
        assert json.loads(status.stdout)[0]["rows"] == "84 videos"


def test_a_preview_shows_the_person_upright_as_the_camera_sees_them(a, b):
    for shards in (a, b):
        clip = find_clip(shards.folder)
        assert clip.title.startswith(str(shards.motions["motion_id"][0]))
        head, pelvis, ankle = (clip.frames[:, j, 2].mean() for j in (10, 0, 3))
        assert 0.4 < head - pelvis < 1.0
        assert 0.5 < pelvis - ankle < 1.2
        seen = to_camera(clip.frames, camera_matrix("front", clip.heading))
        stored = shards.motion_frames(0)
        assert np.corrcoef(seen[..., 0].ravel(), stored[..., 0].ravel())[0, 1] > 0.99
    with pytest.raises(UserError, match="no video 'h36m/walk'"):
        find_clip(b.folder, "h36m/walk")


def test_dry_run_names_files_and_writes_nothing(demo, tmp_path):
    result = run("--h36m", demo / PICKLE, "--out", tmp_path / "o", "--dry-run", "--format", "json")
    (file,) = json.loads(result.stdout)
    assert file["protocols"] == ["h36m-b"]
    assert file["counts"]["test_videos"] == 24
    assert file["sha256"].startswith("sha256:")
    assert not (tmp_path / "o").exists()
    table = run(
        "--h36m", demo / "data_3d_h36m.npz", "--detections", demo / "data_2d_h36m_gt.npz", "--out", "o", "--dry-run"
    )
    assert [line.split()[1] for line in table.stdout.splitlines()[2:]] == [
        "videopose3d-3d",
        "metadata-xml",
        "videopose3d-2d",
    ]


def test_a_folder_of_something_else_is_not_overwritten(demo, tmp_path):
    (tmp_path / "thesis.txt").write_text("three years")
    result = run("--h36m", demo / PICKLE, "--out", tmp_path)
    assert result.exit_code == 1
    assert "never overwrites" in result.stderr
    assert (tmp_path / "thesis.txt").exists()


def test_videos_are_cut_one_at_a_time_beside_what_the_pickle_holds(demo):
    content = read_content(demo / PICKLE)
    held = sum(array.nbytes for split in content.splits for array in (split.joint_2d, split.image))
    cut = motions(content)
    next(cut)  # before the first, some frames of the whole file are looked at
    tracemalloc.start()
    try:
        for video in cut:
            del video
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < held / 10

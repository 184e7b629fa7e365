"""MotionBERT's pickle, protocol B: every frame comes back, copies that differ give the same, one bad video is one."""

from __future__ import annotations

import json
import pickle
from collections import Counter

import numpy as np
import pytest

from actionpose.geometry import root_relative
from actionpose.shards import ShardSet
from pipeline.h36m.build import build_h36m, open_h36m
from pipeline.h36m.motionbert import read_content
from tests.makers.h36m import PICKLE, dumped, loaded, near, run, same_frames, videos
from tests.makers.screen import screen_to_pixel

MODULES = (b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


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


def test_what_does_not_fit_together_is_reported(demo, tmp_path):
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
    shrunk = [n for n, s in enumerate(data["train"]["source"]) if s == data["train"]["source"][0]]
    data["train"]["joint3d_image"][shrunk] = data["train"]["joint3d_image"][shrunk, :1]
    result = run("--h36m", dumped(tmp_path / "x.pkl", data), "--out", tmp_path / "shards")
    assert result.exit_code == 1
    rows = [json.loads(line) for line in (tmp_path / "shards/manifests/failures.jsonl").read_text().splitlines()]
    assert Counter(row["reason"] for row in rows) == {
        "no scale": 1,
        "not finite": 1,
        "subject does not belong to train": 4,
        "unknown camera": 4,
        "unreadable name": 4,
    }
    assert [row["id"] for row in rows if row["reason"] == "not finite"] == ["h36m/s_11_act_14_subact_01_ca_01"]
    assert len(ShardSet(tmp_path / "shards").motions["motion_id"]) == 84 - len(rows) == 84 - 14

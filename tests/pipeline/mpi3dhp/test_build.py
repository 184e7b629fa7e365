"""MPI-INF-3DHP: from files in the published layout to shards, whole command; facts as data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.shards import ShardSet
from pipeline.demo.mpi3dhp import write_demo_3dhp
from pipeline.mpi3dhp.build import table_fingerprint
from pipeline.mpi3dhp.geometry import from_h36m
from pipeline.sources.facts import manifests_folder, table
from tests.makers.mpi3dhp import content, row_of, run
from tests.makers.screen import screen_to_pixel

FACTS = table("mpi_inf_3dhp")


def test_every_video_of_both_files_is_in_the_shards_under_its_split(files: Path, shards: ShardSet):
    ids = shards.motions["motion_id"].tolist()
    train, test = content(files / "data_train_3dhp.npz"), content(files / "data_test_3dhp.npz")
    wanted = [f"3dhp/{key.replace(' ', '_')}_cam{camera}" for key in train for camera in train[key][0]]
    assert sorted(ids) == sorted(wanted + [f"3dhp/{key}" for key in test])
    for row, name in enumerate(ids):
        assert shards.motions["split"][row] == ("test" if name.startswith("3dhp/TS") else "train")
        assert shards.motions["dataset"][row] == "MPI-INF-3DHP"


def test_2d_and_3d_go_back_to_the_files_numbers_with_each_sequences_own_picture(files: Path, shards: ShardSet):
    test = content(files / "data_test_3dhp.npz")
    for name, size in (("TS1", (2048, 2048)), ("TS4", (2048, 2048)), ("TS5", (1920, 1080)), ("TS6", (1920, 1080))):
        row = row_of(shards, f"3dhp/{name}")
        start, stop = shards.motions["start"][row], shards.motions["stop"][row]
        extra = shards.motions["extra"][row]
        assert (extra["width"], extra["height"]) == size
        assert extra["unit_mm"] == 1024.0
        assert extra.get("legacy_unit_mm") == (960.0 if size[0] == 1920 else None)
        pose2d = from_h36m(frames_2d(shards, row))
        np.testing.assert_allclose(screen_to_pixel(pose2d[..., :2], *size), test[name]["data_2d"], atol=2e-3)
        np.testing.assert_array_equal(pose2d[..., 2], 1)
        pose3d = from_h36m(shards.motion_frames(row)) * 1024.0
        np.testing.assert_allclose(pose3d, test[name]["data_3d"], atol=2e-3)
        assert stop - start == len(test[name]["data_3d"])


def frames_2d(shards: ShardSet, row: int) -> np.ndarray:
    import h5py

    path = shards.folder / ("test-00000.h5" if shards.motions["split"][row] == "test" else "train-00000.h5")
    with h5py.File(path) as file:
        ids = file["motions"]["motion_id"].asstr()[:].tolist()
        at = ids.index(shards.motions["motion_id"][row])
        return file["pose2d"][file["motions"]["start"][at] : file["motions"]["stop"][at]]


def test_the_frames_to_score_are_the_files_valid_frames_as_runs(files: Path, shards: ShardSet):
    test = content(files / "data_test_3dhp.npz")
    for name, clip in test.items():
        runs = shards.motions["extra"][row_of(shards, f"3dhp/{name}")]["valid"]
        frames = np.concatenate([np.arange(first, stop) for first, stop in runs])
        np.testing.assert_array_equal(frames, np.flatnonzero(clip["valid"]))
    assert "valid" not in shards.motions["extra"][row_of(shards, "3dhp/S1_Seq1_cam0")]


def test_rates_stay_as_stored_and_frames_are_not_resampled(files: Path, shards: ShardSet):
    train = content(files / "data_train_3dhp.npz")
    rates = {"S1_Seq1": 25.0, "S1_Seq2": 50.0, "S3_Seq1": 50.0}
    for name, fps in rates.items():
        row = row_of(shards, f"3dhp/{name}_cam2")
        assert shards.motions["fps_true"][row] == fps
        n = len(train[name.replace("_", " ")][0]["2"]["data_3d"])
        assert shards.motions["stop"][row] - shards.motions["start"][row] == n


def test_the_same_files_give_the_same_bytes_and_a_second_build_finds_them(
    files: Path, shards: ShardSet, tmp_path: Path
):
    again = run("build-3dhp", "--mpi-inf-3dhp", files, "--out", tmp_path / "again", "--format", "json")
    assert json.loads(again.stdout)["fingerprint"] == shards.index["fingerprint"]
    third = run("build-3dhp", "--mpi-inf-3dhp", files, "--out", tmp_path / "again", "--format", "json")
    assert json.loads(third.stdout)["fresh"] is False


def test_a_dry_run_says_what_the_files_are_and_writes_nothing(files: Path, tmp_path: Path):
    result = run("build-3dhp", "--mpi-inf-3dhp", files, "--out", tmp_path / "x", "--dry-run", "--format", "json")
    found = {row["layout"]: row for row in json.loads(result.stdout)}
    assert set(found) == {"pstmo-train-npz", "pstmo-test-npz"}
    assert found["pstmo-train-npz"]["counts"]["videos"] == 18
    assert found["pstmo-test-npz"]["protocols"] == ["3dhp"]
    assert found["pstmo-test-npz"]["sha256"].startswith("sha256:")
    assert list(tmp_path.iterdir()) == []


def test_the_tables_hold_the_published_counts():
    test = {row["name"]: row for row in FACTS["test"]["video"]}
    assert [test[f"TS{n}"]["valid"] for n in range(1, 7)] == [603, 540, 505, 553, 276, 452]
    assert sum(row["valid"] for row in test.values()) == 2929
    assert sum(row["frames"] for row in test.values()) == 24_888
    train = FACTS["train"]["video"]
    assert len(train) == FACTS["train"]["sequences"] == 16
    assert sum(row["frames"] for row in train) == 131_592
    assert {row["name"] for row in train if row["fps"] == 50} == {
        "S1_Seq2", "S3_Seq1", "S3_Seq2", "S5_Seq1", "S5_Seq2",
    }  # fmt: skip
    assert len(FACTS["train"]["cameras"]) == 8
    assert len(FACTS["score"]["scored"]) == 14
    assert set(range(17)) - set(FACTS["score"]["scored"]) == {
        FACTS["joints"]["names"].index(name) for name in ("pelvis", "spine", "head")
    }
    first, last, step = FACTS["score"]["auc_mm"]
    assert len(range(first, last + 1, step)) == 31


def test_every_key_of_the_table_is_explained_on_top_of_it_and_every_fact_has_its_reason():
    lines = (manifests_folder() / "mpi_inf_3dhp.toml").read_text(encoding="utf-8").splitlines()
    top = "\n".join(lines[: lines.index("")])
    assert {key for key in keys(FACTS) if key not in top} == set()
    for section in ("picture", "unit", "joints", "score", "annotation", "train", "test"):
        assert len(FACTS[section]["reason"]) > 20, section
    assert all(row["reason"] for row in [*FACTS["intrinsics"], *FACTS["picture"]["exceptions"]])


def test_better_words_make_no_shards_stale_but_other_facts_do(monkeypatch: pytest.MonkeyPatch):
    before = table_fingerprint()
    changed = json.loads(json.dumps(FACTS))
    monkeypatch.setattr("pipeline.mpi3dhp.build.table", lambda name: changed)
    changed["unit"]["reason"] = "said better"
    changed["picture"]["exceptions"][0]["reason"] = "said better"
    assert table_fingerprint() == before
    changed["picture"]["exceptions"][0]["width"] = 1280
    assert table_fingerprint() != before


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_the_look_alikes_are_small_and_the_same_bytes_every_time(filmed: ShardSet, files: Path, tmp_path: Path):
    for path in write_demo_3dhp(tmp_path, filmed).values():
        assert path.read_bytes() == (files / path.name).read_bytes()
        assert path.stat().st_size < 5_000_000

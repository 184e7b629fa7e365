"""MPI-INF-3DHP: from files in the published layout to shards, whole command; copies that differ; facts as data."""

from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from actionpose.errors import UserError
from actionpose.geometry import screen_to_pixel
from actionpose.shards import ShardSet
from actionpose.skeleton import FLIP_ORDER, LEFT, PARENTS, RIGHT
from cli.data import main
from pipeline.demo.mpi3dhp import write_demo_3dhp
from pipeline.engine.manifest import FailureRow, read_rows
from pipeline.mpi3dhp import build as mpi3dhp
from pipeline.mpi3dhp.geometry import from_h36m, joint_order, to_h36m
from pipeline.sources.facts import manifests_folder, table
from tests.makers.shards import make_shards

FACTS = table("mpi_inf_3dhp")


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


@pytest.fixture(scope="module")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    return ShardSet(make_shards(tmp_path_factory.mktemp("filmed"), (70, 65, 80, 74, 60, 75), splits=("train", "val")))


@pytest.fixture(scope="module")
def files(filmed: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("3dhp")
    write_demo_3dhp(folder, filmed)
    return folder


@pytest.fixture(scope="module")
def shards(files: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    out = tmp_path_factory.mktemp("built") / "shards"
    result = run("build-3dhp", "--mpi-inf-3dhp", files, "--out", out)
    assert result.exit_code == 0, result.output
    return ShardSet(out)


def content(path: Path) -> dict[str, Any]:
    """What a file of the tests' own making holds."""
    with np.load(path, allow_pickle=True) as archive:
        return archive["data"].item()


def rewritten(files: Path, folder: Path, change: Callable[[dict[str, Any]], Any], split: str = "train") -> Path:
    """One file with other content, alone in a folder."""
    data = change(content(files / f"data_{split}_3dhp.npz"))
    folder.mkdir(exist_ok=True)
    path = folder / f"data_{split}_3dhp.npz"
    np.savez(path, data=np.array(data, dtype=object))
    return path


def row_of(shards: ShardSet, motion_id: str) -> int:
    return shards.motions["motion_id"].tolist().index(motion_id)


# --- the whole command ------------------------------------------------------------------------


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


def test_counts_that_differ_from_the_published_files_are_named_with_both_numbers(files: Path):
    problems = {x.contents.split: " | ".join(x.file.problems) for x in mpi3dhp.chosen(files)}
    n = len(content(files / "data_train_3dhp.npz")["S1 Seq1"][0]["0"]["data_3d"])
    assert f"S1_Seq1 {n} instead of 6,416" in problems["train"]
    assert "10 of 16 sequences are missing" in problems["train"]
    assert "S1_Seq1 has 0, 2, 8" in problems["train"]
    test = content(files / "data_test_3dhp.npz")
    assert f"TS1 {int(test['TS1']['valid'].sum())} instead of 603" in problems["test"]


# --- which 3D ---------------------------------------------------------------------------------


def test_annot3_is_told_from_univ_annot3_by_geometry_and_permits_no_protocol(filmed: ShardSet, tmp_path: Path):
    write_demo_3dhp(tmp_path / "metric", filmed, annotation="metric")
    looks = mpi3dhp.chosen(tmp_path / "metric")
    assert [x.kind for x in looks] == ["metric", "metric"]
    assert all(x.annotation.as_is_px < 0.1 for x in looks)
    assert [x.file.protocols for x in looks] == [(), ()]
    assert "annot3 permits no protocol" in " ".join(looks[0].file.problems)


def test_one_person_filmed_as_they_are_under_many_names_is_still_metric(tmp_path: Path):
    one = ShardSet(make_shards(tmp_path / "one", (70,), splits=("train", "val")))
    write_demo_3dhp(tmp_path / "metric", one, annotation="metric")
    write_demo_3dhp(tmp_path / "universal", one)
    assert [x.kind for x in mpi3dhp.chosen(tmp_path / "metric")] == ["metric", "metric"]
    assert [x.kind for x in mpi3dhp.chosen(tmp_path / "universal")] == ["universal", "universal"]


@pytest.mark.parametrize("annotation", ["universal", "metric"])
def test_the_judgement_survives_noisy_and_distorted_2d(annotation: str, filmed: ShardSet, tmp_path: Path):
    write_demo_3dhp(tmp_path / "clean", filmed, annotation=annotation)
    rng = np.random.default_rng(0)

    def damage(data: dict[str, Any]) -> dict[str, Any]:
        for clip in data.values():
            x = (clip["data_2d"] - 1024) / 1500
            clip["data_2d"] = (x * (1 - 0.1 * (x**2).sum(-1, keepdims=True))) * 1500 + 1024 + rng.normal(0, 5, x.shape)
        return data

    assert mpi3dhp.look(rewritten(tmp_path / "clean", tmp_path / "f", damage, "test")).kind == annotation


def test_the_scale_that_was_taken_out_of_each_subject_is_found(files: Path):
    (train, _) = mpi3dhp.chosen(files)
    assert train.kind == "universal"
    assert train.annotation.height_spread < 0.02
    by_subject: dict[str, set[float]] = {}
    for key, (cameras, _) in content(files / "data_train_3dhp.npz").items():
        for clip in cameras.values():
            best = best_scale(clip["data_2d"].astype(float), clip["data_3d"].astype(float))
            by_subject.setdefault(key[:2], set()).add(best)
    for subject, scales in by_subject.items():
        assert abs(train.annotation.scales[subject] - np.median(list(scales))) < 0.01


def best_scale(pose2d: np.ndarray, pose3d: np.ndarray) -> float:
    """Independent of the reader: which scale about the pelvis makes the true camera's picture."""
    scales = np.arange(0.8, 1.25, 0.002)
    pelvis = pose3d[:, 14:15]
    errors = []
    for k in scales:
        points = pelvis + k * (pose3d - pelvis)
        pixels = points[..., :2] / points[..., 2:] * np.array([1497.7, 1497.1]) + 1024
        errors.append(np.abs(pixels - pose2d).mean())
    return float(scales[int(np.argmin(errors))])


def test_3d_that_is_root_relative_is_not_judged_until_the_user_says(files: Path, tmp_path: Path):
    def centred(data: dict[str, Any]) -> dict[str, Any]:
        for cameras, _ in data.values():
            for clip in cameras.values():
                clip["data_3d"] = clip["data_3d"] - clip["data_3d"][:, 14:15]
        return data

    path = rewritten(files, tmp_path / "f", centred)
    (looked,) = mpi3dhp.chosen(path)
    assert looked.kind == "unknown"
    assert "--annotation universal" in " ".join(looked.file.problems)
    (chosen,) = mpi3dhp.chosen(path, "universal")
    assert chosen.file.protocols == ("3dhp",)


def test_training_on_one_kind_beside_testing_on_the_other_is_refused(files: Path, filmed: ShardSet, tmp_path: Path):
    write_demo_3dhp(tmp_path / "f", filmed, annotation="metric")
    shutil.copy(files / "data_train_3dhp.npz", tmp_path / "f")
    result = run("build-3dhp", "--mpi-inf-3dhp", tmp_path / "f", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "data_train_3dhp.npz: universal; data_test_3dhp.npz: metric" in result.stderr


# --- copies that differ -----------------------------------------------------------------------


def as_int_cameras(data: dict[str, Any]) -> dict[str, Any]:
    return {key: [{int(camera): clip for camera, clip in cams.items()}, fps] for key, (cams, fps) in data.items()}


def as_numpy_cameras(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: ({np.int64(c): clip for c, clip in cams.items()}, np.float64(fps)) for key, (cams, fps) in data.items()
    }


def as_underscored(data: dict[str, Any]) -> dict[str, Any]:
    return {key.replace(" ", "_").lower(): value for key, value in data.items()}


def as_bytes(data: dict[str, Any]) -> dict[str, Any]:
    return {key.replace(" ", "/").encode(): value for key, value in data.items()}


def as_object_pairs(data: dict[str, Any]) -> dict[str, Any]:
    pairs = {}
    for key, (cameras, fps) in data.items():
        pairs[key] = np.empty(2, dtype=object)
        pairs[key][:] = [cameras, fps]
    return pairs


def as_double_and_flat(data: dict[str, Any]) -> dict[str, Any]:
    for cameras, _ in data.values():
        for clip in cameras.values():
            clip["data_3d"] = clip["data_3d"].astype(np.float64).reshape(len(clip["data_3d"]), 1, 17, 3)
            clip["data_2d"] = clip["data_2d"].astype(np.float64).reshape(len(clip["data_2d"]), 34)
    return data


def as_renamed(data: dict[str, Any]) -> dict[str, Any]:
    return {
        key: [{c: {"annot2": clip["data_2d"], "univ_annot3": clip["data_3d"]} for c, clip in cams.items()}, fps]
        for key, (cams, fps) in data.items()
    }


def as_metres(data: dict[str, Any]) -> dict[str, Any]:
    for cameras, _ in data.values():
        for clip in cameras.values():
            clip["data_3d"] = clip["data_3d"] / np.float32(1000)
    return data


def as_h36m_order(data: dict[str, Any]) -> dict[str, Any]:
    for cameras, _ in data.values():
        for clip in cameras.values():
            clip["data_2d"], clip["data_3d"] = to_h36m(clip["data_2d"]), to_h36m(clip["data_3d"])
    return data


def without_rates(data: dict[str, Any]) -> dict[str, Any]:
    return {key: cameras for key, (cameras, _) in data.items()}


@pytest.mark.parametrize(
    "change",
    [
        as_int_cameras, as_numpy_cameras, as_underscored, as_bytes, as_object_pairs, as_double_and_flat, as_renamed,
        as_metres, as_h36m_order, without_rates,
    ],
)  # fmt: skip
def test_training_files_that_say_the_same_in_other_words_give_the_same_videos(
    change: Callable[[dict[str, Any]], Any], files: Path, tmp_path: Path
):
    plain = mpi3dhp.chosen(files / "data_train_3dhp.npz")[0]
    (other,) = mpi3dhp.chosen(rewritten(files, tmp_path / "f", change))
    ours, theirs = list(mpi3dhp.motions(plain)), list(mpi3dhp.motions(other))
    assert len(ours) == len(theirs) == 18
    for a, b in zip(ours, theirs, strict=True):
        assert (a.motion_id, a.fps_true, a.facts) == (b.motion_id, b.fps_true, b.facts)
        np.testing.assert_allclose(a.pose3d, b.pose3d, atol=1e-6)
        np.testing.assert_allclose(a.pose2d, b.pose2d, atol=1e-6)


@pytest.mark.parametrize(
    "form",
    [
        lambda v: v[:, None], lambda v: v[None], lambda v: v.astype(bool), lambda v: v.astype(np.uint8),
        lambda v: v.astype(int).tolist(),
    ],
)  # fmt: skip
def test_valid_flags_are_read_in_every_shape_and_type(form: Callable[[np.ndarray], Any], files: Path, tmp_path: Path):
    def change(data: dict[str, Any]) -> dict[str, Any]:
        return {key: {**clip, "valid": form(clip["valid"])} for key, clip in data.items()}

    (looked,) = mpi3dhp.chosen(rewritten(files, tmp_path / "f", change, "test"))
    plain = mpi3dhp.chosen(files / "data_test_3dhp.npz")[0]
    assert looked.file.counts == plain.file.counts


def test_one_spoilt_video_is_recorded_with_its_reason_and_the_others_go_on(files: Path, tmp_path: Path):
    def damage(data: dict[str, Any]) -> dict[str, Any]:
        data["S1 Seq1"][0]["0"]["data_3d"] = data["S1 Seq1"][0]["0"]["data_3d"][:-3]
        data["S1 Seq1"][0]["2"].pop("data_2d")
        data["S2 Seq1"][0]["0"]["data_3d"] = data["S2 Seq1"][0]["0"]["data_3d"][:, :16]
        data["S2 Seq1"][0]["2"]["data_3d"][7, 3] = np.nan
        data["S3 Seq2"][0]["8"]["data_3d"] = data["S3 Seq2"][0]["8"]["data_3d"][:, ::-1]
        data["S3 Seq1"] = "nothing"
        data["notes"] = "made by hand"
        return data

    path = rewritten(files, tmp_path / "f", damage)
    result = run("build-3dhp", "--mpi-inf-3dhp", path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    rows = read_rows(tmp_path / "out" / "manifests" / "failures.jsonl", FailureRow)
    assert {row.id: row.reason for row in rows} == {
        "3dhp/S1_Seq1_cam0": "lengths differ",
        "3dhp/S1_Seq1_cam2": "member missing",
        "3dhp/S2_Seq1_cam0": "wrong shape",
        "3dhp/S2_Seq1_cam2": "not finite",
        "3dhp/S3_Seq2_cam8": "unknown joint order",
        "3dhp/S3_Seq1": "no cameras",
        "3dhp/notes": "unknown key",
    }
    assert len(ShardSet(tmp_path / "out").motions["start"]) == 18 - 5 - 3


def test_official_test_folders_give_the_same_videos_as_the_converted_file(files: Path, tmp_path: Path):
    import h5py

    for name, clip in content(files / "data_test_3dhp.npz").items():
        (tmp_path / "set" / name).mkdir(parents=True)
        with h5py.File(tmp_path / "set" / name / "annot_data.mat", "w", userblock_size=512) as file:
            file["annot2"] = clip["data_2d"][:, None]
            file["univ_annot3"] = clip["data_3d"][:, None]
            file["annot3"] = clip["data_3d"][:, None] * 1.1
            file["valid_frame"] = clip["valid"][:, None]
    converted = mpi3dhp.chosen(files / "data_test_3dhp.npz")
    official = mpi3dhp.chosen(tmp_path / "set")
    assert len(official) == 6
    ours = [motion for looked in converted for motion in mpi3dhp.motions(looked)]
    theirs = [motion for looked in official for motion in mpi3dhp.motions(looked)]
    assert [(a.motion_id, a.facts) for a in ours] == [(b.motion_id, b.facts) for b in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.pose3d, b.pose3d)


# --- files that are something else ------------------------------------------------------------


class _Payload:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return (Path.touch, (self.target,))


def test_a_pickle_with_a_payload_is_refused_and_not_run(tmp_path: Path):
    witness = tmp_path / "witness"
    path = tmp_path / "f" / "data_train_3dhp.npz"
    path.parent.mkdir()
    np.savez_compressed(path, data=np.array({"S1 Seq1": _Payload(witness)}, dtype=object))
    result = run("build-3dhp", "--mpi-inf-3dhp", path.parent, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "is refused" in result.stderr
    assert "data_train_3dhp.npz" in result.stderr
    assert not witness.exists()
    pickle.loads(pickle.dumps(_Payload(witness)))
    assert witness.exists(), "the payload would have worked"


@pytest.mark.parametrize("share", [0.02, 0.5, 0.97])
def test_a_truncated_file_is_refused_by_name(share: float, files: Path, tmp_path: Path):
    whole = (files / "data_test_3dhp.npz").read_bytes()
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "data_test_3dhp.npz").write_bytes(whole[: int(share * len(whole))])
    shutil.copy(files / "data_train_3dhp.npz", tmp_path / "f")
    result = run("build-3dhp", "--mpi-inf-3dhp", tmp_path / "f", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "data_test_3dhp.npz is damaged or cut short" in result.stderr
    assert not (tmp_path / "out").exists()


def test_flipped_bytes_are_noticed(files: Path, tmp_path: Path):
    data = bytearray((files / "data_train_3dhp.npz").read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 40):
        data[at] ^= 0xFF
    path = tmp_path / "data_train_3dhp.npz"
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged"):
        mpi3dhp.look(path)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("data_test_3dhp.npz", b"<!DOCTYPE html><title>Log in</title>", "is a web page"),
        ("data_test_3dhp.npz", b"version https://git-lfs.github.com/spec/v1\n", "Git LFS pointer"),
        ("data_test_3dhp.npz", pickle.dumps({"TS1": 1}), "is a Python pickle"),
        ("data_test_3dhp.npz", b"", "is empty"),
        ("annot.mat", b"MATLAB 5.0 MAT-file, Platform: PCWIN64" + bytes(600), "official training annotation"),
        ("annot_data.mat", b"MATLAB 7.3 MAT-file" + bytes(600), "damaged or cut short"),
    ],
)
def test_what_people_give_instead_is_refused_by_name(name: str, data: bytes, reason: str, tmp_path: Path):
    (tmp_path / name).write_bytes(data)
    result = run("build-3dhp", "--mpi-inf-3dhp", tmp_path, "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert name in result.stderr
    assert reason in result.stderr


@pytest.mark.parametrize(
    ("members", "reason"),
    [
        ({"positions_3d": np.zeros(1)}, "Human3.6M"),
        ({"imgname": np.zeros(1), "S": np.zeros(1)}, "single pictures"),
        ({"poses": np.zeros((2, 156)), "trans": np.zeros((2, 3))}, "AMASS"),
        ({"data": np.zeros(3)}, "not a dictionary of videos"),
        ({"data": np.array({"a": 1, "b": 2}, dtype=object)}, "no videos of MPI-INF-3DHP"),
        ({"data": np.array({"TS1": 1, "S1 Seq1": 2}, dtype=object)}, "mixed"),
        ({"x": np.zeros(1), "y": np.zeros(1)}, "no member 'data'"),
    ],
)
def test_other_npz_files_are_named_for_what_they_are(members: dict[str, Any], reason: str, tmp_path: Path):
    path = tmp_path / "data_train_3dhp.npz"
    np.savez(path, **members)
    with pytest.raises(UserError, match="data_train_3dhp") as caught:
        mpi3dhp.look(path)
    assert reason in caught.value.message


def test_two_files_with_the_same_videos_are_not_both_taken(files: Path, tmp_path: Path):
    shutil.copytree(files, tmp_path / "f")
    shutil.copy(files / "data_test_3dhp.npz", tmp_path / "f" / "copy.npz")
    result = run("build-3dhp", "--mpi-inf-3dhp", tmp_path / "f", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "both hold 3dhp/TS1" in result.stderr


def test_a_folder_that_is_not_there_or_empty_says_where_the_files_come_from(tmp_path: Path):
    for place in (tmp_path, tmp_path / "nowhere"):
        result = run("build-3dhp", "--mpi-inf-3dhp", place, "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert "P-STMO" in result.stderr


# --- facts --------------------------------------------------------------------------------------


def test_the_permutation_goes_both_ways_and_keeps_sides_and_bones():
    order = FACTS["joints"]["to_h36m"]
    assert sorted(order) == list(range(17))
    pose = np.random.default_rng(0).normal(size=(5, 17, 3))
    np.testing.assert_array_equal(from_h36m(to_h36m(pose)), pose)
    np.testing.assert_array_equal(to_h36m(from_h36m(pose)), pose)
    assert sorted(order[joint] for joint in LEFT) == sorted(FACTS["joints"]["left"])
    assert sorted(order[joint] for joint in RIGHT) == sorted(FACTS["joints"]["right"])
    names = FACTS["joints"]["names"]
    for joint, other in enumerate(FLIP_ORDER):
        ours, theirs = names[order[joint]], names[order[other]]
        assert theirs == ours.replace("left", "#").replace("right", "left").replace("#", "right")
    for joint, parent in enumerate(PARENTS):
        assert FACTS["joints"]["parents"][order[joint]] == (order[parent] if parent >= 0 else -1)


def test_the_joint_order_is_seen_in_the_poses(files: Path):
    pose = content(files / "data_test_3dhp.npz")["TS1"]["data_3d"].astype(float)
    assert joint_order(pose) == "3dhp"
    assert joint_order(to_h36m(pose)) == "h36m"
    assert joint_order(pose[:, ::-1]) is None


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
    before = mpi3dhp.table_fingerprint()
    changed = json.loads(json.dumps(FACTS))
    monkeypatch.setattr(mpi3dhp, "table", lambda name: changed)
    changed["unit"]["reason"] = "said better"
    changed["picture"]["exceptions"][0]["reason"] = "said better"
    assert mpi3dhp.table_fingerprint() == before
    changed["picture"]["exceptions"][0]["width"] = 1280
    assert mpi3dhp.table_fingerprint() != before


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


def test_the_28_joints_of_the_official_files_are_thinned_in_the_published_order(files: Path, tmp_path: Path):
    def widen(data: dict[str, Any]) -> dict[str, Any]:
        for cameras, _ in data.values():
            for clip in cameras.values():
                for member, channels in (("data_2d", 2), ("data_3d", 3)):
                    wide = np.full((len(clip[member]), 28, channels), 1e5, dtype=np.float32)
                    wide[:, FACTS["joints"]["from_28"]] = clip[member]
                    clip[member] = wide.reshape(len(wide), -1)
        return data

    (looked,) = mpi3dhp.chosen(rewritten(files, tmp_path / "f", widen))
    plain = mpi3dhp.chosen(files / "data_train_3dhp.npz")[0]
    for a, b in zip(mpi3dhp.motions(plain), mpi3dhp.motions(looked), strict=True):
        np.testing.assert_array_equal(a.pose3d, b.pose3d)


def test_the_look_alikes_are_small_and_the_same_bytes_every_time(filmed: ShardSet, files: Path, tmp_path: Path):
    for path in write_demo_3dhp(tmp_path, filmed).values():
        assert path.read_bytes() == (files / path.name).read_bytes()
        assert path.stat().st_size < 5_000_000

"""Copies that differ in spelling give the same videos; whatever else is given is refused by name."""

from __future__ import annotations

import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.shards import ShardSet
from pipeline.engine.manifest import FailureRow, read_rows
from pipeline.mpi3dhp.build import motions
from pipeline.mpi3dhp.geometry import to_h36m
from pipeline.mpi3dhp.recognise import chosen, look
from pipeline.sources.facts import table
from tests.makers.mpi3dhp import content, rewritten, run

FACTS = table("mpi_inf_3dhp")


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
    plain = chosen(files / "data_train_3dhp.npz")[0]
    (other,) = chosen(rewritten(files, tmp_path / "f", change))
    ours, theirs = list(motions(plain)), list(motions(other))
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

    (looked,) = chosen(rewritten(files, tmp_path / "f", change, "test"))
    plain = chosen(files / "data_test_3dhp.npz")[0]
    assert looked.file.counts == plain.file.counts


def test_one_unusable_video_is_recorded_with_its_reason_and_the_others_continue(files: Path, tmp_path: Path):
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
    converted = chosen(files / "data_test_3dhp.npz")
    official = chosen(tmp_path / "set")
    assert len(official) == 6
    ours = [motion for looked in converted for motion in motions(looked)]
    theirs = [motion for looked in official for motion in motions(looked)]
    assert [(a.motion_id, a.facts) for a in ours] == [(b.motion_id, b.facts) for b in theirs]
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(a.pose3d, b.pose3d)


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
    assert "data_test_3dhp.npz cannot be read" in result.stderr
    assert not (tmp_path / "out").exists()


def test_flipped_bytes_are_noticed(files: Path, tmp_path: Path):
    data = bytearray((files / "data_train_3dhp.npz").read_bytes())
    for at in range(len(data) // 2, len(data) // 2 + 40):
        data[at] ^= 0xFF
    path = tmp_path / "data_train_3dhp.npz"
    path.write_bytes(bytes(data))
    with pytest.raises(UserError, match="damaged"):
        look(path)


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
        look(path)
    assert reason in caught.value.message


def test_the_28_joints_of_the_official_files_are_thinned_in_the_published_order(files: Path, tmp_path: Path):
    def widen(data: dict[str, Any]) -> dict[str, Any]:
        for cameras, _ in data.values():
            for clip in cameras.values():
                for member, channels in (("data_2d", 2), ("data_3d", 3)):
                    wide = np.full((len(clip[member]), 28, channels), 1e5, dtype=np.float32)
                    wide[:, FACTS["joints"]["from_28"]] = clip[member]
                    clip[member] = wide.reshape(len(wide), -1)
        return data

    (looked,) = chosen(rewritten(files, tmp_path / "f", widen))
    plain = chosen(files / "data_train_3dhp.npz")[0]
    for a, b in zip(motions(plain), motions(looked), strict=True):
        np.testing.assert_array_equal(a.pose3d, b.pose3d)

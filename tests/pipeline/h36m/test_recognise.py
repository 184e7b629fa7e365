"""Files given to ap-data build-h36m that are something else, damaged, or meant to harm: refused in a sentence."""

from __future__ import annotations

import os
import re

import numpy as np
import pytest

from actionpose.errors import UserError
from pipeline.h36m.build import build_h36m, open_h36m
from pipeline.h36m.recognise import layout_of, recognise
from tests.makers.closed import close_folder
from tests.makers.h36m import PICKLE, dumped, loaded, run

# --- what the files are -----------------------------------------------------------------------


def test_files_are_recognised_by_content_whatever_they_are_called(demo, tmp_path):
    for name in os.listdir(demo):
        anonymous = tmp_path / "download (1)"
        anonymous.write_bytes((demo / name).read_bytes())
        assert layout_of(anonymous) == recognise(demo / name).layout != ""


def others(folder):
    """Files of other kinds under the wanted name, each with a word its refusal has to say."""
    clip = {"data_input": np.zeros((27, 17, 3)), "data_label": np.zeros((27, 17, 3))}
    frames = [{"videoid": 1, "cameraid": 0, "joint_3d_image": np.zeros((17, 3)), "subject": 1}]
    detections = {
        s: {"joint3d_image": np.zeros((4, 17, 3)), "confidence": np.zeros((4, 17, 1))} for s in ("train", "test")
    }
    yield dumped(folder / "clip.pkl", clip), "clips have neither"
    yield dumped(folder / "lcn.pkl", frames), "LCN"
    yield dumped(folder / "lcn_detections.pkl", detections), "LCN's detections"
    yield dumped(folder / "weights.pkl", {"weights": np.zeros(3)}), "no file|nothing this reader knows"
    for name, members, word in (
        ("mmpose.npz", {"imgname": np.zeros(1), "S": np.zeros(1), "part": np.zeros(1)}, "mmpose"),
        ("3dhp.npz", {"data": np.zeros(1)}, "build-3dhp"),
        ("amass.npz", {"poses": np.zeros((1, 156)), "trans": np.zeros(3)}, "build-babel"),
    ):
        np.savez(folder / name, **members)
        yield folder / name, word
    for name, content, word in (
        ("login.pkl", b"<!DOCTYPE html><html>log in</html>", "web page"),
        ("empty.pkl", b"", "empty"),
        ("text.pkl", b"hello", "nothing this reader knows"),
    ):
        (folder / name).write_bytes(content)
        yield folder / name, word


def test_another_file_is_refused_by_its_name_with_what_to_get(tmp_path):
    for path, word in others(tmp_path):
        result = run("--h36m", path, "--out", tmp_path / "o")
        assert result.exit_code == 1, path
        assert path.name in result.stderr
        assert re.search(word, result.stderr), (path, result.stderr)
        assert "bug" not in result.stderr
        assert "→" in result.stderr
    assert not (tmp_path / "o").exists()


def test_a_folder_of_clips_is_recognised_from_its_own_and_every_folder_above(tmp_path):
    clips = tmp_path / "MB3D_f243s81" / "H36M-SH" / "train"
    clips.mkdir(parents=True)
    for number in range(2):
        dumped(clips / f"{number:08d}.pkl", {"data_input": np.zeros((2, 17, 3)), "data_label": np.zeros(1)})
    for folder in (clips, *clips.parents[:3]):
        assert "a folder of clips" in run("--h36m", folder, "--out", tmp_path / "o").stderr, folder


def test_a_folder_that_may_not_be_read_is_named_where_nothing_is_found(tmp_path, monkeypatch):
    (tmp_path / "h36m" / "closed").mkdir(parents=True)
    close_folder(monkeypatch, tmp_path / "h36m" / "closed")
    said = run("--h36m", tmp_path / "h36m", "--out", tmp_path / "o").stderr
    assert "closed (cannot be read: Permission denied)" in said


def test_files_cut_short_are_refused_wherever_they_end(demo, tmp_path):
    for name in (PICKLE, "data_3d_h36m.npz"):
        whole = (demo / name).read_bytes()
        for share in (0.001, 0.3, 0.7, 0.999):
            path = tmp_path / f"cut-{name}"
            path.write_bytes(whole[: int(share * len(whole))])
            result = run("--h36m", path, "--cameras", demo / "metadata.xml", "--out", tmp_path / "o")
            assert result.exit_code == 1
            assert path.name in result.stderr
            assert "bug" not in result.stderr, result.stderr


class Payload:
    """Runs a command when it is unpickled the usual way."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("protocol", [0, 2, 4])
def test_a_pickle_that_would_run_something_is_refused_and_runs_nothing(demo, tmp_path, protocol):
    mark = tmp_path / "ran"
    evil = dumped(tmp_path / "evil.pkl", {"train": {"joint_2d": Payload(mark)}, "test": {}}, protocol)
    np.savez(tmp_path / "evil.npz", positions_3d=np.array({"S1": {"Walking": Payload(mark)}}, dtype=object))
    np.savez(tmp_path / "evil2.npz", positions_2d=np.array(Payload(mark), dtype=object), metadata=np.zeros(1))
    positions = ("--h36m", demo / "data_3d_h36m.npz", "--detections", tmp_path / "evil2.npz")
    evil_cameras = dumped(
        tmp_path / "cameras.pkl", {("S1", "54138969"): dict.fromkeys("RTfc", Payload(mark))}, protocol
    )
    for arguments in (
        ("--h36m", evil),
        ("--h36m", tmp_path / "evil.npz", "--cameras", demo / "metadata.xml"),
        positions,
        ("--h36m", demo / "data_3d_h36m.npz", "--cameras", evil_cameras),
    ):
        result = run(*arguments, "--out", tmp_path / "o")
        assert result.exit_code == 1
        assert "is refused" in result.stderr or "no cameras" in result.stderr, result.stderr
    assert not mark.exists()


@pytest.mark.parametrize("packed", [True, False])
def test_a_flipped_byte_in_positions_is_noticed(demo, tmp_path, packed):
    positions = np.load(demo / "data_3d_h36m.npz", allow_pickle=True)["positions_3d"]
    (np.savez_compressed if packed else np.savez)(tmp_path / "whole.npz", positions_3d=positions)
    damaged = bytearray((tmp_path / "whole.npz").read_bytes())
    damaged[len(damaged) // 2] ^= 0x55
    (tmp_path / "data_3d_h36m.npz").write_bytes(damaged)
    with pytest.raises(UserError, match="data_3d_h36m"):
        open_h36m(tmp_path / "data_3d_h36m.npz", demo / "metadata.xml", demo / "data_2d_h36m_gt.npz")


N_TEST = 8
ODD = [
    None,
    "x",
    b"abc",
    [],
    {},
    3,
    float("nan"),
    np.array("x"),
    np.zeros(3),
    np.zeros((0, 17, 3)),
    np.zeros((N_TEST, 17, 3), dtype=object),
    np.zeros((N_TEST, 17, 3), dtype=complex),
    np.full((N_TEST, 17, 3), np.nan),
    np.full((N_TEST, 17, 2), np.inf),
    np.zeros((N_TEST, 3, 17)),
    np.full(N_TEST, np.nan),
    [None] * N_TEST,
    [["a", "b"]] * N_TEST,
    [1, [2]] * (N_TEST // 2),
    [{}] * N_TEST,
]
"""What may stand where something else belongs."""


def outcome(tmp_path, *files):
    """Refused in a sentence, or built with every bad video as a row; anything else fails the test."""
    try:
        return build_h36m(open_h36m(*files), tmp_path / "o").failures
    except UserError as error:
        return error.message


@pytest.mark.parametrize("field", ["joint_2d", "confidence", "joint3d_image", "camera_name", "source", "2.5d_factor"])
@pytest.mark.usefixtures("forked")
def test_no_content_of_a_field_is_a_crash(demo, tmp_path, field):
    short = {split: {k: v[:N_TEST] for k, v in fields.items()} for split, fields in loaded(demo).items()}
    for odd in ODD:
        data = {**short, "test": {**short["test"], field: odd}}
        assert outcome(tmp_path, dumped(tmp_path / "x.pkl", data)), odd


def object_npz(path, **members):
    arrays = {name: np.empty((), dtype=object) for name in members}
    for name, value in members.items():
        arrays[name][()] = value
    np.savez(path, **arrays)
    return path


@pytest.mark.usefixtures("forked")
def test_no_content_of_positions_detections_or_cameras_is_a_crash(demo, tmp_path):
    seen = np.load(demo / "data_2d_h36m_gt.npz", allow_pickle=True)
    pixels, metadata = seen["positions_2d"].item(), seen["metadata"].item()
    world = np.load(demo / "data_3d_h36m.npz", allow_pickle=True)["positions_3d"].item()
    one = {"S9": {"Walking 1": world["S9"]["Walking 1"]}}
    good = object_npz(tmp_path / "good.npz", positions_3d=one)
    rest = (demo / "metadata.xml", demo / "data_2d_h36m_gt.npz")
    for odd in ODD:
        for wrong in (odd, {"S1": odd}, {"S9": {"Walking": odd, **one["S9"]}}, {"S1": {3: np.zeros((9, 32, 3))}}):
            assert outcome(tmp_path, object_npz(tmp_path / "p.npz", positions_3d=wrong), *rest), odd
        for wrong in (odd, {"S9": odd}, {"S9": {"Walking 1": odd}}, {"S9": {"Walking 1": [odd] * 4}}):
            path = object_npz(tmp_path / "d.npz", positions_2d=wrong, metadata=metadata)
            assert outcome(tmp_path, good, rest[0], path), odd
        for wrong in ({"num_joints": odd}, {"keypoints_symmetry": odd}, {"keypoints_symmetry": [odd, odd]}):
            outcome(tmp_path, good, rest[0], object_npz(tmp_path / "d.npz", positions_2d=pixels, metadata=wrong))
        for wrong in ({("S9", "54138969"): dict.fromkeys("RTfc", odd)}, {"S9": dict.fromkeys("RTfc", odd)}):
            assert outcome(tmp_path, good, dumped(tmp_path / "c.pkl", wrong), rest[1]), odd

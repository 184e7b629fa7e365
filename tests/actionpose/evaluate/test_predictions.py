"""A predictions file is scored as the run that made it; foreign ones are read, and nothing is guessed."""

from __future__ import annotations

import dataclasses
import json
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import h5py
import numpy as np
import pytest
from click.testing import CliRunner

from actionpose.errors import UserError
from actionpose.evaluate import metrics
from actionpose.evaluate.matfile import read_arrays
from actionpose.evaluate.predictions import Rules, read_predictions, score_predictions, target_mm, write_predictions
from actionpose.evaluate.protocols import frames_of
from actionpose.jsonl import read_lines
from actionpose.shards import ShardSet
from actionpose.skeleton import MPI_3DHP_ORDER
from cli.train import main
from tests.makers.places import ROOT
from tests.makers.shards import benchmark_video, make_benchmark, make_shards, options, tiny, write_benchmark_shards

TEST = Rules(split="test")


@pytest.fixture(scope="module")
def mpi(tmp_path_factory):
    return make_benchmark(tmp_path_factory.mktemp("mpi") / "shards", "3dhp", train=4)


@pytest.fixture(scope="module")
def h36m(tmp_path_factory):
    return make_benchmark(tmp_path_factory.mktemp("h36m") / "shards", "h36m-b", train=4)


def run(*arguments: object):
    return CliRunner().invoke(main, [str(a) for a in arguments], prog_name="ap-train")


def scored(*arguments: object) -> dict:
    done = run("score", *arguments, "--format", "json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


def truth(folder: Path, *, whole: bool = False, short: bool = True) -> dict[str, np.ndarray]:
    """The ground truth of the test videos in millimetres: valid frames, or all."""
    shards, out = ShardSet(folder), {}
    for motion in np.flatnonzero(shards.motions["split"] == "test").tolist():
        frames, valid = frames_of(shards, motion)
        chosen = np.arange(frames) if whole else valid
        name = str(shards.motions["motion_id"][motion])
        out[name.rpartition("/")[2] if short else name] = target_mm(shards, motion, chosen)
    return out


def to_3dhp(pose: np.ndarray) -> np.ndarray:
    return pose[:, np.argsort(MPI_3DHP_ORDER)]


# --- the whole command ------------------------------------------------------------------------


def test_the_table_shows_sequences_both_means_and_the_protocol(mpi, tmp_path):
    np.savez(tmp_path / "p.npz", **truth(mpi))
    done = run("score", tmp_path / "p.npz", "--data", mpi)
    assert done.exit_code == 0, done.stderr
    for words in ("TS6", "green screen", "all frames", "mean of sequences", "windowing", "centre", "fingerprint"):
        assert words in done.stdout
    assert "AUC 96.8" in done.stderr.strip().splitlines()[-1]


def test_a_perfect_file_of_human36m_scores_nothing_in_every_action(h36m, tmp_path):
    np.savez(tmp_path / "perfect.npz", **truth(h36m, whole=True, short=False))
    row = scored(tmp_path / "perfect.npz", "--data", h36m, "--window", 16)
    assert row["mpjpe_mm"] == pytest.approx(0, abs=1e-9)
    assert len(row["actions"]) == 15
    assert row["frames"] == 6 * (32 + 32 + 48 + 32 + 64)
    assert row["left_out"] == 6 * (8 + 1 + 2 + 0 + 6)
    kept = scored(tmp_path / "perfect.npz", "--data", h36m, "--window", 16, "--keep-tails")
    assert kept["frames"] == 6 * (40 + 33 + 50 + 32 + 70)
    assert "pck" not in row


@pytest.mark.parametrize("protocol", ["h36m-b", "3dhp"])
def test_a_run_and_its_predictions_file_have_the_same_numbers(protocol, mpi, h36m, tmp_path):
    data = mpi if protocol == "3dhp" else h36m
    settings = options(tiny("finetune.steps=2", "data.clip_frames=16", "data.stride=8", "eval.split=test"))
    done = run("finetune", "--data", data, "--out", tmp_path / "run", *settings)
    assert done.exit_code == 0, done.stderr
    file = tmp_path / "poses.npz"
    done = run("evaluate", tmp_path / "run", "--data", data, "--predictions", file, "--format", "json")
    assert done.exit_code == 0, done.stderr
    measured, again = json.loads(done.stdout), scored(file, "--data", data)
    assert {"title", "source_2d", "target", "flip_tta", "fingerprint", "version", "commit", "clip_frames"} <= set(
        measured
    )
    assert measured["commit"] is None or re.fullmatch(r"[0-9a-f]{40}(-dirty)?", measured["commit"])
    same = (
        "mpjpe_mm",
        "p_mpjpe_mm",
        "n_mpjpe_mm",
        "velocity_mm",
        "acceleration_mm",
        "pck",
        "auc",
        "actions",
        "protocol",
    )
    same += (
        "frames",
        "sequences",
        "skipped",
        "left_out",
        "windowing",
        "clip_frames",
        "drop_tails",
        "source_2d",
        "average",
    )
    assert {k: measured.get(k) for k in same} == {k: again.get(k) for k in same}
    assert measured["mpjpe_mm"] > 1
    assert read_lines(tmp_path / "run/results.jsonl")[0]["predictions"] == str(file)


def test_scoring_needs_no_torch(mpi, tmp_path):
    np.savez(tmp_path / "p.npz", **truth(mpi))
    code = (
        "import sys\nfrom cli.train import main\n"
        f"main(['score', {str(tmp_path / 'p.npz')!r}, '--data', {str(mpi)!r}], standalone_mode=False)\n"
        "assert 'torch' not in sys.modules\n"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    alone = "import sys, actionpose.evaluate.metrics; assert not {'torch', 'h5py'} & set(sys.modules)"
    assert subprocess.run([sys.executable, "-c", alone], cwd=ROOT).returncode == 0


# --- joint orders and units -------------------------------------------------------------------


def test_both_joint_orders_give_the_same_numbers_and_the_wrong_one_is_pointed_out(mpi, tmp_path):
    rng = np.random.default_rng(0)
    ours = {name: pose + rng.normal(size=pose.shape) * 20 for name, pose in truth(mpi).items()}
    np.savez(tmp_path / "h36m.npz", **ours)
    np.savez(tmp_path / "3dhp.npz", **{name: to_3dhp(pose) for name, pose in ours.items()})
    first = scored(tmp_path / "h36m.npz", "--data", mpi)
    second = scored(tmp_path / "3dhp.npz", "--data", mpi, "--joints", "3dhp")
    assert first["pck"] == second["pck"]
    assert first["mpjpe_mm"] == pytest.approx(second["mpjpe_mm"], rel=1e-12)
    assert "doubt" not in first
    wrong = run("score", tmp_path / "3dhp.npz", "--data", mpi)
    assert wrong.exit_code == 0
    assert "--joints 3dhp" in wrong.stderr
    assert "--joints h36m" in run("score", tmp_path / "h36m.npz", "--data", mpi, "--joints", "3dhp").stderr


def test_the_function_over_arrays_agrees_with_the_command(mpi, tmp_path):
    rng = np.random.default_rng(1)
    target = {name: to_3dhp(pose) for name, pose in truth(mpi).items()}
    predicted = {name: pose + rng.normal(size=pose.shape) * 60 for name, pose in target.items()}
    np.savez(tmp_path / "p.npz", **predicted)
    row, alone = scored(tmp_path / "p.npz", "--data", mpi, "--joints", "3dhp"), metrics.mpi_inf_3dhp(predicted, target)
    for key in ("mpjpe_mm", "pck", "auc", "frames"):
        assert row[key] == pytest.approx(alone[key], rel=1e-12)
        for name, sequence in alone["sequences"].items():
            assert row["sequences"][name][key] == pytest.approx(sequence[key], rel=1e-12)
    assert row["sequence_mean"]["pck"] == pytest.approx(alone["sequence_mean"]["pck"])


def test_metres_are_refused(mpi, tmp_path):
    np.savez(tmp_path / "m.npz", **{name: pose / 1000 for name, pose in truth(mpi).items()})
    done = run("score", tmp_path / "m.npz", "--data", mpi)
    assert done.exit_code == 1
    assert "give millimetres" in done.stderr


# --- the hand-over to Matlab ------------------------------------------------------------------


def element(kind: int, data: bytes) -> bytes:
    return struct.pack("<II", kind, len(data)) + data + b"\0" * (-len(data) % 8)


def matrix(name: str, array: np.ndarray, *, kind: int = 6, flags: int = 0) -> bytes:
    parts = element(6, struct.pack("<II", kind | flags, 0)) + element(5, np.asarray(array.shape, dtype="<i4").tobytes())
    short = name.encode()
    parts += struct.pack("<HH", 1, len(short)) + short.ljust(4, b"\0") if len(short) <= 4 else element(1, short)
    return element(14, parts + element(9, array.astype("<f8").tobytes(order="F")))


def level5(arrays: dict[str, np.ndarray], *, packed: bool = False) -> bytes:
    """A level 5 Matlab file, from its format's description."""
    body = b""
    for name, array in arrays.items():
        one = matrix(name, array)
        if packed:
            squeezed = zlib.compress(one)
            one = struct.pack("<II", 15, len(squeezed)) + squeezed
        body += one
    return b"MATLAB 5.0 MAT-file, made by a test".ljust(124) + struct.pack("<H", 0x0100) + b"IM" + body


def hand_over(folder: Path) -> dict[str, np.ndarray]:
    """(3, 17, 1, n) in MPI-INF-3DHP's order."""
    return {name: to_3dhp(pose).transpose(2, 1, 0)[:, :, None] for name, pose in truth(folder).items()}


@pytest.mark.parametrize("kind", ["level 5", "packed", "hdf5"])
def test_the_matlab_hand_over_is_read_in_every_form(mpi, tmp_path, kind):
    arrays, path = hand_over(mpi), tmp_path / "inference_data.mat"
    if kind == "hdf5":
        with h5py.File(path, "w", userblock_size=512) as file:
            for name, array in arrays.items():
                file[name] = array.T
    else:
        path.write_bytes(level5(arrays, packed=kind == "packed"))
    for name, array in read_arrays(path).items():
        np.testing.assert_array_equal(array, arrays[name])
    row = scored(path, "--data", mpi)
    assert (row["pck"], row["joints"]) == (100, "3dhp")
    assert row["mpjpe_mm"] == pytest.approx(0, abs=1e-9)


def test_scipy_writes_what_we_read(mpi, tmp_path):
    savemat = pytest.importorskip("scipy.io").savemat
    arrays = hand_over(mpi)
    for packed in (False, True):
        savemat(tmp_path / "p.mat", arrays, do_compression=packed)
        for name, array in read_arrays(tmp_path / "p.mat").items():
            np.testing.assert_array_equal(array, arrays[name])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"<html>not found</html>",
        b"x" * 200,
        level5({"TS1": np.zeros((3, 17, 1, 4))})[:-40],
        level5({})[:128] + element(14, matrix("cell", np.zeros(3), kind=1)[8:]),
        level5({})[:128] + element(14, matrix("complex", np.zeros(3), flags=0x0800)[8:]),
        level5({})[:128] + struct.pack("<II", 15, 4) + b"junk",
        level5({})[:128] + element(99, b"12345678"),
    ],
    ids=["empty", "html", "no header", "torn", "cell", "complex", "not packed", "unknown"],
)
def test_a_damaged_matlab_file_is_refused_by_name(tmp_path, content):
    path = tmp_path / "bad.mat"
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"bad\.mat"):
        read_predictions(path)


# --- refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda v: v.pop("TS3"), "no prediction for 3dhp/TS3"),
        (lambda v: v.update(TS3=v["TS3"][:-1]), "TS3 has 35 frames; the video has 36, of which 36 count"),
        (lambda v: v.update(TS1=v["TS1"][:-1]), "TS1 has 7 frames; the video has 48, of which 8 count"),
        (lambda v: v.update(TS3=v["TS3"][:, :16]), "shape"),
        (lambda v: v["TS3"].__setitem__((5, 3, 1), np.nan), "not finite in frame 5"),
        (lambda v: v.update(TS3=np.array(["a"])), "not numbers"),
        (lambda v: v.update(TS3=np.array([{}], dtype=object)), "Python objects"),
        (lambda v: v.clear(), "holds no arrays"),
    ],
)
def test_a_file_that_does_not_fit_says_what_is_wrong(mpi, tmp_path, damage, says):
    videos = truth(mpi)
    damage(videos)
    np.savez(tmp_path / "p.npz", **videos)
    done = run("score", tmp_path / "p.npz", "--data", mpi)
    assert done.exit_code == 1
    assert says in done.stderr
    assert "p.npz" in done.stderr


def test_other_shards_and_other_protocols_are_refused(mpi, h36m, tmp_path):
    write_predictions(tmp_path / "p.npz", truth(mpi), {"protocol": "3dhp", "fingerprint": "sha256:0"})
    assert "other shards" in run("score", tmp_path / "p.npz", "--data", mpi).stderr
    np.savez(tmp_path / "plain.npz", **truth(h36m, whole=True))
    refused = run("score", tmp_path / "plain.npz", "--data", h36m, "--protocol", "3dhp")
    assert refused.exit_code == 1
    assert "--protocol h36m-b" in refused.stderr
    motion = make_shards(tmp_path / "motion", lengths=(20,), splits=("test",))
    assert "ap-train evaluate" in run("score", tmp_path / "plain.npz", "--data", motion).stderr
    with pytest.raises(UserError, match="npz"):
        write_predictions(tmp_path / "p.csv", {}, {})


def test_a_file_says_itself_which_split_and_windows_it_covers(h36m, tmp_path):
    shards = ShardSet(h36m)
    train = np.flatnonzero(shards.motions["split"] == "train").tolist()
    poses = {str(shards.motions["motion_id"][m]): target_mm(shards, m, np.arange(30)) for m in train}
    about = {"protocol": "h36m-b", "split": "train", "clip_frames": 15, "drop_tails": True}
    write_predictions(tmp_path / "train.npz", poses, about)
    row = scored(tmp_path / "train.npz", "--data", h36m)
    assert (row["split"], row["clip_frames"], row["frames"], row["left_out"]) == ("train", 15, 120, 40)
    assert row["mpjpe_mm"] == 0
    assert "no prediction" in run("score", tmp_path / "train.npz", "--data", h36m, "--split", "test").stderr


def test_skipped_takes_need_no_prediction(tmp_path):
    videos = [benchmark_video("h36m-b", number, 20) for number in range(3)]
    videos[1]["extra"]["skip"] = {"h36m-b": "damaged"}
    folder = write_benchmark_shards(tmp_path / "shards", videos)
    poses = truth(folder, whole=True)
    poses.pop("s_09_act_03_subact_01_ca_01")
    write_predictions(tmp_path / "p.npz", poses, {})
    rules = dataclasses.replace(TEST, clip_frames=10)
    row = score_predictions(ShardSet(folder), read_predictions(tmp_path / "p.npz"), rules).to_json()
    assert list(row["skipped"]) == ["h36m/s_09_act_03_subact_01_ca_01"]
    assert row["frames"] == 40

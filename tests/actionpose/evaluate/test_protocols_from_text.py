"""Every named protocol measures what its publication describes: held against a second transcription of the text.

The transcription (tests/makers/protocols.py) was written from the description alone. `score` subtracts joint 0, since
a file may hold absolute poses; a run's joint 0 is set to zero and its other joints stay where they are.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from click.testing import CliRunner

import actionpose as ap
from actionpose.arrays import Array
from actionpose.geometry import camera_matrix, to_camera
from actionpose.model.pose_encoder import PoseConfig, PoseEncoder
from cli.train import main
from tests.makers.protocols import (
    SKIPPED_B,
    TO_3DHP,
    Video,
    chunks,
    h36m_a,
    h36m_a_every_frame,
    h36m_b,
    motion_errors,
    mpi_inf_3dhp,
    mpjpe,
    same,
    subtracted,
    zeroed,
)
from tests.makers.shards import benchmark_video, make_shards, options, tiny, write_benchmark_shards

LENGTHS = (20, 33, 17, 31, 26, 9, 40, 23, 30, 21, 37, 12, 28, 25, 19)
"""One for each action; few are multiples of the windows used here, some are shorter."""
WINDOW = 10


def command(*words: object) -> dict:
    done = CliRunner().invoke(main, [str(word) for word in (*words, "--format", "json")])
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout)


# --- made-up test sets ----------------------------------------------------------------------------


def human36m(protocol: str) -> list[dict]:
    """Fifteen actions of S9 and S11, Walking by two cameras, and the three takes that protocol B skips."""
    videos = [benchmark_video(protocol, person + number, n) for person in (0, 15) for number, n in enumerate(LENGTHS)]
    videos = [video for n, video in enumerate(videos) if n not in (3, 20)]  # actions need not have both people
    other = benchmark_video(protocol, 12, 27)
    other["motion_id"] = other["motion_id"].replace("_ca_01", "_ca_02")
    videos.append({**other, "extra": {**other["extra"], "camera": "1"}})
    for number, take in ((3, SKIPPED_B[0]), (8, SKIPPED_B[1]), (11, SKIPPED_B[2])):
        for camera in ("_ca_01", "_ca_03"):
            bad = benchmark_video(protocol, number, 22)
            skip = {"skip": {"h36m-b": "no ground truth"}} if protocol == "h36m-b" else {}
            taken = [video for video in videos if video["motion_id"] == f"h36m/{take}{camera}"]
            videos = [video for video in videos if video not in taken]
            videos.append({**bad, "motion_id": f"h36m/{take}{camera}", "extra": {**bad["extra"], **skip}})
    return videos


def sequences_3dhp() -> list[dict]:
    """TS1 to TS6; three of them with frames that are not valid, two with pictures of another size."""
    return [benchmark_video("3dhp", number, n) for number, n in enumerate((48, 40, 36, 33, 50, 34))]


TESTS = {"h36m-a": human36m, "h36m-b": human36m, "3dhp": lambda _: sequences_3dhp()}


@pytest.fixture(scope="module")
def tests(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Protocol → shards; read-only."""
    folder = tmp_path_factory.mktemp("tests")
    return {name: write_benchmark_shards(folder / name, make(name)) for name, make in TESTS.items()}


def truths(folder: Path) -> list[Video]:
    """The videos of a test set in millimetres, absolute, with the truth as their prediction."""
    shards, videos = ap.open_shards(folder), []
    for row, motion_id in enumerate(shards.motions["motion_id"]):
        pose = np.asarray(shards.motion_frames(row), dtype=np.float64)
        unit = np.broadcast_to(np.asarray(shards.videos[row].unit_mm), len(pose))
        metric = np.stack([frame * scale for frame, scale in zip(pose, unit, strict=True)])
        valid = shards.videos[row].valid
        videos.append(
            Video(
                name=str(motion_id).partition("/")[2],
                action=str(shards.motions["action"][row]),
                truth=metric,
                predicted=metric.copy(),
                fps=float(shards.motions["fps_true"][row]),
                valid=None if valid is None else [t for first, stop in valid for t in range(first, stop)],
            )
        )
    return videos


def guessed(videos: Sequence[Video]) -> list[Video]:
    """Predictions of every kind: noisy, turned, resized, mirrored, far away, exact."""
    rng, made = np.random.default_rng(5), []
    turn = np.array([[0.6, -0.8, 0], [0.8, 0.6, 0], [0, 0, 1]])
    ways = (
        lambda p: p + rng.normal(scale=40, size=p.shape),
        lambda p: p @ turn * 1.2 + [100, -50, 3000],
        lambda p: p * [-1, 1, 1] + rng.normal(scale=5, size=p.shape),
        lambda p: p + rng.normal(scale=150, size=p.shape),
        lambda p: p.copy(),
    )
    for number, video in enumerate(videos):
        made.append(Video(**{**video.__dict__, "predicted": ways[number % len(ways)](video.truth)}))
    return made


def saved(path: Path, videos: Sequence[Video], order: Sequence[int] | None = None, *, valid: bool = False) -> Path:
    """A predictions file; in another joint order, or with the valid frames alone."""
    arrays = {}
    for video in videos:
        pose = video.predicted if not valid or video.valid is None else video.predicted[list(video.valid)]
        if order is not None:
            turned = np.empty_like(pose)
            for ours, theirs in enumerate(order):
                turned[:, theirs] = pose[:, ours]
            pose = turned
        arrays[video.name] = pose
    np.savez(path, **arrays)
    return path


def rooted(videos: Sequence[Video]) -> list[Video]:
    """As `score` reads them: joint 0 subtracted."""
    return [Video(**{**video.__dict__, "predicted": subtracted(video.predicted)}) for video in videos]


# --- files of predictions -------------------------------------------------------------------------


@pytest.mark.parametrize("protocol", ["h36m-a", "h36m-b"])
@pytest.mark.parametrize("window", [WINDOW, 243])
def test_human36m_averages_actions_over_the_frames_that_its_windows_count(
    tests: dict[str, Path], protocol: str, window: int, tmp_path: Path
):
    videos = guessed(truths(tests[protocol]))
    path = saved(tmp_path / "poses.npz", videos)
    found = command("score", path, "--data", tests[protocol], "--protocol", protocol, "--window", window)
    expected = (h36m_b if protocol == "h36m-b" else h36m_a)(rooted(videos), window)
    assert same(found, expected) == []
    assert abs(found["mpjpe_mm"] - found["frame_mpjpe_mm"]) > 1  # the two means are not one by accident


def test_windows_around_every_frame_count_each_once(tests: dict[str, Path], tmp_path: Path):
    videos = guessed(truths(tests["h36m-a"]))
    path, words = saved(tmp_path / "poses.npz", videos), ("--windowing", "every-frame", "--window", WINDOW)
    found = command("score", path, "--data", tests["h36m-a"], *words)
    assert same(found, h36m_a_every_frame(rooted(videos), WINDOW)) == []


@pytest.mark.parametrize("layout", ["all frames", "valid frames", "joints of the dataset"])
def test_3dhp_pools_the_valid_frames_of_six_sequences(tests: dict[str, Path], layout: str, tmp_path: Path):
    videos = guessed(truths(tests["3dhp"]))
    theirs = layout == "joints of the dataset"
    path = saved(tmp_path / "poses.npz", videos, TO_3DHP if theirs else None, valid=layout == "valid frames")
    more = ("--joints", "3dhp") if theirs else ()
    found = command("score", path, "--data", tests["3dhp"], "--protocol", "3dhp", *more)
    assert same(found, mpi_inf_3dhp(rooted(videos))) == []
    assert found["frames"] < sum(len(video.truth) for video in videos)


@pytest.mark.parametrize("off", [149.999, 150.0])
def test_an_error_of_150_mm_is_no_hit_and_the_root_is_not_among_the_joints_of_pck(
    tests: dict[str, Path], off: float, tmp_path: Path
):
    videos = truths(tests["3dhp"])
    for video in videos:
        video.predicted[...] = subtracted(video.truth)
        video.predicted[:, 1:, 2] += off
    found = command("score", saved(tmp_path / "poses.npz", videos), "--data", tests["3dhp"])
    assert (found["pck"], found["mpjpe_mm"]) == pytest.approx((100.0 if off < 150 else 0.0, off * 16 / 17))


def test_a_perfect_file_is_zero_and_reaches_the_highest_auc(tests: dict[str, Path], tmp_path: Path):
    for protocol, folder in tests.items():
        found = command("score", saved(tmp_path / f"{protocol}.npz", truths(folder)), "--data", folder)
        assert (found["mpjpe_mm"], found["p_mpjpe_mm"]) == pytest.approx((0, 0), abs=1e-4)
        assert protocol != "3dhp" or (found["pck"], found["auc"]) == pytest.approx((100, 100 * 30 / 31))


def test_a_mirrored_pose_is_not_put_right_by_the_alignment(tests: dict[str, Path], tmp_path: Path):
    """A rotation, a scale and a shift are; a reflection is no rotation."""
    videos = truths(tests["h36m-b"])
    turn = np.array([[0, 0, 1], [0, 1, 0], [-1, 0, 0]])
    for name, change in (("turned", lambda p: 3 * p @ turn + 500), ("mirrored", lambda p: p * [1, 1, -1])):
        made = [Video(**{**video.__dict__, "predicted": change(video.truth)}) for video in videos]
        path = saved(tmp_path / f"{name}.npz", made)
        found = command("score", path, "--data", tests["h36m-b"], "--window", WINDOW)
        assert same(found, h36m_b(rooted(made), WINDOW)) == []
        assert (found["p_mpjpe_mm"] < 1e-3) == (name == "turned")


def test_motion_errors_are_means_over_scored_frames_that_follow_each_other(tests: dict[str, Path], tmp_path: Path):
    """The valid frames of a sequence lie in runs; nothing is measured from one run to the next."""
    videos = guessed(truths(tests["3dhp"]))
    found = command("score", saved(tmp_path / "poses.npz", videos), "--data", tests["3dhp"])
    for video in rooted(videos):
        valid = range(len(video.truth)) if video.valid is None else video.valid
        each = motion_errors(video.predicted, subtracted(video.truth), valid, video.fps)
        expected = {name: sum(values) / len(values) for name, values in each.items()}
        assert same(found["sequences"][video.name], expected) == []


# --- predictions of a run -------------------------------------------------------------------------

SAID = (0.05, 0.02, -0.03)
"""What the network below says of every joint of every frame, in screen units."""


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run whose network says `SAID` whatever it sees: its weights are a file's, and a step changes them by 1e-9."""
    folder = tmp_path_factory.mktemp("run")
    encoder = PoseEncoder(PoseConfig(dim_feat=16, dim_rep=16, depth=2, heads=2, max_frames=32, middle=1))
    state = encoder.state_dict()
    state["head.weight"].zero_()
    state["head.bias"].copy_(torch.tensor(SAID))
    torch.save({"model_pos": state}, folder / "said.bin")
    shards = make_shards(folder / "shards", splits=("train", "val"))
    settings = options(tiny("finetune.steps=1", "finetune.lr=1e-9", "eval.baselines=false", "finetune.eval_every=0"))
    words = ["finetune", "--data", shards, "--init", folder / "said.bin", "--out", folder / "run", *settings]
    done = CliRunner().invoke(main, [str(word) for word in words])
    assert done.exit_code == 0, done.stderr
    return folder / "run"


def constant(
    videos: Sequence[Video], folder: Path, said: Sequence[float], outdoor_mm: float | None = None
) -> list[Video]:
    """Every joint at `said`, times the video's or frame's own millimetres; joint 0 set to zero as a run's is."""
    shards, made = ap.open_shards(folder), []
    for row, video in enumerate(videos):
        stored = outdoor_mm if outdoor_mm and video.name in ("TS5", "TS6") else shards.videos[row].unit_mm
        unit = np.broadcast_to(np.asarray(stored), len(video.truth))
        pose = np.stack([np.tile(np.asarray(said) * scale, (17, 1)) for scale in unit])
        made.append(Video(**{**video.__dict__, "predicted": zeroed(pose)}))
    return made


EXPECTED = {"h36m-a": h36m_a, "h36m-b": h36m_b, "3dhp": lambda videos, _: mpi_inf_3dhp(videos)}


@pytest.mark.parametrize("protocol", EXPECTED)
@pytest.mark.parametrize("flip", [True, False])
def test_a_run_is_measured_with_joint_0_at_zero_and_the_others_where_the_network_put_them(
    run: Path, tests: dict[str, Path], protocol: str, flip: bool, tmp_path: Path
):
    """With flipping, the prediction for the mirror image comes back with x negated: the x said of both cancels."""
    kept = tmp_path / "kept.npz"
    found = command(
        "evaluate", run, "--data", tests[protocol], "--protocol", protocol, "--predictions", kept,
        *options(["eval.baselines=false", f"eval.flip_tta={str(flip).lower()}"]),
    )  # fmt: skip
    said = (0.0 if flip else SAID[0], SAID[1], SAID[2])
    videos = constant(truths(tests[protocol]), tests[protocol], said)
    expected = EXPECTED[protocol](videos, 32)
    assert same(found, expected, 0.01) == []
    assert same(command("score", kept, "--data", tests[protocol]), expected, 0.01) == []
    stored = archive(kept)
    for video in videos:
        name = next((key for key in stored if key.rpartition("/")[2] == video.name), "")
        if name:
            assert not stored[name][:, 0].any()
            assert np.allclose(stored[name][0, 1:], video.predicted[0, 1:], atol=1e-2)


def test_the_scale_of_older_code_is_960_mm_on_the_two_outdoor_sequences(run: Path, tests: dict[str, Path]):
    settings = options(["eval.baselines=false", "eval.flip_tta=false", "eval.legacy_ts56=true"])
    found = command("evaluate", run, "--data", tests["3dhp"], *settings)
    expected = mpi_inf_3dhp(constant(truths(tests["3dhp"]), tests["3dhp"], SAID, outdoor_mm=960))
    assert same(found, expected, 0.01) == []


def test_a_root_that_is_off_by_12_mm_is_zeroed_in_a_run_and_subtracted_in_a_file(
    run: Path, tests: dict[str, Path], tmp_path: Path
):
    """In a file 12 mm at joint 0 are 12 mm at each of the other 16; in a run they change nothing."""
    videos = truths(tests["3dhp"])
    for video in videos:
        video.predicted[...] = subtracted(video.truth)
        video.predicted[:, 0, 1] += 12
    found = command("score", saved(tmp_path / "poses.npz", videos), "--data", tests["3dhp"])
    assert found["mpjpe_mm"] == pytest.approx(12 * 16 / 17, abs=1e-4)
    assert (
        max(mpjpe(p, g) for p, g in zip(zeroed(videos[0].predicted), subtracted(videos[0].truth), strict=True)) < 1e-4
    )


def test_held_out_motion_is_measured_over_every_frame_of_both_views_alike(run: Path, tmp_path: Path):
    """Protocol `orthographic`: what the network says is in the camera's frame, 0.298 screen units to the metre."""
    shards = make_shards(tmp_path / "shards", lengths=(70, 32, 45, 40), splits=("train", "val"))
    found = command("evaluate", run, "--data", shards, "--split", "val", *options(["eval.baselines=false"]))
    opened, said, errors = ap.open_shards(shards), np.tile([0, SAID[1], SAID[2]], (17, 1)) / 0.298 * 1000, []
    for row in np.flatnonzero(opened.motions["split"] == "val"):
        for view in ("front", "side"):
            camera = camera_matrix(view, float(opened.motions["heading"][row]))
            truth = subtracted(to_camera(np.asarray(opened.motion_frames(row), dtype=np.float64), camera) * 1000)
            errors += [mpjpe(zeroed(said[None])[0], frame) for frame in truth]
    assert (found["protocol"], found["frames"]) == ("orthographic", len(errors))
    assert found["mpjpe_mm"] == pytest.approx(sum(errors) / len(errors), abs=0.01)


def archive(path: Path) -> dict[str, Array]:
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files if file[name].ndim == 3}


def test_chunks_count_frames_twice_where_they_overlap():
    assert chunks(25, 10) == [*range(20), *range(15, 25)]

"""Lifting from end to end: size and place, time, people, any length, completion, checks, results."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from actionpose.data.place import to_model
from actionpose.errors import UserError
from actionpose.lift.detections import Detections
from actionpose.lift.join import COASTS_S, join
from actionpose.lift.layouts import COCO_17
from actionpose.lift.result import as_dict, load, save
from actionpose.lift.run import lift, lift_detections, read
from actionpose.lift.sanity import check_input, check_result
from actionpose.lift.scale import stature
from actionpose.lift.source import LiftModel, open_model
from actionpose.lift.timeline import make_track
from actionpose.lift.understand import LiftOptions, understand
from actionpose.skeleton import JOINT_NAMES
from benchmarks import detector_files as files
from tests.makers.filmed import HEIGHT, WIDTH, camera_pose, filmed, truth_2d

LEFT_WRIST = JOINT_NAMES.index("left_wrist")
POSES = camera_pose(40, wave=True)
CLIP = filmed(POSES, "coco-17").astype(np.float32)


def mm(a: np.ndarray, b: np.ndarray) -> float:
    """Largest distance of a joint over all frames."""
    return 1000 * float(np.linalg.norm(np.asarray(a) - b, axis=-1).max())


def detections(keypoints: np.ndarray, frame: np.ndarray, **known) -> Detections:
    """Detections of one person, or of people with `track`."""
    return Detections(source="clip", kind="test", frame=np.asarray(frame, np.int64), points=keypoints[..., :2],
                      confidence=keypoints[..., 2], layout="coco-17", **known)  # fmt: skip


# --- size and place ---------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.5, 2.0])
@pytest.mark.parametrize("at", [(100.0, 80.0), (1900.0, 700.0)])
def test_the_result_does_not_depend_on_size_and_place_in_the_picture(source: LiftModel, scale: float, at):
    expected = lift(CLIP, source, fps=30).poses_3d
    moved = filmed(POSES, "coco-17", scale=250 * scale, at=at).astype(np.float32)
    assert mm(lift(moved, source, fps=30, units="pixels").poses_3d, expected) < 3


def test_an_upper_body_lies_where_it_does_with_the_rest_of_the_person():
    points, confidence = truth_2d(camera_pose(40)), np.ones((40, 17))
    sizes = np.full(40, 250.0)
    whole = to_model(points, confidence, sizes, 0.298)
    upper = [
        JOINT_NAMES.index(n)
        for n in JOINT_NAMES
        if n.endswith(("shoulder", "elbow", "wrist", "thorax", "nose", "head"))
    ]
    confidence[:, [j for j in range(17) if j not in upper]] = 0
    alone = to_model(points, confidence, sizes, 0.298)
    assert np.linalg.norm(alone[:, upper, :2] - whole[:, upper, :2], axis=-1).max() < 0.1 * 0.298  # 10 cm


def test_unit_and_direction_of_y_are_recognised_and_reported(source: LiftModel):
    expected = lift(CLIP, source, fps=30)
    assert "coordinates are pixels" in expected.verdicts[1]
    share = CLIP / (WIDTH, HEIGHT, 1)
    normalised = lift(share, source, fps=30, size=(WIDTH, HEIGHT))
    assert "coordinates are normalised" in normalised.verdicts[1]
    upward = lift(CLIP * (1, -1, 1) + (0, 900, 0), source, fps=30)
    assert any("y grows upwards" in line for line in upward.verdicts)
    for other in (normalised, upward):
        assert mm(other.poses_3d, expected.poses_3d) < 3
    assert upward.poses_2d[:, 0, 1] == pytest.approx(expected.poses_2d[:, 0, 1] - 900, abs=0.1)
    assert mm(lift(CLIP * (1, -1, 1), source, fps=30, y="down").poses_3d, expected.poses_3d) > 100


def test_far_away_points_lie_where_the_result_says(source: LiftModel):
    lifted = lift(CLIP, source, fps=30)
    again = lifted.root_2d[:, None] + lifted.scale_2d[:, None, None] * lifted.poses_3d[..., :2]
    assert again[:, 0] == pytest.approx(lifted.poses_2d[:, 0], abs=0.01)
    assert lifted.picture["units"] == "pixels"


# --- time -------------------------------------------------------------------------------------


def test_frames_count_by_number_and_not_by_order(source: LiftModel):
    shuffled = np.random.default_rng(0).permutation(40)
    result = lift_detections(detections(CLIP[shuffled], shuffled), source, LiftOptions(fps=30))
    assert result.frame_index.tolist() == list(range(40))
    assert mm(result.poses_3d, lift(CLIP, source, fps=30).poses_3d) < 1e-3
    assert any("not in order" in line for line in result.verdicts)


def test_a_frame_that_occurs_twice_counts_once(source: LiftModel):
    twice = np.concatenate([CLIP, CLIP[3:5] * (1, 1, 0.5)])
    frame = np.append(np.arange(40), [3, 4])
    found = detections(twice, frame, track=np.zeros(42, np.int64))
    result = lift_detections(found, source, LiftOptions(fps=30))
    assert result.frame_index.tolist() == list(range(40))
    assert result.confidence[3:5].min() == pytest.approx(0.9)
    assert any("2 detections repeat a person" in line for line in result.verdicts)


@pytest.mark.parametrize("sure", [(0.5, 0.9), (0.9, 0.5)])
def test_of_two_rows_for_one_frame_the_surer_counts_in_either_order(sure: tuple[float, float]):
    confidence = np.repeat(sure, 17).reshape(2, 17)
    points = np.repeat(confidence[..., None], 2, axis=2)
    track, notes = make_track(0, np.array([3, 3]), np.array([0.1, 0.1]), points, confidence)
    assert track.frame.tolist() == [3]
    assert (track.points == 0.9).all()
    assert "1 frames occur twice" in notes[0]


def test_another_rate_is_resampled_to_the_models_and_back(source: LiftModel):
    slow = camera_pose(120, wave=True)
    expected = lift(filmed(slow, "coco-17"), source, fps=30)
    half = lift_detections(detections(filmed(slow, "coco-17")[::2], np.arange(60)), source, LiftOptions(fps=15))
    assert any("resampled to the model's 30" in line for line in half.verdicts)
    assert half.timestamps == pytest.approx(expected.timestamps[::2])
    away = np.linalg.norm(half.poses_3d - expected.poses_3d[::2], axis=-1)
    assert away.mean() < 0.02
    near = lift(filmed(slow, "coco-17"), source, fps=29.97)
    assert not any("resampled" in line for line in near.verdicts)
    assert near.timestamps[-1] == pytest.approx(119 / 29.97)


def test_a_detector_that_skips_frames_leaves_no_gaps(source: LiftModel):
    slow = filmed(camera_pose(120, wave=True), "coco-17")
    some = lift_detections(detections(slow[::5], np.arange(0, 120, 5)), source, LiftOptions(fps=30))
    assert some.frame_index.tolist() == list(range(0, 120, 5))
    assert not any("split" in line for line in some.verdicts)
    assert np.isfinite(some.poses_3d).all()


def test_a_model_bridges_no_more_than_the_longest_window_that_hid_its_clips_in_training(source: LiftModel):
    assert source.frames == 27
    assert source.longest_gap * source.fps == 9  # 80 of 243 frames, in a clip of 27


def test_where_no_window_shows_anything_no_pose_is_made_up_at_any_rate(source: LiftModel):
    long = filmed(camera_pose(200, wave=True), "coco-17")
    kept = np.r_[0:40, 160:200]
    for fps in (30, 25):  # the model's own, and one that is resampled
        result = lift_detections(detections(long[kept], kept), source, LiftOptions(fps=fps, fill=True, max_gap=10))
        assert result.frame_index.tolist() == list(range(200))
        assert np.isnan(result.poses_3d[90:110]).all()
        assert np.isfinite(result.poses_3d[[*range(45), *range(155, 200)]]).all()


def test_a_model_is_shown_people_at_the_scale_that_it_was_trained_at(run_folder: Path, tmp_path: Path):
    shutil.copytree(run_folder, tmp_path / "run")
    meta = next((tmp_path / "run").rglob("meta.json"))
    content = json.loads(meta.read_text())
    content["recipe"]["data"]["scale"] = 0.5
    meta.write_text(json.dumps(content))
    found = open_model(tmp_path / "run")
    assert (found.unit, found.facts["screen_units_per_metre"]) == (0.5, 0.5)


def test_long_gaps_split_and_short_ones_are_masked(source: LiftModel):
    long = filmed(camera_pose(200, wave=True), "coco-17")
    kept = np.r_[0:60, 66:100, 160:200]
    result = lift_detections(detections(long[kept], kept), source, LiftOptions(fps=30, fill=True))
    assert any("split at 1 gaps" in line for line in result.verdicts)
    assert result.frame_index.tolist() == [*range(100), *range(160, 200)]
    missing = np.isin(result.frame_index, range(60, 66))
    assert result.filled[missing].all()
    assert not result.filled[~missing].any()
    assert not result.valid[missing].any()


# --- people -----------------------------------------------------------------------------------


def two_people(frames: int, fps: float, *, seed: int = 0, ids: bool = False) -> tuple[Detections, np.ndarray]:
    """Two people who swap their order in the file from frame to frame, with gaps; and the truth (N,) of who is who.

    In the last third of the frames the detector looks at every second one only.
    """
    rng = np.random.default_rng(seed)
    t = np.arange(frames)
    base = camera_pose(90, wave=True)[t % 90]
    left = filmed(base, "coco-17", scale=200, at=(400, 400))
    right = filmed(base[::-1], "coco-17", scale=260, at=(900, 420))
    left[..., 0] += 60 * np.sin(t / 200)[:, None]
    both = np.stack([left, right], axis=1)
    both[..., :2] += rng.normal(0, 1.0, both[..., :2].shape)
    frame, who = np.repeat(t, 2), np.tile([0, 1], frames)
    keep = np.ones(2 * frames, bool)
    for start in range(300, frames, 1500):
        keep &= ~((frame >= start) & (frame < start + 12) & (who == 0))
    keep &= (frame < 2 * frames // 3) | (frame % 2 == 0)
    order = np.flatnonzero(keep)
    swapped = rng.random(frames) < 0.5
    order = order[np.lexsort((who[order] ^ swapped[frame[order]], frame[order]))]
    points = both.reshape(-1, 17, 3)[order].astype(np.float32)
    return detections(points, frame[order], fps=fps, track=who[order] if ids else None), who[order]


@pytest.mark.slow
def test_ten_minutes_of_two_people_give_aligned_tracks(source: LiftModel):
    found, who = two_people(int(600 * 29.97), 29.97)
    result = lift_detections(found, source, LiftOptions(person="all", flip=False))
    assert result.people == (0, 1)
    for person in (0, 1):
        rows = result.person(person)
        assert (np.diff(rows.frame_index) > 0).all()
        assert rows.timestamps == pytest.approx(rows.frame_index / 29.97)
        middle = float(np.median(rows.root_2d[:, 0]))
        true = 0 if middle < 650 else 1
        mine = who == true
        assert rows.frame_index.tolist() == found.frame[mine].tolist()
        assert rows.poses_2d[:, LEFT_WRIST] == pytest.approx(found.points[mine, COCO_17.index("left_wrist")], abs=1e-3)
        assert np.isfinite(rows.poses_3d).all()
        assert np.abs(rows.root_2d[:, 0] - (400, 900)[true]).max() < 80  # never the other one


def test_ids_in_the_file_are_kept_and_a_person_can_be_chosen(source: LiftModel):
    found, _ = two_people(60, 30.0, ids=True)
    found.track = found.track + 5
    chosen = lift_detections(found, source, LiftOptions(person=6))
    assert chosen.people == (6,)
    main = lift_detections(found, source, LiftOptions())
    assert main.people == (6,)  # the larger one
    assert any("person 6 is lifted, the most prominent" in line for line in main.verdicts)
    with pytest.raises(UserError, match="there is no person 9; there are 5, 6"):
        lift_detections(found, source, LiftOptions(person=9))


def test_ids_that_are_the_same_for_everybody_are_not_used(tmp_path: Path):
    # As AlphaPose writes them where it does not follow people.
    found, who = two_people(60, 30.0)
    rows = np.concatenate([found.points, found.confidence[..., None]], axis=-1)
    content = [{"image_id": f"{t}.jpg", "keypoints": k.ravel().tolist(), "score": 2.0, "idx": [[0.0], [0.0]]}
               for t, k in zip(found.frame.tolist(), rows, strict=True)]  # fmt: skip
    (tmp_path / "alphapose-results.json").write_text(json.dumps(content))
    known = understand(read(tmp_path / "alphapose-results.json"), LiftOptions(person="all", fps=30), 30.0)
    assert [len(track.frame) for track in known.tracks] == [(who == 0).sum(), (who == 1).sum()]
    assert any("its ids are not used" in line for line in known.verdicts)
    assert known.warnings == []


def test_a_person_detected_twice_is_one(source: LiftModel):
    points = np.concatenate([CLIP, CLIP + np.array([2, 2, -0.2])])
    result = understand(detections(points, np.tile(np.arange(40), 2)), LiftOptions(person="all", fps=30), 30.0)
    assert len(result.tracks) == 1
    assert any("40 detections of a person who was already" in line for line in result.verdicts)
    assert len(source.says) > 0


def test_frames_that_are_mixed_up_are_noticed(source: LiftModel):
    people_first = np.stack([CLIP, CLIP + np.array([300, 0, 0])])
    assert "78 of 80 detections repeat a person" in warned(np.tile(CLIP[:1], (2, 40, 1, 1)), source)
    assert "frames come first: (frames, people" in warned(people_first, source)
    milliseconds = Detections(source="c", kind="t", frame=33 * np.arange(40), points=CLIP[..., :2],
                              confidence=CLIP[..., 2], layout="coco-17")  # fmt: skip
    assert "give --fps 1000" in " ".join(lift_detections(milliseconds, source, LiftOptions(fps=30)).warnings)
    result = lift_detections(milliseconds, source, LiftOptions(fps=1000))
    assert not any("too far" in line for line in result.warnings)
    assert result.timestamps[-1] == pytest.approx(33 * 39 / 1000)


def test_a_rate_that_is_given_wins_over_times_in_the_file(source: LiftModel):
    timed = detections(CLIP, np.arange(40), seconds=np.arange(40) / 25)
    assert lift_detections(timed, source, LiftOptions()).timestamps[-1] == pytest.approx(39 / 25)
    given = lift_detections(timed, source, LiftOptions(fps=30))
    assert given.timestamps[-1] == pytest.approx(39 / 30)
    assert "30 frames a second: as asked, not by the times in the file" in given.verdicts


# --- any length -------------------------------------------------------------------------------


@pytest.mark.parametrize("frames", [1, 2, 5, 26, 27, 28, 40, 55])
def test_clips_of_any_length_are_lifted(source: LiftModel, frames: int):
    result = lift(filmed(camera_pose(frames), "coco-17"), source, fps=30)
    assert result.poses_3d.shape == (frames, 17, 3)
    assert np.isfinite(result.poses_3d).all()
    assert (result.poses_3d[:, 0] == 0).all()


def test_the_batch_does_not_change_the_result(source: LiftModel):
    long = filmed(camera_pose(150), "coco-17")
    assert mm(lift(long, source, fps=30, batch=1).poses_3d, lift(long, source, fps=30, batch=64).poses_3d) < 0.01


def test_flip_averaging_makes_mirrored_input_give_the_mirrored_result(source: LiftModel):
    from actionpose.geometry import flip

    order = [COCO_17.index(n.replace("left", "?").replace("right", "left").replace("?", "right")) for n in COCO_17]
    mirrored = (CLIP * (-1, 1, 1) + (WIDTH, 0, 0))[:, order]
    expected = flip(lift(CLIP, source, fps=30).poses_3d)
    assert mm(lift(mirrored, source, fps=30).poses_3d, expected) < 1
    assert (
        mm(lift(mirrored, source, fps=30, flip=False).poses_3d, flip(lift(CLIP, source, fps=30, flip=False).poses_3d))
        > 1
    )


# --- completion and prediction ----------------------------------------------------------------


def test_hidden_joints_are_left_out_or_completed_and_flagged(source: LiftModel):
    hidden = CLIP.copy()
    hidden[:, COCO_17.index("left_ankle"), 2] = 0
    joint = JOINT_NAMES.index("left_ankle")
    plain, full = (lift(hidden, source, fps=30, fill=fill) for fill in (False, True))
    assert np.isnan(plain.poses_3d[:, joint]).all()
    assert not plain.filled.any()
    assert np.isfinite(full.poses_3d).all()
    assert full.filled[:, joint].all()
    assert full.filled.sum() == 40
    assert not full.valid[:, joint].any()
    assert (full.valid.sum(axis=1) == 16).all()


def test_completed_joints_join_the_seen_ones_without_a_jump(source: LiftModel):
    long = filmed(camera_pose(60, wave=True), "coco-17").astype(np.float32)
    long[22:34, COCO_17.index("left_wrist"), 2] = 0
    kept = np.r_[0:40, 46:60]
    result = lift_detections(detections(long[kept], kept), source, LiftOptions(fps=30, fill=True, predict=0.3))
    steps = 1000 * np.linalg.norm(np.diff(result.poses_3d, axis=0), axis=-1)
    assert result.frame_index.tolist() == list(range(69))
    for gap in ((21, 34), (39, 46), (59, 61)):  # the model with random weights jumps by 300 mm and more
        assert steps[slice(*gap)].max() < 100


def test_joined_joints_start_and_end_where_the_seen_ones_are():
    seconds = np.arange(30) / 30.0
    path = np.zeros((30, 17, 3))
    path[:, :, 0] = seconds[:, None]  # 1 m/s
    seen = np.ones((30, 17), bool)
    seen[10:20, 3] = seen[25:, 4] = seen[:5, 5] = False
    off = path.copy()
    off[~seen] += (0.3, -0.2, 0.1)  # what the model has for hidden joints lies elsewhere, and moves alike
    assert join(off, seen, seconds) == pytest.approx(path, abs=1e-9)
    drifts = path.copy()  # and it may come nearer, or go away, over a gap
    drifts[10:20, 3] += np.linspace((0.3, -0.2, 0.1), (-0.1, 0.4, 0.0), 10)
    assert join(drifts, seen, seconds)[:25, 3] == pytest.approx(path[:25, 3], abs=1e-9)
    off[25:, 4, 0] = off[25, 4, 0]  # the model stands still: the joint coasts on, and no further than it may
    joined = join(off, seen, seconds)
    assert (np.diff(joined[24:, 4, 0]) > 0).all()
    assert joined[29, 4, 0] - joined[24, 4, 0] == pytest.approx(COASTS_S * (1 - np.exp(-5 / 30 / COASTS_S)), abs=1e-6)
    hidden = np.zeros((30, 17), bool)
    assert (join(off, hidden, seconds) == off).all()


def test_a_joint_that_the_model_stops_later_keeps_its_speed_until_then():
    seconds = np.arange(30) / 30.0
    path = np.zeros((30, 17, 3))
    path[:, :, 0] = np.minimum(seconds, 24 / 30)[:, None]  # 1 m/s, then nothing
    seen = np.ones((30, 17), bool)
    seen[20:, 3] = False
    assert join(path, seen, seconds) == pytest.approx(path, abs=1e-9)


def test_prediction_continues_after_the_last_frame(source: LiftModel):
    result = lift(CLIP, source, fps=30, predict=0.4)
    assert result.frame_index.tolist() == list(range(52))
    assert result.predicted.tolist() == [False] * 40 + [True] * 12
    assert result.filled[40:].all()
    assert np.isfinite(result.poses_3d).all()
    assert result.timestamps[-1] == pytest.approx(51 / 30)
    with pytest.raises(UserError, match="so it can look"):
        lift(CLIP, source, fps=30, predict=3.0)


# --- metres and up ----------------------------------------------------------------------------


def test_metres_come_from_a_height_or_a_bone_and_the_result_says_so(source: LiftModel):
    assumed = lift(CLIP, source, fps=30)
    assert "assumed: an adult of 1.7 m" in assumed.scale_source
    tall = lift(CLIP, source, fps=30, height_m=1.9)
    assert stature(tall.poses_3d) == pytest.approx(1.9, rel=1e-4)
    assert tall.scale_source == "given: height 1.9 m"
    bone = lift(CLIP, source, fps=30, bone="left_hip-left_knee=0.5")
    thigh = np.linalg.norm(bone.poses_3d[:, 4] - bone.poses_3d[:, 5], axis=-1)
    assert np.median(thigh) == pytest.approx(0.5, rel=1e-4)
    for bad in (
        {"bone": "hip-knee=0.4"},
        {"bone": "left_hip=0.4"},
        {"height_m": 180.0},
        {"height_m": 1.8, "bone": "x"},
    ):
        with pytest.raises(UserError):
            lift(CLIP, source, fps=30, **bad)


def test_a_world_has_gravity_down_and_is_only_turned(source: LiftModel):
    from actionpose.lift.scale import estimate_up

    camera = lift(CLIP, source, fps=30)
    world = lift(CLIP, source, fps=30, up=True)
    assert world.coordinate_system.startswith("world: x right, y away from the camera, z up")
    assert np.linalg.norm(world.poses_3d, axis=-1) == pytest.approx(np.linalg.norm(camera.poses_3d, axis=-1), abs=1e-5)
    tilted = camera_pose(40, view="yaw+020pitch+25")
    up = estimate_up(tilted - tilted[:, :1])
    assert "estimated from" in up.says
    assert "tilted by 2" in up.says
    assert np.linalg.det(up.rotation) == pytest.approx(1.0)
    standing = (tilted[:, JOINT_NAMES.index("head")] - tilted[:, 0]) @ up.rotation.T
    assert (standing[:, 2] > 0.95 * np.linalg.norm(standing, axis=-1)).all()


# --- checks -----------------------------------------------------------------------------------


def warned(keypoints: np.ndarray, source: LiftModel, **options) -> str:
    return " | ".join(lift(keypoints.astype(np.float32), source, fps=30, **options).warnings)


def test_right_input_gets_no_warning_about_the_input(source: LiftModel):
    warnings = warned(CLIP, source)
    assert not any(word in warnings for word in ("swapped", "upside", "order", "change places"))


def test_swapped_sides_are_noticed(source: LiftModel):
    body = [COCO_17.index(n) for n in COCO_17 if n.startswith("left") and not n.endswith(("eye", "ear"))]
    other = [COCO_17.index(COCO_17[j].replace("left", "right")) for j in body]
    front = filmed(camera_pose(40, view="front"), "coco-17")
    swapped = front.copy()
    swapped[:, body + other] = front[:, other + body]
    assert "left and right are swapped" in warned(swapped, source)
    assert "swapped" not in warned(front, source)
    flicker = front.copy()
    for t in (10, 20, 30):
        flicker[t, body + other] = front[t, other + body]
    assert "left and right change places 6 times (the arms and the legs; first at frame 10)" in warned(flicker, source)


@pytest.mark.parametrize(("limbs", "joints"), [("arms", "shoulder elbow wrist"), ("legs", "hip knee ankle")])
def test_sides_that_change_places_in_arms_or_legs_alone_are_noticed(source: LiftModel, limbs: str, joints: str):
    left = [COCO_17.index(f"left_{joint}") for joint in joints.split()]
    right = [COCO_17.index(f"right_{joint}") for joint in joints.split()]
    clip = filmed(camera_pose(40, view="front"), "coco-17")
    clip[10:18, left + right] = clip[10:18, right + left]
    assert f"left and right change places 2 times (the {limbs}; first at frame 10)" in warned(clip, source)


def test_a_wrong_layout_is_noticed(source: LiftModel):
    assert "may be in another order than h36m-17" in warned(CLIP, source, layout="h36m-17")


def test_a_person_upside_down_is_noticed(source: LiftModel):
    assert "upside down" in warned(CLIP * (1, -1, 1) + (0, 900, 0), source, y="down")


def checked(keypoints: np.ndarray, options: LiftOptions) -> tuple[list[str], list[str]]:
    """Verdicts, and warnings about the input."""
    found = detections(keypoints, np.arange(len(keypoints)))
    known = understand(found, options, 30.0)
    return known.verdicts, known.warnings + check_input(found, known.named, known.picture, known.tracks)


def test_columns_in_another_order_and_turned_films_are_noticed():
    _, warnings = checked(CLIP[..., [1, 0, 2]], LiftOptions())
    assert "people lie on their side in 100% of frames" in " ".join(warnings)
    assert checked(CLIP, LiftOptions())[1] == []


def test_joints_that_a_threshold_hides_are_counted():
    doubtful = CLIP * (1, 1, 0.08)
    doubtful[:, :9, 2] = 0.9
    verdicts, warnings = checked(doubtful, LiftOptions())
    assert "joints have a confidence below 0.1 and are hidden" in " ".join(verdicts)
    assert "a lower --min-confidence" in " ".join(warnings)
    verdicts, warnings = checked(doubtful, LiftOptions(min_confidence=0.05))
    assert not any("hidden" in line for line in verdicts + warnings)


def test_jumping_detections_show_in_the_speed_of_joints():
    seconds = np.arange(40) / 30
    poses = (POSES - POSES[:, :1]).copy()
    assert not any("faster" in line for line in check_result(0, seconds, poses, np.ones((40, 17), bool)))
    poses[::4, JOINT_NAMES.index("left_wrist")] += 1.0
    warnings = " ".join(check_result(0, seconds, poses, np.ones((40, 17), bool)))
    assert "faster than 15 m/s in" in warnings
    assert "most often left_wrist" in warnings


def test_bones_that_change_their_length_are_noticed():
    seconds = np.arange(40) / 30
    noisy = POSES - POSES[:, :1] + np.random.default_rng(0).normal(0, 0.06, POSES.shape)
    assert any("bones change their length" in w for w in check_result(0, seconds, noisy, np.ones((40, 17), bool)))


# --- the result -------------------------------------------------------------------------------


def test_a_result_explains_itself_and_comes_back_from_its_file(source: LiftModel, tmp_path: Path):
    lifted = lift(CLIP, source, fps=30, tool_version="1.2.3")
    save(lifted, tmp_path / "clip.npz")
    with np.load(tmp_path / "clip.npz", allow_pickle=False) as file:
        promised = {
            "poses_3d", "poses_2d", "confidence", "valid", "filled", "frame_index", "timestamps", "track_id",
            "joint_names", "parents", "coordinate_system", "units", "root", "scale_source", "fps", "model",
            "tool_version",
        }  # fmt: skip
        assert promised <= set(file)
        assert (str(file["units"]), str(file["root"]), str(file["tool_version"])) == ("metres", "pelvis", "1.2.3")
        assert json.loads(str(file["model"]))["weights"].startswith("sha256:")
    again = load(tmp_path / "clip.npz")
    for name, value in as_dict(lifted).items():
        assert np.array_equal(as_dict(again)[name], value, equal_nan=name.startswith("poses")), name


def test_json_has_the_same_with_null_for_what_is_not_there(source: LiftModel, tmp_path: Path):
    hidden = CLIP.copy()
    hidden[:, COCO_17.index("left_ankle"), 2] = 0
    save(lift(hidden, source, fps=30), tmp_path / "clip.json")
    content = json.loads((tmp_path / "clip.json").read_text())
    assert content["joint_names"] == list(JOINT_NAMES)
    assert content["poses_3d"][0][JOINT_NAMES.index("left_ankle")] == [None, None, None]
    assert content["model"]["kind"] == "actionpose pretrain"
    again, rows = load(tmp_path / "clip.json"), ("poses_3d", "valid", "frame_index", "timestamps")
    save(again, tmp_path / "clip.npz")
    other = load(tmp_path / "clip.npz")
    assert all(np.array_equal(getattr(again, n), getattr(other, n), equal_nan=n == "poses_3d") for n in rows)
    assert again.valid.dtype == bool
    assert not again.valid[:, JOINT_NAMES.index("left_ankle")].any()


def test_motionberts_format_is_the_bare_array_in_screen_units(source: LiftModel, tmp_path: Path):
    lifted = lift(CLIP, source, fps=30, size=(WIDTH, HEIGHT))
    save(lifted, tmp_path / "X3D.npy", "motionbert")
    array = np.load(tmp_path / "X3D.npy")
    assert (array.shape, array.dtype) == ((40, 17, 3), np.float32)
    assert array[0, 0, :2] == pytest.approx([2 * 640 / WIDTH - 1, 2 * 400 / WIDTH - HEIGHT / WIDTH], abs=5e-3)
    assert (array[:, 0, 2] == 0).all()
    people = dataclasses.replace(lifted, track_id=np.arange(40))
    with pytest.raises(UserError, match="holds one person"):
        save(people, tmp_path / "X3D.npy", "motionbert")


def test_another_file_is_no_result(tmp_path: Path):
    np.savez(tmp_path / "x.npz", a=1)
    with pytest.raises(UserError, match="not a result of `ap-lift run`"):
        load(tmp_path / "x.npz")


def test_a_file_and_an_array_give_the_same(source: LiftModel, run_folder: Path, tmp_path: Path):
    (tmp_path / "r.json").write_text(json.dumps(files.coco_results(CLIP)))
    assert mm(lift(tmp_path / "r.json", run_folder, fps=30).poses_3d, lift(CLIP, source, fps=30).poses_3d) < 0.1

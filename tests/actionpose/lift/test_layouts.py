"""Every format comes back at the right joints, and is recognised by what is in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.lift.jointmap import read_joint_map
from actionpose.lift.layouts import COCO_17, LAYOUTS, Layout, canonical, to_h36m
from actionpose.lift.read import one_clip, read_keypoints
from actionpose.lift.read_arrays import from_array
from actionpose.lift.recognise import name_joints, recognise_picture
from actionpose.skeleton import JOINT_NAMES
from benchmarks import detector_files as files
from pipeline.demo.body import body_arrays, demo_regressor
from pipeline.untrusted.pickles import load_objects
from tests.makers.filmed import HEIGHT, WIDTH, camera_pose, filmed, rigid, truth_2d
from tests.makers.keypoint_files import (
    FORMATS,
    POSES,
    coco,
    landmarks,
    openpose,
    save,
    sleap,
    wide_csv,
    write_json,
    yolo_labels,
)
from tests.makers.walker import walking

LIMBS = [j for j, name in enumerate(JOINT_NAMES) if name.startswith(("left", "right"))]
DERIVED_METRES = {"pelvis": 0.02, "spine": 0.05, "thorax": 0.06, "nose": 0.10, "head": 0.06}
"""How far a derived joint may be from the skeleton's own: layouts define them a little differently."""


@pytest.mark.parametrize("name", FORMATS)
def test_a_known_pose_comes_back_at_the_right_joints(name: str, tmp_path: Path):
    write, layout, kind = FORMATS[name]
    found = read_keypoints([write(tmp_path)])
    named = name_joints(found)
    assert (named.layout.name, found.kind[: len(kind)]) == (layout, kind)
    assert layout.split("-")[-1] in named.verdict or "by the joints' names" in named.verdict
    order = np.argsort(found.frame)
    points = named.points[order] * ((WIDTH, HEIGHT) if np.abs(named.points).max() < 2 else 1.0)
    assert (named.confidence > 0).all()
    truth = truth_2d(POSES)[found.frame[order] - found.frame.min()]
    away = np.linalg.norm(points - truth, axis=-1).max(axis=0) / 250.0
    assert away[LIMBS].max() < 1e-3
    too_far = {name: away[JOINT_NAMES.index(name)] for name, limit in DERIVED_METRES.items()
               if away[JOINT_NAMES.index(name)] > limit}  # fmt: skip
    assert too_far == {}


@pytest.mark.parametrize("gender", ["female", "male", "neutral"])
def test_the_head_lies_where_it_is_on_a_body(gender: str):
    vertices = np.asarray(body_arrays(gender)["v_template"], dtype=np.float64)
    joints = dict(zip(JOINT_NAMES, demo_regressor() @ vertices, strict=True))  # metres, y up, facing +z
    face = vertices[vertices[:, 1] > joints["nose"][1] - 0.05]
    ear = face[np.abs(face[:, 0]).argmax()] * (0, 1, 1)
    beside = np.array([0.085, 0.0, 0.0])
    named = {**joints, "left_ear": ear + beside, "right_ear": ear - beside}
    layout = Layout(name="test", joints=tuple(n for n in COCO_17 if n in named), says="")
    points = np.stack([named[n][:2] for n in layout.joints])[None]
    places, _ = to_h36m(points, np.ones(points.shape[:2]), layout)
    assert np.linalg.norm(places[0, JOINT_NAMES.index("head")] - joints["head"][:2]) < 0.02


def test_a_joint_without_all_its_sources_is_hidden_and_never_guessed():
    sure = np.ones((1, 17))
    sure[0, [COCO_17.index("left_hip"), COCO_17.index("right_ankle")]] = 0, 0.3
    points, confidence = to_h36m(np.ones((1, 17, 2)), sure, LAYOUTS["coco-17"])
    hidden = {name for name, c in zip(JOINT_NAMES, confidence[0], strict=True) if c == 0}
    assert hidden == {"left_hip", "pelvis", "spine"}
    assert confidence[0, JOINT_NAMES.index("right_ankle")] == 0.3
    assert (points[confidence == 0] == 0).all()


def test_the_head_is_found_from_one_ear_or_from_the_eyes():
    k = filmed(camera_pose(1, view="front"), "coco-17")
    both, _ = to_h36m(k[..., :2], k[..., 2], LAYOUTS["coco-17"])
    head = JOINT_NAMES.index("head")
    for hidden in (["left_ear"], ["left_ear", "right_ear"]):
        sure = k[..., 2].copy()
        sure[:, [COCO_17.index(name) for name in hidden]] = 0
        points, confidence = to_h36m(k[..., :2], sure, LAYOUTS["coco-17"])
        assert confidence[0, head] > 0
        assert np.linalg.norm(points[0, head] - both[0, head]) < 0.15 * 250


@pytest.mark.parametrize(
    ("written", "ours"),
    [("LWrist", "left_wrist"), ("left wrist", "left_wrist"), ("wrist_l", "left_wrist"), ("RSho", "right_shoulder"),
     ("leftWrist", "left_wrist"), ("MidHip", "pelvis"), ("Neck", "neck"), ("head_top", "head"), ("l_hip", "left_hip"),
     ("head_bottom", "neck"), ("snout", "snout")],
)  # fmt: skip
def test_names_are_known_in_the_usual_spellings(written: str, ours: str):
    assert canonical(written) == ours


# --- a layout of one's own --------------------------------------------------------------------

MAP = """
[joints]
left_hip = "hipL"
right_hip = "hipR"
pelvis = ["hipL", "hipR"]
thorax = "withers"
"""


def dog(tmp_path: Path) -> Path:
    table = files.deeplabcut(np.random.default_rng(0).uniform(10, 90, (5, 4, 3)) / (1, 1, 100),
                             ("hipL", "hipR", "withers", "tail"))  # fmt: skip
    (tmp_path / "dog.csv").write_text(table)
    return tmp_path / "dog.csv"


def test_a_joint_map_says_which_joints_stand_for_ours(tmp_path: Path):
    (tmp_path / "map.toml").write_text(MAP)
    found = read_keypoints([dog(tmp_path)])
    named = name_joints(found, joint_map=read_joint_map(tmp_path / "map.toml"))
    at = {name: named.points[:, j] for j, name in enumerate(JOINT_NAMES)}
    assert at["pelvis"] == pytest.approx((found.points[:, 0] + found.points[:, 1]) / 2, abs=1e-3)
    assert at["thorax"] == pytest.approx(found.points[:, 2])
    assert "always hidden: right_knee" in named.verdict


@pytest.mark.parametrize(
    ("text", "says"),
    [("[joints]\nlef_hip = 0", "did you mean 'left_hip'"), ("[joints]\nleft_hip = 'hipl'", "did you mean 'hipL'"),
     ("[joints]\nleft_hip = 9", "there is no joint 9; the keypoints have 4"), ("nose = 1", "no [joints] table"),
     ("[joints]\nnose = true", "nose = True"), ("[joints\n", "is not TOML")],
)  # fmt: skip
def test_a_wrong_joint_map_gets_a_sentence(text: str, says: str, tmp_path: Path):
    (tmp_path / "map.toml").write_text(text)
    with pytest.raises(UserError) as caught:
        name_joints(read_keypoints([dog(tmp_path)]), joint_map=read_joint_map(tmp_path / "map.toml"))
    assert says in str(caught.value)


def test_unknown_joints_ask_for_a_map(tmp_path: Path):
    with pytest.raises(UserError, match="--joint-map"):
        name_joints(read_keypoints([dog(tmp_path)]))


# --- bad input --------------------------------------------------------------------------------


def pictures(p: Path) -> Path:
    (p / "frames").mkdir()
    for t in range(3):
        (p / "frames" / f"{t:04d}.jpg").write_bytes(b"\xff\xd8\xff\xe0")
    return p / "frames"


def truncated(p: Path) -> Path:
    text = json.dumps(files.coco_results(filmed(POSES, "coco-17")))
    (p / "t.json").write_text(text[: len(text) // 2])
    return p / "t.json"


def nested(p: Path) -> Path:
    (p / "n.json").write_text("[" * 100_000)
    return p / "n.json"


def hand(p: Path) -> Path:
    return save(p / "h.npy", lambda f: np.save(f, np.random.default_rng(0).uniform(0, 100, (9, 21, 2))))


def three_d(p: Path) -> Path:
    return save(p / "x.npy", lambda f: np.save(f, POSES - POSES[:, :1]))


def three_d_above_ground(p: Path) -> Path:
    """Metres from the floor, z up: all of it in 0 to 2, most of it in 0 to 1."""
    return save(p / "x.npz", lambda f: np.savez(f, keypoints=walking(60)))


def three_d_small(p: Path) -> Path:
    """3D whose third coordinate lies in 0 to 1, as confidences do."""
    poses = 0.3 * rigid(POSES)
    return save(p / "x.npy", lambda f: np.save(f, poses - np.array([0, 0, poses[..., 2].min()])))


def three_d_of_mmpose(p: Path) -> Path:
    content = files.mmpose(filmed(POSES, "h36m-17"))
    for pose, frame in zip(0.3 * POSES, content["instance_info"], strict=True):
        frame["instances"][0]["keypoints"] = pose.tolist()
    return write_json(p / "m.json", content)


def sleap_in_another_order(p: Path) -> Path:
    """Two people in 24 frames, frames first: the second axis has length 2 as SLEAP's does."""
    with h5py.File(p / "s.h5", "w") as file:
        file["tracks"] = np.ones((24, 2, 17, 2))
        file["point_scores"] = np.ones((24, 2, 17))
        file["node_names"] = [name.encode() for name in COCO_17]
    return p / "s.h5"


def one_place(p: Path) -> Path:
    return save(p / "x.npy", lambda f: np.save(f, np.ones((5, 17, 3))))


def three_d_result(p: Path) -> Path:
    return save(p / "x.npz", lambda f: np.savez(f, poses_3d=POSES))


def not_numbers(p: Path) -> Path:
    return save(p / "x.npy", lambda f: np.save(f, np.full((4, 17, 2), np.nan)))


def zeros(p: Path) -> Path:
    return write_json(p / "z.json", files.coco_results(np.tile((0, 0, 0.5), (4, 17, 1))))


def pickled(p: Path) -> Path:
    return save(p / "x.npy", lambda f: np.save(f, np.array([{"a": 1}], dtype=object), allow_pickle=True))


def sleap_elsewhere(p: Path) -> Path:
    sleap(p).rename(p / "other.h5")
    with h5py.File(p / "x.h5", "w") as file:
        file["node_names"] = np.array([name.encode() for name in COCO_17])
        file["tracks"] = h5py.ExternalLink("other.h5", "tracks")
    return p / "x.h5"


def sleap_without_end(p: Path) -> Path:
    with h5py.File(sleap(p), "a") as file:
        del file["point_scores"]
        file.create_dataset("point_scores", (1, 17, 10**10), chunks=(1, 17, 1024), dtype="f8")  # a few bytes of disk
    return p / "s.h5"


def uneven_header(p: Path) -> Path:
    table = "scorer,D,D,D\nbodyparts,nose,nose,nose\ncoords,x,y\n0,1,2,0.9\n"
    return save(p / "x.csv", lambda f: f.write_text(table))


def nobody(p: Path) -> Path:
    return save(p / "json", lambda f: files.write_openpose(f, np.zeros((3, 25, 3))))


BAD: dict[str, tuple[Callable[[Path], Path], str]] = {
    "a folder of pictures": (pictures, "holds 3 pictures and no keypoints"),
    "a truncated JSON": (truncated, "is cut short: it ends in the middle"),
    "a JSON nested without end": (nested, "nested too deeply"),
    "a hand": (hand, "a hand has 21"),
    "3D in place of 2D": (three_d, "so these are 3D poses"),
    "3D above the ground": (three_d_above_ground, "so these are 3D poses"),
    "3D in a small unit": (three_d_small, "so these are 3D poses"),
    "joints at one place": (one_place, "every joint of every frame lies at (1, 1)"),
    "a lifted result": (three_d_result, "it is lifted already"),
    "SLEAP in another order": (sleap_in_another_order, "order of axes"),
    "3D of MMPose": (three_d_of_mmpose, "so these are 3D poses"),
    "NaN": (not_numbers, "are all NaN"),
    "all zeros": (zeros, "are all zero"),
    "Python objects": (pickled, "it holds Python objects, which are not loaded"),
    "frames of nobody": (nobody, "no person in any frame"),
    "an empty file": (lambda p: save(p / "e.json", lambda f: f.write_bytes(b"")), "is empty"),
    "a picture": (lambda p: save(p / "x.json", lambda f: f.write_bytes(b"\x89PNG\r\n\x1a\n")), "is a picture"),
    "a film": (lambda p: save(p / "x.mp4", lambda f: f.write_bytes(b"\0\0\0\x20ftypisom")), "is a film"),
    "a pickle": (lambda p: save(p / "x.pkl", lambda f: f.write_bytes(b"\x80\x04\x95")), "is a pickle"),
    "HDF5 that leads elsewhere": (sleap_elsewhere, "tracks is a link to elsewhere"),
    "HDF5 that fills the memory": (sleap_without_end, "GiB of memory"),
    "a web page": (lambda p: save(p / "x.json", lambda f: f.write_text("<!DOCTYPE html>")), "is a web page"),
    "another JSON": (lambda p: write_json(p / "x.json", {"name": "x", "version": 2}), "no keypoints that are known"),
    "a table with a broken header": (uneven_header, "rows of different length"),
    "another table": (lambda p: save(p / "x.csv", lambda f: f.write_text("a,b\n1,2\n")), "neither DeepLabCut's nor"),
    "nothing": (lambda p: p / "missing.json", "No such file"),
}


@pytest.mark.parametrize(
    "content",
    [
        {"images": [{"id": [1]}], "annotations": [{"image_id": 1, "keypoints": [1, 2, 1] * 17}]},
        {"1.jpg": {"bodies": [5]}},
        [{"keypoints": [[1, 2]], "scores": [1]}, 3],
        {"keypoints": np.arange(68.0).reshape(2, 17, 2).tolist(), "frames": [[1], [2, 3]]},
    ],
)
def test_a_json_whose_entries_are_of_another_kind_is_refused_by_name(content: Any, tmp_path: Path):
    path = write_json(tmp_path / "x.json", content)
    with pytest.raises(UserError, match=r"x\.json"):
        read_keypoints([path])


@pytest.mark.parametrize("what", BAD)
def test_bad_input_gets_a_sentence_that_names_the_file(what: str, tmp_path: Path):
    make, says = BAD[what]
    path = make(tmp_path)
    with pytest.raises(UserError) as caught:
        name_joints(read_keypoints([path]))
    assert says in caught.value.message + caught.value.hint
    assert str(path) in caught.value.message
    assert caught.value.hint


def test_a_layout_that_does_not_fit_is_refused_by_name(tmp_path: Path):
    found = read_keypoints([coco(tmp_path)])
    with pytest.raises(UserError, match="layouts of 17 joints: coco-17, h36m-17"):
        name_joints(found, "body-25")
    with pytest.raises(UserError, match="there is no layout"):
        name_joints(found, "coco")


def test_files_of_one_folder_given_by_a_shell_are_one_clip(tmp_path: Path):
    folder = openpose("body-25")(tmp_path)
    paths = sorted(folder.iterdir())
    assert one_clip(paths)
    assert np.unique(read_keypoints(paths).frame).tolist() == list(range(24))


def test_frames_count_by_the_numbers_in_their_names(tmp_path: Path):
    folder = openpose("body-25")(tmp_path)
    for t in (3, 4, 5):
        (folder / f"clip_{t:012d}_keypoints.json").unlink()
    assert np.unique(read_keypoints([folder]).frame).tolist() == [0, 1, 2, *range(6, 24)]


def pictures_named(pattern: str, p: Path) -> Path:
    rows = files.alphapose(filmed(POSES, "coco-17"))
    return write_json(p / "a.json", [row | {"image_id": pattern.format(t)} for t, row in enumerate(rows)])


@pytest.mark.parametrize("pattern", ["{}_720p.png", "cam1_frame{:04d}.jpg", "run/frame{}_cam02.jpg", "shot 3 ({}).jpg"])
def test_of_several_numbers_in_a_name_the_one_that_counts_frames_is_used(pattern: str, tmp_path: Path):
    assert read_keypoints([pictures_named(pattern, tmp_path)]).frame.tolist() == list(range(24))


def test_different_pictures_of_one_number_are_no_clip(tmp_path: Path):
    with pytest.raises(UserError, match="have the same frame number"):
        read_keypoints([pictures_named("{}/frame7.jpg", tmp_path)])


def test_a_folder_of_mmpose_frames_counts_by_names_and_leaves_out_empty_ones(tmp_path: Path):
    for t, frame in enumerate(files.mmpose(filmed(POSES, "coco-17"))["instance_info"]):
        write_json(tmp_path / f"{t:06d}_1080p.json", [] if t == 5 else frame["instances"])
    assert read_keypoints([tmp_path]).frame.tolist() == [*range(5), *range(6, 24)]


def test_frames_of_nobody_are_left_out_in_every_wrapping(tmp_path: Path):
    for t, frame in enumerate(files.mmpose(filmed(POSES, "coco-17"))["instance_info"]):
        content = {"meta_info": {"dataset_name": "coco"}, "instance_info": [] if t == 5 else frame["instances"]}
        write_json(tmp_path / f"{t:06d}.json", content)
    assert read_keypoints([tmp_path]).frame.tolist() == [*range(5), *range(6, 24)]


@pytest.mark.parametrize(("name", "track"), [("frames and people as objects", 3), ("frames by person", 1),
                                             ("YOLO labels", 1), ("easy_ViTPose", 1)])  # fmt: skip
def test_ids_of_people_are_read_from_every_wrapping(name: str, track: int, tmp_path: Path):
    found = read_keypoints([FORMATS[name][0](tmp_path)])
    assert found.track is not None
    assert (found.track == track).all()


def test_text_files_of_yolo_count_frames_by_their_names_and_may_lack_ids_and_confidences(tmp_path: Path):
    folder = yolo_labels(tmp_path)
    (folder / "clip_8.txt").unlink()
    for path in folder.iterdir():
        words = path.read_text().split()
        path.write_text(" ".join([*words[:5], *(w for j in range(17) for w in words[5 + 3 * j : 7 + 3 * j]), "0.5"]))
    assert one_clip(sorted(folder.iterdir()))
    found = read_keypoints([folder])
    assert sorted(found.frame.tolist()) == [*range(1, 8), *range(9, 25)]
    assert found.track is None
    assert (found.confidence == 1).all()
    (folder / "clip_8.txt").write_text("0 0.5 0.5 0.2 0.6 0.9\n")
    with pytest.raises(UserError, match="a line of 6 words is not a person"):
        read_keypoints([folder])


def test_rates_come_from_the_times_of_a_table(tmp_path: Path):
    head, *rows = wide_csv(lambda j, name, axis: f"{name}_{axis}")(tmp_path).read_text().split("\n")
    for name, step in (("time_s", 0.04), ("timestamp", 40.0), ("timestamp_ms", 40.0)):
        lines = [f"{head},{name}", *(f"{row},{t * step:g}" for t, row in enumerate(rows))]
        (tmp_path / "t.csv").write_text("\n".join(lines))
        assert read_keypoints([tmp_path / "t.csv"]).fps == pytest.approx(25)


def test_arrays_may_hold_a_person_in_a_row_or_axes_of_length_one():
    k = filmed(POSES, "coco-17")
    for given in (k.reshape(24, -1), k[..., :2].reshape(24, -1), k[:, None, None]):
        assert from_array(given, "a").points == pytest.approx(k[..., :2], rel=1e-6)


def test_detections_of_videopose3ds_own_script_are_read(tmp_path: Path):
    k = filmed(POSES, "coco-17")
    rows = np.concatenate([k[..., :2], np.zeros_like(k[..., :1]), k[..., 2:]], axis=-1).swapaxes(1, 2)
    frames = np.empty((24, 2), dtype=object)
    for t, pose in enumerate(rows):
        frames[t, 0], frames[t, 1] = [], np.stack([pose] * (t % 3)) if t % 3 else []
    np.savez(tmp_path / "d.npz", boxes=frames, segments=np.array([None]), keypoints=frames,
             metadata=np.array({"w": 1280, "h": 720}))  # fmt: skip
    found = read_keypoints([tmp_path / "d.npz"], load_objects)
    assert (found.size, found.layout) == ((1280.0, 720.0), "coco-17")
    assert np.bincount(found.frame).tolist() == [t % 3 for t in range(24)]
    assert found.points[0] == pytest.approx(k[1, :, :2], rel=1e-6)
    assert found.confidence.min() == pytest.approx(0.9)


def test_a_stray_json_among_openpose_frames_is_left_out_and_reported(tmp_path: Path):
    folder = openpose("body-25")(tmp_path)
    write_json(folder / "a summary.json", {})
    found = read_keypoints([folder])
    assert len(found) == 24
    assert "left out: 1 files" in found.notes[-1]


@pytest.mark.parametrize("people", [1, 2])
def test_frame_numbers_beside_arrays_count_in_any_form(people: int, tmp_path: Path):
    keypoints = np.stack([filmed(POSES, "coco-17")] * people, axis=1)
    keypoints[3:5, people - 1] = 0
    order = np.arange(24)[::-1]
    for number, frames in enumerate((order, order.astype(float), np.array([f"frame_{t:03d}" for t in order]))):
        for array in (keypoints, keypoints[:, 0]):
            np.savez(tmp_path / f"{number}.npz", keypoints=array[order], frames=frames, fps=25)
            found = read_keypoints([tmp_path / f"{number}.npz"])
            assert (found.frame[0], found.frame[-1], found.fps) == (23, 0, 25)
            assert len(found) == array[..., 2].any(axis=-1).sum() or array.ndim == 3
    np.savez(tmp_path / "x.npz", keypoints=keypoints, frames=np.arange(7))
    with pytest.raises(UserError, match="7 entries of frames for"):
        read_keypoints([tmp_path / "x.npz"])


def test_joints_at_minus_one_are_hidden_in_pixels_alone():
    keypoints = filmed(POSES, "coco-17")[..., :2]
    keypoints[4:6, 9] = -1
    found = from_array(keypoints, "a")
    assert np.argwhere(found.confidence == 0).tolist() == [[4, 9], [5, 9]]
    assert "2 joints at exactly (-1, -1) count as hidden" in found.notes
    screen = keypoints / 640 - 1
    screen[4, 9] = -1
    assert (from_array(screen, "a").confidence > 0).all()


def test_mediapipe_in_pixels_is_not_taken_for_normalised(tmp_path: Path):
    pixels = [[{"x": m["x"] * WIDTH, "y": m["y"] * HEIGHT} for m in frame] for frame in landmarks()]
    found = read_keypoints(
        [write_json(tmp_path / "m.json", {"fps": 25, "width": 1280, "height": 720, "frames": pixels})]
    )
    named = name_joints(found)
    picture = recognise_picture(named.points, named.confidence, known_units=found.units)
    assert (picture.units, found.fps, found.size) == ("pixels", 25.0, (1280.0, 720.0))


def normalised(view: str, width: float, height: float) -> tuple[np.ndarray, np.ndarray]:
    """Places from 0 to 1 (T, 17, 2) in a film of that size, Human3.6M order, and confidences."""
    k = filmed(camera_pose(40, view=view, wave=True), "h36m-17", at=(width / 2, height / 2))
    return k[..., :2] / (width, height), k[..., 2]


@pytest.mark.parametrize("view", ["front", "side", "yaw+030"])
def test_an_upright_film_is_recognised_by_the_proportions_of_people(view: str):
    upright = recognise_picture(*normalised(view, 1080, 1920))
    assert (upright.units, upright.aspect) == ("normalised", 9 / 16)
    assert "taken for 9:16" in " ".join(upright.verdicts)
    wide = recognise_picture(*normalised(view, 1280, 720))
    assert (wide.units, wide.aspect) == ("normalised", 16 / 9)


def test_world_landmarks_of_mediapipe_are_not_stretched_as_a_picture_is():
    world = POSES - POSES[:, :1]
    picture = recognise_picture(world[..., :2], np.ones(world.shape[:2]), known_units="normalised")
    assert picture.to_picture(world[..., :2]) == pytest.approx(world[..., :2])
    assert "MediaPipe's world landmarks" in picture.verdicts[0]


def test_views_of_project_2d_are_read_one_by_one(tmp_path: Path):
    views = np.stack([POSES[..., :2], -POSES[..., :2]])
    np.savez(tmp_path / "p.npz", pose2d=views, pose3d_cam=np.zeros((2, 24, 17, 3)), fps=30.0, joint_names=JOINT_NAMES)
    found = read_keypoints([tmp_path / "p.npz"])
    assert (len(found), found.fps) == (24, 30.0)
    assert "of 2 views the first is read" in found.notes


def test_videopose3d_files_are_read_through_a_safe_opener_alone(tmp_path: Path):
    k = filmed(POSES, "coco-17")[..., :2].astype(np.float32)
    about = {"layout_name": "coco", "num_joints": 17, "video_metadata": {"clip.mp4": {"w": 1280, "h": 720}}}
    np.savez(tmp_path / "v.npz", positions_2d={"clip.mp4": {"custom": [k]}}, metadata=about)
    with pytest.raises(UserError, match="not opened here"):
        read_keypoints([tmp_path / "v.npz"])
    found = read_keypoints([tmp_path / "v.npz"], load_objects)
    assert (found.size, found.layout, len(found)) == ((1280.0, 720.0), "coco-17", 24)

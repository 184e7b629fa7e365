"""One person's keypoints in the files of every detector, and in those that people write themselves."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np

from actionpose.lift.layouts import COCO_17, LAYOUTS
from actionpose.skeleton import JOINT_NAMES
from benchmarks import detector_files as files
from tests.makers.filmed import HEIGHT, WIDTH, camera_pose, filmed

POSES = camera_pose(24, wave=True)


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content))
    return path


def save(path: Path, writer: Callable[[Path], object]) -> Path:
    writer(path)
    return path


def coco(p: Path) -> Path:
    return write_json(p / "r.json", files.coco_results(filmed(POSES, "coco-17")))


def alpha(layout: str) -> Callable[[Path], Path]:
    return lambda p: write_json(p / "alphapose-results.json", files.alphapose(filmed(POSES, layout)))


def alpha_by_image(p: Path) -> Path:
    frames = filmed(POSES, "coco-18")
    return write_json(p / "a.json", {f"{t}.jpg": {"version": "x", "bodies": [{"joints": f.ravel().tolist()}]}
                                     for t, f in enumerate(frames)})  # fmt: skip


def openpose(layout: str) -> Callable[[Path], Path]:
    return lambda p: save(p / "json", lambda f: files.write_openpose(f, filmed(POSES, layout)))


def rtmlib_json(p: Path) -> Path:
    frames = filmed(POSES, "coco-17")[:, None]
    return write_json(p / "r.json", [{"keypoints": f[..., :2].tolist(), "scores": f[..., 2].tolist()} for f in frames])


def rtmlib_npz(layout: str) -> Callable[[Path], Path]:
    k = filmed(POSES, layout)[:, None]
    return lambda p: save(p / "k.npz", lambda f: np.savez(f, keypoints=k[..., :2], scores=k[..., 2]))


def mmpose_frames(p: Path) -> Path:
    return write_json(p / "m.json", files.mmpose(filmed(POSES, "coco-17"))["instance_info"])


def mediapipe_npy(p: Path) -> Path:
    k = filmed(POSES, "mediapipe-33")
    rows = np.concatenate([k[..., :2] / (WIDTH, HEIGHT), np.zeros_like(k[..., :1]), k[..., 2:]], axis=-1)
    return save(p / "m.npy", lambda f: np.save(f, rows))


def landmarks() -> list[list[dict[str, float]]]:
    frames = files.mediapipe(filmed(POSES, "mediapipe-33"), WIDTH, HEIGHT)
    return [frame["landmarks"] for frame in frames]


def mediapipe(wrapped: Callable[[list[list[dict[str, float]]]], object]) -> Callable[[Path], Path]:
    return lambda p: write_json(p / "m.json", wrapped(landmarks()))


def by_joint(frame: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    return dict(zip(map(str.upper, LAYOUTS["mediapipe-33"].joints), frame, strict=True))


def tensorflow_js(p: Path) -> Path:
    keys = ("x", "y", "score")
    frames = [[{"name": n, **dict(zip(keys, k, strict=True))} for n, k in zip(COCO_17, frame.tolist(), strict=True)]
              for frame in filmed(POSES, "coco-17")]  # fmt: skip
    return write_json(p / "t.json", [[{"score": 0.9, "keypoints": frame}] for frame in frames])


def yolo(p: Path) -> Path:
    keys = ("x", "y", "visible")
    frames = [dict(zip(keys, frame.T.tolist(), strict=True)) for frame in filmed(POSES, "coco-17")]
    return write_json(p / "y.json", [[{"name": "person", "box": {"x1": 0.0}, "keypoints": k}] for k in frames])


def mmpose_in_python(p: Path) -> Path:
    frames = [frame["instances"] for frame in files.mmpose(filmed(POSES, "coco-17"))["instance_info"]]
    return write_json(p / "m.json", {"predictions": frames})


def sleap(p: Path) -> Path:
    return save(p / "s.h5", lambda f: files.write_sleap(f, filmed(POSES, "coco-17"), COCO_17))


def sleap_csv(p: Path) -> Path:
    head = ["track", "frame_idx", "instance.score", *(f"{n}.{c}" for n in COCO_17 for c in ("x", "y", "score"))]
    rows = [["", str(t), "0.9", *map(str, frame.ravel())] for t, frame in enumerate(filmed(POSES, "coco-17"))]
    (p / "s.csv").write_text("\n".join(",".join(row) for row in [head, *rows]))
    return p / "s.csv"


def deeplabcut(p: Path) -> Path:
    (p / "d.csv").write_text(files.deeplabcut(filmed(POSES, "coco-17"), COCO_17))
    return p / "d.csv"


def plain() -> list[list[list[float]]]:
    frames: list[list[list[float]]] = filmed(POSES, "coco-17").tolist()
    return frames


def nested(wrapped: Callable[[list[list[list[float]]]], object]) -> Callable[[Path], Path]:
    return lambda p: write_json(p / "n.json", wrapped(plain()))


def json_lines(p: Path) -> Path:
    lines = [json.dumps({"frame": t, "keypoints": f}) for t, f in enumerate(plain())]
    return save(p / "n.jsonl", lambda f: f.write_text("\n".join(lines) + "\n"))


def json_texts(p: Path) -> Path:
    frames = json.loads(yolo(p).read_text())
    return write_json(p / "t.json", [json.dumps(frame) for frame in frames])


def yolo_labels(p: Path) -> Path:
    (p / "labels").mkdir()
    for t, frame in enumerate(filmed(POSES, "coco-17") / (WIDTH, HEIGHT, 1)):
        row = [0, 0.5, 0.5, 0.2, 0.6, *frame.ravel(), 0.93, 1]
        (p / "labels" / f"clip_{t + 1}.txt").write_text(" ".join(f"{x:.9g}" for x in row) + "\n")
    return p / "labels"


def cells(layout: str) -> list[list[str]]:
    k = filmed(POSES, layout)
    k[..., :2] /= (WIDTH, HEIGHT)
    return [[repr(float(x)) for x in frame.ravel()] for frame in k]


def wide_csv(head: Callable[[int, str, str], str], *, delimiter: str = ",") -> Callable[[Path], Path]:
    """A table as pandas writes it of MediaPipe's landmarks."""
    names = LAYOUTS["mediapipe-33"].joints
    heads = ["frame", *(head(j, name, axis) for j, name in enumerate(names) for axis in ("x", "y", "visibility"))]
    rows = [[str(t), *row] for t, row in enumerate(cells("mediapipe-33"))]
    if delimiter == ";":
        rows = [[cell.replace(".", ",") for cell in row] for row in rows]
    text = "\n".join(delimiter.join(row) for row in [heads, *rows])
    return lambda p: save(p / "m.csv", lambda f: f.write_text(text))


def long_csv(p: Path) -> Path:
    rows = [f"{t},{j},{','.join(row[3 * j : 3 * j + 3])}" for t, row in enumerate(cells("mediapipe-33"))
            for j in range(33)]  # fmt: skip
    return save(p / "m.csv", lambda f: f.write_text("\n".join(["frame,landmark_id,x,y,visibility", *rows])))


def easy_vitpose(p: Path) -> Path:
    frames = [{"1": [[y, x, c] for x, y, c in frame]} for frame in plain()]
    return write_json(p / "v.json", {"keypoints": frames, "skeleton": dict(enumerate(COCO_17))})


def alphapose_of_one_picture(p: Path) -> Path:
    (p / "sep-json").mkdir()
    for t, frame in enumerate(filmed(POSES, "coco-18")):
        write_json(p / "sep-json" / f"{t}.json", {"version": "x", "bodies": [{"joints": frame.ravel().tolist()}]})
    return p / "sep-json"


def h36m_of_mmpose(p: Path) -> Path:
    rename = {"pelvis": "root", "nose": "neck_base", "left_ankle": "left_foot", "right_ankle": "right_foot"}
    content = files.mmpose(filmed(POSES, "h36m-17"))
    content["meta_info"] = {"keypoint_id2name": {str(j): rename.get(n, n) for j, n in enumerate(JOINT_NAMES)}}
    return write_json(p / "m.json", content)


def npy(layout: str, columns: int = 3) -> Callable[[Path], Path]:
    return lambda p: save(p / "k.npy", lambda f: np.save(f, filmed(POSES, layout)[..., :columns]))


FORMATS: dict[str, tuple[Callable[[Path], Path], str, str]] = {
    "COCO results": (coco, "coco-17", "COCO results JSON"),
    "AlphaPose 17": (alpha("coco-17"), "coco-17", "AlphaPose JSON"),
    "AlphaPose 26": (alpha("halpe-26"), "halpe-26", "AlphaPose JSON"),
    "AlphaPose 136": (alpha("halpe-136"), "halpe-136", "AlphaPose JSON"),
    "AlphaPose by picture": (alpha_by_image, "coco-18", "AlphaPose JSON by picture"),
    "OpenPose BODY_25": (openpose("body-25"), "body-25", "OpenPose folder"),
    "OpenPose COCO": (openpose("coco-18"), "coco-18", "OpenPose folder"),
    "MMPose": (lambda p: write_json(p / "m.json", files.mmpose(filmed(POSES, "coco-17"))), "coco-17", "MMPose"),
    "MMPose frames": (mmpose_frames, "coco-17", "MMPose"),
    "rtmlib JSON": (rtmlib_json, "coco-17", "rtmlib"),
    "rtmlib npz 26": (rtmlib_npz("halpe-26"), "halpe-26", "arrays"),
    "DWPose npz 134": (rtmlib_npz("dwpose-134"), "dwpose-134", "arrays"),
    "rtmlib npz 133": (rtmlib_npz("wholebody-133"), "wholebody-133", "arrays"),
    "MediaPipe JSON": (
        lambda p: write_json(p / "m.json", files.mediapipe(filmed(POSES, "mediapipe-33"), WIDTH, HEIGHT)),
        "mediapipe-33",
        "MediaPipe",
    ),
    "MediaPipe protobuf": (
        mediapipe(lambda f: [{"pose_landmarks": {"landmark": m}} for m in f]),
        "mediapipe-33",
        "MediaPipe",
    ),
    "MediaPipe tasks": (
        mediapipe(lambda f: [{"landmarks": [m], "worldLandmarks": [m]} for m in f]),
        "mediapipe-33",
        "MediaPipe",
    ),
    "MediaPipe bare": (mediapipe(lambda f: f), "mediapipe-33", "MediaPipe"),
    "MediaPipe by frame": (
        mediapipe(lambda f: {f"frame_{t}": m for t, m in enumerate(f)}),
        "mediapipe-33",
        "MediaPipe",
    ),
    "MediaPipe by joint": (
        mediapipe(lambda f: [{"frame": t, "landmarks": by_joint(m)} for t, m in enumerate(f)]),
        "names",
        "MediaPipe",
    ),
    "TensorFlow.js": (tensorflow_js, "coco-17", "keypoints as objects"),
    "YOLO": (yolo, "coco-17", "keypoints as objects"),
    "MMPose in Python": (mmpose_in_python, "coco-17", "MMPose"),
    "lists of poses": (nested(lambda f: f), "coco-17", "JSON arrays"),
    "lists of people who come and go": (
        nested(lambda f: [[pose, pose] if t % 7 else [pose] for t, pose in enumerate(f)]),
        "coco-17",
        "JSON lists of poses",
    ),
    "frames as objects": (
        nested(lambda f: [{"frame": t, "keypoints": pose} for t, pose in enumerate(f)]),
        "coco-17",
        "JSON lists of poses",
    ),
    "frames and people as objects": (
        nested(
            lambda f: {
                "fps": 25,
                "frames": [{"frame_index": t, "people": [{"id": 3, "keypoints": pose}]} for t, pose in enumerate(f)],
            }
        ),
        "coco-17",
        "JSON lists of poses",
    ),
    "frames by number": (
        nested(lambda f: {str(t): {"keypoints": [x for row in pose for x in row]} for t, pose in enumerate(f)}),
        "coco-17",
        "JSON lists of poses",
    ),
    "frames by person": (
        nested(lambda f: {"1": {f"{t:04d}": {"keypoints": pose, "scores": 0.9} for t, pose in enumerate(f)}}),
        "coco-17",
        "JSON lists of poses",
    ),
    "places and scores in lists": (
        nested(
            lambda f: {
                "keypoints": [[[row[:2] for row in pose]] * (1 + t % 2) for t, pose in enumerate(f)],
                "scores": [[[row[2] for row in pose]] * (1 + t % 2) for t, pose in enumerate(f)],
            }
        ),
        "coco-17",
        "JSON lists of poses",
    ),
    "JSON lines": (json_lines, "coco-17", "JSON lists of poses"),
    "YOLO as texts": (json_texts, "coco-17", "keypoints as objects"),
    "YOLO labels": (yolo_labels, "coco-17", "YOLO labels"),
    "easy_ViTPose": (easy_vitpose, "coco-17", "easy_ViTPose"),
    "AlphaPose by picture in files": (alphapose_of_one_picture, "coco-18", "AlphaPose JSON by picture"),
    "MMPose Human3.6M": (h36m_of_mmpose, "h36m-17", "MMPose"),
    "table of columns": (wide_csv(lambda j, name, axis: f"{name.upper()}_{axis}"), "names", "table of joints"),
    "table of numbered columns": (
        wide_csv(lambda j, name, axis: f"{axis[0]}{j + 1}", delimiter=";"),
        "mediapipe-33",
        "table of joints",
    ),
    "table of rows for joints": (long_csv, "mediapipe-33", "table of joints"),
    "MediaPipe npy": (mediapipe_npy, "mediapipe-33", "MediaPipe"),
    "H36M npy": (npy("h36m-17"), "h36m-17", "array"),
    "H36M npy without confidence": (npy("h36m-17", 2), "h36m-17", "array"),
    "COCO npy": (npy("coco-17"), "coco-17", "array"),
    "SLEAP HDF5": (sleap, "coco-17", "SLEAP analysis HDF5"),
    "SLEAP csv": (sleap_csv, "coco-17", "SLEAP table"),
    "DeepLabCut": (deeplabcut, "coco-17", "DeepLabCut table"),
}

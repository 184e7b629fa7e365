"""Write examples/keypoints: the same seconds of a motion of the demo world, in the layout of every detector.

    python -m scripts.make_keypoint_examples demo/world/shards

A person is filmed by a perspective camera of 1280 x 720 pixels, 5 metres away; joints are off by a pixel or two and
their confidences vary, as a detector's do.

    python -m scripts.make_keypoint_examples demo/world/shards --film open-mocap/shards

also writes examples/film.json: ten seconds of trial 86_05 of the CMU motion capture database (mocap.cs.cmu.edu, free to
use), filmed as the demo's film is (`pipeline/demo/film.py`): with noise, hidden joints and missing frames.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actionpose.geometry import camera_matrix, facing_heading, to_camera
from actionpose.lift.layouts import LAYOUTS
from actionpose.shards import ShardSet
from benchmarks import detector_files as files
from pipeline.demo.film import SECONDS, detections

Floats = NDArray[np.floating]

ROOT = Path(__file__).parent.parent
WIDTH, HEIGHT, FOCAL, DISTANCE = 1280, 720, 1100.0, 5.0
FRAMES, NOISE_PIXELS = 20, 1.0
FILM_TRIAL, FILM_START_S = "86_05", 13.0


def main() -> None:
    """Write every example."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shards", type=Path, help="the demo world's shards")
    parser.add_argument("--out", type=Path, default=ROOT / "examples" / "keypoints")
    parser.add_argument("--film", type=Path, help="shards of CMU's motion: write the longer film, too")
    arguments = parser.parse_args()
    write_examples(camera_poses(arguments.shards), arguments.out)
    if arguments.film:
        _json(arguments.out.parent / "film.json", detections(film_poses(ShardSet(arguments.film)), seed=0))


def film_poses(shards: ShardSet) -> Floats:
    """(T, 17, 3) metres, z up: jumping jacks, a squat and hops."""
    motion = [name.rpartition("/")[2] for name in shards.motions["motion_id"].tolist()].index(FILM_TRIAL)
    first = round(FILM_START_S * shards.fps)
    return np.asarray(shards.motion_frames(motion)[first : first + round(SECONDS * shards.fps)], np.float64)


def camera_poses(shards: Path) -> Floats:
    """(T, 17, 3) metres in the camera's frame, of the first clip of walking in the validation split."""
    found = ShardSet(shards)
    clip = next(
        int(found.pairs["clip"][row])
        for row, text in enumerate(found.pairs["text"])
        if text == "walk forward" and found.motions["split"][found.clips["motion"][found.pairs["clip"][row]]] == "val"
    )
    motion, start = int(found.clips["motion"][clip]), int(found.clips["start"][clip])
    world = np.asarray(found.motion_frames(motion), np.float64)[start : start + FRAMES]
    pose = to_camera(world, camera_matrix("yaw+035pitch+05", facing_heading(world)[0]))
    return pose - pose[len(pose) // 2, 0] + (0.0, 0.0, DISTANCE)


def detected(poses: Floats, layout: str) -> Floats:
    """(T, K, 3) pixels and confidence, as a detector of this layout sees the poses."""
    joints = files.joints_of(poses, layout, up=(0.0, -1.0, 0.0))
    xy = joints[..., :2] / joints[..., 2:] * FOCAL + (WIDTH / 2, HEIGHT / 2)
    rng = np.random.default_rng(len(layout))
    xy += rng.normal(0.0, NOISE_PIXELS, xy.shape)
    confidence = rng.uniform(0.75, 0.98, (*xy.shape[:2], 1))
    return np.round(np.concatenate([xy, confidence], axis=-1), 2)


def write_examples(poses: Floats, out: Path) -> None:
    """One file or folder for each format."""
    out.mkdir(parents=True, exist_ok=True)
    coco, halpe = detected(poses, "coco-17"), detected(poses, "halpe-26")
    _json(out / "coco-results.json", files.coco_results(coco))
    _json(out / "alphapose-17.json", files.alphapose(coco))
    _json(out / "alphapose-26.json", files.alphapose(halpe))
    _json(out / "alphapose-136.json", files.alphapose(detected(poses, "halpe-136")))
    _json(out / "mmpose.json", files.mmpose(coco))
    _json(out / "mediapipe.json", files.mediapipe(detected(poses, "mediapipe-33"), WIDTH, HEIGHT))
    files.write_openpose(out / "openpose-body25", detected(poses, "body-25"))
    files.write_openpose(out / "openpose-coco18", detected(poses, "coco-18"))
    np.savez_compressed(out / "rtmlib-26.npz", keypoints=halpe[:, None, :, :2], scores=halpe[:, None, :, 2])
    whole = detected(poses, "wholebody-133").astype(np.float32)
    np.savez_compressed(out / "rtmlib-133.npz", keypoints=whole[:, None, :, :2], scores=whole[:, None, :, 2])
    np.save(out / "h36m.npy", detected(poses, "h36m-17").astype(np.float32))
    names = LAYOUTS["coco-17"].joints
    (out / "deeplabcut.csv").write_text(files.deeplabcut(coco, names))
    files.write_sleap(out / "sleap.analysis.h5", coco, names)
    _videopose3d(out / "videopose3d.npz", coco[..., :2])
    own = {name: name.upper().replace("LEFT_", "L_").replace("_", "") for name in names}
    (out / "own-joints.csv").write_text(files.deeplabcut(coco, [own[name] for name in names]))
    kept = [f'{name} = "{own[name]}"' for name in names if "eye" not in name]
    (out / "own-joints.toml").write_text(
        "# Which joints of own-joints.csv stand for ours.\n[joints]\n" + "\n".join(kept) + "\n"
    )


def _videopose3d(path: Path, xy: Floats) -> None:
    """VideoPose3D's custom data; its own script writes Python objects, and so must this."""
    about = {"layout_name": "coco", "num_joints": 17, "keypoints_symmetry": [[1, 3], [2, 4]],
             "video_metadata": {"clip.mp4": {"w": WIDTH, "h": HEIGHT}}}  # fmt: skip
    np.savez_compressed(path, positions_2d={"clip.mp4": {"custom": [xy.astype(np.float32)]}}, metadata=about)  # type: ignore[arg-type]


def _json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()

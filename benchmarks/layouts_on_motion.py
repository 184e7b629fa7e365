"""How often arrays of 17 joints are told apart (COCO or Human3.6M), and how well proportions fit, on real motion.

    python -m benchmarks.layouts_on_motion SHARDS

Clips of 1, 8 and 60 frames from three sides, with noise of a centimetre on every joint.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from actionpose.geometry import camera_matrix, facing_heading, to_camera
from actionpose.lift.detections import Detections
from actionpose.lift.recognise import name_joints
from actionpose.shards import ShardSet
from benchmarks.detector_files import joints_of

VIEWS = ("front", "side", "yaw+040pitch+20")
LAYOUTS = ("coco-17", "h36m-17")
MOTIONS, NOISE_M = 80, 0.01


def detections(xy: np.ndarray) -> Detections:
    sure = np.ones(xy.shape[:2])
    return Detections(source="", kind="", frame=np.arange(len(xy)), points=xy, confidence=sure)


def main() -> None:
    shards = ShardSet(Path(sys.argv[1]))
    rng = np.random.default_rng(0)
    for frames in (1, 8, 60):
        right, wrong, found, clips = [], [], 0, 0
        for motion in rng.choice(len(shards.motions["motion_id"]), MOTIONS, replace=False):
            world = np.asarray(shards.motion_frames(motion), np.float64)
            start = rng.integers(0, max(1, len(world) - frames))
            world = world[start : start + frames]
            for view in VIEWS:
                camera = to_camera(world, camera_matrix(view, facing_heading(world)[0]))
                for layout in LAYOUTS:
                    xy = joints_of(camera, layout, up=(0, -1, 0))[..., :2]
                    seen = detections(xy + rng.normal(0, NOISE_M, xy.shape))
                    found += name_joints(seen).layout.name == layout
                    right.append(name_joints(seen, layout).misfit)
                    wrong.append(name_joints(seen, next(name for name in LAYOUTS if name != layout)).misfit)
                    clips += 1
        highest, lowest = np.quantile(right, 0.99), np.quantile(wrong, 0.01)
        print(f"{frames:3d} frames: {found} of {clips} right", end="; ")
        print(f"misfit of right ones {highest:.2f} at the 99th percentile, of wrong ones {lowest:.2f} at the 1st")


if __name__ == "__main__":
    main()

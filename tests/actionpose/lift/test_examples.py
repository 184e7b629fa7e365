"""The files in examples/keypoints are the same seconds in every layout, and come back alike."""

from __future__ import annotations

import numpy as np
import pytest

from actionpose.lift.jointmap import read_joint_map
from actionpose.lift.read import read_keypoints
from actionpose.lift.recognise import name_joints
from actionpose.skeleton import JOINT_NAMES
from pipeline.untrusted.pickles import load_objects
from tests.makers.places import ROOT

FOLDER = ROOT / "examples" / "keypoints"
LIMBS = [j for j, name in enumerate(JOINT_NAMES) if name.startswith(("left", "right"))]
LAYOUT_OF = {
    "alphapose-136.json": "halpe-136",
    "alphapose-17.json": "coco-17",
    "alphapose-26.json": "halpe-26",
    "coco-results.json": "coco-17",
    "deeplabcut.csv": "coco-17",
    "h36m.npy": "h36m-17",
    "mediapipe.json": "mediapipe-33",
    "mmpose.json": "coco-17",
    "openpose-body25": "body-25",
    "openpose-coco18": "coco-18",
    "own-joints.csv": "own-joints.toml",
    "rtmlib-133.npz": "wholebody-133",
    "rtmlib-26.npz": "halpe-26",
    "sleap.analysis.h5": "coco-17",
    "videopose3d.npz": "coco-17",
}


def test_every_example_is_tested():
    assert {path.name for path in FOLDER.iterdir() if path.suffix not in (".toml", ".md")} == set(LAYOUT_OF)


@pytest.mark.parametrize("name", LAYOUT_OF)
def test_an_example_is_recognised_and_shows_the_same_person(name: str):
    found = read_keypoints([FOLDER / name], load_objects)
    own = read_joint_map(FOLDER / LAYOUT_OF[name]) if LAYOUT_OF[name].endswith(".toml") else None
    named = name_joints(found, joint_map=own)
    assert named.layout.name == LAYOUT_OF[name]
    expected = name_joints(read_keypoints([FOLDER / "h36m.npy"]))
    points = named.points[np.argsort(found.frame, kind="stable")]
    points = points * (1280, 720) if found.units == "normalised" else points
    away = np.linalg.norm(points - expected.points, axis=-1)
    assert np.median(away[:, LIMBS]) < 3  # detector noise of a pixel on each side
    assert away[:, LIMBS].max() < 10
    assert away.max() < 40  # derived joints, at about 220 pixels a metre

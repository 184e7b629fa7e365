"""What is no npz of plain arrays is named for what it is, and nobody is told to unpickle it."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.plain_npz import read_plain_npz


def refused(path: Path) -> str:
    with pytest.raises(UserError) as error:
        read_plain_npz(path, wants="3D keypoints", make="numpy.savez(FILE, keypoints=array, fps=30)")
    text = f"{error.value.message} {error.value.hint}"
    assert str(path) in text
    assert "allow_pickle" not in text
    assert "unsafely" not in text
    return text


def test_arrays_come_back_by_name(tmp_path):
    np.savez(tmp_path / "a.npz", keypoints=np.ones((3, 17, 3)), fps=30.0)
    found = read_plain_npz(tmp_path / "a.npz", wants="", make="")
    assert found["keypoints"].shape == (3, 17, 3)
    assert float(found["fps"]) == 30


def test_a_bare_array_is_named_with_its_shape_and_what_to_write(tmp_path):
    np.save(tmp_path / "X3D.npy", np.zeros((40, 17, 3)))
    text = refused(tmp_path / "X3D.npy")
    assert "a bare array of shape (40, 17, 3)" in text
    assert "numpy.savez" in text


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        ([{"image_id": "1.jpg", "keypoints": [0.0] * 78, "score": 1}], "2D detections, 26 joints"),
        ({"people": [{"pose_keypoints_2d": [0.0] * 75}]}, "2D detections"),
        ({"a": 1}, "is a JSON file;"),
    ],
)
def test_json_is_named_and_detections_are_sent_to_ap_lift(tmp_path, content, kind):
    (tmp_path / "results.json").write_text(json.dumps(content))
    text = refused(tmp_path / "results.json")
    assert kind in text
    assert "ap-lift run" in text


def test_objects_damage_and_nothing_each_get_a_sentence(tmp_path):
    np.savez(tmp_path / "objects.npz", keypoints=np.array([{}], dtype=object))
    assert "Python objects" in refused(tmp_path / "objects.npz")
    np.savez(tmp_path / "whole.npz", keypoints=np.zeros((300, 17, 3)))
    (tmp_path / "torn.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:3000])
    assert "damaged" in refused(tmp_path / "torn.npz")
    assert "there is no " in refused(tmp_path / "none.npz")


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "is empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html>", "web page"),
        (gzip.compress(b"[]", mtime=0), "packed archive"),
        (b"frame,x,y\n0,1,2\n", "damaged or no .npz"),
        (b'\xef\xbb\xbf[{"keypoints": [0, 0, 1]}]', "a JSON file of 2D detections, 1 joints"),
    ],
)
def test_what_stands_in_the_place_of_data_is_not_called_python_objects(tmp_path, content, kind):
    (tmp_path / "poses.npz").write_bytes(content)
    text = refused(tmp_path / "poses.npz")
    assert kind in text
    assert "Python objects" not in text

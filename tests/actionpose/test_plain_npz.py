"""What is no npz of plain arrays is named for what it is, and nobody is told to unpickle it."""

from __future__ import annotations

import gzip
import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from actionpose import plain_npz
from actionpose.errors import UserError
from actionpose.lift.read_arrays import read_npy, read_npz
from actionpose.lift.result import load
from actionpose.plain_npz import LARGEST, NotPlain, npy_array, npz_arrays, read_plain_npz
from pipeline.body.regressor import read_matrix
from pipeline.body.smplh import load_body
from tests.makers.zips import say


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
        (b"frame,x,y\n0,1,2\n", "it is no .npz"),
        (b'\xef\xbb\xbf[{"keypoints": [0, 0, 1]}]', "a JSON file of 2D detections, 1 joints"),
    ],
)
def test_what_stands_in_the_place_of_data_is_not_called_python_objects(tmp_path, content, kind):
    (tmp_path / "poses.npz").write_bytes(content)
    text = refused(tmp_path / "poses.npz")
    assert kind in text
    assert "Python objects" not in text


# --- what a file announces, and how it is packed -----------------------------------------------

BODY = ("shapedirs", "posedirs", "J_regressor", "weights", "kintree_table", "f")
READERS = {
    "3D keypoints": lambda path: read_plain_npz(path, wants="3D keypoints", make="numpy.savez(FILE, keypoints=array)"),
    "2D keypoints": read_npz,
    "lifted clip": load,
    "body": lambda path: load_body(path, "male"),
}


def announced(shape: str, descr: str = "'<f8'", data: bytes = b"") -> bytes:
    """An `.npy` whose header says what it likes."""
    text = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def archive(path: Path, member: bytes, method: int = zipfile.ZIP_STORED) -> Path:
    """A file that every reader of plain arrays takes for its own, all members alike."""
    with zipfile.ZipFile(path, "w", method) as file:
        for name in ("keypoints", "v_template", *BODY):
            file.writestr(f"{name}.npy", member)
    return path


ZEROS = announced(f"({1 << 27},)", data=bytes(1 << 16))

CAUSES = {
    "a shape of 10^12": (lambda p: archive(p, announced("(1000000000000,)")), "which is not what is there"),
    "a shape beyond 64 bits": (
        lambda p: archive(p, announced(f"({1 << 62}, {1 << 62})")),
        "which is not what is there",
    ),
    "more than is announced": (lambda p: archive(p, announced("(1,)", data=bytes(24))), "which is not what is there"),
    "Python objects": (lambda p: archive(p, announced("(1,)", "'|O'", b"\x80\x04N.")), "Python objects"),
    "brackets without end": (lambda p: archive(p, announced("(" * 3000)), "damaged or cut short"),
    "an npz in an npz": (lambda p: archive(p, archive(p, b"").read_bytes()), "is not an array"),
    "LZMA": (lambda p: archive(p, announced("()", data=bytes(8)), zipfile.ZIP_LZMA), "not supported"),
    "PPMd": (lambda p: say(archive(p, announced("()", data=bytes(8))), "packed by PPMd"), "not supported"),
    "patched data": (lambda p: say(archive(p, announced("()", data=bytes(8))), "patched data"), "not supported"),
    "a password": (lambda p: say(archive(p, announced("()", data=bytes(8))), "encrypted"), "encrypted"),
    "3.9 GiB": (lambda p: say(archive(p, ZEROS, zipfile.ZIP_DEFLATED), "unpacks to 3.9 GiB"), "GiB of arrays"),
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("what", CAUSES)
def test_the_true_cause_is_named_and_no_memory_taken_for_what_is_only_announced(tmp_path, what, reader, monkeypatch):
    make, words = CAUSES[what]
    path = make(tmp_path / "strange.npz")
    taken = []
    monkeypatch.setattr(np.lib.format, "read_array", lambda *_, **__: taken.append(1))
    with pytest.raises(UserError) as error:
        READERS[reader](path)
    text = f"{error.value.message} {error.value.hint}"
    assert str(path) in text
    assert words in text
    damage = ("a shape of 10^12", "a shape beyond 64 bits", "more than is announced", "brackets without end")
    assert ("damaged" in text) == (what in damage)
    assert "allow_pickle" not in text
    assert not taken


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (announced("(17, 10000000000)"), "which is not what is there"),
        (announced("(17, 6890)", data=bytes(800)), "which is not what is there"),
        (announced("(17, 10)", data=bytes(1368)), "which is not what is there"),
        (announced(f"({1 << 62}, {1 << 62})"), "which is not what is there"),
        (announced("(1,)", "'|O'", b"\x80\x04N."), "Python objects"),
    ],
)
@pytest.mark.parametrize("reader", [read_npy, lambda path: read_matrix(path, 6890)], ids=["keypoints", "regressor"])
def test_a_bare_array_that_announces_too_much_is_a_sentence(tmp_path, content, words, reader):
    path = tmp_path / "strange.npy"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words) as error:
        reader(path)
    assert str(path) in error.value.message


def test_an_array_of_terabytes_that_are_there_is_not_read(tmp_path):
    path = tmp_path / "sparse.npy"
    path.write_bytes(announced(f"({1 << 37},)"))
    with open(path, "r+b") as handle:
        handle.truncate((1 << 40) + path.stat().st_size)  # a hole: it takes no room on the disk
    with pytest.raises(NotPlain, match=f"up to {LARGEST / 2**30:.1f} GiB"):
        npy_array(path)


def test_members_that_are_small_each_but_too_much_together_are_not_read(tmp_path, monkeypatch):
    np.savez_compressed(tmp_path / "many.npz", **{name: np.zeros(50_000) for name in "abcd"})
    monkeypatch.setattr(plain_npz, "_SPARE", 1_000_000)  # two of them
    with pytest.raises(NotPlain, match="GiB of arrays; up to"):
        npz_arrays(tmp_path / "many.npz")
    assert npz_arrays(tmp_path / "many.npz", wanted="ab").keys() == {"a", "b"}


def test_memory_that_is_not_there_is_called_that(tmp_path, monkeypatch):
    np.savez(tmp_path / "a.npz", keypoints=np.ones((3, 17, 2)))

    def full(*_: object, **__: object) -> None:
        raise MemoryError

    monkeypatch.setattr(np.lib.format, "read_array", full)
    with pytest.raises(UserError, match="more memory than there is"):
        read_npz(tmp_path / "a.npz")

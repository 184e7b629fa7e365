"""Every file under the root gets a verdict: a motion with its true rate, or the reason why it is none."""

from __future__ import annotations

import io
import pickle
import tempfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose.errors import UserError
from pipeline.engine.item import Item, ItemError, Skip
from pipeline.sources.amass import motion_files, motion_id, read_motion
from pipeline.stages.index import index_one
from tests.makers.worlds import write_motion
from tests.makers.zips import say

CONTEXT = {"rate_overrides": True}


def look(root: Path, path: Path, **context):
    item = Item(motion_id(path.relative_to(root)), {"source": path.relative_to(root).as_posix(), "bytes": 1})
    return index_one(item, {**CONTEXT, "amass": str(root), **context}, root)["motions"][0]


def test_unknown_members_are_ignored_and_optional_ones_optional(tmp_path):
    path = tmp_path / "a_poses.npz"
    write_motion(path, seconds=1, dmpls=None, marker_data=np.full((5, 3, 3), np.nan), note=np.array("x"))
    assert read_motion(path).poses.shape == (120, 156)


def test_float32_and_ten_betas_are_read(tmp_path):
    path = tmp_path / "a_poses.npz"
    write_motion(path, seconds=1, betas=np.arange(10, dtype=np.float32))
    assert read_motion(path).betas.tolist() == [*range(10), 0, 0, 0, 0, 0, 0]


class Bomb:
    """What a hostile pickle would do."""

    def __reduce__(self):
        return (open, ("/tmp/actionpose-was-here", "w"))


def test_a_pickle_inside_is_never_executed(tmp_path):
    path = tmp_path / "KIT" / "1" / "a_poses.npz"
    write_motion(path, seconds=1)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "|O", "fortran_order": False, "shape": (120, 156)})
    buffer.write(pickle.dumps(Bomb()))
    members = {name: zipfile.ZipFile(path).read(name) for name in zipfile.ZipFile(path).namelist()}
    members["poses.npy"] = buffer.getvalue()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ItemError, match="object array") as error:
        look(tmp_path, path)
    assert error.value.reason == "Python objects inside"
    assert not Path("/tmp/actionpose-was-here").exists()


def test_a_file_that_announces_more_than_memory_is_refused_unread(tmp_path):
    path = tmp_path / "KIT" / "1" / "bomb_poses.npz"
    write_motion(path, seconds=1)
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f8", "fortran_order": False, "shape": (10**9, 156)})
    members = {name: zipfile.ZipFile(path).read(name) for name in zipfile.ZipFile(path).namelist()}
    members["poses.npy"] = buffer.getvalue() + bytes(1000)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    with pytest.raises(ItemError, match="1000000000"):
        look(tmp_path, path)


def broken(path: Path, kind: str) -> None:
    frames = write_motion(path, seconds=1)
    poses = np.zeros((frames, 156))
    nan = poses.copy()
    nan[7] = np.nan
    changes = {
        "nan": {"poses": nan},
        "no frames": {"poses": poses[:0], "trans": np.zeros((0, 3))},
        "wide": {"poses": np.zeros((frames, 159))},
        "wide as smplx": {"poses": np.zeros((frames, 165))},
        "a shape per frame": {"betas": np.zeros((frames, 16))},
        "two rates": {"mocap_framerate": np.array([60.0, 120.0])},
        "no place": {"trans": None},
        "text": {"poses": np.full((frames, 156), "x")},
        "trans": {"trans": np.zeros((frames - 1, 3))},
        "far away": {"trans": np.full((frames, 3), 1e20)},
        "turned for ever": {"poses": np.full((frames, 156), 1e6)},
        "a giant": {"betas": np.full(16, 1e6)},
        "two rates under two names": {"mocap_framerate": np.array(60.0), "mocap_frame_rate": np.array(120.0)},
        "rate under another name": {"mocap_framerate": None, "mocap_fps": np.array(120.0)},
        "rate 0": {"mocap_framerate": np.array(0.0)},
        "rate nan": {"mocap_framerate": np.array(np.nan)},
        "no rate": {"mocap_framerate": None},
        "smplx": {"mocap_frame_rate": np.array(120.0), "surface_model_type": np.array("smplx")},
    }
    if kind in changes:
        write_motion(path, seconds=1, **changes[kind])
    elif kind == "cut":
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    elif kind == "html":
        path.write_text("<!DOCTYPE html><html>Please log in</html>")
    elif kind == "pointer":
        path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "garbage":
        path.write_bytes(bytes(range(256)) * 20)
    elif kind in ("encrypted", "packed by PPMd"):
        say(path, kind)
    elif kind == "npy":
        with open(path, "wb") as handle:
            np.save(handle, poses)


@pytest.mark.parametrize(
    ("kind", "reason"),
    [
        ("nan", "not finite"),
        ("no frames", "absurd length"),
        ("wide", "wrong width"),
        ("wide as smplx", "SMPL-X edition"),
        ("a shape per frame", "wrong width"),
        ("two rates", "absurd rate"),
        ("two rates under two names", "absurd rate"),
        ("rate under another name", "keys missing"),
        ("no place", "keys missing"),
        ("text", "wrong type"),
        ("trans", "wrong width"),
        ("far away", "absurd value"),
        ("turned for ever", "absurd value"),
        ("a giant", "absurd value"),
        ("rate 0", "absurd rate"),
        ("rate nan", "absurd rate"),
        ("no rate", "keys missing"),
        ("smplx", "SMPL-X edition"),
        ("cut", "damaged"),
        ("html", "a web page"),
        ("pointer", "a Git LFS pointer"),
        ("empty", "damaged"),
        ("garbage", "damaged"),
        ("npy", "damaged"),
        ("encrypted", "not supported"),
        ("packed by PPMd", "not supported"),
    ],
)
def test_every_kind_of_broken_file_is_refused_with_its_reason(tmp_path, kind, reason):
    path = tmp_path / "KIT" / "1" / "a_poses.npz"
    broken(path, kind)
    with pytest.raises(ItemError) as error:
        read_motion(path)
    assert error.value.reason == reason
    assert str(path) in error.value.message


def test_a_rate_under_another_name_is_pointed_at(tmp_path):
    write_motion(tmp_path / "a_poses.npz", seconds=1, mocap_framerate=None, mocap_fps=np.array(120.0))
    with pytest.raises(ItemError, match="lacks mocap_framerate; if mocap_fps is its rate, name it mocap_framerate"):
        read_motion(tmp_path / "a_poses.npz")


def test_files_of_operating_systems_are_not_listed_and_an_empty_root_says_what_to_do(tmp_path):
    with pytest.raises(UserError, match=r"no \.npz file"):
        list(motion_files(tmp_path))
    with pytest.raises(UserError, match="no AMASS folder"):
        list(motion_files(tmp_path / "nowhere"))
    write_motion(tmp_path / "KIT" / "1" / "a_poses.npz", seconds=0.1)
    (tmp_path / "KIT" / "1" / "._a_poses.npz").write_bytes(b"litter")
    assert [path.name for path in motion_files(tmp_path)] == ["a_poses.npz"]


@pytest.fixture(scope="module")
def sound(tmp_path_factory) -> bytes:
    path = tmp_path_factory.mktemp("sound") / "a_poses.npz"
    write_motion(path, seconds=0.1)
    return path.read_bytes()


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1, exclude_max=True), st.integers(1, 255)), max_size=4), st.floats(0.2, 1))
def test_a_damaged_file_gives_a_sane_motion_or_a_reason(sound, flips, kept):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "KIT" / "1" / "a_poses.npz"
        path.parent.mkdir(parents=True)
        content = bytearray(sound)
        for place, mask in flips:
            content[int(place * len(content))] ^= mask
        path.write_bytes(content[: int(kept * len(content))])
        reason = "a sane motion"
        try:
            row, motion = look(Path(folder), path), read_motion(path)
            assert motion.poses.shape == (row.frames, 156)
            assert np.isfinite(motion.poses).all()
            assert 1 <= row.fps_true <= 1000
        except (ItemError, Skip) as verdict:
            reason = verdict.reason
        assert reason


@pytest.mark.parametrize(
    ("stored", "gender"), [("f", "female"), ("F", "female"), ("m", "male"), ("M", "male"), ("n", "neutral"), ("x", "")]
)
def test_a_gender_given_by_its_first_letter_is_that_gender(tmp_path, stored, gender):
    write_motion(tmp_path / "a_poses.npz", seconds=0.2, gender=np.array(stored))
    assert read_motion(tmp_path / "a_poses.npz").gender == gender


def test_smplh_columns_are_smplh_whatever_the_key_of_their_rate(tmp_path):
    write_motion(tmp_path / "a_poses.npz", seconds=0.5, mocap_framerate=None, mocap_frame_rate=np.array(100.0))
    motion = read_motion(tmp_path / "a_poses.npz")
    assert (motion.fps, motion.poses.shape[1]) == (100.0, 156)


def test_all_sixteen_betas_are_read(tmp_path):
    shape = np.arange(1.0, 17.0)
    write_motion(tmp_path / "a_poses.npz", seconds=0.2, betas=shape)
    assert read_motion(tmp_path / "a_poses.npz").betas.tolist() == shape.tolist()

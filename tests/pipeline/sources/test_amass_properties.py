"""Whatever stands in a motion file or a BABEL file: a sane result, or a reason; and no memory for lies."""

from __future__ import annotations

import io
import json
import math
import struct
import tempfile
import tracemalloc
import warnings
import zipfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from actionpose.config import canonical_json
from actionpose.errors import UserError
from pipeline.config import PairConfig
from pipeline.engine.item import Item, ItemError, Skip
from pipeline.sources.amass import read_motion
from pipeline.sources.babel import entry_places, parse_sequence, read_entry, read_file
from pipeline.stages.index import motion_row

MEMBERS = ("poses", "trans", "betas", "dmpls", "gender", "mocap_framerate")
SHAPES = {"poses": (6, 156), "trans": (6, 3), "betas": (16,), "dmpls": (6, 8), "gender": (), "mocap_framerate": ()}
METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_LZMA)
DTYPES = ("<f8", "<f4", ">f8", "<f2", "<f16", "<i4", "<u8", "|b1", "<c16", "<U6", "|S6", "<M8[s]", "|V8", "|O")

lengths = st.sampled_from([0, 1, 2, 3, 6, 8, 16, 156, 165, 2**31, 2**33, 2**60])
shapes = st.lists(lengths, max_size=3).map(tuple)


def npy(descr: str, shape: tuple[int, ...], data: bytes) -> bytes:
    text = repr({"descr": descr, "fortran_order": False, "shape": shape}).encode()
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data


def sound(name: str) -> bytes:
    buffer = io.BytesIO()
    words = {"gender": np.array("female"), "mocap_framerate": np.array(120.0)}
    np.save(buffer, words.get(name, np.full(SHAPES[name], 0.1)))
    return buffer.getvalue()


SOUND = {name: sound(name) for name in MEMBERS}


@st.composite
def recipes(draw: st.DrawFn) -> list[tuple[str, tuple[str, tuple[int, ...], bytes] | None]]:
    """Members in any order; most as they should be (None), some of another type or shape, missing, or there twice."""
    members: list[tuple[str, tuple[str, tuple[int, ...], bytes] | None]] = []
    for name in draw(st.permutations(MEMBERS)):
        for _ in range(draw(st.sampled_from([1] * 14 + [0, 2]))):
            spoiled = draw(st.integers(0, 5)) == 5
            shape = draw(st.sampled_from([SHAPES[name], (*SHAPES[name], 1)]) | shapes) if spoiled else ()
            filler = draw(st.binary(min_size=1, max_size=16)) if spoiled else b""
            members.append((name, (draw(st.sampled_from(DTYPES)), shape, filler) if spoiled else None))
    return members


def baked(descr: str, shape: tuple[int, ...], filler: bytes) -> bytes:
    """A member full of the filler; one of an absurd size is empty."""
    size = np.dtype(descr).itemsize * math.prod(shape)
    return npy(descr, shape, (filler * (size // len(filler) + 1))[:size] if size < 20_000 else b"")


def judged(path: Path, **how: object) -> str:
    """Read as the stages read; the reason, or nothing. Any other exception goes through and fails the test."""
    root = path.parents[2]
    item = Item("KIT/1/a", {"source": "KIT/1/a_poses.npz", "bytes": 1})
    try:
        row = motion_row(item, root, rate_overrides=True)
        canonical_json(asdict(row)).encode()
        motion = read_motion(path, dmpls=True, **how)
    except (ItemError, Skip) as verdict:
        (verdict.reason + verdict.message).encode()
        return verdict.reason
    assert 1 <= row.fps_true <= 1000
    assert row.gender in ("female", "male", "neutral", "")
    shown = len(range(0, row.frames, motion.every))
    assert (motion.poses.shape, motion.trans.shape, motion.betas.shape) == ((shown, 156), (shown, 3), (16,))
    numbers = [motion.poses, motion.trans, motion.betas, *([] if motion.dmpls is None else [motion.dmpls])]
    assert all(array.dtype == np.float64 and np.isfinite(array).all() for array in numbers)
    return ""


def placed(folder: str, members: list[tuple[str, bytes]], method: int) -> Path:
    path = Path(folder) / "KIT" / "1" / "a_poses.npz"
    path.parent.mkdir(parents=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile warns of a name that comes twice
        with zipfile.ZipFile(path, "w", method) as archive:
            for name, content in members:
                archive.writestr(f"{name}.npy", content)
    return path


@settings(max_examples=250, deadline=None)
@given(recipe=recipes(), method=st.sampled_from(METHODS), every=st.integers(1, 4))
def test_members_of_any_type_and_shape_missing_or_twice(recipe, method, every):
    members = [(name, baked(*spoiled) if spoiled else SOUND[name]) for name, spoiled in recipe]
    with tempfile.TemporaryDirectory() as folder:
        path = placed(folder, members, method)
        tracemalloc.start()
        try:
            judged(path, every=every)
            assert tracemalloc.get_traced_memory()[1] < 20e6  # LZMA takes 8 for its dictionary
        finally:
            tracemalloc.stop()


def test_a_sound_archive_is_judged_sound(tmp_path):
    assert judged(placed(str(tmp_path), list(SOUND.items()), zipfile.ZIP_STORED)) == ""


@pytest.mark.parametrize(
    ("name", "member", "reason"),
    [
        ("mocap_framerate", npy("<M8[s]", (), bytes(8)), "wrong type"),
        ("mocap_framerate", npy("<c16", (), bytes(16)), "wrong type"),
        ("betas", npy("<f8", (), struct.pack("<d", np.nan)), "not finite"),
        ("betas", npy("<f16", (1,), b"\xff" * 7 + b"\x80\xfe\x7f" + bytes(6)), "not finite"),
        ("gender", npy("<U6", (), b"\xff" * 24), ""),
        ("gender", npy("<U499999999", (), b""), "wrong width"),
        ("trans", npy("<f8", (2**33, 2**31), b""), "absurd length"),
        ("dmpls", npy("<f8", (6, 7), bytes(6 * 7 * 8)), "wrong width"),
    ],
    ids=lambda value: "" if isinstance(value, bytes) else value,
)
def test_what_looking_for_trouble_found(tmp_path, name, member, reason):
    assert judged(placed(str(tmp_path), [*(SOUND | {name: member}).items()], zipfile.ZIP_STORED)) == reason


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=300), begins=st.sampled_from([b"", b"<", b"PK\x03\x04", b"\x93NUMPY", b"\x80\x04"]))
def test_arbitrary_bytes_are_refused(content, begins):
    with tempfile.TemporaryDirectory() as folder:
        path = placed(folder, [], zipfile.ZIP_STORED)
        path.write_bytes(begins + content)
        assert judged(path)


# --- BABEL ------------------------------------------------------------------------------------

values = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
keys = st.sampled_from(["dur", "feat_p", "frame_ann", "seq_ann", "frame_anns", "labels", "proc_label", "act_cat"])
anything = st.recursive(
    values,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys | st.text(max_size=3), inner, max_size=4),
    max_leaves=12,
)
entries = st.dictionaries(
    st.text(max_size=3),
    st.fixed_dictionaries({"feat_p": values}, optional={"dur": values, "frame_ann": anything, "seq_ann": anything})
    | anything,
    max_size=3,
)


def babel(content: bytes) -> None:
    """Read as `doctor` does (whole) and as a build does (piece by piece); both must end in one of two ways."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.json"
        path.write_bytes(content)
        found: list[tuple[str, object]] = []
        refused = []
        try:
            found += read_file(path).items()
        except UserError as error:
            refused.append(error.message)
        try:
            found += [(sid, read_entry(path, place)) for sid, place in entry_places(path, 64).items()]
        except UserError as error:
            refused.append(error.message)
        assert all(str(path) in message for message in refused)
        for sid, entry in found:
            try:
                for sequence in parse_sequence(sid, "train", entry, PairConfig()):
                    texts = [sequence.sid, sequence.feat_p]
                    for label in sequence.labels:
                        texts += [label.text, label.raw, label.seg_id, *label.act_cat]
                        assert np.isfinite([label.start_s, label.end_s]).all()
                    canonical_json(texts).encode()
            except UserError as error:
                error.message.encode()


@settings(max_examples=200, deadline=None)
@given(data=entries | anything, cut=st.none() | st.integers(0, 200))
@example(data={"1": {"feat_p": "a", "dur": 1, "seq_ann": {"labels": [{"proc_label": "\ud800"}]}}}, cut=None)
@example(data={"\ud800": {"feat_p": "\udfff", "dur": 1}}, cut=None)
@example(data={"1": {"feat_p": "a", "dur": True, "frame_ann": "labels"}}, cut=None)
def test_any_json_is_read_or_refused_by_name(data, cut):
    content = json.dumps(data).encode()
    babel(content if cut is None else content[:cut])


@settings(max_examples=100, deadline=None)
@given(content=st.binary(max_size=200))
@example(content=b"[" * 100_000)
@example(content=b'{"1": ' + b"[" * 100_000)
@example(content=b'{"1": {"feat_p": "a", "dur": ' + b"9" * 5000 + b"}}")
@example(content=b'{"1": {"feat_p": "a", "dur": 1e999}}')
@example(content=b'{"1": {"feat_p": "a", "dur": 1}, "1": {"feat_p": 3}}')
@example(content=b'\xef\xbb\xbf{"1": {"feat_p": "a", "dur": 1}}')
def test_any_bytes_are_read_or_refused_by_name(content):
    babel(content)

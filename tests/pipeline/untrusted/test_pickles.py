"""Hostile pickles: refused by name, in bounded time and memory, by a process that is not the one that works."""

from __future__ import annotations

import pickle
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.isolated import Limits, call
from pipeline.untrusted import opcodes
from pipeline.untrusted.pickles import load_objects, load_pickle, unpickle, unpickle_member
from tests.makers.zips import say

QUICK = Limits(memory=1 << 29, seconds=2)

START = b"\x80\x04"


def name(module: str, attribute: str) -> bytes:
    return b"c" + module.encode() + b"\n" + attribute.encode() + b"\n"


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


DTYPE_U8 = name("numpy", "dtype") + b"\x8c\x02u8\x89\x88\x87R"
EMPTY = name("numpy.core.multiarray", "_reconstruct") + name("numpy", "ndarray") + b"K\x00\x85C\x01b\x87R"
OBJECTS = name("numpy", "dtype") + b"\x8c\x01O\x89\x88\x87R"
ONE_OBJECT = EMPTY + b"\x94(K\x01(K\x01t" + OBJECTS + b"\x89](\x8c\x05helloetb"


HOSTILE = {
    "a memo of a thousand million entries": START + b"}r" + struct.pack("<I", 0x3FFFFFFF) + b".",
    "a memo numbered in text": b"(p1073741823\n.",
    "bytes of a number": START + name("builtins", "bytes") + number(2_000_000_000) + b"\x85R.",
    "a bytearray of a number": START + name("builtins", "bytearray") + number(2_000_000_000) + b"\x85R.",
    "a list of a number's bytes": START + name("builtins", "list") + name("builtins", "bytes") + b"K\x09\x85R\x85R.",
    "a set of bytes": START + name("builtins", "set") + b"C\x03abc\x85R.",
    "a tuple nested in tuples": START + b")" + b"\x85" * 100_000 + b".",
    "marks in marks": START + b"(" * 100_000 + b"t" * 100_000 + b".",
    "a frame of a terabyte": START + b"\x95" + struct.pack("<Q", 1 << 40) + b"}.",
    "bytes that are not there": START + b"\x8e" + struct.pack("<Q", 1 << 40) + b"xx.",
    "an instance of a class": b"(S'true'\nios\nsystem\n.",
    "a persistent id": START + b"Pevil\n.",
    "an extension": START + b"\x82\x01.",
    "a view of pointers": START + ONE_OBJECT + b"0" + name("numpy.core.numeric", "_frombuffer") + b"(h\x00" + DTYPE_U8
    + b"(K\x01t\x8c\x01CtR.",
    "a second state": START + EMPTY + b"(K\x01(K\x01t" + DTYPE_U8 + b"\x89C\x08abcdefghtb" + b"(K\x01(K\x00t" + DTYPE_U8
    + b"\x89C\x00tb.",
    "texts of no length": START + name("numpy.core.numeric", "_frombuffer") + b"(C\x00" + name("numpy", "dtype")
    + b"\x8c\x01S\x89\x88\x87R(" + number(2_000_000_000) + b"t\x8c\x01CtR.",
    "the state of a class": START + name("numpy", "ndarray") + b"N}\x8c\x01a\x8c\x01bs\x86b.",
}  # fmt: skip


@pytest.mark.parametrize("what", HOSTILE)
def test_a_hostile_pickle_is_refused_by_its_name(tmp_path: Path, what: str):
    path = tmp_path / "hostile.pkl"
    path.write_bytes(HOSTILE[what])
    with pytest.raises(UserError, match=r"hostile\.pkl"):
        load_pickle(path)


def test_an_array_that_holds_itself_and_lists_that_multiply_end(tmp_path: Path):
    loop = np.empty(1, dtype=object)
    loop[0] = loop
    laughs: list[object] = [0.5]
    for _ in range(20):
        laughs = [laughs] * 10
    for thing in (loop, laughs):
        holder = np.empty(2, dtype=object)  # filled afterwards: numpy itself would follow the lists for ever
        holder[0] = thing
        np.savez(tmp_path / "a.npz", data=holder)
        with pytest.raises(UserError, match=r"a\.npz is refused: (it is nested|it holds more|reading it takes more)"):
            call("pipeline.untrusted.pickles:unpickle_member", tmp_path / "a.npz", "data", limits=QUICK)


def test_a_member_that_inflates_beyond_all_measure_is_refused(tmp_path: Path):
    header = b"\x93NUMPY\x01\x00" + struct.pack("<H", 118) + b"{'descr': '|O', 'fortran_order': False, 'shape': (), }"
    with (
        zipfile.ZipFile(tmp_path / "bomb.npz", "w", zipfile.ZIP_DEFLATED) as archive,
        archive.open("data.npy", "w", force_zip64=True) as member,
    ):
        member.write(header.ljust(128))
        member.write(bytes(1 << 25))
    with pytest.raises(UserError, match=r"bomb\.npz cannot be read: data unpacks to more"):
        unpickle_member(tmp_path / "bomb.npz", "data", 1 << 20)


@pytest.mark.parametrize(
    ("what", "words"),
    [("packed by PPMd", "compression method is not supported"), ("encrypted", "is encrypted")],
)
def test_objects_that_are_packed_in_another_way_are_not_called_damaged(tmp_path, what, words):
    np.savez(tmp_path / "a.npz", data=np.array({"S1 Seq1": 1}, dtype=object))
    say(tmp_path / "a.npz", what)
    with pytest.raises(UserError, match=words) as error:
        load_objects(tmp_path / "a.npz", "data")
    assert "a.npz" in error.value.message
    assert "damaged" not in error.value.message


def test_every_way_in_which_python_writes_plain_data_passes_the_look_at_instructions():
    thing = {"a": [1, 2.5, None, True, 10**30, -3], b"b": ("x", ("y",) * 5), "s": {1, 2}, "f": frozenset("ab"), "e": []}
    nested: list[object] = []
    for _ in range(30):
        nested = [nested]
    for protocol in range(6):
        opcodes.check(pickle.dumps([thing, nested, np.arange(6.0).reshape(2, 3), np.float32(1)], protocol))


@pytest.mark.parametrize("name", ["bytes", "bytearray", "list", "tuple", "dict", "set", "frozenset"])
def test_nothing_is_made_of_a_number_however_small(tmp_path, name):
    """Of a number `bytes` makes as many zeros: a few bytes that fill the memory."""
    path = tmp_path / "five.pkl"
    path.write_bytes(b"\x80\x02c__builtin__\n" + name.encode() + b"\nK\x05\x85R.")
    with pytest.raises(UserError, match=r"five\.pkl.* made of "):
        unpickle(path)


@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_plain_data_come_out_as_they_went_in(tmp_path: Path, protocol: int):
    thing = {"train": {"n": ["a", "a", "b"], "x": [1.5, None], b"k": bytearray(b"ab"), ("S1", "c"): (1, 2), "e": b""}}
    (tmp_path / "a.pkl").write_bytes(pickle.dumps(thing, protocol))
    assert unpickle(tmp_path / "a.pkl") == thing
    assert load_pickle(tmp_path / "a.pkl") == thing

"""Instructions that no pickle of plain data has are refused before any is obeyed."""

from __future__ import annotations

import pickle

import pytest

from pipeline.untrusted.opcodes import MAX_MARKS, MAX_TUPLES, Strange, check

START = pickle.PROTO + b"\x04"

STRANGE = {
    "a memo of a billion places": (START + b"]r\xff\xff\xff?.", "notes its 3th instruction"),
    "the same, as text": (b"]p1073741823\n.", "notes its 2th instruction"),
    "containers in containers": (START + b"(" * (MAX_MARKS + 1) + b"l" * (MAX_MARKS + 1) + b".", "nested too deeply"),
    "tuples in tuples": (START + b")" + b"\x85" * (MAX_TUPLES + 1) + b".", "nested too deeply"),
    "tuples in tuples, with a list between": (START + b")" + b"\x85(l0" * (MAX_TUPLES + 1) + b".", "nested too deeply"),
    "a class and a call in one": (b"(ios\nsystem\n.", "has the instruction b'i'"),
    "a call of what lies below": (b"(c__main__\nA\no.", "has the instruction b'o'"),
    "a name for the one who loads": (b"Pname\n.", "has the instruction b'P'"),
    "a number for a registered class": (START + b"\x82\x01.", "has the instruction"),
    "bytes that are not there": (START + b"\x8e" + (1 << 40).to_bytes(8, "little") + b"x", "cut short"),
    "a line without end": (b"cos", "cut short"),
    "no end": (START + b"]", "cut short"),
}


@pytest.mark.parametrize("name", STRANGE)
def test_strange_instructions_are_refused_by_what_they_are(name: str):
    content, words = STRANGE[name]
    with pytest.raises(Strange, match=words):
        check(content)


def test_containers_may_be_open_as_deep_as_is_said():
    check(START + b"(" * MAX_MARKS + b"t" * MAX_MARKS + b".")
    check(START + b")" + b"\x85" * (MAX_TUPLES - 1) + b".")


@pytest.mark.parametrize(
    "noted", [START + b"]q%c.", START + b"]r%c\x00\x00\x00.", START + b"]p%d\n."], ids=["byte", "long", "text"]
)
def test_the_memo_has_no_more_places_than_there_are_instructions(noted: bytes):
    check(noted % 3)  # by the third instruction
    with pytest.raises(Strange, match="notes its 3th instruction under 4"):
        check(noted % 4)

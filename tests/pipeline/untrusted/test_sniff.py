"""What people save by mistake under the name of data is recognised by its first bytes and refused with advice."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
import pytest

from actionpose.errors import UserError
from pipeline.untrusted.sniff import content_of, refuse_wrong_content, sniff


@pytest.mark.parametrize(
    ("head", "content"),
    [
        (b"", "empty"),
        (b" \n\t", "empty"),
        (b"<!DOCTYPE html><html>log in</html>", "web page"),
        (b"\xef\xbb\xbf\r\n <html>", "web page"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00", "Git LFS pointer"),
        (b"\xfd7zXZ\x00", "packed archive"),
        (b"\x1f\x8b\x08", "packed archive"),
        (pickle.dumps({}, protocol=2), "pickle"),
        (pickle.dumps({}, protocol=5), "pickle"),
        (b"\x80", ""),
        (b"PK\x03\x04", "zip"),
        (b"\x93NUMPY\x01\x00", ""),
    ],
)
def test_first_bytes_say_what_a_file_is(head: bytes, content: str):
    assert content_of(head) == content


def test_arrays_and_archives_of_arrays_pass(tmp_path: Path):
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "many.npz", a=np.zeros(3))
    for path in tmp_path.iterdir():
        refuse_wrong_content(path, "hint")
    assert sniff(tmp_path / "many.npz") == "zip"


def test_a_refusal_names_the_file_and_the_next_move(tmp_path: Path):
    (tmp_path / "model.npz").write_text("<html>quota exceeded")
    with pytest.raises(UserError, match=r"model\.npz is a web page") as caught:
        refuse_wrong_content(tmp_path / "model.npz", "get it from SITE")
    assert caught.value.hint == "get it from SITE"
    (tmp_path / "old.pkl").write_bytes(b"(dp0")
    with pytest.raises(UserError, match="pickle") as caught:
        refuse_wrong_content(tmp_path / "old.pkl", "get it from SITE", pickled="convert it")
    assert caught.value.hint == "convert it"
    with pytest.raises(UserError, match="cannot read"):
        refuse_wrong_content(tmp_path / "nothing.npz", "get it from SITE")

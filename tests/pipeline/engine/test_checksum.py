"""A checksum is BLAKE3's, whatever the file's size, and tells one byte."""

from __future__ import annotations

import blake3

from pipeline.engine.checksum import checksum_file


def test_checksums_are_blake3(tmp_path):
    empty, long = tmp_path / "empty", tmp_path / "long"
    empty.write_bytes(b"")
    content = bytes(range(256)) * 10_000  # several blocks
    long.write_bytes(content)
    assert (
        checksum_file(empty) == "blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"
    )  # published
    assert checksum_file(long) == f"blake3:{blake3.blake3(content).hexdigest()}"
    long.write_bytes(content[:-1] + b"\0")
    assert checksum_file(long) != f"blake3:{blake3.blake3(content).hexdigest()}"

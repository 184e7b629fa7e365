"""Zip archives that say of their members what programs other than numpy would."""

from __future__ import annotations

from pathlib import Path

FIELDS = {
    "encrypted": (6, 8, b"\1\0"),
    "patched data": (6, 8, b"\x20\0"),
    "packed by PPMd": (8, 10, b"\x62\0"),
    "unpacks to 3.9 GiB": (22, 24, b"\x99\x99\x99\xf9"),
}
"""What is said → its place in a member's own header and in the directory, and the bytes."""


def say(path: Path, what: str) -> Path:
    """Change one field of every member in place."""
    local, central, value = FIELDS[what]
    raw = bytearray(path.read_bytes())
    for mark, at in ((b"PK\x03\x04", local), (b"PK\x01\x02", central)):
        place = raw.find(mark)
        while place >= 0:
            raw[place + at : place + at + len(value)] = value
            place = raw.find(mark, place + 4)
    path.write_bytes(raw)
    return path

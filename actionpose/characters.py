"""Characters in texts of foreign making: those that no file can hold, and those that steer a terminal."""

from __future__ import annotations

import os
import re
import shlex

_STEERING = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff]")
"""Controls but tab and newline, and marks that turn the direction of writing."""


def writable(text: str) -> str:
    """The text with NUL characters and halves of surrogate pairs, which neither UTF-8 nor HDF5 has, spelled out."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8").replace("\0", "\\x00")


def printable(text: str) -> str:
    """The text with everything spelled out that a terminal would obey instead of showing."""
    return _STEERING.sub(lambda found: found[0].encode("unicode_escape").decode(), writable(text))


def shell_word(word: str) -> str:
    """A word to type in a shell; bytes that are no text, and what a terminal obeys, in the shell's own spelling."""
    if printable(word) == word:
        return shlex.quote(word)
    spelled = (chr(b) if 32 <= b < 127 and b not in b"'\\" else f"\\x{b:02x}" for b in os.fsencode(word))
    return f"$'{''.join(spelled)}'"


def json_text(text: str) -> str:
    """JSON with such characters in JSON's own spelling; it says the same."""
    return _STEERING.sub(lambda found: f"\\u{ord(found[0]):04x}", text)

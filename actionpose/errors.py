"""The one exception for everything a user can fix; commands print it without a traceback."""

from __future__ import annotations


class UserError(Exception):
    """An error in the user's input or environment, which the user can fix.

    Args:
        message: what is wrong, naming the file and the value.
        hint: the next move, in words or as a command to type.
    """

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n  → {self.hint}" if self.hint else self.message

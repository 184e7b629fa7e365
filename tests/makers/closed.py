"""A folder that may not be looked into, also for root, whom permissions do not stop."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


def close_folder(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on nothing in `folder` can be listed, looked at or opened by way of `os`."""

    def closing(honest: Callable[..., Any], *, itself: bool) -> Callable[..., Any]:
        def refused(path: Any = ".", *given: Any, **named: Any) -> Any:
            place = Path(os.fsdecode(path)) if isinstance(path, str | bytes | os.PathLike) else None
            if place is not None and (folder in place.parents or (itself and place == folder)):
                raise PermissionError(13, "Permission denied", str(place))
            return honest(path, *given, **named)

        return refused

    for name, itself in (("scandir", True), ("listdir", True), ("stat", False), ("open", False)):
        monkeypatch.setattr(os, name, closing(getattr(os, name), itself=itself))

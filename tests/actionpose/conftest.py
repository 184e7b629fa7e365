"""Fixtures of the tests of `actionpose`."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def folder(shards: Path) -> Path:
    """The shared shards, for tests that call what they open from it `shards`; read-only."""
    return shards

"""Fixtures shared by all tests: no network, no licence, one small world per session."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.makers.places import ROOT
from tests.makers.worlds import World, make_world

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Six motions with labels; read-only: tests that change something make their own."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def open_mocap() -> Path:
    """Real motion in AMASS layout, where it is at hand (OPEN_MOCAP, or ../shared/data/open-mocap)."""
    folder = Path(os.environ.get("OPEN_MOCAP", ROOT.parent / "shared/data/open-mocap"))
    if not folder.is_dir():
        pytest.skip(f"no open motion at {folder}; set OPEN_MOCAP to its folder")
    return folder

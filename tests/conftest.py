"""Fixtures shared by all tests: no network, no licence, one small world per session."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from actionpose import isolated
from tests.makers.forked import run as run_forked
from tests.makers.places import SHARED
from tests.makers.shards import make_shards
from tests.makers.worlds import World, make_world

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("OMP_NUM_THREADS", "2")


@pytest.fixture(autouse=True)
def one_thread() -> None:
    """Torch on one thread, where it is used: the models are tiny, and a second thread would only wait."""
    if (torch := sys.modules.get("torch")) is not None:
        torch.set_num_threads(1)


@pytest.fixture
def forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Strangers' files are read in forks of this process instead of new ones: for tests that read hundreds."""
    monkeypatch.setattr(isolated, "_run", run_forked)


@pytest.fixture(scope="session")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    """Six motions with labels; read-only: tests that change something make their own."""
    return make_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Made-up shards with people to learn from and others to measure on; read-only."""
    return make_shards(tmp_path_factory.mktemp("shards") / "shards", splits=("train", "val"))


@pytest.fixture(scope="session")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny BERT; read-only."""
    from tests.makers.bert import write_tiny_bert

    return write_tiny_bert(tmp_path_factory.mktemp("bert") / "tiny")


@pytest.fixture(scope="session")
def open_mocap() -> Path:
    """Real motion in AMASS layout, where it is at hand."""
    folder = SHARED / "data" / "open-mocap"
    if not folder.is_dir():
        pytest.skip(f"no open motion at {folder}; set ACTIONPOSE_SHARED to the folder that holds data/")
    return folder

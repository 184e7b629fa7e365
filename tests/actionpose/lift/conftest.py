"""A model to lift with."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionpose.lift.source import LiftModel, open_model
from tests.makers.filmed import untrained_run


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return untrained_run(tmp_path_factory.mktemp("run") / "run")


@pytest.fixture(scope="session")
def source(run_folder: Path) -> LiftModel:
    return open_model(run_folder)

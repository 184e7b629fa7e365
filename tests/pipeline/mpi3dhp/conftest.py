"""Files in the published layout, and the shards made of them; read-only."""

from __future__ import annotations

from pathlib import Path

import pytest

from actionpose.shards import ShardSet
from pipeline.demo.mpi3dhp import write_demo_3dhp
from tests.makers.mpi3dhp import run


@pytest.fixture(scope="package")
def files(filmed: ShardSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("3dhp")
    write_demo_3dhp(folder, filmed)
    return folder


@pytest.fixture(scope="package")
def shards(files: Path, tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    out = tmp_path_factory.mktemp("built") / "shards"
    result = run("build-3dhp", "--mpi-inf-3dhp", files, "--out", out)
    assert result.exit_code == 0, result.output
    return ShardSet(out)

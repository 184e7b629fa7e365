"""Fixtures of the tests of `pipeline`."""

from __future__ import annotations

import pytest

from actionpose.shards import ShardSet
from tests.makers.shards import make_shards


@pytest.fixture(scope="session")
def filmed(tmp_path_factory: pytest.TempPathFactory) -> ShardSet:
    """Motion that look-alikes of benchmark files are filmed from; read-only."""
    return ShardSet(make_shards(tmp_path_factory.mktemp("filmed"), (70, 65, 80, 74, 60, 75), splits=("train", "val")))

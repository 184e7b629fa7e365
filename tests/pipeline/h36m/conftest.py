"""Look-alikes of Human3.6M files and the shards made of them; read-only."""

from __future__ import annotations

import pytest

from actionpose.shards import ShardSet
from tests.makers.h36m import PICKLE, make_h36m, run


@pytest.fixture(scope="package")
def demo(tmp_path_factory):
    """The look-alikes of a few short takes; read-only."""
    return make_h36m(tmp_path_factory.mktemp("h36m"))


@pytest.fixture(scope="package")
def b(demo, tmp_path_factory):
    """Protocol B shards."""
    out = tmp_path_factory.mktemp("b") / "shards"
    result = run("--h36m", demo / PICKLE, "--out", out)
    assert result.exit_code == 0, result.stderr
    return ShardSet(out)


@pytest.fixture(scope="package")
def a(demo, tmp_path_factory):
    """Protocol A shards with the detections that have noise."""
    out = tmp_path_factory.mktemp("a") / "shards"
    cpn = demo / "data_2d_h36m_cpn_ft_h36m_dbb.npz"
    result = run("--h36m", demo / "data_3d_h36m.npz", "--detections", cpn, "--out", out)
    assert result.exit_code == 0, result.stderr
    return ShardSet(out)

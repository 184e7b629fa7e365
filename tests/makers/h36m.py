"""Look-alikes of Human3.6M files for tests, and ways to spoil them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from actionpose.shards import ShardSet
from cli.data import main
from pipeline.demo.h36m import write_demo_h36m
from tests.makers.shards import make_shards

PICKLE = "h36m_sh_conf_cam_source_final.pkl"


def run(*arguments: object) -> Result:
    """`ap-data build-h36m`."""
    return CliRunner().invoke(main, ["build-h36m", *map(str, arguments)])


def make_h36m(folder: Path) -> Path:
    """Every file of the demo, with takes of a second."""
    filmed = make_shards(folder / "filmed", lengths=(20, 31, 26, 40), splits=("train", "val"))
    write_demo_h36m(folder / "h36m", ShardSet(filmed))
    return folder / "h36m"


def loaded(demo: Path) -> dict[str, dict[str, Any]]:
    """What MotionBERT's pickle holds."""
    with open(demo / PICKLE, "rb") as handle:
        return pickle.load(handle)


def dumped(path: Path, data: Any, protocol: int = 4) -> Path:
    """Write a pickle."""
    path.write_bytes(pickle.dumps(data, protocol=protocol))
    return path

"""Look-alikes of Human3.6M files for tests, and ways to damage them."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
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


def videos(shards):
    """motion_id → (row of the table, 2D, 3D)."""
    columns = shards.motions
    return {
        str(motion_id): (
            {name: columns[name][n] for name in columns},
            shards.motion_frames(n, "pose2d"),
            shards.motion_frames(n),
        )
        for n, motion_id in enumerate(columns["motion_id"])
    }


def near(one, other, limit):
    return one.shape == other.shape and np.abs(one - other).max() < limit


def same_frames(one, other):
    ours, theirs = videos(one), videos(other)
    assert ours.keys() == theirs.keys()
    for name in ours:
        for k in (1, 2):
            assert np.abs(ours[name][k] - theirs[name][k]).max() < 1e-6, name
    return True

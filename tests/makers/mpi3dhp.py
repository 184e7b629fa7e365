"""Files of MPI-INF-3DHP with other content, and the command that builds them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from click.testing import CliRunner, Result

from actionpose.shards import ShardSet
from cli.data import main


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(a) for a in arguments])


def content(path: Path) -> dict[str, Any]:
    """What a file of the tests' own making holds."""
    with np.load(path, allow_pickle=True) as archive:
        return archive["data"].item()


def rewritten(files: Path, folder: Path, change: Callable[[dict[str, Any]], Any], split: str = "train") -> Path:
    """One file with other content, alone in a folder."""
    data = change(content(files / f"data_{split}_3dhp.npz"))
    folder.mkdir(exist_ok=True)
    path = folder / f"data_{split}_3dhp.npz"
    np.savez(path, data=np.array(data, dtype=object))
    return path


def row_of(shards: ShardSet, motion_id: str) -> int:
    return shards.motions["motion_id"].tolist().index(motion_id)

"""What stands at a path that is not what was asked for: the sentence, and the path that was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from actionpose.errors import UserError
from actionpose.files import require_file

LOOKED_AT = 200
"""Entries of a folder that are looked at, so that an error never waits for a large one."""


def not_there(path: Path, otherwise: str) -> UserError:
    """For a path that is no file: which part of it is missing and what there is of a similar name, or what it is.

    Args:
        path: the path.
        otherwise: the hint where nothing is similar.
    """
    if path.exists():
        try:
            require_file(path, otherwise)
        except UserError as error:
            return error
    missing, parent = path, path.parent
    while not parent.exists() and parent != parent.parent:
        missing, parent = parent, parent.parent
    names = [entry.name for entry in _entries(parent)]
    near = difflib.get_close_matches(missing.name, names, n=1, cutoff=0.6)
    if not near:
        return UserError(f"there is no {path}", otherwise)
    meant = parent / near[0] / path.relative_to(missing)
    return UserError(f"there is no {path}", f"did you mean {meant if meant.exists() else parent / near[0]}?")


def not_shards(path: Path) -> UserError:
    """For a path that should be a shard folder and is not."""
    build = "give the --out folder of `ap-data build-…`"
    if not path.exists():
        return not_there(path, build)
    if (what := kind_of(path)) in ("run", "checkpoint"):
        return UserError(f"{path} is a {what} of ap-train, not a shard folder", f"for shards, {build}")
    if inside := [str(child) for child in _below(path) if kind_of(child) == "shards"]:
        return UserError(f"{path} is not a shard folder, but holds {', '.join(inside[:3])}", f"give {inside[0]}")
    if what == "motion":
        return UserError(
            f"{path} holds motion files, which are not shards yet", "ap-data build-babel --amass DIR … makes shards"
        )
    if not path.is_dir():
        return UserError(f"{path} is a file, and shards are a folder", build)
    return UserError(
        f"{path} is not a shard folder: it has no index.json",
        "a build writes it last: run `ap-data build-babel … --out` again, it continues where it stopped",
    )


def not_a_run(path: Path) -> UserError:
    """For a path that should be a run or one of its checkpoints and is not."""
    give = "give a run folder of `ap-train`, or one of its checkpoints/step_… folders"
    if not path.exists():
        return not_there(path, give)
    what = kind_of(path)
    if what == "shards":
        return UserError(f"{path} is a shard folder, not a run", f"shards go to --data; {give}")
    if what == "run":
        return UserError(
            f"{path} is a run without a checkpoint yet",
            "wait for its first, or run its command again with --resume",
        )
    if what == "stage":
        return UserError(f"{path} is a stage of a build, not a run", give)
    if inside := [str(child) for child in _below(path) if kind_of(child) == "run"]:
        more = ", …" if len(inside) > 3 else ""
        return UserError(f"{path} is not a run, but holds some: {', '.join(inside[:3])}{more}", "give one of them")
    return UserError(f"{path} is not a run of ap-train: it has no checkpoint", give)


def kind_of(path: Path) -> str:
    """`shards`, `run`, `checkpoint`, `stage`, `motion` (files named as AMASS does), or empty for anything else."""
    if (path / "index.json").is_file():
        return "shards"
    if (path / "checkpoints").is_dir() or (path / "config.toml").is_file():
        return "run"
    if (path / "weights.safetensors").is_file():
        return "checkpoint"
    if (path / "meta.json").is_file():
        return "stage"
    return "motion" if any(next(_motions(path, "*/" * depth), None) for depth in range(4)) else ""


def _motions(path: Path, within: str) -> Iterator[Path]:
    return islice(path.glob(f"{within}*_poses.npz"), 1) if path.is_dir() else iter(())


def _below(path: Path) -> Iterator[Path]:
    """Folders in a folder, and in those."""
    for child in _entries(path):
        yield child
        yield from _entries(child)


def _entries(path: Path) -> list[Path]:
    try:
        return sorted(islice(path.iterdir(), LOOKED_AT)) if path.is_dir() else []
    except OSError:
        return []

"""Which motions are learned from or measured on: by split, by named subjects, people put aside, and minutes."""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.shards import ShardSet

TRAIN, DEV = "train", "dev"
"""The split that people are put aside from, and the name they are measured under."""


class Choice(Protocol):
    """The settings that choose motions (`DataConfig`)."""

    @property
    def split(self) -> str:
        """As the setting of that name."""

    @property
    def dev_share(self) -> float:
        """As the setting of that name."""

    @property
    def subjects_include(self) -> Sequence[str]:
        """As the setting of that name."""

    @property
    def subjects_exclude(self) -> Sequence[str]:
        """As the setting of that name."""

    @property
    def max_minutes(self) -> float:
        """As the setting of that name."""


def select_motions(shards: ShardSet, config: Choice) -> NDArray[np.bool_]:
    """Which motions the split, the subject filters and the limit of minutes leave, (motions,) bool.

    Raises:
        UserError: a subject that is not there, or nothing left.
    """
    motions = shards.motions
    aside, of_dev = put_aside(shards, config.dev_share), config.split == DEV and config.dev_share > 0
    keep = aside if of_dev else ~aside
    if config.split and not of_dev:
        keep &= motions["split"] == config.split
        if not keep.any():
            found = ", ".join(f"{name} ({count} motions)" for name, count in Counter(motions["split"]).items())
            raise UserError(
                f"{shards.folder} has no motions of split '{config.split}'",
                f"it has: {found or 'nothing'}; choose with -o data.split=NAME (eval.split for evaluation)",
            )
    subjects = motions["subject"].astype(object)
    full = motions["dataset"].astype(object) + "/" + subjects
    if config.subjects_include:
        keep &= _named(config.subjects_include, subjects, full, "subjects_include")
    if config.subjects_exclude:
        keep &= ~_named(config.subjects_exclude, subjects, full, "subjects_exclude")
    if not keep.any():
        where = f" of split '{config.split}'" if config.split else ""
        raise UserError(f"{shards.folder}: the subject filters leave no motion{where}", "loosen data.subjects_*")
    return _within(shards, keep, config.max_minutes) if config.max_minutes else keep


def _within(shards: ShardSet, keep: NDArray[np.bool_], minutes: float) -> NDArray[np.bool_]:
    """Those of the kept motions that come first in an order of their names' hashes, until the minutes are full.

    Raises:
        UserError: not even the first one fits.
    """
    motions = shards.motions
    chosen = sorted(np.flatnonzero(keep).tolist(), key=lambda m: _fraction(str(motions["motion_id"][m])))
    frames = (motions["stop"] - motions["start"])[chosen] * (shards.fps / shards.rates[chosen])
    until = np.cumsum(frames) / (60 * shards.fps)
    fitting = chosen[: int(np.searchsorted(until, minutes, side="right"))]
    if not fitting:
        raise UserError(
            f"max_minutes={minutes:g} is less than the first motion, which lasts {until[0]:.2f} minutes",
            "allow more, or choose other people with subjects_include",
        )
    within = np.zeros_like(keep)
    within[fitting] = True
    return within


def put_aside(shards: ShardSet, share: float) -> NDArray[np.bool_]:
    """Motions of the people of split train whose name's hash falls into `share`, (motions,) bool.

    One name is one person in all datasets, since datasets publish each other's recordings again: to put one too many
    aside costs nothing. Larger shares hold the people of smaller ones.
    """
    motions = shards.motions
    people = motions["subject"].tolist()
    chosen = {name: share > 0 and _fraction(name) < share for name in set(people)}
    return np.array([chosen[name] for name in people], dtype=bool) & (motions["split"] == TRAIN)


def _fraction(name: str) -> float:
    """A number in [0, 1) that depends on the name alone."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "big") / 2**32


def _named(names: Sequence[str], subjects: NDArray[Any], full: NDArray[Any], key: str) -> NDArray[np.bool_]:
    """Motions whose subject is named; every name must mean someone."""
    hit = np.zeros(len(subjects), dtype=bool)
    for name in names:
        found = (subjects == name) | (full == name)
        if not found.any():
            known = sorted(set(full.tolist()))
            near = difflib.get_close_matches(name, known + sorted(set(subjects.tolist())), n=3, cutoff=0.4)
            raise UserError(
                f"{key}: no motion has the subject '{name}'",
                "known: " + ", ".join(near or [*known[:10], *(["…"] if len(known) > 10 else [])]),
            )
        hit |= found
    return hit

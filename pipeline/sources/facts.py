"""What `manifests/*.toml` knows about the datasets: names, rates, bad files, each with its reason."""

from __future__ import annotations

import fnmatch
import functools
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from actionpose.errors import UserError


def manifests_folder() -> Path:
    """The folder of the tables: next to the packages in a checkout, under share/ when installed."""
    for folder in (Path(__file__).parents[2] / "manifests", Path(sys.prefix) / "share/actionpose/manifests"):
        if (folder / "amass.toml").is_file():
            return folder
    raise UserError("manifests/amass.toml is missing from this installation", "install actionpose again")


@functools.cache
def table(name: str) -> dict[str, Any]:
    """One of the tables, as plain data."""
    return tomllib.loads((manifests_folder() / f"{name}.toml").read_text(encoding="utf-8"))


def _plain(name: str) -> str:
    """Lower case without underscores, hyphens and blanks: how two generations of folder names meet."""
    return re.sub(r"[\s_-]+", "", name).lower()


@functools.cache
def _aliases() -> dict[str, str]:
    names: dict[str, str] = {}
    for row in table("amass")["dataset"]:
        for alias in (
            row["canonical"],
            row["legacy_folder"],
            row["babel_part"],
            *row["smplx_folders"],
            *row["older_folders"],
        ):
            if alias:
                names[_plain(alias)] = row["canonical"]
    return names


def canonical_dataset(folder: str) -> str:
    """One name for a sub-dataset, whichever generation its folder is named after.

    Datasets the table does not know keep their name without underscores, which is how BABEL spells the first
    part of `feat_p`.
    """
    return _aliases().get(_plain(folder), _plain(folder))


_SAME_VALUE = 1e-5
"""Hz; a rate stored in float32 is 4e-6 from the same rate in float64 at 120 Hz."""


@dataclass(frozen=True)
class TrueRate:
    """The rate to use for a motion and, when it is not the stored one, why."""

    fps: float
    note: str = ""


def overridden_rate(dataset: str, subject: str, stored: float) -> TrueRate | None:
    """The known correction of a stored rate, if there is one.

    Some wrong rates are values that nothing else stores. They are recognised in any folder, to the last digits:
    120.00004577 is such a value and 120 is not.
    """
    for row in table("amass")["rate_override"]:
        telling = row.get("anywhere", False) and abs(stored - row["stored"]) < _SAME_VALUE
        there = canonical_dataset(dataset) == canonical_dataset(row["dataset"])
        there = there and fnmatch.fnmatch(subject, row["subject"])
        here = there and ("stored" not in row or abs(stored - row["stored"]) < 0.01)
        if (here or telling) and abs(row["true"] - stored) > 0.01:
            return TrueRate(float(row["true"]), row["reason"])
    return None


def stored_rates(dataset: str) -> list[float]:
    """Rates in Hz that files of a dataset store, most frequent first; AMASS's commonest for an unknown dataset."""
    known = {row["canonical"]: [float(rate) for rate, _ in row["rates"]] for row in table("amass")["dataset"]}
    return known.get(canonical_dataset(dataset), []) or [120.0]


def not_a_motion(file_name: str) -> str | None:
    """Why a file of this name is not a motion (`shape.npz`, `*_stagei.npz`, …); None when it may be one."""
    for row in table("amass")["not_motion"]:
        if fnmatch.fnmatch(file_name, row["pattern"]):
            return str(row["reason"])
    return None


def label_text(label: str, typed: str = "") -> str:
    """A label as it is used: one blank between words, one spelling for the poses that have many, slips corrected.

    Args:
        label: the lemmatised label, or the one typed.
        typed: what the annotator typed, where `label` is its lemmas: it tells a slip from a word that is meant.
    """
    words = re.sub(r"\s+", " ", label).strip()
    if typed:
        words = _as_typed(words, typed)
    for row in table("babel")["normalise"]:
        words = re.sub(rf"(?<!\S){re.escape(row['from'])}(?!\S)", row["to"], words)
    return words


def _as_typed(words: str, typed: str) -> str:
    was_typed = set(re.findall(r"[a-z']+", typed.lower()))
    for row in table("babel")["as_typed"]:
        if row["proc"] not in was_typed and was_typed.intersection(row["typed"]):
            words = re.sub(rf"(?<!\S){re.escape(row['proc'])}(?!\S)", row["to"], words)
    return words

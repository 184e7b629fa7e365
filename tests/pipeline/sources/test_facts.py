"""The tables in manifests/: complete, without contradictions, and every claim with a reason."""

from __future__ import annotations

import tomllib
from typing import Any

import pytest

from pipeline.sources import facts
from tests.makers.places import ROOT

MANIFESTS = ROOT / "manifests"
AMASS = tomllib.loads((MANIFESTS / "amass.toml").read_text(encoding="utf-8"))
BABEL = tomllib.loads((MANIFESTS / "babel.toml").read_text(encoding="utf-8"))
DATASETS = {row["canonical"]: row for row in AMASS["dataset"]}


def documented_keys(name: str) -> str:
    """The comment at the top of a table, which says what every key means."""
    lines = (MANIFESTS / name).read_text(encoding="utf-8").splitlines()
    return "\n".join(line for line in lines[: lines.index("")] if line.startswith("#"))


def keys(value: Any) -> set[str]:
    if isinstance(value, dict):
        return set(value).union(*map(keys, value.values()))
    return set().union(*map(keys, value)) if isinstance(value, list) else set()


@pytest.mark.parametrize(("name", "table"), [("amass.toml", AMASS), ("babel.toml", BABEL)])
def test_every_key_is_explained_on_top_of_the_file(name: str, table: dict[str, Any]):
    unexplained = {key for key in keys(table) if key not in documented_keys(name)}
    assert unexplained - {"validation", "test", "tolerance_s"} == set()


def test_counts_add_up_to_what_babel_knows():
    assert sum(row["files"] for row in DATASETS.values()) == 12_660
    assert [sum(row["dense"][part] for row in DATASETS.values()) for part in range(3)] == [6_609, 2_191, 2_081]
    for name, row in DATASETS.items():
        assert sum(count for _, count in row["rates"]) == row["files"], name


def test_every_dataset_has_the_same_keys_and_no_name_means_two_datasets():
    required = {"canonical", "legacy_folder", "babel_part", "smplx_folders", "older_folders", "files", "rates", "dense"}
    owner: dict[str, str] = {}
    for name, row in DATASETS.items():
        assert required <= set(row), name
        spellings = {name, row["legacy_folder"], row["babel_part"], *row["smplx_folders"], *row["older_folders"]}
        for spelling in {text.replace("_", "").lower() for text in spellings if text}:
            assert owner.setdefault(spelling, name) == name, spelling


def test_babels_first_part_is_the_archives_folder_without_underscores():
    for name, row in DATASETS.items():
        if row["babel_part"] and name != "BMLrub":  # the one exception
            assert row["babel_part"] == row["legacy_folder"].replace("_", ""), name


def test_every_exception_names_a_known_dataset_and_a_reason():
    for table in ("rate_override", "known_bad", "same_takes"):
        for row in AMASS[table]:
            assert row["dataset"] in DATASETS
            assert len(row["reason"]) > 20
    assert all(row["reason"] for row in (*AMASS["not_motion"], *BABEL["normalise"], BABEL["transition"]))
    assert all(row["what"] and row["share"] and row["then"] for row in BABEL["odd"])


@pytest.mark.parametrize(
    ("stored", "fps"),
    [(120.00004577636719, 60.0), (120.0000458, 60.0), (120.00005, 60.0), (120.0, None), (120.0001, None)],
)
def test_a_telling_rate_is_known_in_any_folder_however_many_digits_were_kept(stored, fps):
    found = facts.overridden_rate("anything", "s1", stored)
    assert (found and found.fps) == fps


def test_an_override_applies_to_a_rate_that_is_really_stored():
    for row in AMASS["rate_override"]:
        stored = [rate for rate, _ in DATASETS[row["dataset"]]["rates"]]
        assert row.get("stored") in [*stored, None]
        assert row["true"] != row.get("stored")
        assert row["babel_times"] == "stored clock"


def test_the_seven_repeated_cmu_subjects_are_listed_once():
    pairs = [tuple(row["subjects"]) for row in AMASS["same_takes"]]
    assert len(set(pairs)) == len(pairs) == 7
    assert ("63", "64") in pairs


def test_only_files_with_labels_can_make_pairs():
    assert {row["name"] for row in BABEL["file"] if not row["labels"]} == {"test.json"}
    assert sum(row["sequences"] for row in BABEL["file"]) == 10_892


def test_one_spelling_is_not_turned_into_another_that_is_turned_again():
    sources = {row["from"] for row in BABEL["normalise"]}
    assert not sources & {row["to"] for row in BABEL["normalise"]}
    assert BABEL["transition"]["template"].format(a="walk", b="sit") == "transit from walk to sit"


@pytest.mark.parametrize(
    ("typed", "lemmas", "text"),
    [
        ("swinging arms", "swinge arms", "swing arms"),
        ("arms outstretched", "arms outstretche", "arms outstretched"),
        ("lower hands", "low hands", "lower hands"),
        ("lowering the left arm", "low the left arm", "lower the left arm"),
        ("low kick", "low kick", "low kick"),
        ("holding a ball in front of her", "hold a ball in front of she", "hold a ball in front of her"),
        ("she walks", "she walk", "she walk"),
        ("pushing him away", "push he away", "push him away"),
        ("she helps her up", "she help her up", "she help her up"),
        ("a low punch, then lower", "a low punch then lower", "a low punch then lower"),
    ],
)
def test_slips_of_the_lemmatiser_give_way_to_what_was_typed(typed, lemmas, text):
    assert facts.label_text(lemmas, typed) == text

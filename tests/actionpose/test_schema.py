"""The contract of a shard folder comes back from disk as it was written, and what is missing is named."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.schema import KEYS, Summary, Transitions, VideoFacts
from tests.makers.shards import FACTS

SUMMARY = Summary(
    motions=2, clips=3, pairs=4, frames=50, hours=0.1, splits={"train": {"motions": 2}}, kinds={"segment": 4},
    transitions=Transitions(found=9, kept=1, dropped={"overlap": 8}), labels={"walk": 4},
    failures={"index": {"bad": 1}},
)  # fmt: skip


@pytest.mark.parametrize("kind", KEYS)
def test_a_summary_comes_back(kind: str):
    found = json.loads(json.dumps(SUMMARY.to_json(kind)))
    assert set(found) == KEYS[kind]
    back = Summary.from_json(kind, found, where="index.json")
    assert back.to_json(kind) == SUMMARY.to_json(kind)
    assert (back.failed, back.transitions.found) == (1, 9 if kind == "motion-text" else 0)


def test_the_order_on_disk_is_kept():
    # The bytes of an index depend on it.
    assert list(SUMMARY.to_json("motion-text")) == [
        "motions", "clips", "pairs", "kinds", "transitions", "frames", "hours", "labels", "rates", "splits", "dropped",
        "failures", "skipped", "unlabelled_motions", "pairs_without_motion",
    ]  # fmt: skip
    assert list(SUMMARY.to_json("benchmark")) == [
        "motions", "clips", "pairs", "frames", "hours", "splits", "protocols", "left_out", "source", "source_2d",
        "failures",
    ]  # fmt: skip


def test_a_summary_without_an_entry_is_refused_by_name():
    found = SUMMARY.to_json("benchmark")
    del found["source_2d"], found["hours"]
    with pytest.raises(UserError, match=r"i\.json: its summary lacks hours, source_2d"):
        Summary.from_json("benchmark", found, where="i.json")


@pytest.mark.parametrize(
    "changes", [{}, {"camera": "", "valid": ()}, {"valid": ((1, 3),), "skip": {"h36m-b": "damaged"}, "take": "Eating"}]
)
def test_facts_of_a_video_come_back(changes: dict):
    facts = dataclasses.replace(FACTS, **changes)
    stored = json.loads(json.dumps(facts.to_json()))
    assert VideoFacts.from_json(stored, where="v") == facts
    assert {"take", "valid", "skip", "legacy_unit_mm"} & stored.keys() == changes.keys() - {"camera"}


def test_a_fact_that_is_missing_is_named():
    stored = FACTS.to_json()
    del stored["unit_mm"], stored["width"]
    with pytest.raises(UserError, match="h36m/1 does not state unit_mm, width"):
        VideoFacts.from_json(stored, where="h36m/1")


def test_units_are_one_number_or_one_for_each_frame():
    assert FACTS.units(np.arange(3)).tolist() == [[[2000.0]]]
    each = dataclasses.replace(FACTS, unit_mm=[1.0, 2.0, 3.0])
    assert each.units(np.array([2, 0])).tolist() == [[[3.0]], [[1.0]]]
    assert each.mean_unit_mm == 2.0

"""The demo's scripts and labels: BABEL's schema, BABEL's oddities, and the truth about the motion."""

from __future__ import annotations

import json
import re
import uuid
from collections import Counter
from typing import Any

import pytest

from pipeline.demo.catalogue import ACTIONS
from pipeline.demo.labels import babel_json
from pipeline.demo.script import NTSC, ODDITIES, SUBJECTS, DemoSequence, style_of, write_scenes

SCENES = write_scenes(10.0, 0)
WORLD: dict[str, dict[str, Any]] = {split: json.loads(babel_json(SCENES, split, 0)) for split in ("train", "val")}
ENTRIES = [entry for split in WORLD.values() for entry in split.values()]
FRAMED = [entry for entry in ENTRIES if entry["frame_ann"]]


def of(oddity: str) -> list[tuple[DemoSequence, dict[str, Any]]]:
    by_sid = {entry["babel_sid"]: entry for entry in ENTRIES}
    return [(scene, by_sid[scene.sid]) for scene in SCENES if scene.oddity == oddity]


def labels(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return entry["frame_ann"]["labels"]


def transitions(entry: dict[str, Any]) -> list[dict[str, Any]]:
    return [label for label in labels(entry) if label["proc_label"] == "transition"]


def test_the_world_has_the_promised_size() -> None:
    assert sum(scene.seconds for scene in SCENES) / 60 == pytest.approx(10, abs=0.8)
    assert 50 <= len(SCENES) <= 80
    assert all(1 <= len(scene.cues) <= 6 and 2 < scene.seconds < 26 for scene in SCENES)
    assert {scene.rate for scene in SCENES} == {60.0, 100.0, 120.0, NTSC}
    assert len({(s.folder, s.name) for s in SCENES}) == len(SCENES)
    assert len({SUBJECTS[scene.subject].folder for scene in SCENES}) == 3


def test_every_action_occurs_in_both_splits() -> None:
    found = {
        split: {label["proc_label"] for entry in entries.values() for label in entry["seq_ann"]["labels"]}
        for split, entries in WORLD.items()
    }
    assert found["train"] == set(ACTIONS)
    assert len(found["val"] - {"tpose"}) >= 25


def test_no_subject_is_in_both_splits() -> None:
    people = {
        split: {tuple(entry["feat_p"].split("/")[1:3]) for entry in entries.values()}
        for split, entries in WORLD.items()
    }
    assert len(people["train"]) >= 8
    assert len(people["val"]) >= 2
    assert not people["train"] & people["val"]


def test_records_have_babels_fields() -> None:
    for split in WORLD.values():
        for sid, entry in split.items():
            assert set(entry) == {"babel_sid", "url", "feat_p", "dur", "seq_ann", "frame_ann"}
            assert sid == str(entry["babel_sid"])
            assert entry["url"].endswith(f"{int(sid):06d}.mp4")
            assert entry["dur"] == round(entry["dur"], 2)
            for annotation in filter(None, (entry["seq_ann"], entry["frame_ann"])):
                assert set(annotation) == {"babel_lid", "anntr_id", "mul_act", "labels"}
                uuid.UUID(annotation["babel_lid"])
                for label in annotation["labels"]:
                    timed = {"start_t", "end_t"} if annotation is entry["frame_ann"] else set()
                    assert set(label) == {"raw_label", "proc_label", "seg_id", "act_cat"} | timed
                    assert re.fullmatch(r"[a-z]+( [a-z]+)*", label["proc_label"])


def test_feat_p_has_one_leading_part_too_many() -> None:
    parts = [entry["feat_p"].split("/") for entry in ENTRIES]
    assert all(len(p) == 4 and p[3].endswith("_poses.npz") for p in parts)
    assert all(p[0] == p[1].replace("_", "") for p in parts)
    assert any(p[0] != p[1] for p in parts)
    assert any(" " in p[3] and "(" in p[3] for p in parts)


def test_labels_keep_within_the_file_and_are_never_reversed() -> None:
    for scene in SCENES:
        entry = next(e for e in ENTRIES if e["babel_sid"] == scene.sid)
        assert entry["dur"] == pytest.approx(scene.frames / scene.rate, abs=0.0051)
        for label in labels(entry) if entry["frame_ann"] else []:
            assert 0 <= label["start_t"] < label["end_t"] <= entry["dur"] + 0.0091
            for time in (label["start_t"], label["end_t"]):
                assert round(time, 3) == time


def test_labels_cover_every_moment() -> None:
    for entry in FRAMED:
        reached = 0.0
        for label in sorted(labels(entry), key=lambda label: label["start_t"]):
            assert label["start_t"] <= reached + 1e-6, entry["feat_p"]
            reached = max(reached, label["end_t"])
        assert reached > entry["dur"] - 0.006


def test_a_quarter_has_a_sequence_label_only() -> None:
    bare = [entry for entry in ENTRIES if entry["frame_ann"] is None]
    assert 0.2 < len(bare) / len(ENTRIES) < 0.3
    assert all(len(e["seq_ann"]["labels"]) == 1 and not e["seq_ann"]["mul_act"] for e in bare)
    assert any(e["seq_ann"]["labels"][0]["act_cat"] is None for e in bare)
    assert all(e["seq_ann"]["mul_act"] for e in FRAMED)


def test_labels_are_not_sorted() -> None:
    starts = [[label["start_t"] for label in labels(entry)] for entry in FRAMED]
    assert sum(s != sorted(s) for s in starts) > 0.6 * len(starts)


def test_whole_seconds_are_ints() -> None:
    kinds = Counter(type(label["start_t"]) for entry in FRAMED for label in labels(entry))
    assert kinds[int] > 0
    assert kinds[float] > 0


def test_every_oddity_occurs() -> None:
    assert {scene.oddity for scene in SCENES} == {*ODDITIES, "single"}


def test_transitions_open_close_and_part_actions_exactly() -> None:
    assert all(any(t["start_t"] == 0 for t in transitions(entry)) for _, entry in of("opens"))
    assert all(any(t["end_t"] >= entry["dur"] - 0.006 for t in transitions(entry)) for _, entry in of("closes"))
    inner = [t for _, entry in of("plain") for t in transitions(entry)]
    assert inner
    assert all(0.4 <= t["end_t"] - t["start_t"] <= 0.85 for t in inner)
    for _, entry in of("plain"):
        ends = {label["end_t"] for label in labels(entry)}
        assert all(t["start_t"] in ends for t in transitions(entry))
    assert all(label["raw_label"] == "transition" and label["act_cat"] == ["transition"] for label in inner)


def test_two_labels_end_where_a_transition_begins() -> None:
    for _, entry in of("two_before"):
        first = min(transitions(entry), key=lambda t: t["start_t"])
        assert sum(label["end_t"] == first["start_t"] for label in labels(entry)) == 2


def test_a_label_spans_a_whole_transition() -> None:
    for _, entry in of("through"):
        first = min(transitions(entry), key=lambda t: t["start_t"])
        spanning = [x for x in labels(entry) if x["start_t"] < first["start_t"] and x["end_t"] > first["end_t"]]
        assert len(spanning) == 1


def test_some_intervals_are_equal_some_tiny_some_too_long_some_overlap() -> None:
    for _, entry in of("equal"):
        assert max(Counter((x["start_t"], x["end_t"]) for x in labels(entry)).values()) == 2
    for _, entry in of("tiny"):
        assert min(x["end_t"] - x["start_t"] for x in labels(entry)) < 1 / 30
    for _, entry in of("beyond"):
        assert max(x["end_t"] for x in labels(entry)) == pytest.approx(entry["dur"] + 0.004, abs=1e-9)
    for _, entry in of("overlap"):
        actions = [x for x in labels(entry) if x["proc_label"] != "transition"]
        assert any(a["start_t"] < t["start_t"] < a["end_t"] for t in transitions(entry) for a in actions)


def test_raw_labels_are_inflected_and_processed_ones_are_not() -> None:
    pairs = {(x["raw_label"], x["proc_label"]) for entry in FRAMED for x in labels(entry)}
    assert ("walking forward", "walk forward") in pairs
    assert sum(raw != proc for raw, proc in pairs) > 0.8 * len(pairs)


def test_labels_follow_from_the_seed() -> None:
    again = write_scenes(10.0, 0)
    assert again == SCENES
    assert babel_json(again, "train", 0) == babel_json(SCENES, "train", 0)
    assert babel_json(write_scenes(10.0, 1), "train", 1) != babel_json(SCENES, "train", 0)


def test_a_person_keeps_their_style_and_people_differ() -> None:
    assert style_of(3, 0) == style_of(3, 0)
    assert len({style_of(i, 0) for i in range(len(SUBJECTS))}) == len(SUBJECTS)


def test_a_small_world_still_has_both_splits() -> None:
    scenes = write_scenes(0.2, 0)
    assert {SUBJECTS[scene.subject].split for scene in scenes} == {"train", "val"}
    assert len(scenes) <= 12

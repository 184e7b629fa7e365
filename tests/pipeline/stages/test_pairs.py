"""Every label becomes a pair or has the reason why not; transitions follow the paper's rule."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose.errors import UserError
from pipeline.config import DataConfig, PairConfig
from pipeline.engine.item import ItemError
from pipeline.engine.manifest import MotionRow
from pipeline.sources.babel import after, babel_files, before, parse_sequence, read_file
from pipeline.stages.pairing import Clock, plan_sequence
from pipeline.stages.pairs import (
    Resolver,
    pair_items,
    pairs_context,
    pairs_one,
    path_key,
    plan_from_json,
    plans_by_policy,
)
from tests.makers.worlds import annotation, label, sequence, whole

CLOCK = Clock(30.0, 300)


def plan(entry, config: PairConfig | None = None, clock: Clock = CLOCK):
    config = config or PairConfig()
    (parsed,) = parse_sequence("7", "train", entry, config)
    return plan_sequence(parsed, "KIT/1/a", clock, config)


def framed(*labels, dur=10.0):
    return sequence(7, "KIT/KIT/1/a_poses.npz", dur, annotation(*labels), whole("walk"))


BASIC = framed(label("sit", 5, 10, 2), label("walk", 0, 4, 0), label("transition", 4, 5, 1), label("wave", 1, 3, 3))


def test_a_transition_is_one_span_from_the_start_of_a_to_the_end_of_b():
    result = plan(BASIC)
    (pair,) = [p for p in result.pairs if p.kind == "transition"]
    clip = result.clips[pair.clip_id]
    assert pair.text == "transit from walk to sit"
    assert (clip.start, clip.stop, clip.gap_start, clip.gap_stop) == (0, 300, 0, 0)
    assert (pair.border_a, pair.border_b) == (120, 150)
    assert pair.seg_ids == ["seg-0", "seg-1", "seg-2"]


def test_cut_leaves_the_frames_between_a_and_b_out():
    result = plan(BASIC, PairConfig(transition="cut"))
    (pair,) = [p for p in result.pairs if p.kind == "transition"]
    clip = result.clips[pair.clip_id]
    assert (clip.start, clip.stop, clip.gap_start, clip.gap_stop) == (0, 300, 120, 150)


def test_bare_transition_is_never_a_text_and_a_and_b_are_pairs_of_their_own():
    texts = [p.text for p in plan(BASIC).pairs]
    assert sorted(texts) == ["sit", "transit from walk to sit", "walk", "wave"]


def test_everything_active_in_the_clip_is_concurrent_with_it():
    by_text = {p.text: set(p.concurrent) for p in plan(BASIC).pairs}
    assert by_text["walk"] == {"wave", "transit from walk to sit"}
    assert by_text["wave"] == {"walk", "transit from walk to sit"}
    assert by_text["sit"] == {"transit from walk to sit"}
    assert by_text["transit from walk to sit"] == {"walk", "sit", "wave"}


@pytest.mark.parametrize(
    ("labels", "verdict"),
    [
        ([label("transition", 0, 1, 0), label("walk", 1, 10, 1)], "opens the sequence"),
        ([label("walk", 0, 9, 0), label("transition", 9, 10, 1)], "closes the sequence"),
        ([label("walk", 0, 3, 0), label("transition", 4, 5, 1), label("sit", 5, 10, 2)], "no label before"),
        ([label("walk", 0, 4, 0), label("transition", 4, 5, 1), label("sit", 6, 10, 2)], "no label after"),
        ([label("walk", 3.8, 4, 0), label("transition", 4, 5, 1), label("sit", 5, 10, 2)], "a side under 8 frames"),
        ([label("hop", 0, 10, 0), label("transition", 4, 5, 1)], "no label before and none after"),
    ],
)
def test_every_dropped_transition_has_its_reason(labels, verdict):
    (row,) = plan(framed(*labels)).transitions
    assert row.verdict == verdict


def test_of_several_candidates_the_shortest_nearest_wins_and_all_are_kept_in_the_manifest():
    labels = [
        label("long a", 0, 4, 0),
        label("short a", 2, 4, 1),
        label("early a", 0, 3.95, 2),
        label("transition", 4, 5, 3),
        label("short b", 5, 7, 4),
        label("long b", 5, 9, 5),
        label("late b", 5.05, 6, 6),
    ]
    (row,) = plan(framed(*labels)).transitions
    assert row.candidates_a == ["short a", "long a", "early a"]
    assert row.candidates_b == ["short b", "long b", "late b"]
    assert row.text == "transit from short a to short b"


def test_a_may_end_inside_the_transition_but_not_after_it_and_b_may_not_start_before_it():
    (parsed,) = parse_sequence(
        "7", "train", framed(label("a", 0, 4.5, 0), label("transition", 4, 5, 1), label("b", 3.9, 8, 2)), PairConfig()
    )
    transition = next(entry for entry in parsed.labels if entry.is_transition)
    assert [entry.text for entry in before(transition, parsed.labels, 0.1)] == ["a"]
    assert after(transition, parsed.labels, 0.1) == []


def test_short_excluded_and_null_labels_are_dropped_with_reasons():
    entry = framed(
        label("blink", 0, 0.4, 0), label("tpose", 1, 5, 1), label("", 5, 8, 2), label("walk", 2, 9, 3), dur=10
    )
    reasons = {row.text: row.reason for row in plan(entry, PairConfig(exclude_labels=("t-pose",))).dropped}
    assert reasons == {"blink": "shorter than 15 frames", "t-pose": "label excluded", "": "label is null or empty"}


def test_sequence_label_stands_for_the_whole_motion_only_when_it_is_the_only_one():
    one = sequence(7, "x/x/1/a_poses.npz", 10.0, None, whole("tpose"))
    (pair,) = plan(one).pairs
    assert (pair.kind, pair.text) == ("sequence", "t-pose")
    assert plan(one, PairConfig(sequence_labels=False)).pairs == []
    two = sequence(7, "x/x/1/a_poses.npz", 10.0, None, annotation(label("a", 0, 1), label("b", 0, 1)))
    assert plan(two).pairs == []
    assert [row.reason for row in plan(two).dropped] == ["several sequence labels and no frame labels"]


def test_extra_files_give_one_set_of_labels_per_annotator():
    entry = sequence(7, "x/x/1/a_poses.npz", 10.0, None, whole("x"))
    del entry["frame_ann"], entry["seq_ann"]
    entry["frame_anns"] = [annotation(label("walk", 0, 5)), annotation(label("stroll", 0, 5), label("sit", 5, 10))]
    entry["seq_anns"] = None
    parsed = list(parse_sequence("7", "train", entry, PairConfig()))
    assert [[entry.text for entry in one.labels] for one in parsed] == [["walk"], ["stroll", "sit"]]


def test_times_follow_a_corrected_rate():
    """BABEL's seconds count the stored clock: 120 Hz stored, 60 Hz true, so true time is twice as long."""
    clock = Clock(30.0, 600, stretch=2.0)
    clip = plan(framed(label("walk", 1, 4, 0)), clock=clock).clips
    assert [(c.start, c.stop) for c in clip.values()] == [(60, 240)]


def test_ends_past_the_motion_are_clamped_and_reversed_times_turned():
    result = plan(framed(label("walk", 8, 10.004, 0), label("sit", 4, 1, 1)))
    assert sorted((c.start, c.stop) for c in result.clips.values()) == [(30, 120), (240, 300)]


def test_equal_intervals_make_two_pairs_of_one_clip():
    result = plan(framed(label("walk", 0, 5, 0), label("talk", 0, 5, 1)))
    assert len(result.clips) == 1
    assert {p.text: p.concurrent for p in result.pairs} == {"walk": ["talk"], "talk": ["walk"]}


times = st.floats(min_value=-1, max_value=12, allow_nan=False)
labels = st.lists(
    st.tuples(st.sampled_from(["walk", "sit", "transition", "tpose", ""]), times, times), min_size=0, max_size=8
)


@settings(max_examples=200, deadline=None)
@given(labels, st.sampled_from(["span", "cut", "skip"]))
def test_whatever_the_labels_every_one_is_accounted_for(drawn, policy):
    config = PairConfig(transition=policy)
    entry = framed(*(label(text, a, b, n) for n, (text, a, b) in enumerate(drawn)))
    result = plan(entry, config)
    transitions = [text for text, _, _ in drawn if text == "transition"]
    own = [p for p in result.pairs if p.kind == "segment"]
    assert len(own) + len(result.dropped) == len(drawn) - len(transitions)
    assert len(result.transitions) == len(transitions)
    for pair in result.pairs:
        clip = result.clips[pair.clip_id]
        assert 0 <= clip.start < clip.stop <= CLOCK.frames
        assert 0 <= clip.gap_start <= clip.gap_stop < clip.stop - clip.start
        assert pair.text not in pair.concurrent
        assert pair.text not in ("", "transition")


# --- files ------------------------------------------------------------------------------------


def write(folder: Path, **files) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(content if isinstance(content, str) else json.dumps(content))
    return folder


def test_the_plan_needs_only_the_json(tmp_path):
    write(tmp_path, train={"7": BASIC}, val={"8": sequence(8, "x/x/1/b_poses.npz", 2, None, whole("jump"))})
    result = plan_from_json(tmp_path, DataConfig())
    assert result["transitions"] == {"found": 1, "kept": 1, "dropped": {}}
    assert {key: result[key] for key in ("sequences", "segments", "sequence_labels", "pairs", "labels")} == {
        "sequences": 2,
        "segments": 3,
        "sequence_labels": 1,
        "pairs": 5,
        "labels": 5,
    }
    assert result["splits"]["val"]["pairs"] == 1


def test_the_plan_counts_what_every_other_policy_would_make(tmp_path):
    typed = whole("jump")
    typed["labels"][0]["raw_label"] = "jumps"
    twice = sequence(9, "x/x/1/c_poses.npz", 2, None, whole("jump"))
    write(tmp_path, train={"7": BASIC, "9": twice}, val={"8": sequence(8, "x/x/1/b_poses.npz", 2, None, typed)})
    result = plans_by_policy(tmp_path, DataConfig())
    others = ["pairs.text=raw", "pairs.sequence_labels=false", "pairs.transition=cut", "pairs.transition=skip"]
    assert list(result) == others
    usual = {"pairs": 6, "clips": 6, "labels": 5, "transitions": 1, "dropped": 0}
    assert result["pairs.transition=cut"] == usual
    assert result["pairs.text=raw"] == {**usual, "labels": 6}
    assert result["pairs.sequence_labels=false"]["pairs"] == 4
    skipped = result["pairs.transition=skip"]
    assert (skipped["pairs"], skipped["transitions"], skipped["dropped"]) == (5, 0, 1)
    extra = {key: value for key, value in BASIC.items() if key not in ("frame_ann", "seq_ann")}
    extra |= {"frame_anns": [annotation(label("run", 0, 4), label("turn", 4, 9))], "seq_anns": None}
    write(tmp_path, extra_train={"6": extra}, extra_val={"5": {**extra, "feat_p": "x/x/1/d_poses.npz"}})
    with_extra = plans_by_policy(tmp_path, DataConfig())["pairs.extra=true"]
    assert with_extra == {"pairs": 10, "clips": 9, "labels": 7, "transitions": 1, "dropped": 0}


def test_the_plan_of_the_open_motion_is_what_its_readme_says(open_mocap):
    result = plan_from_json(open_mocap / "babel", DataConfig())
    train, val = result["splits"]["train"], result["splits"]["val"]
    assert (train["sequence_labels"], val["sequence_labels"]) == (1343, 141)
    assert (train["segments"], val["segments"]) == (1067 - 4, 100 - 1)
    assert train["transitions"] == {"found": 684, "kept": 684, "dropped": {}}
    assert val["transitions"] == {"found": 63, "kept": 63, "dropped": {}}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("<html>", "a web page"),
        ('{"1": {"feat', "damaged"),
        ("{}", "not a BABEL file"),
        ('{"1": {"x": 1}}', "not a BABEL"),
    ],
)
def test_a_file_that_is_not_babel_says_so(tmp_path, content, message):
    with pytest.raises(UserError, match=message):
        read_file(write(tmp_path, train=content) / "train.json")


def test_test_labels_and_missing_files_are_explained(tmp_path):
    with pytest.raises(UserError, match="withholds the labels"):
        babel_files(tmp_path, PairConfig(splits=("test",)))
    with pytest.raises(UserError, match=r"train\.json"):
        babel_files(tmp_path, PairConfig())


def test_a_label_of_the_wrong_type_names_the_sequence(tmp_path):
    entry = framed(label("walk", 0, 1))
    entry["frame_ann"]["labels"][0]["start_t"] = "soon"
    with pytest.raises(UserError, match="sequence 7"):
        list(parse_sequence("7", "train", entry, PairConfig()))


# --- feat_p -----------------------------------------------------------------------------------


def motion(source: str) -> MotionRow:
    dataset, subject, _ = source.split("/")[-3:]
    return MotionRow(
        motion_id=source.removesuffix("_poses.npz"),
        source=source,
        dataset=dataset,
        subject=subject,
        gender="male",
        frames=100,
        fps_stored=120.0,
        fps_true=120.0,
        rate_note="",
        duration_s=0.8,
        betas=16,
        bytes=1,
        sha256="",
    )


@pytest.mark.parametrize(
    ("source", "feat_p"),
    [
        ("CMU/01/01_01_poses.npz", "CMU/CMU/01/01_01_poses.npz"),
        ("CMU/CMU/01/01_01_poses.npz", "CMU/CMU/01/01_01_poses.npz"),
        (
            "BioMotionLab_NTroje/rub055/0020_lifting_heavy2_poses.npz",
            "BMLrub/BioMotionLab_NTroje/rub055/0020_lifting_heavy2_poses.npz",
        ),
        (
            "BMLrub/rub055/0020_lifting_heavy2_poses.npz",
            "BMLrub/BioMotionLab_NTroje/rub055/0020_lifting_heavy2_poses.npz",
        ),
        ("HDM05/dg/HDM_dg_01_poses.npz", "MPIHDM05/MPI_HDM05/dg/HDM_dg_01_poses.npz"),
        ("ACCAD/Male1/D7_-_walk_to_bow_poses.npz", "ACCAD/ACCAD/Male1/D7 - walk to bow_poses.npz"),
        ("ACCAD/Male1/D7 - walk to bow_poses.npz", "ACCAD/ACCAD/Male1/D7_-_walk_to_bow_poses.npz"),
        ("OpenCMU/86/86_01_poses.npz", "OpenCMU/OpenCMU/86/86_01_poses.npz"),
    ],
)
def test_feat_p_finds_its_motion_under_both_generations_of_names(source, feat_p):
    found = Resolver([motion(source), motion("KIT/1/other_poses.npz")]).find(feat_p)
    assert found is not None
    assert found.source == source


@pytest.mark.parametrize(
    ("frames", "stored", "verdict"),
    [(1000, 100.0, ""), (1024, 100.0, ""), (1026, 100.0, "length disagrees with BABEL"), (1000, 120.0, "length")],
)
def test_a_motion_that_lasts_otherwise_than_babel_says_is_refused(tmp_path, frames, stored, verdict):
    """Ten seconds by BABEL; a quarter of a second is allowed. Another edition's rate is found out so."""
    write(tmp_path, train={"7": BASIC}, val={"7": BASIC})
    row = replace(motion("KIT/1/a_poses.npz"), frames=frames, fps_stored=stored, fps_true=stored)
    config = DataConfig()
    context = pairs_context(config, [row])
    item, in_val = pair_items(tmp_path, config)
    if verdict:
        with pytest.raises(ItemError, match=verdict) as error:
            pairs_one(item, context, tmp_path)
        assert "BABEL says 10.00 s" in error.value.message
        return
    assert len(pairs_one(item, context, tmp_path)["pairs"]) == 4
    with pytest.raises(ItemError, match="motion in two splits"):
        pairs_one(in_val, context, tmp_path)


def test_a_path_that_is_not_there_is_not_guessed():
    assert Resolver([motion("CMU/01/01_01_poses.npz")]).find("CMU/CMU/01/01_02_poses.npz") is None
    assert path_key("CMU/01/01_01_poses.npz") != path_key("KIT/01/01_01_poses.npz")


# --- whatever JSON holds ----------------------------------------------------------------------

values = st.none() | st.booleans() | st.integers(-5, 10**400) | st.floats() | st.text(max_size=5)
names = st.sampled_from(["labels", "raw_label", "proc_label", "act_cat", "seg_id", "start_t", "end_t", "x"])
anything = st.recursive(values, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=4))
labelled = st.fixed_dictionaries({"start_t": times | anything, "end_t": times | anything, "proc_label": values})
annotations = st.none() | st.fixed_dictionaries({"labels": st.lists(labelled, max_size=3) | anything}) | anything


@settings(max_examples=300, deadline=None)
@given(
    st.fixed_dictionaries(
        {"dur": st.floats(0, 20) | values, "feat_p": st.text(max_size=5) | values},
        optional={n: annotations | st.lists(annotations, max_size=2) for n in ("frame_ann", "seq_ann", "frame_anns")},
    )
)
def test_whatever_a_sequence_holds_it_is_planned_or_refused_by_name(entry):
    refused = ""
    try:
        for parsed in parse_sequence("7", "train", entry, PairConfig()):
            made = plan_sequence(parsed, "KIT/1/a", CLOCK, PairConfig())
            assert all(isinstance(text, str) for pair in made.pairs for text in (pair.text, pair.raw, *pair.act_cat))
    except UserError as error:
        refused = error.message
    assert not refused or "sequence 7" in refused

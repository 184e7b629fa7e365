"""Every label becomes a pair or has the reason why not; transitions follow the paper's rule."""

from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actionpose.errors import UserError
from pipeline.config import PairConfig
from pipeline.sources.babel import after, before, parse_sequence
from pipeline.stages.pairing import Clock, plan_sequence
from tests.makers.worlds import WALK_TO_SIT, annotation, framed, label, sequence, whole

CLOCK = Clock(30.0, 300)


def plan(entry, config: PairConfig | None = None, clock: Clock = CLOCK):
    config = config or PairConfig()
    (parsed,) = parse_sequence("7", "train", entry, config)
    return plan_sequence(parsed, "KIT/1/a", clock, config)


def test_a_transition_is_one_span_from_the_start_of_a_to_the_end_of_b():
    result = plan(WALK_TO_SIT)
    (pair,) = [p for p in result.pairs if p.kind == "transition"]
    clip = result.clips[pair.clip_id]
    assert pair.text == "transit from walk to sit"
    assert (clip.start, clip.stop, clip.gap_start, clip.gap_stop) == (0, 300, 0, 0)
    assert (pair.border_a, pair.border_b) == (120, 150)
    assert pair.seg_ids == ["seg-0", "seg-1", "seg-2"]


def test_cut_leaves_the_frames_between_a_and_b_out():
    result = plan(WALK_TO_SIT, PairConfig(transition="cut"))
    (pair,) = [p for p in result.pairs if p.kind == "transition"]
    clip = result.clips[pair.clip_id]
    assert (clip.start, clip.stop, clip.gap_start, clip.gap_stop) == (0, 300, 120, 150)


def test_bare_transition_is_never_a_text_and_a_and_b_are_pairs_of_their_own():
    texts = [p.text for p in plan(WALK_TO_SIT).pairs]
    assert sorted(texts) == ["sit", "transit from walk to sit", "walk", "wave"]


def test_everything_active_in_the_clip_is_concurrent_with_it():
    by_text = {p.text: set(p.concurrent) for p in plan(WALK_TO_SIT).pairs}
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
def test_every_label_is_accounted_for(drawn, policy):
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


@pytest.mark.parametrize(
    ("start_s", "end_s", "span"), [(0.0, 1.99, (0, 60)), (0.49, 1.01, (15, 30)), (0.02, 0.02, (1, 1))]
)
def test_both_ends_of_a_label_are_rounded_to_the_nearest_frame(start_s, end_s, span):
    assert Clock(30, 1000).span(start_s, end_s) == span


def test_thousands_of_labels_in_one_sequence_are_planned_in_seconds():
    # Ten at a time, as a dense annotation has; every other one a transition.
    labels = [label("transition" if n % 2 else f"l{n}", n * 0.01, n * 0.01 + 0.1, n) for n in range(5000)]
    begun = time.process_time()
    result = plan(framed(*labels, dur=60.0), PairConfig(min_frames=1, min_side_frames=1), Clock(30.0, 1800))
    assert len(result.transitions) == 2500
    assert time.process_time() - begun < 10

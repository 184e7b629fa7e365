"""The labels alone say what every reading of the paper would make of them."""

from __future__ import annotations

import pytest

from actionpose.errors import UserError
from pipeline.body.resample import frame_times
from pipeline.config import DataConfig, PairConfig
from pipeline.engine.manifest import MotionRow
from pipeline.sources.babel import LabelledSequence
from pipeline.stages.label_counts import plan_from_json, plans_by_policy, possible_clocks
from pipeline.stages.pairs import pair_items, pairs_context, pairs_one
from tests.makers.worlds import WALK_TO_SIT, annotation, label, sequence, whole, write_labels


def test_the_plan_needs_only_the_json(tmp_path):
    write_labels(
        tmp_path, train={"7": WALK_TO_SIT}, val={"8": sequence(8, "x/x/1/b_poses.npz", 2, None, whole("jump"))}
    )
    result = plan_from_json(tmp_path, DataConfig())
    assert result["transitions"] == {"found": 1, "kept": 1, "same_label": 0, "dropped": {}}
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
    write_labels(
        tmp_path, train={"7": WALK_TO_SIT, "9": twice}, val={"8": sequence(8, "x/x/1/b_poses.npz", 2, None, typed)}
    )
    result = plans_by_policy(tmp_path, DataConfig())
    others = ["pairs.text=raw", "pairs.sequence_labels=false", "pairs.transition=cut", "pairs.transition=skip"]
    assert list(result) == others
    usual = {"pairs": 6, "clips": 6, "labels": 5, "transitions": 1, "dropped": 0}
    assert result["pairs.transition=cut"] == usual
    assert result["pairs.text=raw"] == {**usual, "labels": 6}
    assert result["pairs.sequence_labels=false"]["pairs"] == 4
    skipped = result["pairs.transition=skip"]
    assert (skipped["pairs"], skipped["transitions"], skipped["dropped"]) == (5, 0, 1)
    extra = {key: value for key, value in WALK_TO_SIT.items() if key not in ("frame_ann", "seq_ann")}
    extra |= {"frame_anns": [annotation(label("run", 0, 4), label("turn", 4, 9))], "seq_anns": None}
    write_labels(tmp_path, extra_train={"6": extra})
    assert list(plans_by_policy(tmp_path, DataConfig())) == others  # of two splits, one alone cannot be used
    write_labels(tmp_path, extra_train={"6": extra}, extra_val={"5": {**extra, "feat_p": "x/x/1/d_poses.npz"}})
    with_extra = plans_by_policy(tmp_path, DataConfig())["pairs.extra=true"]
    assert with_extra == {"pairs": 10, "clips": 9, "labels": 7, "transitions": 1, "dropped": 0}


@pytest.mark.parametrize(
    ("feat_p", "fps"), [("CMU/CMU/01/a_poses.npz", 120), ("KIT/KIT/3/a_poses.npz", 100), ("x/x/1/a.npz", 120)]
)
@pytest.mark.parametrize("frames", [137, 650, 655, 1201])
def test_the_plan_counts_the_frames_that_a_build_makes_of_a_motion_of_that_length(feat_p, fps, frames):
    duration = round(frames / fps, 2)
    planned = LabelledSequence(sid="1", split="val", feat_p=feat_p, duration_s=duration, labels=(), from_frames=True)
    clocks = [clock.frames for clock in possible_clocks(planned, DataConfig())]
    built = len(frame_times(frames, fps, 30))
    fitting = {len(frame_times(n, fps, 30)) for n in range(frames - 3, frames + 4) if round(n / fps, 2) == duration}
    assert clocks[0] == built if fitting == {built} else built in clocks


def test_a_motion_known_to_be_stored_at_twice_its_rate_is_planned_at_its_true_length():
    where = {"feat_p": "SSMsynced/SSM_synced/20160930_50032/a_poses.npz", "duration_s": 1.0}
    clock = possible_clocks(LabelledSequence(sid="1", split="val", labels=(), from_frames=True, **where), DataConfig())[
        0
    ]
    assert clock.frames == len(frame_times(120, 60, 30))
    assert clock.stretch == pytest.approx(2, rel=1e-6)


def test_how_far_a_build_can_be_off_is_reported(tmp_path):
    # Four seconds are 120 frames at 30 Hz, whichever of CMU's two rates the file is stored at.
    sure = sequence(1, "CMU/CMU/01/a_poses.npz", 4.0, annotation(label("walk", 0, 4)), None)
    # The last label ends with the file: whether it keeps 15 frames depends on the frames the file really has.
    edge = sequence(2, "CMU/CMU/74/b_poses.npz", 4.01, annotation(label("walk", 0, 3), label("sit", 3.52, 4.01)), None)
    write_labels(tmp_path, train={"1": sure}, val={"2": edge})
    found = plan_from_json(tmp_path, DataConfig())["uncertain"]
    assert found["pairs"][0] <= plan_from_json(tmp_path, DataConfig())["pairs"] <= found["pairs"][1]
    assert found["sequences"] == int(found["pairs"][0] != found["pairs"][1])


@pytest.mark.parametrize("again", ["walk", "Walk"])
def test_one_label_on_both_sides_is_counted_and_can_be_left_out(tmp_path, again):
    twice = sequence(
        1,
        "CMU/CMU/01/a_poses.npz",
        6.0,
        annotation(label("walk", 0, 2), label("transition", 2, 3), label(again, 3, 6)),
        None,
    )
    write_labels(tmp_path, train={"1": twice}, val={})
    config = DataConfig(pairs=PairConfig(splits=("train",)))
    assert plan_from_json(tmp_path, config)["transitions"] == {"found": 1, "kept": 1, "same_label": 1, "dropped": {}}
    without = DataConfig(pairs=PairConfig(splits=("train",), same_label_transitions=False))
    dropped = plan_from_json(tmp_path, without)["transitions"]
    assert dropped == {"found": 1, "kept": 0, "same_label": 0, "dropped": {"one label on both sides": 1}}


def test_a_motion_of_both_splits_is_planned_once_as_a_build_would(tmp_path):
    one = sequence(1, "CMU/CMU/01/a_poses.npz", 4.0, annotation(label("walk", 0, 4)), None)
    write_labels(tmp_path, train={"1": one}, val={"1": one})
    result = plan_from_json(tmp_path, DataConfig())
    assert (result["pairs"], result["failures"]) == (1, {"motion in two splits": 1})


def test_an_entry_of_several_annotators_is_planned_as_it_is_built(tmp_path):
    agreed = [annotation(label("run", 0, 4)), annotation(label("run", 0, 4), label("turn", 4, 9))]
    entry = {**sequence(1, "CMU/CMU/01/a_poses.npz", 9.0, None, None), "frame_anns": agreed, "seq_anns": None}
    other = sequence(2, "CMU/CMU/02/b_poses.npz", 9.0, None, whole("jump"))
    write_labels(tmp_path, train={"2": other}, val={"2": other}, extra_train={"1": entry}, extra_val={"1": entry})
    config = DataConfig(pairs=PairConfig(extra=True))
    plan = plan_from_json(tmp_path, config)
    items = pair_items(tmp_path, config)
    motion = MotionRow(
        **{"motion_id": "CMU/01/a", "source": "CMU/01/a_poses.npz", "dataset": "CMU", "subject": "01", "gender": ""},
        **{"frames": 1080, "fps_stored": 120.0, "fps_true": 120.0, "rate_note": "", "duration_s": 9.0, "betas": 16},
        **{"bytes": 1, "checksum": ""},
    )
    built = pairs_one(items[1], pairs_context(config, items, [motion]), tmp_path)
    assert (plan["pairs"], plan["clips"]) == (len(built["pairs"]) + 1, len(built["clips"]) + 1) == (3, 3)
    assert (plan["failures"], plan["hours"]) == ({"motion in two splits": 2}, 4 * 9 / 3600)


def test_one_label_file_alone_is_used_when_the_error_says_how(tmp_path):
    write_labels(tmp_path, val={"8": sequence(8, "x/x/1/b_poses.npz", 2, None, whole("jump"))})
    with pytest.raises(UserError) as error:
        plan_from_json(tmp_path, DataConfig())
    assert """-o 'pairs.splits=["val"]'""" in error.value.hint
    assert plan_from_json(tmp_path, DataConfig(pairs=PairConfig(splits=("val",))))["pairs"] == 1


def test_the_plan_of_the_open_motion_is_what_its_readme_says(open_mocap):
    result = plan_from_json(open_mocap / "babel", DataConfig())
    train, val = result["splits"]["train"], result["splits"]["val"]
    assert (train["sequence_labels"], val["sequence_labels"]) == (1343, 141)
    assert (train["segments"], val["segments"]) == (1067 - 4, 100 - 1)
    assert train["transitions"] == {"found": 684, "kept": 684, "same_label": 0, "dropped": {}}
    assert val["transitions"] == {"found": 63, "kept": 63, "same_label": 0, "dropped": {}}

"""The labels alone say what every reading of the paper would make of them."""

from __future__ import annotations

from pipeline.config import DataConfig
from pipeline.stages.label_counts import plan_from_json, plans_by_policy
from tests.makers.worlds import WALK_TO_SIT, annotation, label, sequence, whole, write_labels


def test_the_plan_needs_only_the_json(tmp_path):
    write_labels(
        tmp_path, train={"7": WALK_TO_SIT}, val={"8": sequence(8, "x/x/1/b_poses.npz", 2, None, whole("jump"))}
    )
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
    write_labels(tmp_path, extra_train={"6": extra}, extra_val={"5": {**extra, "feat_p": "x/x/1/d_poses.npz"}})
    with_extra = plans_by_policy(tmp_path, DataConfig())["pairs.extra=true"]
    assert with_extra == {"pairs": 10, "clips": 9, "labels": 7, "transitions": 1, "dropped": 0}


def test_the_plan_of_the_open_motion_is_what_its_readme_says(open_mocap):
    result = plan_from_json(open_mocap / "babel", DataConfig())
    train, val = result["splits"]["train"], result["splits"]["val"]
    assert (train["sequence_labels"], val["sequence_labels"]) == (1343, 141)
    assert (train["segments"], val["segments"]) == (1067 - 4, 100 - 1)
    assert train["transitions"] == {"found": 684, "kept": 684, "dropped": {}}
    assert val["transitions"] == {"found": 63, "kept": 63, "dropped": {}}

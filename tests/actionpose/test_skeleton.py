"""Human3.6M-17: the joint order everything else leans on."""

from __future__ import annotations

import itertools

from actionpose.skeleton import (
    BODY_PARTS,
    BONES,
    FLIP_ORDER,
    JOINT_NAMES,
    LEFT,
    MPI_3DHP_ORDER,
    N_JOINTS,
    PARENTS,
    RIGHT,
    ROOT,
)


def test_the_joint_order_is_that_of_the_published_checkpoints():
    # Right leg first, as in MotionBERT, VideoPose3D and mmpose; any other order is a silent error.
    assert JOINT_NAMES == (
        "pelvis", "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "spine", "thorax",
        "nose", "head", "left_shoulder", "left_elbow", "left_wrist", "right_shoulder", "right_elbow", "right_wrist",
    )  # fmt: skip
    assert len(JOINT_NAMES) == N_JOINTS == len(PARENTS) == 17


def test_the_skeleton_is_one_tree_and_parents_come_first():
    assert [joint for joint, parent in enumerate(PARENTS) if parent < 0] == [ROOT]
    assert all(parent < joint for joint, parent in enumerate(PARENTS))
    assert len(BONES) == N_JOINTS - 1
    assert {child for _, child in BONES} == set(range(N_JOINTS)) - {ROOT}


def test_bones_join_what_a_body_joins():
    bones = {(JOINT_NAMES[parent], JOINT_NAMES[child]) for parent, child in BONES}
    for side in ("left", "right"):
        assert {
            ("pelvis", f"{side}_hip"),
            (f"{side}_hip", f"{side}_knee"),
            (f"{side}_knee", f"{side}_ankle"),
            ("thorax", f"{side}_shoulder"),
            (f"{side}_shoulder", f"{side}_elbow"),
            (f"{side}_elbow", f"{side}_wrist"),
        } <= bones
    assert {("pelvis", "spine"), ("spine", "thorax"), ("thorax", "nose"), ("nose", "head")} <= bones


def test_flip_is_an_involution_that_swaps_left_and_right_by_name():
    assert tuple(FLIP_ORDER[FLIP_ORDER[joint]] for joint in range(N_JOINTS)) == tuple(range(N_JOINTS))
    for joint, name in enumerate(JOINT_NAMES):
        swapped = {"left": "right", "right": "left"}
        side, _, rest = name.partition("_")
        mirror = f"{swapped[side]}_{rest}" if side in swapped else name
        assert JOINT_NAMES[FLIP_ORDER[joint]] == mirror


def test_left_and_right_are_paired_and_say_so():
    assert all(JOINT_NAMES[joint].startswith("left_") for joint in LEFT)
    assert all(JOINT_NAMES[joint].startswith("right_") for joint in RIGHT)
    assert [JOINT_NAMES[j].removeprefix("left_") for j in LEFT] == [
        JOINT_NAMES[j].removeprefix("right_") for j in RIGHT
    ]


def test_the_3dhp_order_puts_each_joint_where_human36m_has_it():
    theirs = (
        "head", "thorax", "right_shoulder", "right_elbow", "right_wrist", "left_shoulder", "left_elbow", "left_wrist",
        "right_hip", "right_knee", "right_ankle", "left_hip", "left_knee", "left_ankle", "pelvis", "spine", "nose",
    )  # fmt: skip
    assert tuple(theirs[joint] for joint in MPI_3DHP_ORDER) == JOINT_NAMES


def test_mirroring_keeps_the_tree():
    assert {(FLIP_ORDER[parent], FLIP_ORDER[child]) for parent, child in BONES} == set(BONES)


def test_the_six_parts_cover_all_joints_and_none_is_one_sided():
    assert list(BODY_PARTS) == ["head", "arms", "legs", "hips", "upper", "lower"]
    assert set(itertools.chain(*BODY_PARTS.values())) == set(range(N_JOINTS))
    for part, joints in BODY_PARTS.items():
        assert len(set(joints)) == len(joints), part
        assert {FLIP_ORDER[joint] for joint in joints} == set(joints), part


def test_upper_and_lower_are_the_whole_body_and_hold_the_smaller_parts():
    upper, lower = set(BODY_PARTS["upper"]), set(BODY_PARTS["lower"])
    assert upper | lower == set(range(N_JOINTS))
    assert not upper & lower
    assert {*BODY_PARTS["head"], *BODY_PARTS["arms"]} <= upper
    assert {*BODY_PARTS["legs"], *BODY_PARTS["hips"]} == lower

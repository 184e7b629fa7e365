"""The demo's motion: people who stand on the floor, bend at the right joints, and do what the label says."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from actionpose.geometry import unit
from benchmarks.bodies import rest_joints
from pipeline.body.rotations import rotation_matrices, rotations_about
from pipeline.demo import rig as r
from pipeline.demo.catalogue import ACTIONS
from pipeline.demo.curves import keyed
from pipeline.demo.motion import Cue, Performance, perform, relaxed_hands
from pipeline.demo.pose import Style
from tests.makers.kinematics import forward

JOINTS = rest_joints()[:22]
RIG = r.Rig(joints=JOINTS, floor=float(JOINTS[:, 1].min()) - 0.03)
RATE = 60.0
START = 1.2
LABELS = tuple(ACTIONS)


@cache
def film(label: str, seed: int = 0) -> tuple[Performance, np.ndarray, np.ndarray, slice]:
    """An action between two others: motion, joints (T, 22, 3), pelvis rotations (T, 3, 3), the action's frames."""
    action = ACTIONS[label]
    end = START + action.seconds[1]
    first, last = ("sit" if seated else "stand" for seated in action.seated)
    cues = [Cue(action=first, start=0, end=0.7), Cue(action=label, start=START, end=end)]
    cues.append(Cue(action=last, start=end + 0.5, end=end + 1.3))
    style = Style(tempo=1.1, size=1.1)
    motion = perform(RIG, style, cues, seconds=end + 1.3, rate=RATE, key=(3, seed, LABELS.index(label)))
    places, turns = posed(motion)
    return motion, places, turns[:, 0], slice(round(START * RATE), round(end * RATE))


def posed(motion: Performance) -> tuple[np.ndarray, np.ndarray]:
    """Joints and rotations of a motion, from the numbers a file would hold."""
    vectors = motion.poses.reshape(len(motion.poses), 52, 3)[:, :22]
    rotations = rotation_matrices(vectors.transpose(1, 2, 0)).transpose(3, 0, 1, 2)
    return forward(RIG, rotations, motion.trans + RIG.joints[0])


def ahead(places: np.ndarray, pelvis: np.ndarray, joint: int) -> np.ndarray:
    """How far a joint is ahead of the pelvis (T,), along the way the pelvis faces on the ground."""
    facing = pelvis[:, :2, 2] / np.linalg.norm(pelvis[:, :2, 2], axis=1, keepdims=True)
    return ((places[:, joint, :2] - places[:, 0, :2]) * facing).sum(-1)


@pytest.mark.parametrize("label", LABELS)
def test_feet_are_on_the_floor(label: str) -> None:
    _, places, _, shown = film(label)
    lowest = places[..., 2].min(axis=1)
    assert lowest.min() > -0.03
    if label in ("run", "jump"):
        assert lowest[shown].max() > 0.07
        assert lowest[: shown.start].max() < 0.06
    else:
        assert lowest.max() < 0.06


@pytest.mark.parametrize("label", LABELS)
def test_knees_and_elbows_are_hinges_that_bend_one_way(label: str) -> None:
    vectors = film(label)[0].poses.reshape(-1, 52, 3)
    knees, left, right = vectors[:, [r.L_KNEE, r.R_KNEE]], vectors[:, r.L_ELBOW], vectors[:, r.R_ELBOW]
    assert np.abs(knees[..., 1:]).max() < 1e-6
    assert np.abs(vectors[:, [r.L_ELBOW, r.R_ELBOW]][..., [0, 2]]).max() < 1e-6
    for bend in (knees[..., 0], -left[:, 1], right[:, 1]):
        assert bend.min() > 0.04
        assert bend.max() < 2.61


@pytest.mark.parametrize("label", LABELS)
def test_nothing_jumps_from_one_frame_to_the_next(label: str) -> None:
    motion, places, _, _ = film(label)
    speed = np.linalg.norm(np.diff(places, axis=0), axis=-1) * RATE
    assert speed.max() < 12.0
    vectors = motion.poses.reshape(len(places), 52, 3)
    rotations = rotation_matrices(vectors.transpose(1, 2, 0)).transpose(3, 0, 1, 2)
    between = rotations[:-1].swapaxes(-1, -2) @ rotations[1:]
    angle = np.arccos(np.clip((np.trace(between, axis1=-2, axis2=-1) - 1) / 2, -1, 1))
    assert angle.max() * RATE < 30.0
    # Rotation vectors run on too: they are not wrapped at pi.
    assert np.abs(np.diff(vectors, axis=0)).max() < 1.0


@pytest.mark.parametrize("label", ["walk forward", "walk backward", "turn left", "step right", "march on the spot"])
def test_the_standing_foot_does_not_slide(label: str) -> None:
    _, places, _, shown = film(label)
    speed = np.linalg.norm(np.diff(places[shown][:, [r.L_FOOT, r.R_FOOT]], axis=0), axis=-1) * RATE
    assert np.percentile(speed.min(axis=1), 90) < 0.12
    assert speed.max() > 0.5


@pytest.mark.parametrize(("label", "sign"), [("walk forward", 1), ("run", 1), ("walk backward", -1)])
def test_walking_goes_where_the_person_faces(label: str, sign: int) -> None:
    _, places, pelvis, shown = film(label)
    way = (places[shown.stop, 0] - places[shown.start, 0])[:2]
    facing = pelvis[shown, :2, 2].mean(axis=0)
    assert sign * way @ facing / np.linalg.norm(facing) > 1.0


@pytest.mark.parametrize("label", ["walk forward", "run", "march on the spot"])
def test_legs_alternate_and_arms_swing_against_them(label: str) -> None:
    _, places, pelvis, shown = film(label)
    foot = ahead(places, pelvis, r.L_ANKLE) - ahead(places, pelvis, r.R_ANKLE)
    hand = ahead(places, pelvis, r.L_WRIST) - ahead(places, pelvis, r.R_WRIST)
    assert np.corrcoef(foot[shown], hand[shown])[0, 1] < -0.7
    assert foot[shown].max() > 0.15
    assert foot[shown].min() < -0.15
    if label != "march on the spot":
        left, right = ahead(places, pelvis, r.L_ANKLE), ahead(places, pelvis, r.R_ANKLE)
        assert np.corrcoef(left[shown], right[shown])[0, 1] < -0.5


@pytest.mark.parametrize(("side", "foot", "other"), [("right", r.R_ANKLE, r.L_ANKLE), ("left", r.L_ANKLE, r.R_ANKLE)])
def test_a_kick_lifts_the_named_foot_forward(side: str, foot: int, other: int) -> None:
    _, places, pelvis, shown = film(f"kick with {side} foot")
    reach = ahead(places, pelvis, foot)[shown]
    highest = places[shown, foot, 2].argmax()
    assert reach[highest] > 0.35
    assert places[shown, foot, 2].max() > 0.35
    assert np.ptp(places[shown, other], axis=0).max() < 0.02


@pytest.mark.parametrize(
    ("label", "hand", "other"),
    [
        ("wave right hand", r.R_WRIST, r.L_WRIST),
        ("wave left hand", r.L_WRIST, r.R_WRIST),
        ("throw with right hand", r.R_WRIST, r.L_WRIST),
        ("throw with left hand", r.L_WRIST, r.R_WRIST),
    ],
)
def test_the_named_hand_is_the_raised_one(label: str, hand: int, other: int) -> None:
    _, places, _, shown = film(label)
    over = places[shown][:, [hand, other], 2] - places[shown, r.NECK, 2][:, None]
    assert over[:, 0].max() > 0.05
    assert over[:, 1].max() < over[:, 0].max() - 0.05


@pytest.mark.parametrize(("side", "hand", "other"), [("right", r.R_WRIST, r.L_WRIST), ("left", r.L_WRIST, r.R_WRIST)])
def test_a_punch_stretches_the_named_arm_forward(side: str, hand: int, other: int) -> None:
    _, places, pelvis, shown = film(f"punch with {side} hand")
    assert ahead(places, pelvis, hand)[shown].max() > 0.45
    assert ahead(places, pelvis, other)[shown].max() < 0.40


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_turns_go_to_the_named_side(side: str, sign: int) -> None:
    _, _, pelvis, shown = film(f"turn {side}")
    heading = np.unwrap(np.arctan2(pelvis[:, 1, 2], pelvis[:, 0, 2]))
    # Counter-clockwise seen from above is to the left.
    assert 80 < sign * np.degrees(heading[-1] - heading[shown.start]) < 190


@pytest.mark.parametrize(("side", "sign"), [("left", 1), ("right", -1)])
def test_side_steps_go_to_the_named_side(side: str, sign: int) -> None:
    _, places, pelvis, shown = film(f"step {side}")
    left = pelvis[shown.start, :2, 0]
    assert sign * (places[-1, 0] - places[shown.start, 0])[:2] @ left > 0.2


def test_sitting_squatting_bending_and_jumping_move_the_pelvis_and_head_as_they_should() -> None:
    height = {label: film(label)[1][film(label)[3]][:, [r.PELVIS, r.HEAD], 2] for label in LABELS}
    upright = height["stand"].mean(axis=0)
    assert 0.4 < height["sit"][:, 0].mean() < 0.65
    assert height["sit down"][0, 0] - height["sit down"][-1, 0] > 0.3
    assert height["stand up"][-1, 0] - height["stand up"][0, 0] > 0.3
    assert height["squat"][:, 0].min() < upright[0] - 0.2
    assert height["bend forward"][:, 1].min() < upright[1] - 0.2
    assert height["jump"][:, 0].max() > upright[0] + 0.1
    for label, sign in (("bend forward", 1), ("lean backward", -1)):
        _, places, pelvis, shown = film(label)
        assert (sign * ahead(places, pelvis, r.HEAD)[shown]).max() > 0.1


def test_hands_meet_in_clapping_and_go_over_the_head_when_raised() -> None:
    _, places, _, shown = film("clap hands")
    apart = np.linalg.norm(places[shown, r.L_WRIST] - places[shown, r.R_WRIST], axis=-1)
    assert apart.min() < 0.15
    assert apart.max() > 0.3
    _, places, _, shown = film("raise both arms")
    assert (places[shown][:, [r.L_WRIST, r.R_WRIST], 2] - places[shown, r.HEAD, 2][:, None]).max(axis=0).min() > 0.2


def test_a_standing_person_is_upright_on_the_floor_in_the_world_of_amass() -> None:
    motion, places, pelvis, _ = film("stand")
    np.testing.assert_allclose(pelvis[:, :, 1], np.tile([0, 0, 1.0], (len(pelvis), 1)), atol=0.15)
    np.testing.assert_allclose(motion.trans + RIG.joints[0], places[:, 0], atol=1e-9)
    assert 0.8 < places[0, 0, 2] < 1.1
    left_shoulder, right_shoulder = places[0, r.L_SHOULDER], places[0, r.R_SHOULDER]
    assert (left_shoulder - right_shoulder) @ pelvis[0, :, 0] > 0.2
    headings = [np.arctan2(*film("stand", seed)[2][0, :2, 2]) for seed in range(4)]
    assert np.ptp(headings) > 0.5


def test_standing_is_never_frozen() -> None:
    _, places, _, shown = film("stand")
    assert np.ptp(places[shown, r.HEAD, :2], axis=0).max() > 0.005


def test_the_rate_changes_the_frames_but_not_the_motion() -> None:
    cues = [Cue(action="walk forward", start=0, end=2.0), Cue(action="punch with left hand", start=2.6, end=4.0)]
    slow, fast = (perform(RIG, Style(), cues, seconds=4.0, rate=rate, key=(1,)) for rate in (60.0, 120.0))
    assert (len(slow.poses), len(fast.poses)) == (240, 480)
    np.testing.assert_allclose(posed(slow)[0], posed(fast)[0][::2], atol=0.01)
    odd = perform(RIG, Style(), cues, seconds=4.0, rate=60000 / 1001, key=(1,))
    assert len(odd.poses) == 240


def test_the_same_key_gives_the_same_bytes_and_another_another_execution() -> None:
    cues = [Cue(action="throw with right hand", start=0, end=2.0)]
    one, two, other = (perform(RIG, Style(), cues, seconds=2.0, rate=60.0, key=key) for key in ((7,), (7,), (8,)))
    assert one.poses.tobytes() == two.poses.tobytes()
    assert one.trans.tobytes() == two.trans.tobytes()
    assert np.abs(one.poses - other.poses).max() > 0.05


def test_styles_differ_between_people() -> None:
    cues = [Cue(action="walk forward", start=0, end=3.0)]
    short, long = (
        perform(RIG, Style(stride=stride, stoop=stoop), cues, seconds=3.0, rate=60.0, key=(1,))
        for stride, stoop in ((0.7, 0.0), (0.9, 0.12))
    )
    ways = [np.linalg.norm(np.ptp(m.trans[:, :2], axis=0)) for m in (short, long)]
    assert ways[1] > 1.1 * ways[0]


def test_an_arm_action_beside_walking_leaves_the_rest_alone() -> None:
    cues, wave = [Cue(action="walk forward", start=0, end=4.0)], Cue(action="wave right hand", start=1.0, end=3.0)
    plain = perform(RIG, Style(), cues, seconds=4.0, rate=60.0, key=(1,))
    waved = perform(RIG, Style(), cues, seconds=4.0, rate=60.0, key=(1,), beside=[wave])
    moved = np.abs(plain.poses - waved.poses).reshape(240, 52, 3).max(axis=-1)
    arm = {r.R_COLLAR, r.R_SHOULDER, r.R_ELBOW, r.R_WRIST}
    assert {int(j) for j in np.flatnonzero(moved.max(axis=0) > 1e-9)} <= arm
    assert moved[:59].max() < 1e-9
    places = posed(waved)[0]
    assert (places[90:150, r.R_WRIST, 2] > places[90:150, r.R_SHOULDER, 2]).all()


def test_hands_are_relaxed_mirror_images() -> None:
    hands = film("stand")[0].poses[:, 66:]
    assert np.ptp(hands, axis=0).max() == 0
    left, right = relaxed_hands().reshape(2, 15, 3)
    np.testing.assert_array_equal(right, left * [1, -1, -1])


# --- the tools underneath ---------------------------------------------------------------------


def test_a_limb_meets_its_target_exactly() -> None:
    rng = np.random.default_rng(0)
    first, second = RIG.offsets[r.L_KNEE], RIG.offsets[r.L_ANKLE]
    target = unit(rng.normal(size=(50, 3))) * rng.uniform(0.35, 0.97, (50, 1)) * RIG.leg
    pole = rng.normal(size=(50, 3))
    turn, bend = r.reach(first, second, r.X, target, pole, (0.0, 2.7))
    knee = turn @ first
    end = knee + (turn @ rotations_about(r.X, bend) @ second[:, None])[..., 0]
    np.testing.assert_allclose(end, target, atol=1e-9)
    np.testing.assert_allclose(np.linalg.det(turn), 1.0, atol=1e-9)
    # The hinge is square to the pole: the knee stands out towards it, but for the rest pose's own slant.
    hinge = turn @ r.X
    slant = np.abs((unit(pole) * hinge).sum(-1))
    assert slant.max() < 0.25


def test_a_target_out_of_reach_is_pointed_at() -> None:
    first, second = RIG.offsets[r.L_ELBOW], RIG.offsets[r.L_WRIST]
    turn, bend = r.reach(first, second, -r.Y, np.array([[0, 0, 3.0]]), np.array([[0, -1.0, 0]]), (0.05, 2.5))
    end = turn[0] @ (first + rotations_about(-r.Y, bend)[0] @ second)
    assert bend[0] == pytest.approx(0.05)
    np.testing.assert_allclose(end / np.linalg.norm(end), [0, 0, 1], atol=1e-9)


def test_keyed_curves_pass_through_their_keys_and_never_beyond() -> None:
    keys = [(0.0, 1.0), (0.4, 3.0), (0.5, 3.2), (0.9, -2.0), (1.5, 0.0)]
    np.testing.assert_allclose(keyed(np.array([k[0] for k in keys]), keys), [k[1] for k in keys], atol=1e-12)
    curve = keyed(np.linspace(-1, 3, 2000), keys)
    assert curve.max() <= 3.2 + 1e-12
    assert curve.min() >= -2.0 - 1e-12
    assert (curve[0], curve[-1]) == (1.0, 0.0)
    assert (np.diff(curve[np.linspace(-1, 3, 2000) < 0.5]) >= -1e-12).all()

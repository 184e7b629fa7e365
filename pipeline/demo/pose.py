"""What an action says about the body at each moment, in a person's own terms, and as joint rotations.

An action sets a `Pose`: how torso and head lean, where the hands are, how the pelvis sits. Feet come
from the step plan (`feet`), so an action never has to know where in the world it happens.

Legend: T frames. Body directions are (outward, up, forward), so one formula serves both arms.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from actionpose.arrays import Floats
from actionpose.geometry import unit
from pipeline.body.rotations import quaternions, rotations_about
from pipeline.demo import rig as r
from pipeline.demo.curves import ease
from pipeline.demo.rig import Rig, lean, reach

Limb = tuple[Floats, Floats]
"""Where a wrist is, seen from its shoulder in arm lengths, and where the elbow stands out: (T, 3) each, or (3,)."""

UPPER_ARM = 0.51
"""Share of the upper arm in the arm's length, for directions given bone by bone."""

ELBOW_LIMITS = (0.05, 2.55)

UPPER_JOINTS: tuple[int, ...] = (
    *(r.SPINE1, r.SPINE2, r.SPINE3, r.NECK, r.HEAD),
    *(r.L_COLLAR, r.L_SHOULDER, r.L_ELBOW, r.L_WRIST),
    *(r.R_COLLAR, r.R_SHOULDER, r.R_ELBOW, r.R_WRIST),
)
"""The joints a `Pose` moves directly, in the order of `upper_rotations`; the legs follow from the feet."""

ARM_COLUMNS = {"left": slice(5, 9), "right": slice(9, 13), "both": slice(5, 13)}


@dataclass(frozen=True, kw_only=True)
class Style:
    """How one person moves.

    Attributes:
        tempo: speed of everything; 1 is usual.
        size: amplitude of everything; 1 is usual.
        stoop: forward bend of the back in radians.
        elbow: how much the arms are carried bent, in degrees.
        stride: step length as a share of the leg.
        half_width: half the distance between the feet as a share of the leg.
        toe_out: turn of each foot outward in radians.
        arm_swing: degrees each arm swings in walking.
    """

    tempo: float = 1.0
    size: float = 1.0
    stoop: float = 0.03
    elbow: float = 12.0
    stride: float = 0.8
    half_width: float = 0.11
    toe_out: float = 0.12
    arm_swing: float = 24.0


@dataclass(frozen=True, kw_only=True)
class Execution:
    """One execution of an action by one person.

    Attributes:
        t: times (T,) in seconds at which it is seen; may reach beyond the action at both ends.
        start, end: when the action happens.
        style: whose.
        dice: (16,) uniform numbers that make this execution unlike the next.
        wander: (T, 12) slow aimless movement of about unit size.
        gait: (T,) how far the left foot is ahead of the right, about -1 to 1 in walking.
        midline: from a shoulder to the middle of the body, in arm lengths.
        leg: length of the leg in metres.
    """

    t: Floats
    start: float
    end: float
    style: Style
    dice: Floats
    wander: Floats
    gait: Floats
    midline: float
    leg: float

    @property
    def seconds(self) -> float:
        """How long the action lasts."""
        return self.end - self.start

    @property
    def progress(self) -> Floats:
        """How much of the action has passed (T,), 0 to 1."""
        return np.clip((self.t - self.start) / self.seconds, 0.0, 1.0)

    def between(self, die: int, low: float, high: float) -> float:
        """This execution's own value between two bounds."""
        return float(low + (high - low) * self.dice[die % len(self.dice)])

    def rounds(self, seconds: float) -> int:
        """How often a movement of about so many seconds fits, at this person's tempo."""
        return max(1, round(self.seconds * self.style.tempo / seconds))

    def beat(self, seconds: float) -> tuple[Floats, Floats]:
        """Where in its repetition a movement is (T,), 0 to 1, and each repetition's own size (T,)."""
        rounds = self.rounds(seconds)
        turn = np.clip(self.progress * rounds, 0.0, rounds - 1e-9)
        number = turn.astype(int)
        return turn - number, self.style.size * (0.88 + 0.24 * self.dice[(5 + number) % len(self.dice)])

    def swing(self, seconds: float) -> Floats:
        """The phase (T,) in radians of a continuous movement with a random start."""
        pace = self.style.tempo * self.between(15, 0.9, 1.1)
        return 2 * np.pi * ((self.t - self.start) * pace / seconds + self.dice[14])


@dataclass(kw_only=True)
class Pose:
    """The body over T frames; angles in radians as (bend forward, turn left, tip right).

    Attributes:
        torso, head: (T, 3) of the chest against the pelvis, and of the head against the chest.
        hips: (T, 3) of the pelvis against its heading.
        shift: (T, 3) of the pelvis to the left, up and forward, in leg lengths.
        left, right: the arms.
        tiptoe: (T,) lift of both heels in radians.
        air: (T,) metres both feet are off the ground.
    """

    torso: Floats
    head: Floats
    hips: Floats
    shift: Floats
    left: Limb
    right: Limb
    tiptoe: Floats
    air: Floats


def way(flex: Floats | float, out: Floats | float) -> Floats:
    """A bone's direction (..., 3): degrees raised forward from hanging, degrees led away from the body."""
    flex, out = np.broadcast_arrays(np.radians(flex), np.radians(out))
    return np.stack([np.sin(out), -np.cos(out) * np.cos(flex), np.cos(out) * np.sin(flex)], axis=-1)


def limb(upper: tuple[Floats | float, Floats | float], fore: tuple[Floats | float, Floats | float]) -> Limb:
    """An arm from the directions of its two bones, each as the two angles of `way`."""
    bone, rest = np.broadcast_arrays(way(*upper), way(*fore))
    wrist = UPPER_ARM * bone + (1 - UPPER_ARM) * rest
    straight = wrist / np.maximum(np.linalg.norm(wrist, axis=-1, keepdims=True), 1e-9)
    aside = bone - (bone * straight).sum(-1, keepdims=True) * straight
    # A straight arm has no elbow direction of its own; a little of the natural one decides then.
    natural = way(np.asarray(upper[0]) - 90.0, 12.0)
    return wrist, aside + 0.05 * natural


def hand(out: Floats | float, up: Floats | float, ahead: Floats | float, elbow: tuple[float, float, float]) -> Limb:
    """An arm from where its wrist is, in arm lengths from the shoulder, and its elbow direction."""
    wrist = np.stack(np.broadcast_arrays(out, up, ahead), axis=-1).astype(np.float64)
    return wrist, np.broadcast_to(np.asarray(elbow), wrist.shape)


def mix(a: Limb, b: Limb, weight: Floats) -> Limb:
    """Go from one arm posture to another around the shoulder, not through it; weight (T,) in [0, 1]."""
    w = weight[:, None]
    lengths = [np.linalg.norm(wrist, axis=-1, keepdims=True) for wrist, _ in (a, b)]
    direction = unit((1 - w) * a[0] / lengths[0] + w * b[0] / lengths[1])
    wrist = direction * ((1 - w) * lengths[0] + w * lengths[1])
    return wrist, (1 - w) * unit(a[1]) + w * unit(b[1])


def column(*parts: Floats | float) -> Floats:
    """Return (T, n) from n curves, some of which may be constants."""
    return np.stack(np.broadcast_arrays(*parts), axis=-1).astype(np.float64)


def idle(take: Execution) -> Pose:
    """Stand at ease: the pose that every action modifies."""
    w, style, n = take.wander, take.style, len(take.t)
    arms = [
        limb((2 + 2 * w[:, i], 8 + w[:, i + 1]), (style.elbow + 4 + 3 * w[:, i], 5 + 2 * w[:, i + 1])) for i in (6, 8)
    ]
    return Pose(
        torso=column(style.stoop + 0.015 * w[:, 0], 0.03 * w[:, 1], 0.012 * w[:, 2]),
        head=column(-0.5 * style.stoop + 0.04 * w[:, 3], 0.10 * w[:, 4], 0.02 * w[:, 5]),
        hips=column(0.01 * w[:, 3], 0.015 * w[:, 1], 0.01 * w[:, 10]),
        shift=column(0.02 * w[:, 10], 0.0, 0.008 * w[:, 11]),
        left=arms[0],
        right=arms[1],
        tiptoe=np.zeros(n),
        air=np.zeros(n),
    )


_MIRROR = np.array([1.0, -1.0, -1.0])


def mirrored(action: Callable[[Execution], Pose]) -> Callable[[Execution], Pose]:
    """The same action with left and right exchanged."""

    def other_side(take: Execution) -> Pose:
        pose = action(replace(take, gait=-take.gait))
        torso, head, hips = (angles * _MIRROR for angles in (pose.torso, pose.head, pose.hips))
        shift = pose.shift * [-1.0, 1.0, 1.0]
        return replace(pose, torso=torso, head=head, hips=hips, shift=shift, left=pose.right, right=pose.left)

    return other_side


def upper_rotations(rig: Rig, pose: Pose) -> Floats:
    """Local rotations of `UPPER_JOINTS` as quaternions (T, 13, 4)."""
    spine = [lean(share * pose.torso) for share in (0.35, 0.35, 0.3)]
    neck = [lean(share * pose.head) for share in (0.5, 0.5)]
    # An arm that is held still may be given as one row.
    left, right = ([np.broadcast_to(part, pose.torso.shape) for part in arm] for arm in (pose.left, pose.right))
    matrices = [*spine, *neck, *_arm(rig, left, 1.0), *_arm(rig, right, -1.0)]
    return quaternions(np.stack(matrices, axis=1))


def _arm(rig: Rig, arm: Sequence[Floats], sign: float) -> list[Floats]:
    """Rotations of collar, shoulder, elbow and wrist; sign is +1 for the left arm, -1 for the right."""
    elbow, wrist = (r.L_ELBOW, r.L_WRIST) if sign > 0 else (r.R_ELBOW, r.R_WRIST)
    target, pole = (part * [sign, 1.0, 1.0] for part in arm)
    # The shoulder girdle goes with a raised arm, and forward with a hand that crosses the body.
    raised = 0.30 * ease((arm[0][:, 1] + 0.5) / 1.5)
    crossed = 0.25 * ease(-arm[0][:, 0] / 0.7)
    collar = rotations_about(r.Z, sign * raised) @ rotations_about(r.Y, -sign * crossed)
    hinge = -sign * r.Y
    turn, bend = reach(rig.offsets[elbow], rig.offsets[wrist], hinge, target * rig.arm, pole, ELBOW_LIMITS)
    loose = np.broadcast_to(rotations_about(r.Z, np.array(-0.08 * sign)), turn.shape)
    return [collar, collar.swapaxes(-1, -2) @ turn, rotations_about(hinge, bend), loose]

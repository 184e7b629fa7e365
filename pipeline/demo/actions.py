"""The demo's actions: how the body moves in each, as curves over anatomical ranges.

One-sided actions are written for the right side; `mirrored` gives the left. Angles in degrees are those of `pose.way`:
raised forward from hanging, led away from the body.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from actionpose.arrays import Floats
from pipeline.demo import steps
from pipeline.demo.curves import ease, keyed
from pipeline.demo.pose import Execution, Pose, column, hand, idle, limb, mix

GRAVITY = 9.81
SEAT = (0.0, -0.46, -0.46)
"""How far the pelvis of a seated person is from where it was in standing: left, up, forward, in leg lengths."""


def walk(take: Execution) -> Pose:
    """Arms swing against the legs, shoulders against the hips."""
    return _striding(take, take.style.arm_swing, 8.0, 0.05)


def walk_backward(take: Execution) -> Pose:
    """Short steps, quiet arms, a look down."""
    pose = _striding(take, 0.45 * take.style.arm_swing, 10.0, -0.02)
    pose.head[:, 0] += 0.08
    return pose


def run(take: Execution) -> Pose:
    """Lean forward, elbows bent, arms pump."""
    pose = _striding(take, 1.15 * take.style.arm_swing, 74.0, 0.20)
    # Lowest over the standing foot, highest in the air, when the feet are farthest apart.
    pose.shift[:, 1] += 0.09 * np.minimum(take.gait**2, 1.2) - 0.10
    pose.head[:, 0] -= 0.12
    return pose


def march(take: Execution) -> Pose:
    """Lift the knees high and swing the arms."""
    pose = _striding(take, 1.6 * take.style.arm_swing, 20.0, 0.0)
    pose.torso[:, 0] -= 0.04
    return pose


def _striding(take: Execution, swing: float, elbow: float, forward: float) -> Pose:
    pose, g, w = idle(take), take.gait, take.wander
    arms = []
    for sign, i in ((-1.0, 6), (1.0, 8)):
        flex = sign * swing * g + 2 * w[:, i] - 0.25 * elbow
        bent = elbow + take.style.elbow + 0.35 * swing * np.clip(sign * g, 0, None)
        inward = -8.0 if elbow > 40 else 2.0
        arms.append(limb((flex, 9 + w[:, i + 1]), (flex + bent, inward + w[:, i + 1])))
    pose.left, pose.right = arms
    pose.hips += column(0.4 * forward, -0.09 * g, 0.0)
    pose.torso += column(0.6 * forward, 0.20 * g, 0.0)
    pose.head += column(-0.4 * forward, -0.10 * g, 0.0)
    pose.shift[:, 0] *= 0.3
    return pose


def turn(direction: float) -> Callable[[Execution], Pose]:
    """A turn on the spot, to the left (+1) or right (-1): eyes and shoulders go first."""

    def action(take: Execution) -> Pose:
        pose = idle(take)
        eager = direction * np.sin(np.pi * take.progress)
        pose.head[:, 1] += 0.45 * eager
        pose.torso[:, 1] += 0.20 * eager
        pose.shift[:, 0] *= 0.3
        return pose

    return action


def seated(take: Execution, down: Floats, leaning: Floats) -> Pose:
    """A body between standing (down 0) and sitting (down 1), leaning `leaning` degrees forward on the way."""
    pose = idle(take)
    d, lean = down[:, None], np.radians(leaning)
    deep = take.between(3, 0.94, 1.04)
    pose.shift = (1 - 0.8 * d) * pose.shift + d * np.array(SEAT) * deep
    pose.hips += column(0.55 * lean - 0.12 * down, 0.0, 0.0)
    pose.torso += column(0.45 * lean + 0.16 * down, 0.0, 0.0)
    pose.head[:, 0] -= 0.35 * lean + 0.05 * down
    spread = take.between(4, -6, 8)
    left, right = 2 * take.wander[:, 6], 2 * take.wander[:, 8]
    # Hands rest on the thighs, and swing ahead while the body leans.
    laps = [limb((22 + w + 0.5 * leaning, 10 + spread), (72 + w, -6 + spread)) for w in (left, right)]
    pose.left, pose.right = mix(pose.left, laps[0], ease(down)), mix(pose.right, laps[1], ease(down))
    return pose


def sit_down(take: Execution) -> Pose:
    """Lean forward and lower the body onto a chair behind."""
    u = take.progress
    return seated(take, ease((u - 0.08) / 0.84), take.between(5, 30, 48) * np.sin(np.pi * u) ** 2)


def sit(take: Execution) -> Pose:
    """Sit on a chair, hands on the thighs."""
    return seated(take, np.ones_like(take.t), np.zeros_like(take.t))


def stand_up(take: Execution) -> Pose:
    """Lean forward and rise from the chair."""
    u = take.progress
    return seated(take, 1 - ease((u - 0.15) / 0.8), take.between(5, 34, 52) * np.sin(np.pi * u**0.8) ** 2)


def squat(take: Execution) -> Pose:
    """Bend the knees deeply, arms stretched forward."""
    pose = idle(take)
    u, size = take.beat(2.2)
    down = np.minimum(size, 1.1) * keyed(u, [(0, 0), (0.42, 1), (0.55, 1), (1, 0)])
    depth = take.between(3, 0.36, 0.48)
    pose.shift += column(0.0, -depth * down, -0.20 * down)
    pose.hips[:, 0] += 0.42 * down
    pose.torso[:, 0] += 0.28 * down
    pose.head[:, 0] -= 0.35 * down
    stretched = limb((122, 4), (128, -3))
    pose.left, pose.right = mix(pose.left, stretched, ease(down)), mix(pose.right, stretched, ease(down))
    return pose


def jump(take: Execution) -> Pose:
    """Crouch, throw the arms up, fly, land softly."""
    pose = idle(take)
    rounds = take.rounds(1.45)
    each = take.seconds / rounds
    u, size = take.beat(1.45)
    now = u * each
    height = take.between(3, 0.16, 0.30) * np.minimum(size, 1.1)
    flight = 2 * np.sqrt(2 * height / GRAVITY)
    off = 0.40 * (each - flight)
    x = now - off
    pose.air = np.where((x > 0) & (x < flight), GRAVITY / 2 * x * (flight - x), 0.0)
    y = np.where(x < 0, x / off, np.where(x < flight, x / flight, 1 + (x - flight) / (each - off - flight)))
    crouch = keyed(y, [(-1, 0), (-0.42, 1), (0, 0), (1, 0.05), (1.28, 0.75), (2, 0)])
    pose.shift += column(0.0, -0.24 * crouch, -0.07 * crouch)
    pose.hips[:, 0] += 0.30 * crouch
    pose.torso[:, 0] += 0.28 * crouch - 0.05
    pose.head[:, 0] -= 0.3 * crouch
    pose.tiptoe = keyed(y, [(-1, 0), (-0.3, 0), (0, 0.75), (0.5, 0.5), (1, 0.35), (1.2, 0), (2, 0)])
    arms = keyed(y, [(-1, 4), (-0.6, -42), (0.4, 125), (0.7, 118), (1.25, 35), (1.65, 12), (2, 4)])
    arms = arms * take.between(4, 0.7, 1.1)
    pose.left = pose.right = limb((arms, 12), (arms + 22, 7))
    return pose


def lean_backward(take: Execution) -> Pose:
    """Arch the back, hips ahead."""
    pose = idle(take)
    u, size = take.beat(3.2)
    c = np.radians(take.between(3, 20, 30)) * size * keyed(u, [(0, 0), (0.35, 1), (0.65, 1), (1, 0)])
    pose.torso[:, 0] -= 0.9 * c
    pose.hips[:, 0] -= 0.35 * c
    pose.shift[:, 2] += 0.22 * c
    pose.head[:, 0] -= 0.3 * c
    flex = np.degrees(-0.5 * c)
    pose.left = pose.right = limb((flex, 14), (flex + 20, 8))
    return pose


def bend_forward(take: Execution) -> Pose:
    """Bow from the hips; the arms hang straight down."""
    pose = idle(take)
    u, size = take.beat(3.2)
    degrees = take.between(3, 48, 84)
    c = np.radians(degrees) * np.minimum(size, 1.1) * keyed(u, [(0, 0), (0.38, 1), (0.62, 1), (1, 0)])
    pose.hips[:, 0] += 0.5 * c
    pose.torso[:, 0] += 0.55 * c
    pose.head[:, 0] -= 0.15 * c
    pose.shift[:, 2] -= 0.16 * c
    pose.shift[:, 1] -= 0.03 * c
    hang = np.degrees(1.0 * c)
    pose.left = pose.right = limb((hang + 2, 7), (hang + 12, 4))
    return pose


def pick_up(take: Execution) -> Pose:
    """Reach to the floor with the right hand and bring something up to the chest."""
    pose = idle(take)
    u, size = take.beat(3.4)
    c = np.minimum(size, 1.05) * keyed(u, [(0, 0), (0.38, 1), (0.48, 1), (0.8, 0), (1, 0)])
    knees = take.between(3, 0.18, 0.36)
    pose.shift += column(0.0, -knees * c, -0.16 * c)
    pose.hips[:, 0] += 0.62 * c
    pose.torso += column(0.62 * c, 0.18 * c, 0.12 * c)
    pose.head[:, 0] -= 0.1 * c
    down = np.degrees(1.15 * c)
    held = keyed(u, [(0, 0), (0.48, 0), (0.8, 1), (0.93, 1), (1, 0)])
    pose.right = mix(limb((down + 2, 6), (down + 14, 2)), limb((14, 8), (92, -12)), held)
    pose.left = limb((0.35 * down, 12), (0.55 * down + 16, -2))
    return pose


def kick(take: Execution) -> Pose:
    """Swing the right foot forward and up; the left arm balances."""
    pose = idle(take)
    u, size = take.beat(steps.KICK_SECONDS)
    peak = 0.05 + 0.85 * steps.KICK_PEAK
    c = size * keyed(u, [(0, 0), (0.22, -0.45), (peak, 1), (0.62, 0.35), (0.95, 0)])
    pose.torso += column(-0.10 * c, 0.22 * c, 0.0)
    pose.hips += column(-0.16 * np.clip(c, -0.3, None), 0.12 * c, 0.0)
    pose.head[:, 0] += 0.12 * c
    pose.shift[:, 2] -= 0.05 * c
    pose.left = limb((12 + 38 * c, 22 + 8 * c), (34 + 42 * c, 12))
    pose.right = limb((4 - 30 * c, 24), (26 - 18 * c, 12))
    return pose


def wave(take: Execution) -> Pose:
    """Raise the right hand beside the head and swing the forearm."""
    pose, swing = idle(take), take.swing(0.62)
    lift = take.between(3, -10, 16)
    tilt = 13 + take.style.size * take.between(4, 16, 26) * np.sin(swing)
    pose.right = limb((48 + lift + 3 * np.cos(swing), 62), (172, tilt))
    pose.torso[:, 2] += 0.04
    pose.head[:, 1] -= 0.08
    return pose


def clap(take: Execution) -> Pose:
    """Bring both hands together in front of the chest, quickly and often."""
    pose = idle(take)
    beat = 0.5 - 0.5 * np.cos(take.swing(take.between(3, 0.42, 0.62)))
    apart = 0.04 + take.style.size * take.between(4, 0.28, 0.45) * beat**1.3
    high = take.between(5, -0.28, 0.02)
    pose.left = pose.right = hand(apart - take.midline, high, 0.62, (0.9, -0.8, -0.1))
    pose.torso[:, 0] += 0.03
    return pose


def punch(take: Execution) -> Pose:
    """Guard with both fists; the right one shoots forward from the shoulder."""
    pose = idle(take)
    u, size = take.beat(1.05)
    c = keyed(u, [(0, 0), (0.2, -0.12), (0.42, 1), (0.52, 1), (0.85, 0), (1, 0)])
    guard = limb((38, 14), (142, -14))
    height = 86 + take.between(3, -14, 10)
    pose.right = mix(guard, limb((height, -6), (height + 4, -9)), c)
    pose.left = limb((42, 12), (140, -16))
    pose.torso += column(0.08 + 0.06 * c, (-0.12 + 0.52 * c) * size, 0.0)
    pose.hips += column(0.04, (-0.08 + 0.24 * c) * size, 0.0)
    pose.head += column(0.0, -0.30 * c, 0.0)
    pose.shift += column(0.0, -0.035, 0.04 * c)
    return pose


_THROW = (
    (0.00, 18, 8, 70, -15),
    (0.36, 58, 74, 205, 34),
    (0.46, 66, 80, 222, 30),
    (0.56, 118, 34, 148, 18),
    (0.66, 62, -14, 58, -24),
    (0.80, 34, -12, 48, -22),
    (1.00, 18, 8, 70, -15),
)
"""Share of a throw, then the angles of upper arm and forearm."""


def throw(take: Execution) -> Pose:
    """Wind up behind the head with the right arm, the left one aiming, then hurl and follow through."""
    pose = idle(take)
    u, size = take.beat(2.3)
    raised, out, raised_fore, out_fore = keyed(u, _THROW).T
    pose.right = limb((raised, out), (raised_fore, out_fore))
    raised, raised_fore = keyed(u, [(0, 18, 60), (0.36, 84, 88), (0.46, 86, 90), (0.66, 4, 40), (1, 18, 60)]).T
    pose.left = limb((raised, 10), (raised_fore, -2))
    wind = size * keyed(u, [(0, 0), (0.40, -1), (0.64, 1), (0.8, 0.7), (1, 0)])
    pose.torso += column(0.14 * wind, 0.55 * wind, -0.08 * wind)
    pose.hips += column(0.06 * wind, 0.28 * wind, 0.0)
    pose.head[:, 1] -= 0.55 * wind
    pose.shift += column(0.0, -0.04, 0.10 * wind)
    return pose


def raise_arms(take: Execution) -> Pose:
    """Lift both arms forward and over the head, and let them down again."""
    pose = idle(take)
    u, _ = take.beat(3.2)
    top = take.between(3, 150, 174)
    flex = 4 + (top - 4) * keyed(u, [(0, 0), (0.36, 1), (0.62, 1), (1, 0)])
    pose.left = pose.right = limb((flex, 9), (flex + 10, 5))
    pose.torso[:, 0] -= 0.0008 * flex
    pose.head[:, 0] -= 0.0015 * flex
    return pose


def stretch_arms(take: Execution) -> Pose:
    """Lead both arms out to the sides, reach, and bring them back."""
    pose = idle(take)
    u, _ = take.beat(3.0)
    top = take.between(3, 82, 98)
    out = 8 + (top - 8) * keyed(u, [(0, 0), (0.35, 1), (0.5, 0.94), (0.65, 1), (1, 0)])
    pose.left = pose.right = limb((6, out), (14, out + 1))
    pose.torso[:, 0] -= 0.0015 * out
    return pose


def cloud_hands(take: Execution) -> Pose:
    """Tai chi: both hands circle before the body in turn while the weight goes from side to side."""
    pose, swing = idle(take), take.swing(take.between(3, 3.4, 4.6))
    wide = 0.42 * take.style.size
    hands = []
    for phase in (swing, swing + np.pi):
        out = 0.10 + wide * np.cos(phase) - 0.5 * take.midline
        hands.append(hand(out, -0.22 + 0.36 * np.sin(phase), 0.60 - 0.10 * np.cos(phase), (0.9, -0.9, -0.2)))
    pose.left, pose.right = hands
    side = np.sin(swing)
    pose.shift += column(0.13 * side, -0.10, 0.0)
    pose.torso[:, 1] += 0.38 * side
    pose.head[:, 1] += 0.20 * side
    return pose


def hands_on_hips(take: Execution) -> Pose:
    """Stand with both hands at the waist, elbows out."""
    pose = idle(take)
    pose.left = pose.right = limb((-24, 44 + take.between(3, -4, 6)), (14, -48))
    return pose


def tpose(take: Execution) -> Pose:
    """Stand straight with both arms out level."""
    pose = idle(take)
    pose.left = pose.right = limb((2, 86), (6, 87))
    pose.torso *= 0.5
    return pose

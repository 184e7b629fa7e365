"""From a script of actions to SMPL+H motion: blends the actions, puts the pelvis over the feet, bends the legs.

The feet come first and stand where the plan says; the pelvis follows them; thigh, knee and ankle are
solved so that the soles stay where they are. So nothing slides and nothing floats, whatever is mixed.

Legend: T frames, J = 22 body joints.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from actionpose.arrays import Floats
from pipeline.body.rotations import quaternion_vectors, quaternions, rotations_about, slerp
from pipeline.demo import rig as r
from pipeline.demo.catalogue import ACTIONS
from pipeline.demo.curves import drift, ease, lowest_near, smooth
from pipeline.demo.feet import LEFT, SIDES, FootPlan, FootTracks, forward_of, left_of
from pipeline.demo.pose import ARM_COLUMNS, UPPER_JOINTS, Execution, Style, upper_rotations
from pipeline.demo.rig import Rig

WORLD = rotations_about(r.X, np.array(np.pi / 2))
"""From the body's stage (y up) to the world of AMASS (z up)."""

KNEE_LIMITS = (0.05, 2.6)
SOFT_KNEE = 0.03
"""Share of the leg over which a swinging leg stops lengthening."""
HIP_DROP = 0.06
"""Radians the pelvis tips towards the lifted foot."""
FADE = 0.4
"""Seconds in which an arm action that runs beside another one comes and goes."""

_HIPS, _KNEES, _ANKLES = (r.L_HIP, r.R_HIP), (r.L_KNEE, r.R_KNEE), (r.L_ANKLE, r.R_ANKLE)
_FEET = (r.L_FOOT, r.R_FOOT)
_RELAXED_FINGER = ((0.10, 0.02, -0.38), (0.0, -0.04, -0.42), (-0.02, 0.02, -0.30))
_RELAXED_THUMB = ((0.60, 0.20, -0.10), (0.05, -0.20, -0.05), (0.02, -0.15, -0.20))


@dataclass(frozen=True, kw_only=True)
class Cue:
    """An action between two moments (seconds); before the next one begins, the body goes over to it."""

    action: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True)
class Performance:
    """What an AMASS file holds: poses (T, 156) axis-angle in radians and trans (T, 3) in metres, z up."""

    poses: Floats
    trans: Floats


def perform(
    rig: Rig,
    style: Style,
    cues: Sequence[Cue],
    *,
    seconds: float,
    rate: float,
    key: Sequence[int],
    beside: Sequence[Cue] = (),
) -> Performance:
    """Act out a script.

    Args:
        rig: the subject's skeleton.
        style: the subject's way of moving.
        cues: one after another, in order of time; gaps between them are transitions.
        seconds: length; frames stand at i / rate for all i below seconds * rate.
        rate: frames per second.
        key: everything random follows from these integers.
        beside: arm actions performed at the same time.
    """
    t = np.arange(int(np.ceil(seconds * rate - 1e-6))) / rate
    rng = np.random.default_rng([*key, 0])
    plan = FootPlan(style.half_width * rig.leg, heading=float(rng.uniform(-np.pi, np.pi)))
    wander = drift(t, rng, 12)
    takes = [_take(rig, style, t, cue, wander, (*key, 1, i)) for i, cue in enumerate(cues)]
    _walk_through(plan, cues, takes)
    tracks = plan.tracks(t)
    heading = smooth(tracks.heading.mean(axis=1), 0.16 * rate)
    gait = _gait(tracks, heading, rig.leg, rate)
    rotations, body = _blend(rig, cues, takes, gait)
    for i, cue in enumerate(beside):
        take = _take(rig, style, t, cue, wander, (*key, 2, i))
        rotations = _lay_over(rig, rotations, cue, take, gait)
    return _assemble(rig, style, t, rate, tracks, heading, rotations, body)


def _take(rig: Rig, style: Style, t: Floats, cue: Cue, wander: Floats, key: tuple[int, ...]) -> Execution:
    middle = abs(rig.joints[r.L_SHOULDER, 0] - rig.joints[r.R_SHOULDER, 0]) / 2
    dice = np.random.default_rng(key).uniform(size=16)
    return Execution(
        t=t, start=cue.start, end=cue.end, style=style, dice=dice, wander=wander, gait=np.zeros_like(t),
        midline=middle / rig.arm, leg=rig.leg,
    )  # fmt: skip


def _walk_through(plan: FootPlan, cues: Sequence[Cue], takes: Sequence[Execution]) -> None:
    """Let every action make its steps, and step into the next one's stance in between."""
    before = max(cues[0].start, 0.0)
    first = ACTIONS[cues[0].action]
    plan.settle(before - 1.0, before, *first.stance_of(takes[0]))
    for i, (cue, take) in enumerate(zip(cues, takes, strict=True)):
        action = ACTIONS[cue.action]
        if action.steps is not None:
            action.steps(take, plan)
        last = i + 1 == len(cues)
        widen, ahead = (0.0, 0.0) if last else ACTIONS[cues[i + 1].action].stance_of(takes[i + 1])
        until = cue.end + 0.6 if last else cues[i + 1].start
        plan.settle(cue.end, max(until, cue.end + 0.45), widen, ahead)


def _gait(tracks: FootTracks, heading: Floats, leg: float, rate: float) -> Floats:
    """How far the left foot is ahead of the right (T,), one being a long step."""
    apart = ((tracks.base[:, 0] - tracks.base[:, 1]) * forward_of(heading)).sum(-1)
    apart += tracks.ahead[:, 0] - tracks.ahead[:, 1]
    return np.clip(smooth(apart, 0.05 * rate) / (0.8 * leg), -1.3, 1.3)


class _Body(NamedTuple):
    """What `Pose` says about pelvis and feet, blended over all actions."""

    hips: Floats
    shift: Floats
    tiptoe: Floats
    air: Floats


def _blend(rig: Rig, cues: Sequence[Cue], takes: Sequence[Execution], gait: Floats) -> tuple[Floats, _Body]:
    """Blend from action to action; each is evaluated only in the frames that show it."""
    t = takes[0].t
    rotations = np.zeros((len(t), len(UPPER_JOINTS), 4))
    table = np.zeros((len(t), 8))
    for i, (cue, take) in enumerate(zip(cues, takes, strict=True)):
        fade_in = (-1.0, -0.5) if i == 0 else _fade(cues[i - 1].end, cue.start)
        fade_out = (t[-1] + 1, t[-1] + 2) if i + 1 == len(cues) else _fade(cue.end, cues[i + 1].start)
        shown = slice(*np.searchsorted(t, [fade_in[0], fade_out[1]]))
        pose = ACTIONS[cue.action].pose(_cut(take, shown, gait))
        weight = ease((t[shown] - fade_in[0]) / (fade_in[1] - fade_in[0]))
        columns = np.column_stack([pose.hips, pose.shift, pose.tiptoe, pose.air])
        table[shown] += weight[:, None] * (columns - table[shown])
        turned = upper_rotations(rig, pose)
        rotations[shown] = turned if i == 0 else slerp(rotations[shown], turned, weight)
    return rotations, _Body(hips=table[:, :3], shift=table[:, 3:6], tiptoe=table[:, 6], air=table[:, 7])


def _fade(end: float, start: float) -> tuple[float, float]:
    """When one action is blended into the next: in the gap, or around the border if there is none."""
    short = max(0.5 - (start - end), 0.0) / 2
    return end - short, start + short


def _cut(take: Execution, shown: slice, gait: Floats) -> Execution:
    return replace(take, t=take.t[shown], wander=take.wander[shown], gait=gait[shown])


def _lay_over(rig: Rig, rotations: Floats, cue: Cue, take: Execution, gait: Floats) -> Floats:
    """Take the arms from one action and the rest of the body from another."""
    action = ACTIONS[cue.action]
    shown = slice(*np.searchsorted(take.t, [cue.start, cue.end]))
    columns = ARM_COLUMNS[action.arms]
    turned = upper_rotations(rig, action.pose(_cut(take, shown, gait)))[:, columns]
    t = take.t[shown]
    weight = ease((t - cue.start) / FADE) * ease((cue.end - t) / FADE)
    rotations = rotations.copy()
    rotations[shown, columns] = slerp(rotations[shown, columns], turned, weight)
    return rotations


def _assemble(
    rig: Rig, style: Style, t: Floats, rate: float, tracks: FootTracks, heading: Floats, upper: Floats, body: _Body
) -> Performance:
    """Put the pelvis over the feet, solve the legs, and write everything as AMASS does."""
    sway = smooth(tracks.sway, 0.09 * rate)
    tip = np.stack([np.zeros_like(sway), np.zeros_like(sway), HIP_DROP * sway], axis=-1)
    pelvis_turn = rotations_about(r.Y, heading) @ r.lean(body.hips + tip)
    ankles, feet, toes = _soles(rig, style, tracks, heading, body)
    ground = smooth(tracks.base.mean(axis=1), 0.17 * rate)
    aside = rig.leg * (body.shift[:, :1] + style.half_width * sway[:, None])
    ground += aside * left_of(heading) + rig.leg * body.shift[:, 2:] * forward_of(heading)
    pelvis = np.stack([ground[:, 0], np.zeros(len(t)), ground[:, 1]], axis=-1)
    pelvis[:, 1] = _height(rig, rate, tracks, body, pelvis, pelvis_turn, ankles)
    local = np.tile(np.eye(3), (len(t), r.N_JOINTS, 1, 1))
    local[:, 0] = WORLD @ pelvis_turn
    for side in SIDES:
        facing = forward_of(heading) + forward_of(_foot_heading(style, tracks, side))
        loose = smooth((~tracks.grounded[:, side]).astype(np.float64), 0.03 * rate)
        leg = _leg(rig, side, pelvis, pelvis_turn, ankles[side], feet[side], facing, SOFT_KNEE * rig.leg * loose)
        local[:, _HIPS[side]], local[:, _KNEES[side]], local[:, _ANKLES[side]] = leg
        local[:, _FEET[side]] = rotations_about(r.X, toes[side])
    turns = quaternions(local)
    turns[:, list(UPPER_JOINTS)] = upper
    vectors = quaternion_vectors(turns).reshape(len(t), -1)
    hands = np.tile(relaxed_hands(), (len(t), 1))
    # Whole micro-units: far below any camera's accuracy, and files deflate better.
    return Performance(
        poses=np.round(np.concatenate([vectors, hands], axis=1), 6),
        trans=np.round(pelvis @ WORLD.T - rig.joints[0], 6),
    )


def _leg(
    rig: Rig,
    side: int,
    pelvis: Floats,
    pelvis_turn: Floats,
    ankle: Floats,
    foot: Floats,
    facing: Floats,
    soft: Floats,
) -> tuple[Floats, Floats, Floats]:
    """Local rotations (T, 3, 3) of hip, knee and ankle that put ankle and foot where they belong."""
    # A knee points ahead under a standing body and up when the leg is stretched out in front.
    pole = np.stack([facing[:, 0], np.full(len(facing), 0.8), facing[:, 1]], axis=-1)
    hip = pelvis + pelvis_turn @ rig.offsets[_HIPS[side]]
    bones = rig.offsets[_KNEES[side]], rig.offsets[_ANKLES[side]]
    thigh, bend = r.reach(*bones, r.X, ankle - hip, pole, KNEE_LIMITS, soft)
    knee = rotations_about(r.X, bend)
    return pelvis_turn.swapaxes(-1, -2) @ thigh, knee, (thigh @ knee).swapaxes(-1, -2) @ foot


def _foot_heading(style: Style, tracks: FootTracks, side: int) -> Floats:
    return tracks.heading[:, side] + (style.toe_out if side == LEFT else -style.toe_out)


def _soles(
    rig: Rig, style: Style, tracks: FootTracks, heading: Floats, body: _Body
) -> tuple[list[Floats], list[Floats], list[Floats]]:
    """Return, for each foot, where its ankle is (T, 3), how it is turned (T, 3, 3), and the bend of the toes (T,)."""
    ankles: list[Floats] = []
    feet: list[Floats] = []
    toes: list[Floats] = []
    for side in SIDES:
        ball = rig.offsets[_FEET[side]] * [1.0, 0.0, 1.0]
        above = np.array([0.0, rig.joints[_ANKLES[side], 1] - rig.floor, 0.0])
        heel = np.array([0.0, 0.0, -0.04])
        pitch = tracks.pitch[:, side] + body.tiptoe
        rolled = rotations_about(r.X, pitch)
        pivot = np.where(pitch[:, None] > 0, ball, heel)
        yaw = rotations_about(r.Y, _foot_heading(style, tracks, side))
        place = tracks.base[:, side] + tracks.ahead[:, side, None] * forward_of(heading)
        up = tracks.up[:, side] + body.air
        inside = pivot + (rolled @ (above - pivot)[..., None])[..., 0]
        ankles.append(np.stack([place[:, 0], up, place[:, 1]], axis=-1) + (yaw @ inside[..., None])[..., 0])
        feet.append(yaw @ rolled)
        toes.append(-0.8 * np.clip(pitch, 0.0, 0.9) * np.exp(-up / 0.05))
    return ankles, feet, toes


def _height(
    rig: Rig,
    rate: float,
    tracks: FootTracks,
    body: _Body,
    pelvis: Floats,
    pelvis_turn: Floats,
    ankles: list[Floats],
) -> Floats:
    """The pelvis height (T,): as the action asks, but within reach of a standing leg."""
    thigh, shin = rig.offsets[r.L_KNEE], rig.offsets[r.L_ANKLE]
    usual, longest = (float(np.linalg.norm(thigh + rotations_about(r.X, np.array(b)) @ shin)) for b in (0.16, 0.07))
    ankle = rig.joints[r.L_ANKLE, 1] - rig.floor
    lifted = rig.offsets[r.L_FOOT, 2] * np.sin(body.tiptoe) + body.air
    wish = ankle + usual - rig.offsets[r.L_HIP, 1] + rig.leg * body.shift[:, 1]
    limits = []
    for side in SIDES:
        hip = pelvis_turn @ rig.offsets[_HIPS[side]]
        away = (pelvis + hip - ankles[side])[:, [0, 2]]
        high = np.sqrt(np.maximum(longest**2 - (away**2).sum(-1), 0.05))
        limits.append(np.where(tracks.grounded[:, side], ankles[side][:, 1] + high - hip[:, 1], np.inf))
    # The pelvis drops before a leg is fully stretched; in a jump the limit rises with the body.
    limit = lowest_near(np.minimum(*limits) - lifted, max(1, round(0.07 * rate)))
    return smooth(np.minimum(wish, limit), 0.035 * rate) + lifted


def relaxed_hands() -> Floats:
    """The 90 hand columns of fingers at rest; the right hand is the left one's mirror image."""
    left = np.array([*_RELAXED_FINGER * 4, *_RELAXED_THUMB])
    return np.concatenate([left.ravel(), (left * [1.0, -1.0, -1.0]).ravel()])

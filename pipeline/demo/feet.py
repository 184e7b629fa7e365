"""Where the feet are: a plan of steps, and the tracks of both feet that follow from it.

A foot stands still between its steps, so nothing slides; the pelvis is put over the feet afterwards.
Ground positions are (x, z) in the body's stage (metres), headings are radians about y: at heading 0 a
person faces +z and has +x on the left.

Legend: T frames; feet in the order left, right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from pipeline.demo.curves import ease, keyed

LEFT, RIGHT = 0, 1
SIDES = (LEFT, RIGHT)
TOUCH_DOWN = 0.12
"""Seconds in which a foot that landed on its heel comes down flat."""
SHORTEST = 0.2
"""Seconds a hurried step still takes."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """One foot leaves the ground and stands somewhere else.

    Attributes:
        start, end: seconds in the air.
        place, heading: where the foot stands afterwards.
        lift: highest clearance of the sole in metres.
        push: how far the heel is up when the foot leaves (radians), and over how many seconds it rises.
        land: pitch on landing in radians; negative is toes up.
        sway: how far the body shifts over the standing foot, as a share of the half step width.
        path: rows (u, forward, up, pitch) added to the way, u in [0, 1]: kicks, high knees.
    """

    start: float
    end: float
    place: Floats
    heading: float
    lift: float = 0.04
    push: tuple[float, float] = (0.35, 0.15)
    land: float = 0.0
    sway: float = 0.35
    path: tuple[tuple[float, float, float, float], ...] = ()


@dataclass(frozen=True, kw_only=True)
class FootTracks:
    """Both feet over time.

    Attributes:
        base: ground position without a step's own path (T, 2, 2): what the pelvis follows.
        ahead: metres forward added by a step's path (T, 2).
        up: height of the sole (T, 2).
        heading, pitch: (T, 2) radians; positive pitch lifts the heel.
        grounded: (T, 2) bool.
        sway: (T,) wish of the body to stand over the left (+1) or right (-1) foot.
    """

    base: Floats
    ahead: Floats
    up: Floats
    heading: Floats
    pitch: Floats
    grounded: NDArray[np.bool_]
    sway: Floats


def forward_of(heading: Floats | float) -> Floats:
    """The ground direction (..., 2) a heading faces."""
    return np.stack([np.sin(heading), np.cos(heading)], axis=-1)


def left_of(heading: Floats | float) -> Floats:
    """The ground direction (..., 2) to the left of a heading."""
    return np.stack([np.cos(heading), -np.sin(heading)], axis=-1)


class FootPlan:
    """The steps of a sequence, added in the order in which they happen."""

    def __init__(self, half_width: float, heading: float = 0.0) -> None:
        self.half_width = half_width
        self.heading = heading
        self.places = [side * half_width * left_of(heading) for side in (1.0, -1.0)]
        self.headings = [heading, heading]
        self.steps: tuple[list[Step], list[Step]] = ([], [])
        self._first = ([p.copy() for p in self.places], list(self.headings))

    def step(self, side: int, step: Step) -> None:
        """Add a step of one foot; it waits until the foot is down from the step before."""
        if self.steps[side] and step.start < self.steps[side][-1].end:
            start = self.steps[side][-1].end
            step = replace(step, start=start, end=max(step.end, start + SHORTEST))
        self.steps[side].append(step)
        self.places[side], self.headings[side] = step.place, step.heading

    def beside(self, side: int, centre: Floats, heading: float, widen: float = 0.0, ahead: float = 0.0) -> Floats:
        """Where one foot belongs for a body over `centre`."""
        sign = 1.0 if side == LEFT else -1.0
        return centre + sign * (self.half_width + widen) * left_of(heading) + ahead * forward_of(heading)

    def settle(self, start: float, end: float, widen: float = 0.0, ahead: float = 0.0) -> None:
        """Step into a stance between two moments: `widen` metres each side, left foot `ahead` of the right.

        The foot that stands farther on in walking stays; feet that are right already do not move.
        """
        heading = self.heading
        apart = float((self.places[LEFT] - self.places[RIGHT]) @ forward_of(heading))
        anchor = LEFT if apart > 0.1 else RIGHT
        signed = ahead if anchor == RIGHT else -ahead
        other = 1 - anchor
        outward = 1.0 if anchor == LEFT else -1.0
        centre = self.places[anchor] - outward * (self.half_width + widen) * left_of(heading)
        goal = self.beside(other, centre, heading, widen, signed)
        turned = [abs(self.headings[side] - heading) > 0.12 for side in SIDES]
        moves = [(other, goal)] if turned[other] or np.linalg.norm(goal - self.places[other]) > 0.03 else []
        if turned[anchor]:
            moves.append((anchor, self.places[anchor]))
        share = (end - start) / max(len(moves), 1)
        for i, (side, place) in enumerate(moves):
            low, high = start + i * share, start + (i + 1) * share
            self.step(side, Step(start=low, end=high, place=place, heading=heading, lift=0.05))

    def tracks(self, t: Floats) -> FootTracks:
        """Evaluate the plan at times (T,)."""
        both = [self._track(side, t) for side in SIDES]
        base, heading, ahead, up, pitch, grounded, sway = (np.stack(parts, axis=1) for parts in zip(*both, strict=True))
        return FootTracks(
            base=base, heading=heading, ahead=ahead, up=up, pitch=pitch, grounded=grounded,
            sway=sway[:, RIGHT] - sway[:, LEFT],
        )  # fmt: skip

    def _track(self, side: int, t: Floats) -> tuple[Floats, ...]:
        place, heading = self._first[0][side], self._first[1][side]
        base, turn = np.tile(place, (len(t), 1)), np.full(len(t), heading)
        ahead, up, pitch, sway = (np.zeros(len(t)) for _ in range(4))
        grounded = np.ones(len(t), dtype=bool)
        free, landing = -np.inf, 0.0
        for step in self.steps[side]:
            pushed = step.push[0] * np.clip((step.start - free) / step.push[1], 0.0, 1.0)
            rise = max(step.start - step.push[1], free)
            before, air = _between(t, rise, step.start), _between(t, step.start, step.end)
            pitch[before] = pushed * ((t[before] - rise) / (step.start - rise + 1e-9)) ** 2
            if step.start < free:  # it leaves again before it is flat
                pushed = landing * (1 - ease((step.start - free) / TOUCH_DOWN + 1))
            u = (t[air] - step.start) / (step.end - step.start)
            share = 0.5 - 0.5 * np.cos(np.pi * u)
            base[air] = place + share[:, None] * (step.place - place)
            turn[air] = heading + share * (step.heading - heading)
            grounded[air], sway[air] = False, step.sway
            ahead[air], up[air], pitch[air] = _way(step, u, pushed)
            landing = step.path[-1][3] if step.path else step.land
            after = _between(t, step.end, step.end + TOUCH_DOWN)
            pitch[after] = landing * (1 - ease((t[after] - step.end) / TOUCH_DOWN))
            place, heading, free = step.place, step.heading, step.end + TOUCH_DOWN
            base[air.stop :], turn[air.stop :] = place, heading
        return base, turn, ahead, up, pitch, grounded, sway


def _between(t: Floats, low: float, high: float) -> slice:
    return slice(*np.searchsorted(t, [low, high]))


def _way(step: Step, u: Floats, pushed: float) -> tuple[Floats, Floats, Floats]:
    """Forward and upward metres and the pitch of a foot in the air, which it leaves with pitch `pushed`."""
    if step.path:
        ahead, up, pitch = keyed(u, step.path).T
        # The path has its own first pitch; the foot gets there from the one it has.
        return ahead, up, pitch + (pushed - step.path[0][3]) * (1 - ease(u / 0.4))
    up = step.lift * np.sin(np.pi * np.clip(u, 0, 1)) ** 1.5
    swing = keyed(u, [(0, pushed), (0.25, 1.15 * pushed), (0.75, 0.6 * step.land), (1, step.land)])
    return np.zeros_like(u), up, swing

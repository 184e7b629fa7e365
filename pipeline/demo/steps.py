"""Footwork of the demo's actions: walking, running, marching, turning, stepping aside, kicking.

Each function adds the steps of one execution to a `FootPlan`, in the body's frame (see `feet`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from pipeline.demo.feet import LEFT, RIGHT, FootPlan, Step, forward_of, left_of
from pipeline.demo.pose import Execution

Footwork = Callable[[Execution, FootPlan], None]

WALK_BEAT, RUN_BEAT, MARCH_BEAT, TURN_BEAT, ASIDE_BEAT = 0.55, 0.37, 0.52, 0.5, 0.48
"""Seconds from one foot's landing to the other's at usual tempo."""

KICK_SECONDS = 1.5
KICK_PEAK = 0.42
"""How long a kick takes, and when in it the foot is highest."""


def walk(direction: float) -> Footwork:
    """Footwork that walks forward (+1) or backward (-1) along a gently bent path."""

    def steps(take: Execution, plan: FootPlan) -> None:
        length = direction * take.style.stride * take.leg * take.between(0, 0.85, 1.1)
        shape: dict[str, Any] = {"push": (0.55, 0.26), "land": -0.3}
        if direction < 0:
            length, shape = 0.6 * length, {"push": (0.15, 0.12), "land": 0.25}
        _along(take, plan, length, WALK_BEAT, (0.12, 0.93), lift=0.045, **shape)

    return steps


def run(take: Execution, plan: FootPlan) -> None:
    """Run: both feet are off the ground between two landings."""
    length = 1.25 * take.style.stride * take.leg * take.between(0, 0.85, 1.1)
    rise = 0.24 * take.leg * take.style.size
    path = ((0.0, 0.0, 0.0, 0.6), (0.35, 0.0, rise, 1.1), (0.75, 0.08, 0.5 * rise, 0.1), (1.0, 0.0, 0.0, 0.0))
    _along(take, plan, length, RUN_BEAT, (0.0, 1.4), push=(0.6, 0.12), sway=0.15, path=path)


def march(take: Execution, plan: FootPlan) -> None:
    """Lift one knee after the other without getting anywhere."""
    high = take.leg * take.style.size * take.between(0, 0.28, 0.42)
    path = ((0.0, 0.0, 0.0, 0.3), (0.5, 0.55 * high, high, 0.35), (1.0, 0.0, 0.0, 0.1))
    _along(take, plan, 0.0, MARCH_BEAT, (0.1, 0.9), push=(0.3, 0.1), sway=0.45, path=path, bend=0.0)


def turn(direction: float) -> Footwork:
    """Footwork that turns on the spot to the left (+1) or right (-1)."""

    def steps(take: Execution, plan: FootPlan) -> None:
        angle = direction * np.radians(take.between(0, 85, 180))
        count = max(3, round(take.seconds * take.style.tempo / TURN_BEAT))
        beat, heading = take.seconds / count, plan.heading
        centre = (plan.places[LEFT] + plan.places[RIGHT]) / 2
        side = LEFT if direction > 0 else RIGHT
        for i in range(count):
            facing = heading + angle * min(1.0, (i + 1) / (count - 1))
            start = take.start + (i + 0.08) * beat
            place = plan.beside(side, centre, facing)
            plan.step(side, Step(start=start, end=start + 0.84 * beat, place=place, heading=facing, sway=0.45))
            side = 1 - side
        plan.heading = heading + angle

    return steps


def aside(direction: float) -> Footwork:
    """Footwork that steps sideways to the left (+1) or right (-1), closing the feet every time."""

    def steps(take: Execution, plan: FootPlan) -> None:
        pairs = max(1, round(take.seconds * take.style.tempo / (2 * ASIDE_BEAT)))
        beat = take.seconds / (2 * pairs)
        width = direction * take.leg * take.between(0, 0.3, 0.5) * left_of(plan.heading)
        lead = LEFT if direction > 0 else RIGHT
        for i in range(2 * pairs):
            side = lead if i % 2 == 0 else 1 - lead
            start = take.start + (i + 0.08) * beat
            place = plan.places[side] + width
            plan.step(side, Step(start=start, end=start + 0.84 * beat, place=place, heading=plan.heading, sway=0.5))

    return steps


def kick(side: int) -> Footwork:
    """Footwork that kicks forward with one foot, again and again, and puts it back."""

    def steps(take: Execution, plan: FootPlan) -> None:
        rounds = take.rounds(KICK_SECONDS)
        each = take.seconds / rounds
        for i in range(rounds):
            size = take.leg * take.style.size * (0.85 + 0.3 * take.dice[(7 + i) % 16])
            path = (
                (0.0, 0.0, 0.0, 0.2),
                (0.2, -0.30 * size, 0.12 * size, 0.7),
                (KICK_PEAK, 0.84 * size, 0.42 * size, -0.30),
                (0.62, 0.32 * size, 0.30 * size, 0.2),
                (1.0, 0.0, 0.0, 0.0),
            )
            start = take.start + (i + 0.05) * each
            end, here = start + 0.85 * each, plan.places[side]
            plan.step(side, Step(start=start, end=end, place=here, heading=plan.heading, sway=0.85, path=path))

    return steps


def _along(
    take: Execution,
    plan: FootPlan,
    length: float,
    beat: float,
    swing: tuple[float, float],
    *,
    bend: float = 0.22,
    **shape: Any,
) -> None:
    """Step along a path that bends by up to `bend` radians a second.

    `swing` is when a foot is in the air, in beats; `shape` are further attributes of each `Step`.
    """
    count = max(2, round(take.seconds * take.style.tempo / beat))
    each = take.seconds / count
    curve = take.between(1, -bend, bend) * each
    side = LEFT if take.dice[2] < 0.5 else RIGHT
    centre, heading = (plan.places[LEFT] + plan.places[RIGHT]) / 2, plan.heading
    for i in range(count):
        heading += curve
        centre = centre + length * (0.5 if i == 0 else 1.0) * forward_of(heading)
        start = take.start + (i + swing[0]) * each
        end = take.start + min(i + swing[1], count + 0.3) * each
        place = plan.beside(side, centre, heading)
        plan.step(side, Step(start=start, end=end, place=place, heading=heading, **shape))
        side = 1 - side
    plan.heading = heading

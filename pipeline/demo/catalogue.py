"""The table of the demo's actions: label, wording, categories, body, footwork, how long, from which stance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pipeline.demo import actions as do
from pipeline.demo import steps as feet
from pipeline.demo.feet import LEFT, RIGHT
from pipeline.demo.pose import Execution, Pose, idle, mirrored

Body = Callable[[Execution], Pose]


@dataclass(frozen=True, kw_only=True)
class Action:
    """One labelled action.

    Attributes:
        label: BABEL's processed label.
        spoken: raw labels that annotators might write for it.
        categories: BABEL's `act_cat`.
        pose: the body.
        seconds: shortest and longest useful execution.
        steps: the feet; None if they stay.
        stance: feet wider (each side) and left foot ahead, in leg lengths.
        seated: whether it starts, and whether it ends, on a chair.
        arms: which arms it needs, if it can be done beside another action.
    """

    label: str
    spoken: tuple[str, ...]
    categories: tuple[str, ...]
    pose: Body
    seconds: tuple[float, float]
    steps: feet.Footwork | None = None
    stance: tuple[float, float] = (0.0, 0.0)
    seated: tuple[bool, bool] = (False, False)
    arms: str = ""

    def stance_of(self, take: Execution) -> tuple[float, float]:
        """The stance in metres for one subject."""
        return self.stance[0] * take.leg, self.stance[1] * take.leg


def _action(label: str, spoken: str, categories: str, pose: Body, seconds: tuple[float, float], **more: Any) -> Action:
    """A row of the table: wordings divided by `|`, categories by commas."""
    words, acts = tuple(spoken.split(" | ")), tuple(categories.split(", "))
    return Action(label=label, spoken=words, categories=acts, pose=pose, seconds=seconds, **more)


def _one_sided(side: int, name: str, body: Callable[[Body], Body]) -> list[Action]:
    """The actions of one hand or foot; `body` mirrors what is written for the right."""
    sign = 1.0 if side == LEFT else -1.0
    ahead = 0.30 if side == RIGHT else -0.30
    # fmt: off
    return [
        _action(f"turn {name}", f"turning {name} | turns to the {name}", "turn",
                do.turn(sign), (1.6, 2.6), steps=feet.turn(sign)),
        _action(f"step {name}", f"stepping {name} | side steps to the {name}", "step, sideways movement",
                idle, (1.6, 3.0), steps=feet.aside(sign)),
        _action(f"kick with {name} foot", f"kicking with {name} foot | kicks with the {name} foot", "kick",
                body(do.kick), (1.5, 3.4), steps=feet.kick(side)),
        _action(f"wave {name} hand", f"waving {name} hand | waves {name} hand", "wave, greet",
                body(do.wave), (1.8, 3.6), arms=name),
        _action(f"punch with {name} hand", f"punching with {name} hand | punches with the {name} hand",
                "punch, hand movements", body(do.punch), (1.6, 3.4), stance=(0.03, ahead)),
        _action(f"throw with {name} hand", f"throwing with {name} hand | throws ball with {name} hand", "throw",
                body(do.throw), (2.0, 3.0), stance=(0.03, 1.2 * ahead)),
        _action(f"pick up with {name} hand", f"picking up with {name} hand | picks up object with {name} hand",
                "grasp object, bend", body(do.pick_up), (2.8, 3.8)),
    ]
    # fmt: on


# fmt: off
_TWO_SIDED = [
    _action("stand", "standing | stand | stands still", "stand", idle, (1.4, 3.5)),
    _action("walk forward", "walking forward | walks forward", "walk, forward movement",
            do.walk, (2.6, 5.0), steps=feet.walk(1.0)),
    _action("walk backward", "walking backward | walks backward", "walk, backwards movement",
            do.walk_backward, (2.6, 4.5), steps=feet.walk(-1.0)),
    _action("run", "running | runs", "run", do.run, (2.0, 3.4), steps=feet.run),
    _action("march on the spot", "marching on the spot | marches on the spot", "march",
            do.march, (2.2, 4.2), steps=feet.march),
    _action("jump", "jumping | jumps | jumps up", "jump", do.jump, (1.5, 4.2)),
    _action("squat", "squatting | squats", "squat, bend", do.squat, (2.0, 4.6), stance=(0.07, 0.0)),
    _action("bend forward", "bending forward | bends forward | bow", "bend", do.bend_forward, (2.4, 3.8)),
    _action("lean backward", "leaning backward | leans backward", "lean, backwards movement",
            do.lean_backward, (2.4, 3.6)),
    _action("sit down", "sitting down | sits down", "sit", do.sit_down, (1.4, 2.1), seated=(False, True)),
    _action("sit", "sitting | sits still | seated", "sit", do.sit, (1.6, 3.4), seated=(True, True)),
    _action("stand up", "standing up | stands up", "stand up", do.stand_up, (1.3, 2.0), seated=(True, False)),
    _action("clap hands", "clapping hands | claps hands", "clap, hand movements", do.clap, (1.6, 3.2), arms="both"),
    _action("raise both arms", "raising both arms | raises both arms", "raising body part, arm movements",
            do.raise_arms, (2.6, 3.8)),
    _action("stretch arms to the sides", "stretching arms to the sides | stretches arms", "stretch, arm movements",
            do.stretch_arms, (2.4, 3.6)),
    _action("cloud hands", "cloud hands (tai chi) | doing cloud hands", "martial art, hand movements",
            do.cloud_hands, (4.0, 7.0), stance=(0.14, 0.0)),
    _action("put hands on hips", "putting hands on hips | hands on hips", "touching body part",
            do.hands_on_hips, (1.6, 3.2)),
    _action("tpose", "t-pose | t pose", "t pose", do.tpose, (1.0, 1.8)),
]
# fmt: on


def _catalogue() -> dict[str, Action]:
    right, left = _one_sided(RIGHT, "right", lambda body: body), _one_sided(LEFT, "left", mirrored)
    return {action.label: action for action in (*_TWO_SIDED, *right, *left)}


ACTIONS: dict[str, Action] = _catalogue()
"""Every action by its processed label."""

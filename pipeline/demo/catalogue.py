"""The table of the demo's actions: label, wording, categories, body, footwork, how long, from which stance."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.demo import actions as do
from pipeline.demo import steps as feet
from pipeline.demo.feet import LEFT, RIGHT
from pipeline.demo.pose import Pose, Take, idle, mirrored

Body = Callable[[Take], Pose]


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
        airborne: whether both feet leave the ground.
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
    airborne: bool = False

    def stance_of(self, take: Take) -> tuple[float, float]:
        """Return the stance in metres for one subject."""
        return self.stance[0] * take.leg, self.stance[1] * take.leg


def _one_sided(side: int, name: str, body: Callable[[Body], Body]) -> list[Action]:
    """Return the actions of one hand or foot; `body` mirrors what is written for the right."""
    sign = 1.0 if side == LEFT else -1.0
    ahead = 0.30 if side == RIGHT else -0.30
    return [
        Action(
            label=f"turn {name}",
            spoken=(f"turning {name}", f"turns to the {name}"),
            categories=("turn",),
            pose=do.turn(sign),
            seconds=(1.6, 2.6),
            steps=feet.turn(sign),
        ),
        Action(
            label=f"step {name}",
            spoken=(f"stepping {name}", f"side steps to the {name}"),
            categories=("step", "sideways movement"),
            pose=idle,
            seconds=(1.6, 3.0),
            steps=feet.aside(sign),
        ),
        Action(
            label=f"kick with {name} foot",
            spoken=(f"kicking with {name} foot", f"kicks with the {name} foot"),
            categories=("kick",),
            pose=body(do.kick),
            seconds=(1.5, 3.4),
            steps=feet.kick(side),
        ),
        Action(
            label=f"wave {name} hand",
            spoken=(f"waving {name} hand", f"waves {name} hand"),
            categories=("wave", "greet"),
            pose=body(do.wave),
            seconds=(1.8, 3.6),
            arms=name,
        ),
        Action(
            label=f"punch with {name} hand",
            spoken=(f"punching with {name} hand", f"punches with the {name} hand"),
            categories=("punch", "hand movements"),
            pose=body(do.punch),
            seconds=(1.6, 3.4),
            stance=(0.03, ahead),
        ),
        Action(
            label=f"throw with {name} hand",
            spoken=(f"throwing with {name} hand", f"throws ball with {name} hand"),
            categories=("throw",),
            pose=body(do.throw),
            seconds=(2.0, 3.0),
            stance=(0.03, 1.2 * ahead),
        ),
        Action(
            label=f"pick up with {name} hand",
            spoken=(f"picking up with {name} hand", f"picks up object with {name} hand"),
            categories=("grasp object", "bend"),
            pose=body(do.pick_up),
            seconds=(2.8, 3.8),
        ),
    ]


def _two_sided() -> list[Action]:
    return [
        Action(
            label="stand",
            spoken=("standing", "stand", "stands still"),
            categories=("stand",),
            pose=idle,
            seconds=(1.4, 3.5),
        ),
        Action(
            label="walk forward",
            spoken=("walking forward", "walks forward"),
            categories=("walk", "forward movement"),
            pose=do.walk,
            seconds=(2.6, 5.0),
            steps=feet.walk(1.0),
        ),
        Action(
            label="walk backward",
            spoken=("walking backward", "walks backward"),
            categories=("walk", "backwards movement"),
            pose=do.walk_backward,
            seconds=(2.6, 4.5),
            steps=feet.walk(-1.0),
        ),
        Action(
            label="run",
            spoken=("running", "runs"),
            categories=("run",),
            pose=do.run,
            seconds=(2.0, 3.4),
            steps=feet.run,
            airborne=True,
        ),
        Action(
            label="march on the spot",
            spoken=("marching on the spot", "marches on the spot"),
            categories=("march",),
            pose=do.march,
            seconds=(2.2, 4.2),
            steps=feet.march,
        ),
        Action(
            label="jump",
            spoken=("jumping", "jumps", "jumps up"),
            categories=("jump",),
            pose=do.jump,
            seconds=(1.5, 4.2),
            airborne=True,
        ),
        Action(
            label="squat",
            spoken=("squatting", "squats"),
            categories=("squat", "bend"),
            pose=do.squat,
            seconds=(2.0, 4.6),
            stance=(0.07, 0.0),
        ),
        Action(
            label="bend forward",
            spoken=("bending forward", "bends forward", "bow"),
            categories=("bend",),
            pose=do.bend_forward,
            seconds=(2.4, 3.8),
        ),
        Action(
            label="lean backward",
            spoken=("leaning backward", "leans backward"),
            categories=("lean", "backwards movement"),
            pose=do.lean_backward,
            seconds=(2.4, 3.6),
        ),
        Action(
            label="sit down",
            spoken=("sitting down", "sits down"),
            categories=("sit",),
            pose=do.sit_down,
            seconds=(1.4, 2.1),
            seated=(False, True),
        ),
        Action(
            label="sit",
            spoken=("sitting", "sits still", "seated"),
            categories=("sit",),
            pose=do.sit,
            seconds=(1.6, 3.4),
            seated=(True, True),
        ),
        Action(
            label="stand up",
            spoken=("standing up", "stands up"),
            categories=("stand up",),
            pose=do.stand_up,
            seconds=(1.3, 2.0),
            seated=(True, False),
        ),
        Action(
            label="clap hands",
            spoken=("clapping hands", "claps hands"),
            categories=("clap", "hand movements"),
            pose=do.clap,
            seconds=(1.6, 3.2),
            arms="both",
        ),
        Action(
            label="raise both arms",
            spoken=("raising both arms", "raises both arms"),
            categories=("raising body part", "arm movements"),
            pose=do.raise_arms,
            seconds=(2.6, 3.8),
        ),
        Action(
            label="stretch arms to the sides",
            spoken=("stretching arms to the sides", "stretches arms"),
            categories=("stretch", "arm movements"),
            pose=do.stretch_arms,
            seconds=(2.4, 3.6),
        ),
        Action(
            label="cloud hands",
            spoken=("cloud hands (tai chi)", "doing cloud hands"),
            categories=("martial art", "hand movements"),
            pose=do.cloud_hands,
            seconds=(4.0, 7.0),
            stance=(0.14, 0.0),
        ),
        Action(
            label="put hands on hips",
            spoken=("putting hands on hips", "hands on hips"),
            categories=("touching body part",),
            pose=do.hands_on_hips,
            seconds=(1.6, 3.2),
        ),
        Action(
            label="tpose",
            spoken=("t-pose", "t pose"),
            categories=("t pose",),
            pose=do.tpose,
            seconds=(1.0, 1.8),
        ),
    ]


def _catalogue() -> dict[str, Action]:
    right, left = _one_sided(RIGHT, "right", lambda body: body), _one_sided(LEFT, "left", mirrored)
    return {action.label: action for action in (*_two_sided(), *right, *left)}


ACTIONS: dict[str, Action] = _catalogue()
"""Every action by its processed label."""

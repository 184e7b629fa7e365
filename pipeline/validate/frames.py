"""Are the frames those of people? Units, gravity, left and right, bones, speeds; and do headings and views reproduce?

Keypoints are weighted means of skin, not joints, so bones between them stretch a little. Tolerances were chosen on
7.5 hours of real motion (1,904 takes with handstands, tumbling and crawling) on a synthetic body whose regressor is
coarser than the usual one; next to each is the worst value measured on that data.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.geometry import FASTEST_JOINT, camera_matrix, facing_heading, to_camera
from actionpose.progress import track
from actionpose.shards import ShardSet
from actionpose.skeleton import BONES, JOINT_NAMES
from pipeline.pack.content import compare, content_rows, read_content
from pipeline.pack.duplicates import LazyMotion, find_duplicates
from pipeline.validate.check import Check, judged

RIGID = ((2, 3), (5, 6), (12, 13), (15, 16))
"""Shins and forearms: both ends are hinge joints, which a regressor places well. Hips and shoulders wander."""

RIGID_TOLERANCE = 0.4
"""Largest change of such a bone within a motion, share of its median. Seen: at most 0.29; half of the motions 0.02."""

BONE_M = {
    (0, 1): (0.05, 0.25), (1, 2): (0.15, 0.60), (2, 3): (0.20, 0.60), (0, 7): (0.12, 0.40), (7, 8): (0.12, 0.40),
    (8, 9): (0.05, 0.30), (9, 10): (0.05, 0.25), (8, 11): (0.08, 0.35), (11, 12): (0.12, 0.45), (12, 13): (0.12, 0.40),
}  # fmt: skip
"""Shortest and longest plausible median of a bone, metres; a right one as its left. From a child of six to 2.1 m."""

ROOT_SPEED = 12.0
"""m/s of the pelvis: a sprinter's speed. Seen: one take with a jump of 15."""

FLOOR_M = (-0.1, 0.25)
"""Height of the lower ankle in its lowest twentieth of frames. Seen: half at 0.07; stairs and playgrounds above."""

AXIS_TOLERANCE = 1e-5
HEADING_TOLERANCE = 1e-4
"""Radians; noise of a micrometre at the hips turns a heading by 1e-5."""


@dataclass(frozen=True, kw_only=True)
class Measures:
    """What one motion came to; lengths in metres, speeds in m/s, cosines means over frames."""

    motion_id: str
    dataset: str
    finite: bool
    bones: NDArray[np.float64]
    stretch: float
    sides: float
    nose: float
    head_m: float
    legs_m: float
    joint_speed: float
    root_speed: float
    floor_m: float


def measure(frames: NDArray[np.floating], fps: float, motion_id: str = "", dataset: str = "") -> Measures:
    """Measure one motion, (T, 17, 3), T at least 1."""
    f = np.asarray(frames, dtype=np.float64)
    parents, children = (list(side) for side in zip(*BONES, strict=True))
    lengths = np.linalg.norm(f[:, children] - f[:, parents], axis=-1)
    medians = np.median(lengths, axis=0)
    rigid = [BONES.index(bone) for bone in RIGID]
    across, up = f[:, 4] - f[:, 1], f[:, 8] - f[:, 0]
    heights = np.median(f[:, :, 2], axis=0)
    ankles = f[:, [3, 6], 2].min(axis=1)
    relative = np.diff(f - f[:, :1], axis=0)
    return Measures(
        motion_id=motion_id,
        dataset=dataset,
        finite=bool(np.isfinite(f).all()),
        bones=medians,
        stretch=float(np.abs(lengths[:, rigid] / np.maximum(medians[rigid], 1e-9) - 1).max()),
        sides=_cosine(across, f[:, 11] - f[:, 14]),
        nose=_cosine(np.cross(across, up), f[:, 9] - (f[:, 8] + f[:, 10]) / 2),
        head_m=float(heights[10] - heights[0]),
        legs_m=float(heights[0] - heights[[3, 6]].mean()),
        joint_speed=float(np.linalg.norm(relative, axis=-1).max(initial=0.0) * fps),
        root_speed=float(np.linalg.norm(np.diff(f[:, 0], axis=0), axis=-1).max(initial=0.0) * fps),
        floor_m=float(np.quantile(ankles, 0.05)),
    )


def _cosine(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    norms = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return float(((a * b).sum(axis=-1) / np.maximum(norms, 1e-12)).mean())


def deep_checks(shards: ShardSet, content: Path) -> list[Check]:
    """Read every frame once or twice and say what was found; `content`: the content manifest, if there is one."""
    m = shards.motions
    measured = [
        measure(shards.motion_frames(n), shards.fps, str(m["motion_id"][n]), str(m["dataset"][n]))
        for n in track(range(len(m["motion_id"])), "reading", unit="motion")
    ]
    checks = [checksums(shards), finite(measured, int((m["stop"] - m["start"]).sum()))]
    checks += [sides(measured), mirror(measured)]
    if shards.kind != "motion-text":
        return checks
    checks += [rigid(measured), sizes(measured), gravity(measured), speeds(measured), root_speeds(measured)]
    checks += [floor(measured), headings(shards), *views(shards), copies(shards)]
    return checks + ([content_holds(shards, content)] if content.is_file() else [])


def checksums(shards: ShardSet) -> Check:
    """Every shard has the checksum of the index."""
    wrong = []
    try:
        shards.verify()
    except UserError as error:
        wrong = [error.message]
    return judged("checksums", wrong, f"{len(shards.index['shards'])} files by SHA-256")


def finite(measured: list[Measures], frames: int) -> Check:
    """Every number is one."""
    return judged("finite", [m.motion_id for m in measured if not m.finite], f"{frames * 51:,} coordinates are finite")


# --- the people -------------------------------------------------------------------------------


def sides(measured: list[Measures]) -> Check:
    """Hips and shoulders point the same way on average: legs and arms agree about left and right."""
    wrong = [f"{m.motion_id} ({m.sides:.2f})" for m in measured if not m.sides > 0]
    return judged("left, right", wrong, f"hips point as shoulders do in every motion ({_range(measured, 'sides')})")


def mirror(measured: list[Measures]) -> Check:
    """The nose is where left, up and a right-handed world put the front; judged per dataset, by most motions."""
    proved = f"noses point where left and up say is the front, in most motions ({_range(measured, 'nose')})"
    return judged("mirror", _by_dataset(measured, lambda m: m.nose > 0, "face backwards: mirrored"), proved)


def gravity(measured: list[Measures]) -> Check:
    """Head above pelvis above ankles, on median, along z; judged per dataset, since people do handstands."""
    wrong = _by_dataset(measured, lambda m: m.head_m > 0 and m.legs_m > 0, "not upright along z: another up axis")
    upright = sum(m.head_m > 0 and m.legs_m > 0 for m in measured)
    return judged(
        "gravity", wrong, f"z is up: head over pelvis over ankles in {upright:,} of {len(measured):,} motions"
    )


def _by_dataset(measured: Iterable[Measures], holds: Callable[[Measures], bool], otherwise: str) -> list[str]:
    votes: dict[str, list[bool]] = defaultdict(list)
    for m in measured:
        votes[m.dataset].append(holds(m))
    return [
        f"{name}: {len(v) - sum(v):,} of {len(v):,} {otherwise}" for name, v in votes.items() if 2 * sum(v) <= len(v)
    ]


def rigid(measured: list[Measures]) -> Check:
    """Shins and forearms keep their length within a motion."""
    wrong = [f"{m.motion_id} ({m.stretch:.0%})" for m in measured if not m.stretch <= RIGID_TOLERANCE]
    stretches = np.array([m.stretch for m in measured] or [0.0])
    proved = f"shins and forearms within {RIGID_TOLERANCE:.0%} (median {np.median(stretches):.1%}, largest "
    return judged("rigid bones", wrong, proved + f"{stretches.max():.1%})")


def sizes(measured: list[Measures]) -> Check:
    """Bones have lengths that people have, in metres."""
    wrong = []
    for m in measured:
        for (parent, child), length in zip(BONES, m.bones, strict=True):
            low, high = BONE_M[_as_listed(parent), _as_listed(child)]
            if not low <= length <= high:
                wrong.append(f"{m.motion_id}: {JOINT_NAMES[parent]}-{JOINT_NAMES[child]} {length:.3g} m")
                break
    total = np.array([m.bones[[1, 2, 6, 7]].sum() for m in measured] or [0.0])
    return judged("bone lengths", wrong, f"metres: thigh, shin and trunk are {total.min():.2f} to {total.max():.2f} m")


def _as_listed(joint: int) -> int:
    """The joint of the other side where `BONE_M` has that one: of legs it lists the right, of arms the left."""
    return {4: 1, 5: 2, 6: 3, 14: 11, 15: 12, 16: 13}.get(joint, joint)


def speeds(measured: list[Measures]) -> Check:
    """No joint outruns what a body can do."""
    wrong = [f"{m.motion_id} ({m.joint_speed:.0f} m/s)" for m in measured if not m.joint_speed <= FASTEST_JOINT]
    fastest = max((m.joint_speed for m in measured), default=0.0)
    return judged("speeds", wrong, f"joints at most {fastest:.1f} m/s about the pelvis, {FASTEST_JOINT:g} allowed")


def root_speeds(measured: list[Measures]) -> Check:
    """No one moves faster than a sprinter (a warning: treadmills, skates and vehicles exist)."""
    wrong = [f"{m.motion_id} ({m.root_speed:.0f} m/s)" for m in measured if not m.root_speed <= ROOT_SPEED]
    return judged("travel", wrong, f"the pelvis moves at most {ROOT_SPEED:g} m/s", otherwise="warning")


def floor(measured: list[Measures]) -> Check:
    """Ankles come near z = 0 (a warning: not every set has its floor there)."""
    low, high = FLOOR_M
    wrong = [f"{m.motion_id} ({m.floor_m:.2f} m)" for m in measured if not low <= m.floor_m <= high]
    median = float(np.median([m.floor_m for m in measured])) if measured else 0.0
    return judged("floor", wrong, f"ankles are near z = 0, at {median:.3f} m in the median", otherwise="warning")


def _range(measured: list[Measures], name: str) -> str:
    values = np.array([getattr(m, name) for m in measured] or [0.0])
    return f"mean cosine {values.mean():.2f}, least {values.min():.2f}"


# --- what follows from the frames --------------------------------------------------------------


def headings(shards: ShardSet) -> Check:
    """Headings recomputed from the frames equal the stored ones."""
    stored = [float(h) for h in (*shards.motions["heading"], *shards.clips["heading"])]
    if not any(stored):
        return judged("turned", [], f"{len(stored):,} headings are 0: views are aligned with the world")
    wrong: list[str] = []
    largest = 0.0
    for ids, table, read in (
        ("motion_id", shards.motions, shards.motion_frames),
        ("clip_id", shards.clips, shards.clip_frames),
    ):
        for number, row_id in enumerate(table[ids]):
            off = facing_heading(read(number))[0] - float(table["heading"][number])
            off = abs((off + np.pi) % (2 * np.pi) - np.pi)
            largest = max(largest, off)
            wrong += [f"{row_id} ({off:.2g} rad)"] if off > HEADING_TOLERANCE else []
    return judged("turned", wrong, f"{len(stored):,} headings follow from the frames (off by at most {largest:.1g})")


def views(shards: ShardSet) -> list[Check]:
    """Front and side agree on the axis they share: up is up in both, and one's depth is the other's width."""
    if not {"front", "side"} <= set(shards.views):
        return []
    wrong, largest = [], 0.0
    for number, clip_id in enumerate(shards.clips["clip_id"]):
        frames, heading = shards.clip_frames(number)[::10], float(shards.clips["heading"][number])
        front, side = (to_camera(frames, camera_matrix(view, heading)) for view in ("front", "side"))
        off = max(
            float(np.abs(front[..., 1] - side[..., 1]).max()),
            float(np.abs(front[..., 2] - side[..., 0]).max()),
            float(np.abs(front[..., 1] + frames[..., 2]).max()),
        )
        largest = max(largest, off)
        wrong += [f"{clip_id} ({off:.2g} m)"] if not off <= AXIS_TOLERANCE else []
    proved = f"front and side share the up axis in {len(shards.clips['clip_id']):,} clips (largest difference "
    return [judged("views", wrong, proved + f"{largest:.1g} m)")]


def copies(shards: ShardSet) -> Check:
    """No take is in train and in val under two ids, by content (a warning, as BABEL's own split may do so)."""
    m = shards.motions
    names = ("motion_id", "dataset", "subject", "split")
    takes = [
        LazyMotion(**{name: str(m[name][n]) for name in names}, frames=partial(shards.motion_frames, n))
        for n in range(len(m["motion_id"]))
    ]
    found = find_duplicates(takes)
    wrong = [f"{row.duplicate_id} ({row.difference_m * 1000:.1f} mm)" for row in found if row.straddles]
    proved = f"no take is in train and in val, by content; {len(found):,} copies among {len(takes):,} motions"
    return judged("copies found", wrong, proved, otherwise="warning")


def content_holds(shards: ShardSet, content: Path) -> Check:
    """The content manifest is that of these frames."""
    try:
        stated = read_content(content)
    except UserError as error:
        return judged("content", [error.message], "content.jsonl describes these motions")
    found = compare(content_rows(shards), stated)
    wrong = [f"{motion}: {why}" for motion, why in found.differ.items()]
    wrong += [f"{motion}: in one of them only" for motion in (*found.only_a, *found.only_b)]
    return judged("content", wrong, f"content.jsonl describes these {found.same:,} motions")

"""The published ways of measuring, written down once more from their description: loops over frames and joints.

Nothing here is shared with the toolkit, so that a misreading there shows. Poses are (n, 17, 3) in millimetres with
joints in Human3.6M's order, unless said otherwise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from actionpose.arrays import Array

SKIPPED_B = ("s_09_act_05_subact_02", "s_09_act_10_subact_02", "s_09_act_13_subact_01")
"""Takes without usable ground truth; cameras not named."""

TO_3DHP = (14, 8, 9, 10, 11, 12, 13, 15, 1, 16, 0, 5, 6, 7, 2, 3, 4)
"""Human3.6M's joint number → MPI-INF-3DHP's."""
COUNTED_3DHP = (0, 1, 2, 5, 3, 6, 4, 7, 8, 11, 9, 12, 10, 13)
"""Head top, neck, shoulders, elbows, wrists, hips, knees, ankles; not pelvis, spine and head."""


Counted = Callable[[int, int], list[int]]
"""(frames of a video, frames of a window) → the frames that count."""


@dataclass(frozen=True)
class Video:
    """One video of one camera: where it belongs, the truth, and what was predicted."""

    name: str
    action: str
    truth: Array
    predicted: Array
    fps: float = 50.0
    valid: Sequence[int] | None = None


@dataclass
class Means:
    """Frame errors put together, under the names that the toolkit prints."""

    errors: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        self.errors[name].append(value)

    def mean(self, name: str) -> float:
        return sum(self.errors[name]) / len(self.errors[name])


# --- the root -------------------------------------------------------------------------------------


def subtracted(pose: Array) -> Array:
    """The position of joint 0 taken from all joints: truth, and poses of a file."""
    moved = np.array(pose, dtype=np.float64)
    for frame in moved:
        root = frame[0].copy()
        for joint in range(17):
            frame[joint] -= root
    return moved


def zeroed(pose: Array) -> Array:
    """Joint 0 set to zero, the others left where the network put them: predictions of a run."""
    moved = np.array(pose, dtype=np.float64)
    for frame in moved:
        frame[0] = 0.0
    return moved


# --- errors of one frame --------------------------------------------------------------------------


def mpjpe(p: Array, g: Array) -> float:
    """Mean over all 17 joints, the root among them."""
    return sum(float(np.sqrt(((p[j] - g[j]) ** 2).sum())) for j in range(17)) / 17


def p_mpjpe(p: Array, g: Array) -> float:
    """After the best rotation, scale and shift; never a reflection."""
    mean_p, mean_g = p.mean(axis=0), g.mean(axis=0)
    norm_p, norm_g = np.linalg.norm(p - mean_p), np.linalg.norm(g - mean_g)
    u, s, vt = np.linalg.svd(((g - mean_g) / norm_g).T @ ((p - mean_p) / norm_p))
    v = vt.T
    if np.linalg.det(v @ u.T) < 0:
        v[:, -1] = -v[:, -1]
        s[-1] = -s[-1]
    rotation = v @ u.T
    scale = s.sum() * norm_g / norm_p
    return mpjpe(scale * p @ rotation + (mean_g - scale * mean_p @ rotation), g)


def n_mpjpe(p: Array, g: Array) -> float:
    """After the best scale: sum of <g, p> over sum of |p|^2."""
    return mpjpe((g * p).sum() / (p * p).sum() * p, g)


def frame_errors(p: Array, g: Array) -> dict[str, float]:
    """The three errors of one frame."""
    return {"mpjpe_mm": mpjpe(p, g), "p_mpjpe_mm": p_mpjpe(p, g), "n_mpjpe_mm": n_mpjpe(p, g)}


def motion_errors(p: Array, g: Array, frames: Sequence[int], fps: float) -> dict[str, list[float]]:
    """Errors of first and second differences, where the frames they need are scored one after the other."""
    scored, found = set(frames), defaultdict(list)
    for t in frames:
        if t - 1 in scored:
            step = mpjpe(p[t] - p[t - 1], g[t] - g[t - 1])
            found["velocity_mm"].append(step)
            found["velocity_mm_s"].append(step * fps)
        if t - 1 in scored and t + 1 in scored:
            bend_p, bend_g = p[t + 1] - 2 * p[t] + p[t - 1], g[t + 1] - 2 * g[t] + g[t - 1]
            found["acceleration_mm"].append(mpjpe(bend_p, bend_g))
    return dict(found)


# --- which frames count ---------------------------------------------------------------------------


def full_windows(frames: int, window: int) -> list[int]:
    """Consecutive windows; the rest is dropped, but a shorter video is stretched and all of it counts."""
    if frames < window:
        return list(range(frames))
    return list(range(frames // window * window))


def chunks(frames: int, window: int) -> list[int]:
    """Consecutive windows, then the last `window` frames as one more: frames in both count twice."""
    if frames < window:
        return list(range(frames))
    counted = list(range(frames // window * window))
    if frames % window:
        counted += range(frames - window, frames)
    return counted


# --- the protocols --------------------------------------------------------------------------------


def by_action(videos: Sequence[Video], window: int, counted: Counted) -> dict[str, object]:
    """Human3.6M: mean over the frames of an action, whoever does it and whichever camera; then over actions."""
    actions: dict[str, Means] = defaultdict(Means)
    everything, number = Means(), 0
    for video in videos:
        truth = subtracted(video.truth)
        frames = counted(len(truth), window)
        number += len(frames)
        for t in frames:
            for name, value in frame_errors(video.predicted[t], truth[t]).items():
                actions[video.action].add(name, value)
                everything.add(name, value)
    names = ("mpjpe_mm", "p_mpjpe_mm", "n_mpjpe_mm")
    of_actions = {action: {name: means.mean(name) for name in names} for action, means in actions.items()}
    total = {name: sum(row[name] for row in of_actions.values()) / len(of_actions) for name in names}
    return {
        **total,
        "frame_mpjpe_mm": everything.mean("mpjpe_mm"),
        "frame_p_mpjpe_mm": everything.mean("p_mpjpe_mm"),
        "frames": number,
        "actions": of_actions,
    }


def h36m_b(videos: Sequence[Video], window: int) -> dict[str, object]:
    """Three takes of S9 are skipped in every camera; full windows count."""
    kept = [video for video in videos if video.name.rpartition("_ca_")[0] not in SKIPPED_B]
    return by_action(kept, window, full_windows)


def h36m_a_every_frame(videos: Sequence[Video], window: int) -> dict[str, object]:
    """The same with a window around each frame: every frame counts once, whatever its length."""
    return by_action(videos, window, lambda frames, _: list(range(frames)))


def h36m_a(videos: Sequence[Video], window: int) -> dict[str, object]:
    """Every frame counts, those of two chunks twice; S11's unnumbered Directions is not among the videos."""
    return by_action(videos, window, chunks)


def pck_3dhp(p: Array, g: Array, below: float) -> float:
    """Per cent of the 14 joints of a frame that are nearer than `below`."""
    order = {theirs: ours for ours, theirs in enumerate(TO_3DHP)}
    hits = 0
    for joint in COUNTED_3DHP:
        ours = order[joint]
        hits += bool(np.sqrt(((p[ours] - g[ours]) ** 2).sum()) < below)
    return 100.0 * hits / 14


def mpi_inf_3dhp(videos: Sequence[Video]) -> dict[str, object]:
    """All valid frames of all sequences pooled; each sequence; the plain mean of sequences; three scenes."""
    scenes = {"green screen": ("TS1", "TS2"), "no green screen": ("TS3", "TS4"), "outdoor": ("TS5", "TS6")}
    sequences: dict[str, Means] = {video.name: Means() for video in videos}
    for video in videos:
        truth = subtracted(video.truth)
        for t in range(len(truth)) if video.valid is None else video.valid:
            sequences[video.name].add("mpjpe_mm", mpjpe(video.predicted[t], truth[t]))
            sequences[video.name].add("pck", pck_3dhp(video.predicted[t], truth[t], 150))
            curve = [pck_3dhp(video.predicted[t], truth[t], 5 * k) for k in range(31)]
            sequences[video.name].add("auc", sum(curve) / 31)
    names = ("mpjpe_mm", "pck", "auc")

    def pooled(parts: Sequence[Means]) -> dict[str, float]:
        every = {name: [value for part in parts for value in part.errors[name]] for name in names}
        return {name: sum(values) / len(values) for name, values in every.items()}

    each = {name: pooled([means]) for name, means in sequences.items()}
    return {
        **pooled(list(sequences.values())),
        "frames": sum(len(means.errors["pck"]) for means in sequences.values()),
        "sequences": each,
        "sequence_mean": {name: sum(row[name] for row in each.values()) / len(each) for name in names},
        "scenes": {scene: pooled([sequences[name] for name in members]) for scene, members in scenes.items()},
    }


def same(
    found: Mapping[str, object], expected: Mapping[str, object], apart: float = 1e-4, where: str = ""
) -> list[str]:
    """What differs between two results by more than `apart` (mm or per cent), at the places the expected one has."""
    wrong: list[str] = []
    for name, value in expected.items():
        there, path = found.get(name), f"{where}{name}"
        if isinstance(value, Mapping):
            wrong += same(there, value, apart, f"{path}.") if isinstance(there, Mapping) else [f"{path}: {there}"]
        elif not isinstance(there, int | float) or not abs(there - float(value)) < apart:  # type: ignore[arg-type]
            wrong.append(f"{path}: {there} instead of {value}")
    return wrong

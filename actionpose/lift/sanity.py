"""Warnings that mean something: what looks wrong in the input or the result, and how it was noticed.

Shape letters: N rows of one person.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.lift.detections import Detections
from actionpose.lift.layouts import Layout, canonical
from actionpose.lift.recognise import MISFIT, Named, Picture
from actionpose.lift.timeline import Track
from actionpose.skeleton import BODY_PARTS, BONES, FLIP_ORDER, JOINT_NAMES, LEFT, RIGHT

FASTEST = 15.0
"""Metres a second that no joint but a thrower's hand passes (relative to the pelvis)."""

RIGID = 0.12
"""Deviation of bone lengths over frames, as a share of their median; on clean input a trained model stays below 0.1."""

SLOW_S = 0.4
"""Seconds between detections that are too long to follow a step or a gesture."""

SHARE = 0.02
"""Warnings about single frames need this share of them."""

LIMBS = {
    "arms": [joint for joint in LEFT + RIGHT if joint in BODY_PARTS["arms"]],
    "legs": [joint for joint in LEFT + RIGHT if joint not in BODY_PARTS["arms"]],
}
"""What a detector exchanges as one."""

HALF = 0.6
FACE = ("nose", "left_eye", "right_eye", "left_shoulder", "right_shoulder")


def check_input(found: Detections, named: Named, picture: Picture, tracks: list[Track]) -> list[str]:
    """Warnings about keypoints before they are lifted.

    Args:
        found: as read.
        named: with our joints.
        picture: how coordinates were understood.
        tracks: people.
    """
    warnings = []
    if named.misfit >= MISFIT:
        warnings.append(
            f"the joints may be in another order than {named.layout.name}: bone lengths do not fit a body's "
            f"(misfit {named.misfit:.2f}; right layouts stay below {MISFIT}). Try --layout or a joint map"
        )
    warnings += _face(found, named.layout)
    warnings += _far_between(tracks)
    warnings += _lying(tracks) or _upside_down(tracks, picture)
    for track in tracks:
        warnings += _swaps(track)
    return warnings


def _face(found: Detections, layout: Layout) -> list[str]:
    """Shoulders on the other side than the eyes, in frames that show the face: sides of the body are swapped."""
    names = [canonical(name) for name in layout.joints]
    if not all(name in names for name in FACE) or len(names) != found.points.shape[1]:
        return []
    nose, left_eye, right_eye, left, right = (names.index(name) for name in FACE)
    sure = found.confidence[:, [nose, left_eye, right_eye, left, right]].min(axis=1) > 0.5
    x = found.points[sure, :, 0]
    eyes, shoulders = x[:, left_eye] - x[:, right_eye], x[:, left] - x[:, right]
    inside = (x[:, nose] - x[:, left_eye]) * (x[:, nose] - x[:, right_eye]) < 0  # the nose between the eyes
    wide = np.abs(shoulders) > 3 * np.abs(eyes)
    judged = inside & wide
    against = (eyes * shoulders < 0)[judged]
    if judged.sum() < 5 or against.mean() < HALF:
        return []
    return [
        f"left and right are swapped: in {against.mean():.0%} of {judged.sum()} frames that show the face, the left "
        "shoulder is on the right eye's side. Check the order of the joints"
    ]


def _far_between(tracks: list[Track]) -> list[str]:
    """Detections so far apart in time that no motion can be seen between them."""
    for track in tracks:
        step = float(np.median(np.diff(track.seconds))) if len(track.frame) > 2 else 0.0
        if step > SLOW_S:
            frames = int(np.median(np.diff(track.frame)))
            return [
                f"person {track.person}: detections are {step:.2g} s ({frames} frames) apart, too far to see motion. "
                "If the file counts time in milliseconds, give --fps 1000"
            ]
    return []


def _upside_down(tracks: list[Track], picture: Picture) -> list[str]:
    thorax, pelvis = JOINT_NAMES.index("thorax"), JOINT_NAMES.index("pelvis")
    y = [t.points[(t.confidence[:, [thorax, pelvis]] > 0).all(axis=1)][:, [thorax, pelvis], 1] for t in tracks]
    both = np.concatenate(y) if y else np.zeros((0, 2))
    if not len(both):
        return []
    below = float((both[:, 0] > both[:, 1]).mean())
    if below < 0.3:
        return []
    other = "down" if picture.y_up else "up"
    return [
        f"people are upside down in {below:.0%} of frames (shoulders below hips). If they do not tumble, the film is "
        f"turned, x and y are exchanged, or y grows the other way: --y {other}"
    ]


def _lying(tracks: list[Track]) -> list[str]:
    """Trunk and legs along the picture's width in most frames: people lie, or the picture does."""
    along = [_extent(t, "thorax", "pelvis") + _extent(t, "pelvis", "left_knee", "right_knee") for t in tracks]
    span = np.concatenate(along) if along else np.zeros((0, 2))
    span = span[np.isfinite(span).all(axis=1)]
    if len(span) < 5:
        return []
    share = float((span[:, 0] > span[:, 1]).mean())
    if share < HALF:
        return []
    return [
        f"people lie on their side in {share:.0%} of frames. If they do not, the film is turned, or the columns are y, "
        "x as those of MoveNet and easy_ViTPose: exchange them, keypoints[..., [1, 0, 2]]"
    ]


def _extent(track: Track, above: str, *below: str) -> Floats:
    """(N, 2) how far a part of the body reaches along x and y; NaN where an end of it is hidden."""
    ends = [JOINT_NAMES.index(name) for name in below]
    first = JOINT_NAMES.index(above)
    seen = np.asarray((track.confidence[:, [first, *ends]] > 0).all(axis=1))
    span = np.abs(track.points[:, ends].mean(axis=1) - track.points[:, first])
    return np.where(seen[:, None], span, np.nan)


def _swaps(track: Track) -> list[str]:
    """Frames in which left and right of arms or legs change places: swapped back, they would hardly have moved."""
    if len(track.frame) < 3:
        return []
    points, sure = track.points, track.confidence
    seen = (sure[1:] > 0) & (sure[:-1] > 0) & (sure[1:, list(FLIP_ORDER)] > 0)
    moved = np.linalg.norm(points[1:] - points[:-1], axis=-1) * seen
    other = np.linalg.norm(points[1:, list(FLIP_ORDER)] - points[:-1], axis=-1) * seen
    found = {}
    for limbs, joints in LIMBS.items():
        enough = seen[:, joints].sum(axis=1) >= 4
        jumps = enough & (other[:, joints].sum(axis=1) < 0.35 * moved[:, joints].sum(axis=1))
        if jumps.mean() >= SHARE and jumps.sum() >= 2:
            found[limbs] = track.frame[1:][jumps]
    if not found:
        return []
    times, first = max(map(len, found.values())), min(frames[0] for frames in found.values())
    return [
        f"person {track.person}: left and right change places {times} times (the {' and the '.join(found)}; first at "
        f"frame {first}): swapped back, they would hardly have moved. The detector confuses the sides"
    ]


def check_result(person: int, seconds: Floats, poses: Floats, valid: NDArray[np.bool_]) -> list[str]:
    """Warnings about lifted poses of one person.

    Args:
        person: the id.
        seconds: (N,).
        poses: (N, 17, 3) metres.
        valid: (N, 17).
    """
    warnings = []
    parent, child = (np.array(column) for column in zip(*BONES, strict=True))
    lengths = np.linalg.norm(poses[:, child] - poses[:, parent], axis=-1)
    lengths = np.where(valid[:, child] & valid[:, parent], lengths, np.nan)
    usable = np.isfinite(lengths).sum(axis=0) >= 10
    if usable.any():
        long = np.nanmedian(lengths[:, usable], axis=0)
        spread = np.nanstd(lengths[:, usable], axis=0) / np.maximum(long, 1e-9)
        worst = int(spread.argmax())
        if np.median(spread) > RIGID:
            bone = JOINT_NAMES[child[usable][worst]]
            warnings.append(
                f"person {person}: bones change their length by {np.median(spread):.0%} (the one to {bone} by "
                f"{spread[worst]:.0%}): the keypoints are noisy, or the motion is far from the model's training"
            )
    if len(seconds) > 2:
        dt = np.maximum(np.diff(seconds), 1e-6)
        speed = np.linalg.norm(np.diff(poses, axis=0), axis=-1) / dt[:, None]
        fast = (speed > FASTEST) & valid[1:] & valid[:-1] & (dt < 0.2)[:, None]
        if fast.any(axis=1).mean() > SHARE:
            joint = JOINT_NAMES[int(fast.sum(axis=0).argmax())]
            warnings.append(
                f"person {person}: joints move faster than {FASTEST:g} m/s in {fast.any(axis=1).sum()} frames, most "
                f"often {joint}: detections jump, people are mixed up, or --fps is wrong"
            )
    return warnings

"""Motions of SMPL bodies in other shapes than AMASS': 72 columns, SMPL-X, split arrays, AIST++ pickles.

Nothing is retargeted: the rotations are the body's own. What changes are columns, units and the axis that is up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from actionpose.arrays import Floats
from actionpose.errors import UserError
from pipeline.body.rotations import rotation_matrices, rotation_vectors
from pipeline.body.smplh import N_BETAS, normalise_gender
from pipeline.engine.item import ItemError
from pipeline.importers.figure import Z_UP, Figure, joint_places
from pipeline.importers.recognise import is_zip
from pipeline.importers.skeletons import BODY
from pipeline.importers.source import MAX_FRAMES, MAX_NUMBER
from pipeline.untrusted.npz import NpzError, open_npz
from pipeline.untrusted.pickles import load_pickle, numbers

POSE_WIDTH = 156
_MAX_PICKLE_BYTES = 1_000_000_000
_POSES = ("poses", "smpl_poses", "pose", "fullpose", "full_pose", "pose_aa", "thetas")
_ROOT, _BODY_POSE = ("root_orient", "global_orient"), ("pose_body", "body_pose")
_HANDS = (("pose_hand",), ("left_hand_pose", "right_hand_pose"))
_TRANS = ("trans", "smpl_trans", "transl", "translation")
_AMASS_RATE = ("mocap_framerate", "mocap_frame_rate")
_RATE = (*_AMASS_RATE, "fps", "framerate", "frame_rate")
_SMPLH = "SMPL+H, 52 joints"
_AIST_FPS = 60.0
_LARGEST_TURN = 20.0
"""Radians; unwrapped roots of AMASS reach 4.5. More than three whole turns are degrees."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SmplMotion:
    """A take as SMPL+H parameters: poses (T, 156) radians, trans (T, 3) metres, betas (16,), world with z up.

    `fps` is None where the file states none; `notes` say what was changed or left out.
    """

    poses: Floats
    trans: Floats
    betas: Floats
    fps: float | None
    gender: str
    kind: str
    notes: tuple[str, ...]


def read_smpl(path: Path, figure: Figure, *, up: str = "") -> SmplMotion:
    """Read a `.npz` or a pickle of SMPL parameters.

    Args:
        path: the file; pickles are read without running them.
        figure: the body, whose rest pelvis the root turns about.
        up: `y` or `z`: which axis of the file is up; empty to find out (AMASS z, AIST++ y, else from the motion).

    Raises:
        ItemError: damaged, no SMPL parameters, a width that no SMPL body has, degrees, not finite.
    """
    members = _Members(path)
    poses, kind, notes = _poses(members)
    trans = _trans(members, len(poses), notes)
    aist = members.has("smpl_scaling")
    if aist:
        scalings = members.get(("smpl_scaling",)).reshape(-1)
        scaling = float(scalings[0])
        if not 1e-3 < scaling < 1e4 or np.ptp(scalings) > 1e-3 * scaling:
            span = f"{scalings.min():g}" + (f" to {scalings.max():g}" if np.ptp(scalings) else "")
            raise ItemError("malformed", f"{path.name}: smpl_scaling is {span}, not one positive number for the take")
        trans = trans / scaling
        notes.append(f"AIST++: trans divided by smpl_scaling {scaling:.4g}")
    if not up and aist:
        up = "y"
    elif not up and members.has(*_AMASS_RATE):
        _check_z_up(path, joint_places(figure, poses, trans))
        up = "z"
    rate = _rate(members)
    poses, trans = _upright(path, poses, trans, figure, up, notes)
    return SmplMotion(
        poses=poses,
        trans=trans,
        betas=_betas(members, kind),
        fps=_AIST_FPS if aist and rate is None else rate,
        gender=_gender(members, kind, notes),
        kind="AIST++" if aist else kind,
        notes=tuple(notes),
    )


def _gender(members: _Members, kind: str, notes: list[str]) -> str:
    gender = members.gender()
    if not gender and kind == _SMPLH and members.has("gender"):
        notes.append("the gender is neither female, male nor neutral: neutral is used")
    return gender or "neutral"


def _rate(members: _Members) -> float | None:
    """The rate that a file states, under whichever name.

    Raises:
        ItemError: it states two.
    """
    found = {name: float(members.get((name,)).reshape(-1)[0]) for name in _RATE if members.has(name)}
    if len(set(found.values())) > 1:
        stated = ", ".join(f"{name} {rate:g}" for name, rate in found.items())
        raise ItemError("two rates", f"{members.path.name} states two rates: {stated}; keep the right one")
    return next(iter(found.values()), None)


class _Members:
    """The arrays of a file by name, each looked at before it is believed."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._read: Callable[[str], Any]
        if is_zip(path):
            try:
                with open_npz(path) as archive:
                    self._names = archive.names
            except (NpzError, OSError) as error:
                raise ItemError("damaged", f"{path.name} cannot be read ({error})") from error
            self._read = self._from_npz
        else:
            loaded = _pickle(path)
            self._names = frozenset(loaded)
            self._read = loaded.__getitem__

    def _from_npz(self, name: str) -> Any:
        try:
            with open_npz(self.path) as archive:
                header = archive.header(name)
                if header.dtype.hasobject or header.bytes > 8 * 200 * MAX_FRAMES:
                    raise ItemError(
                        "malformed",
                        f"{self.path.name}: {name} is {header.dtype} of shape {header.shape}: save it as an array of "
                        f"numbers, of at most {MAX_FRAMES:,} frames",
                    )
                return archive.read(name)
        except (NpzError, KeyError, OSError) as error:  # a damaged directory sends zipfile before the file's beginning
            raise ItemError("damaged", f"{self.path.name}: {name}: {error}") from error

    def has(self, *names: str) -> bool:
        """Whether one of the names is there."""
        return any(name in self._names for name in names)

    def get(self, names: tuple[str, ...]) -> Floats:
        """The first of the names that is there, as finite float64.

        Raises:
            ItemError: none is, or it is not an array of ordinary numbers.
        """
        name = next((name for name in names if name in self._names), None)
        if name is None:
            raise ItemError(
                "no SMPL motion",
                f"{self.path.name} holds {', '.join(sorted(self._names))[:200] or 'nothing'}, no poses",
            )
        try:
            array = np.asarray(numbers(self._read(name)), dtype=np.float64)
        except ValueError as error:
            raise ItemError("malformed", f"{self.path.name}: {name}: {error}") from error
        if not array.size:
            raise ItemError("empty", f"{self.path.name}: {name} has the shape {array.shape}: nothing is in it")
        with np.errstate(invalid="ignore"):
            sound = np.abs(array) <= MAX_NUMBER  # also false for NaN
        if not sound.all():
            place = np.argwhere(~sound)[0]
            value, where = array[tuple(place)], f" at {tuple(map(int, place))}" if array.ndim else ""
            kind = "huge numbers" if np.isfinite(value) else "not finite"
            raise ItemError(kind, f"{self.path.name}: {name} has {value:g}{where}, which cannot be motion")
        return array

    def other_path(self) -> str:
        """A member that may be the path where none of the usual names is there; EasyMocap's Rh and Th in any case."""
        odd = sorted(self._names & {"Rh", "Th"})
        if not self.has(*_TRANS):
            odd += sorted(name for name in self._names if "trans" in name.lower())
        return odd[0] if odd else ""

    def gender(self) -> str:
        """The stated gender, empty when there is none that we know."""
        if not self.has("gender"):
            return ""
        try:
            return normalise_gender(self._read("gender"))
        except (UserError, ItemError):
            return ""


def _pickle(path: Path) -> Mapping[str, Any]:
    if path.stat().st_size > _MAX_PICKLE_BYTES:
        raise ItemError("too long", f"{path.name} has {path.stat().st_size:,} bytes: too large for a take")
    try:
        loaded = load_pickle(path)
    except UserError as error:
        raise ItemError("refused pickle" if "refused" in error.message else "damaged", error.message) from error
    if not isinstance(loaded, dict):
        raise ItemError("no SMPL motion", f"{path.name} holds a {type(loaded).__name__}, not named arrays")
    return {str(key): value for key, value in loaded.items()}


# --- poses ------------------------------------------------------------------------------------


def _poses(members: _Members) -> tuple[Floats, str, list[str]]:
    """Poses (T, 156), what they were, and notes."""
    if members.has(*_POSES):
        raw = _flat(members, members.get(_POSES))
    else:
        root, body = _flat(members, members.get(_ROOT)), _flat(members, members.get(_BODY_POSE))
        if root.shape[1] != 3 or len(root) != len(body):
            raise ItemError("wrong width", f"{members.path.name}: root {root.shape} and body {body.shape} do not fit")
        raw = np.concatenate([root, body, *_hands(members, len(body), body.shape[1])], axis=1)
    if len(raw) > MAX_FRAMES:
        raise ItemError(
            "too long", f"{members.path.name} has {len(raw):,} frames; cut it into takes of at most {MAX_FRAMES:,}"
        )
    largest = float(np.linalg.norm(raw.reshape(len(raw), -1, 3), axis=2).max())
    if largest > _LARGEST_TURN:
        raise ItemError(
            "angles look like degrees",
            f"{members.path.name}: a rotation vector has length {largest:.0f}, and SMPL's are radians",
        )
    return _widened(members, raw)


def _hands(members: _Members, frames: int, width: int) -> list[Floats]:
    """SMPL-X' jaw, eyes and hands (T, 99) where arrays of a body's parts have hands in full; else nothing."""
    names = next((names for names in _HANDS if all(members.has(name) for name in names)), ())
    parts = [members.get((name,)) for name in names if width == 63]
    if sum(part.size for part in parts) != 90 * frames or any(len(part) != frames for part in parts):
        return []
    return [np.zeros((frames, 9)), *(part.reshape(frames, -1) for part in parts)]


def _flat(members: _Members, array: Floats) -> Floats:
    """(T, 3 J) axis-angle from that, from (1, T, 3 J), (T, J, 3), or from rotation matrices (T, J, 3, 3)."""
    if array.ndim == 3 and len(array) == 1 and array.shape[2] > 3:
        array = array[0]
    if array.ndim == 4 and array.shape[2:] == (3, 3):
        if np.abs(array @ array.swapaxes(2, 3) - np.eye(3)).max() > 1e-2:
            raise ItemError("malformed", f"{members.path.name}: its 3 x 3 matrices are not rotations")
        array = rotation_vectors(array)
    if array.ndim == 3 and array.shape[2] == 3:
        array = array.reshape(len(array), -1)
    if array.ndim != 2 or array.shape[1] % 3:
        raise ItemError("wrong width", f"{members.path.name}: poses of shape {array.shape} are not axis-angle vectors")
    return array


def _widened(members: _Members, raw: Floats) -> tuple[Floats, str, list[str]]:
    poses = np.zeros((len(raw), POSE_WIDTH))
    width = raw.shape[1]
    poses[:, :66] = raw[:, :66] if width >= 66 else 0.0
    shape = "shape coefficients left out: they belong to another body; the mean shape is used"
    if width == 66:
        there = members.has(*(name for names in _HANDS for name in names))
        why = "hands that are not 15 joints of 3 angles are left out" if there else "no hands in the file"
        return poses, "SMPL body, 22 joints", [f"{why}: fingers at rest"]
    if width == 72:
        turned = float(np.abs(raw[:, 66:]).max())
        hands = f" (rotations up to {turned:.2f} rad left out)" if turned > 1e-6 else ""
        notes = [f"SMPL's hand joints 22 and 23 are not in SMPL+H{hands}: fingers at rest"]
        return poses, "SMPL, 24 joints", [*notes, *([shape] if members.has("betas") else [])]
    if width == POSE_WIDTH:
        poses[:, 66:] = raw[:, 66:]
        return poses, _SMPLH, ["SMPL+H already: columns, fingers and shape are kept"]
    if width == 165:
        poses[:, 66:] = raw[:, 75:]
        return poses, "SMPL-X, 55 joints", ["jaw and eyes left out", shape]
    raise ItemError(
        "wrong width",
        f"{members.path.name}: poses have {width} columns; SMPL has 72, SMPL+H 156, SMPL-X 165, a body alone 66",
    )


def _betas(members: _Members, kind: str) -> Floats:
    """The person's shape where the body is the same, else the mean shape."""
    betas = np.zeros(N_BETAS)
    if kind == _SMPLH and members.has("betas"):
        stated = np.atleast_2d(np.squeeze(members.get(("betas",))))
        rows = stated.reshape(-1, stated.shape[-1])  # some files repeat it for every frame
        if np.ptp(rows, axis=0).any():
            raise ItemError("malformed", f"{members.path.name}: betas change over the take, and a body has one shape")
        betas[: rows.shape[1]] = rows[0, :N_BETAS]
    return betas


def _trans(members: _Members, frames: int, notes: list[str]) -> Floats:
    if other := members.other_path():
        raise ItemError(
            "no SMPL motion",
            f"{members.path.name}: '{other}' may be the path, but not as SMPL means it; store it as trans, in metres",
        )
    if not members.has(*_TRANS):
        notes.append("no translation in the file: the pelvis stays in place")
        return np.zeros((frames, 3))
    trans = members.get(_TRANS)
    if trans.shape in ((frames, 1, 3), (1, frames, 3)):
        trans = trans.reshape(frames, 3)
    if trans.shape != (frames, 3):
        raise ItemError("wrong width", f"{members.path.name}: trans has shape {trans.shape}, not ({frames}, 3)")
    return trans


def ankles_to_shoulders(places: Floats) -> Floats:
    """(3,) mean over frames of the unit vector from between the ankles to between the shoulders."""
    middle = [
        (places[:, BODY.index(f"left_{name}")] + places[:, BODY.index(f"right_{name}")]) / 2
        for name in ("shoulder", "ankle")
    ]
    rise = middle[0] - middle[1]
    mean: Floats = (rise / np.maximum(np.linalg.norm(rise, axis=1, keepdims=True), 1e-12)).mean(axis=0)
    return mean


def _check_z_up(path: Path, places: Floats) -> None:
    """Hold AMASS' vertical axis against the motion: not all who write its names have z up (BEAT2 has y).

    Raises:
        ItemError: shoulders stand over ankles along y.
    """
    rise = ankles_to_shoulders(places)
    if rise[1] > 0.8 and rise[2] < 0.3:
        raise ItemError(
            "up is unclear",
            f"{path.name} has AMASS' names, and there z is up, but shoulders stand over ankles along y "
            f"({rise[1]:.2f}): say which axis is up, --up y or --up z",
        )


def _upright(
    path: Path, poses: Floats, trans: Floats, figure: Figure, up: str, notes: list[str]
) -> tuple[Floats, Floats]:
    if not up:
        rise = ankles_to_shoulders(joint_places(figure, poses, trans))
        if max(rise[1], rise[2]) < 0.6:
            raise ItemError(
                "up is unclear",
                f"{path.name}: shoulders stand over ankles neither along y ({rise[1]:.2f}) nor along z ({rise[2]:.2f}) "
                "on average; say which axis is up with --up",
            )
        up = "y" if rise[1] > rise[2] else "z"
        notes.append(f"{up} is up, found from the motion")
    if up == "z":
        return poses, trans
    turned = poses.copy()
    roots = np.moveaxis(rotation_matrices(np.ascontiguousarray(poses[:, :3].T[None]))[0], -1, 0)
    turned[:, :3] = rotation_vectors(Z_UP @ roots)
    # The root turns about the pelvis, so the pelvis' place is what the world's rotation moves.
    pelvis = figure.joints[0]
    return turned, (pelvis + trans) @ Z_UP.T - pelvis

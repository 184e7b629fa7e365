"""Predictions as files: what `ap-train evaluate --predictions` writes and `ap-train score` reads.

An `.npz` with one array (n, 17, 3) in millimetres for each video, named by its motion id or the last part of it
(`TS1`), and with `about`, JSON text that says how it was made, where this toolkit wrote it. Also the `.mat` that is
handed to MPI-INF-3DHP's Matlab code: an array (3, 17, 1, n) for each sequence.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats, Ints
from actionpose.data.samples import DataConfig
from actionpose.data.selection import select_motions
from actionpose.errors import UserError
from actionpose.evaluate import scoring
from actionpose.evaluate.metrics import JointOrder, human36m_order, mpjpe
from actionpose.evaluate.protocols import Cut, frames_of, measured_motions, protocol_of, windowing_of
from actionpose.evaluate.result import Result
from actionpose.extras import needed_for
from actionpose.files import atomic_path
from actionpose.places import not_there
from actionpose.plain_npz import read_plain_npz
from actionpose.progress import track
from actionpose.shards import ShardSet
from actionpose.skeleton import MPI_3DHP_ORDER, N_JOINTS, ROOT

ABOUT = "about"
SCHEMA = "actionpose-predictions"

Videos = Mapping[str, Floats]


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """A file's poses.

    Attributes:
        path: the file.
        videos: name → (n, 17, 3) millimetres, Human3.6M order.
        joints: order that the file was read in.
        about: what the file says of itself; empty for foreign ones.
    """

    path: Path
    videos: Videos
    joints: JointOrder = "h36m"
    about: dict[str, Any] = field(default_factory=dict)


# --- files ------------------------------------------------------------------------------------


def write_predictions(path: Path, videos: Videos, about: Mapping[str, Any]) -> None:
    """Write poses (n, 17, 3), Human3.6M order, millimetres, as an `.npz`."""
    if path.suffix != ".npz":
        raise UserError(f"{path}: predictions are written as .npz", "give a name that ends in .npz")
    text = json.dumps({"schema": SCHEMA, "unit": "mm", "joints": "h36m", **about}, ensure_ascii=False)
    with atomic_path(path) as aside:
        np.savez(aside, **{ABOUT: np.asarray(text)}, **videos)  # type: ignore[arg-type]


def read_predictions(path: Path, joints: JointOrder | None = None) -> Predictions:
    """Read a predictions file.

    Args:
        path: `.npz` or `.mat`.
        joints: order of the joints; by default Human3.6M's in `.npz`, MPI-INF-3DHP's in `.mat`.

    Raises:
        UserError: not there, damaged, or an array that cannot be poses.
    """
    if not path.exists():
        raise not_there(path, "give an .npz or .mat with an array of poses for each video")
    is_mat = path.suffix.lower() == ".mat"
    arrays, about = _read_mat(path) if is_mat else _read_npz(path)
    order = joints or ("3dhp" if is_mat else "h36m")
    if not arrays:
        raise UserError(f"{path} holds no arrays", "it needs one (n, 17, 3) for each video")
    return Predictions(
        path=path,
        videos={name: human36m_order(_poses(path, name, array), order) for name, array in arrays.items()},
        joints=order,
        about=about,
    )


def _read_mat(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    with needed_for("a Matlab file", "train"):
        from actionpose.evaluate.matfile import read_arrays
    return read_arrays(path), {}


def _read_npz(path: Path) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
    make = "write it with numpy.savez(path, TS1=array, …), an array (n, 17, 3) for each video, no pickled objects"
    arrays = read_plain_npz(path, wants="predictions", make=make)
    try:
        about = json.loads(str(arrays.pop(ABOUT))) if ABOUT in arrays else {}
    except ValueError as error:
        raise UserError(f"{path}: its '{ABOUT}' is not JSON: {error}", make) from error
    return arrays, about if isinstance(about, dict) else {}


def _poses(path: Path, name: str, array: NDArray[Any]) -> NDArray[np.float64]:
    """(n, 17, 3) from that or from the Matlab hand-over's (3, 17, 1, n)."""
    if not np.issubdtype(array.dtype, np.number):
        raise UserError(f"{path}: '{name}' holds {array.dtype}, not numbers", "one (n, 17, 3) for each video")
    poses = np.asarray(array, dtype=np.float64)
    if poses.ndim == 4 and poses.shape[:3] == (3, N_JOINTS, 1):
        poses = poses[:, :, 0].transpose(2, 1, 0)
    if poses.ndim != 3 or poses.shape[1:] != (N_JOINTS, 3):
        raise UserError(
            f"{path}: '{name}' has shape {array.shape}", "poses are (n, 17, 3), or (3, 17, 1, n) as for Matlab"
        )
    if not np.isfinite(poses).all():
        frame = int(np.flatnonzero(~np.isfinite(poses).all(axis=(1, 2)))[0])
        raise UserError(f"{path}: '{name}' is not finite in frame {frame}", "a frame without a pose cannot be scored")
    return poses


# --- scoring a file ---------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What of a protocol may be chosen; None and empty take what the file says, else the protocol's own."""

    protocol: str = ""
    split: str = ""
    windowing: str = ""
    clip_frames: int | None = None
    drop_tails: bool | None = None


def score_predictions(shards: ShardSet, found: Predictions, rules: Rules) -> Result:
    """The result of a predictions file, by the same code as a run's.

    An array holds either all frames of its video or those that count, in order.

    Raises:
        UserError: shards the protocol does not fit, a video without prediction, a number of frames that is neither.
    """
    if shards.kind != "benchmark":
        raise UserError(
            f"{shards.folder} holds motion, not a benchmark's videos: it has no fixed frames to predict",
            "score with the shards of `ap-data build-h36m` or `build-3dhp`; a run is measured by `ap-train evaluate`",
        )
    split = rules.split or str(found.about.get("split", "test"))
    there = sorted(set(shards.motions["split"]))
    if split and split not in there:
        raise UserError(f"{shards.folder} has no split '{split}'", f"--split {' or '.join(there)}")
    wanted = select_motions(shards, DataConfig(split=split))
    cut = _resolve(shards, found, rules, wanted)
    measured, skipped = measured_motions(shards, wanted, cut.protocol)
    scores, doubt = _score_videos(shards, found, measured, cut)
    stored = scoring.stated(shards, measured)
    carried: dict[str, Any] = {key: found.about[key] for key in CARRIED if key in found.about}
    stored["source_2d"] = str(found.about.get("source_2d", f"not stated (shards: {stored['source_2d']})"))
    return dataclasses.replace(
        scoring.summarise(scores, shards, cut.protocol),
        **stored,
        clip_frames=cut.size if cut.windowing in ("stitched", "chunks") else found.about.get("clip_frames"),
        windowing=cut.windowing,
        drop_tails=cut.drop_tails,
        skipped=skipped,
        left_out=sum(cut.left_out(*frames_of(shards, motion)) for motion in measured),
        fingerprint=shards.fingerprint,
        split=split,
        predictions=str(found.path),
        joints=found.joints,
        doubt=doubt or None,
        **carried,
    )


CARRIED = ("flip_tta", "legacy_ts56", "run", "checkpoint")
"""What a file says of itself that its result row repeats."""


def _score_videos(shards: ShardSet, found: Predictions, motions: list[int], cut: Cut) -> tuple[scoring.Scores, str]:
    """Errors of every video's frames that count, and what is doubtful about the file."""
    poses = _matched(shards, found, motions)
    parts, doubt = [], ""
    for motion in track(motions, "scoring", unit="video"):
        whole, valid = frames_of(shards, motion)
        frames = cut.counted(whole, valid)
        name = str(shards.motions["motion_id"][motion])
        predicted = _chosen(f"{found.path}: {name}", poses[motion], whole, frames, cut)
        target = target_mm(shards, motion, frames)
        doubt = doubt or _doubt(found, predicted, target)
        parts.append(scoring.score_video(predicted, target, frames, motion=motion))
    return scoring.Scores.joined(parts), doubt


def _resolve(shards: ShardSet, found: Predictions, rules: Rules, wanted: NDArray[np.bool_]) -> Cut:
    """What was asked for, else what the file says, else the protocol's own."""
    about = found.about
    protocol = protocol_of(shards, rules.protocol or str(about.get("protocol", "")), wanted)
    if about.get("fingerprint", shards.fingerprint) != shards.fingerprint:
        raise UserError(
            f"{found.path} was made from other shards ({about['fingerprint'][:15]}…) than {shards.folder} "
            f"({shards.fingerprint[:15]}…)",
            "score it with the shards it was made from",
        )
    drop = rules.drop_tails if rules.drop_tails is not None else about.get("drop_tails")
    return Cut(
        protocol=protocol,
        windowing=windowing_of(protocol, rules.windowing or str(about.get("windowing", ""))),
        size=int(rules.clip_frames or about.get("clip_frames") or protocol.clip_frames),
        drop_tails=protocol.drop_tails if drop is None else bool(drop),
    )


def target_mm(shards: ShardSet, motion: int, frames: Ints) -> NDArray[np.float64]:
    """Ground truth of these frames of a benchmark video, (n, 17, 3) root-relative millimetres."""
    stored = shards.motion_frames(motion)[frames]
    # Subtracted before the unit, in the stored precision, as the loader does: the same numbers to the last bit.
    unit = shards.videos[motion].units(frames)
    return (stored - stored[:, ROOT : ROOT + 1]).astype(np.float64) * unit


def _matched(shards: ShardSet, found: Predictions, motions: list[int]) -> dict[int, Floats]:
    """Motion → its array in the file."""
    short = {name.rpartition("/")[2]: array for name, array in found.videos.items()}
    out = {}
    for motion in motions:
        name = str(shards.motions["motion_id"][motion])
        array = found.videos.get(name, short.get(name.rpartition("/")[2]))
        if array is None:
            raise UserError(
                f"{found.path} has no prediction for {name}",
                f"it holds {len(short)}: {', '.join(sorted(short)[:6])}{', …' if len(short) > 6 else ''}; every video "
                "of the split needs an array",
            )
        out[motion] = array
    return out


def _chosen(where: str, poses: Floats, whole: int, frames: Ints, cut: Cut) -> Floats:
    """The predictions of the frames that count, in a video of `whole` frames."""
    if len(poses) == whole:
        return poses[frames]
    if len(poses) == len(frames):
        return poses
    raise UserError(
        f"{where} has {len(poses)} frames; the video has {whole}, of which {len(frames)} count by "
        f"{cut.protocol.name} ({cut.windowing}, T = {cut.size}{', tails dropped' if cut.drop_tails else ''})",
        "give all frames or those that count; --window, --windowing and --keep-tails change which do",
    )


def _doubt(found: Predictions, predicted: Floats, target: NDArray[np.float64]) -> str:
    """A question to the user when the file's numbers would fit far better in the other joint order."""
    if not len(predicted):
        return ""
    p = predicted - predicted[:, ROOT : ROOT + 1]
    mine = float(mpjpe(p, target).mean())
    if float(mpjpe(1000 * p, target).mean()) < 0.5 * mine:
        raise UserError(f"{found.path}: the poses seem to be metres", "give millimetres")
    other = np.argsort(MPI_3DHP_ORDER) if found.joints == "3dhp" else np.asarray(MPI_3DHP_ORDER)
    q = predicted[:, other] - predicted[:, other[:1]]
    theirs = float(mpjpe(q, target).mean())
    if theirs >= 0.5 * mine:
        return ""
    option = "h36m" if found.joints == "3dhp" else "3dhp"
    return f"with --joints {option} a video would have MPJPE {theirs:.1f} mm instead of {mine:.1f}: is that its order?"


class Recorder:
    """Collects a run's scored poses while it is measured, for `write_predictions`.

    Args:
        shards: what is measured; benchmark shards.

    Raises:
        UserError: projected motion, whose views a file of videos has no place for.
    """

    def __init__(self, shards: ShardSet) -> None:
        if shards.kind != "benchmark":
            raise UserError(
                f"{shards.folder} holds projected motion; predictions are written for benchmark shards",
                "omit --predictions",
            )
        self.shards = shards
        self.videos: dict[str, Floats] = {}

    def __call__(self, motion: int, view: int, frames: Ints, predicted: NDArray[np.float64]) -> None:
        """Take one video's prediction, in the order of its windows."""
        self.videos[str(self.shards.motions["motion_id"][motion])] = predicted


ABOUT_KEYS = (
    "protocol", "split", "windowing", "clip_frames", "drop_tails", "flip_tta", "legacy_ts56", "source_2d",
    "fingerprint", "run", "checkpoint",
)  # fmt: skip


def about_predictions(result: Result) -> dict[str, Any]:
    """What a predictions file states about itself, from the result it belongs to."""
    return {key: value for key in ABOUT_KEYS if (value := getattr(result, key)) is not None}

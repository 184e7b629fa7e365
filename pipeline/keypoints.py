"""SMPL+H motion to 17 keypoints at the target rate, one file at a time. Stage *keypoints*."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.files import atomic_path, sha256_file
from actionpose.skeleton import JOINT_NAMES, ROOT
from pipeline import tables
from pipeline.amass import Motion, read_motion
from pipeline.body import available_genders, find_body, load_body
from pipeline.collapse import KeypointTable
from pipeline.config import DataConfig, KeypointConfig
from pipeline.manifest import KeypointRow, MotionRow
from pipeline.mesh import mesh_keypoints
from pipeline.regressor import Regressor, load_regressor
from pipeline.resample import frame_times, resample_motion, snap_rate
from pipeline.stage import Item, ItemError, Rows, Skip, Stage

FASTEST_JOINT = 60.0
"""m/s relative to the pelvis; a hand in a throw reaches about 25, so beyond this the units or the rate are wrong."""


@dataclass(frozen=True, kw_only=True)
class Keypoints:
    """Result for one motion.

    keypoints (T, 17, 3) float32 metres, AMASS world frame (z up); times (T,) float64 seconds.
    """

    keypoints: NDArray[np.float32]
    times: NDArray[np.float64]
    fps: float
    gender: str


# --- one motion -------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _regressor(path: str, body: str, gender: str, stamp: int) -> Regressor:
    return load_regressor(path, load_body(body, gender))


def regressor_for(path: str, body: str, gender: str) -> Regressor:
    """The regressor, checked on this body; kept per process as long as the file does not change.

    Raises:
        UserError: see `pipeline.regressor.load_regressor`.
    """
    file = Path(path).expanduser()
    stamp = file.stat().st_mtime_ns if file.is_file() else 0
    return _regressor(path, body, gender, stamp)


@lru_cache(maxsize=8)
def _table(path: str, body: str, gender: str, stamp: tuple[int, int]) -> KeypointTable:
    return KeypointTable.build(load_body(body, gender), regressor_for(path, body, gender))


def _fast_table(path: str, body: str, gender: str) -> KeypointTable:
    stamp = (find_body(body, gender).stat().st_mtime_ns, Path(path).expanduser().stat().st_mtime_ns)
    return _table(path, body, gender, stamp)


def body_gender(motion_gender: str, body: str, config: KeypointConfig) -> str:
    """Which body a motion gets: its own gender's, or what `keypoints.missing_gender` says.

    Raises:
        Skip: the gender is unknown and such motions are to be left out.
    """
    if motion_gender:
        return motion_gender
    if config.missing_gender == "skip":
        raise Skip("gender unknown", "the file does not say a gender, and keypoints.missing_gender is 'skip'")
    return config.missing_gender


def motion_keypoints(motion: Motion, fps_true: float, inputs: dict[str, str], config: KeypointConfig) -> Keypoints:
    """Resample on the time axis, then go through the body.

    Args:
        motion: at its stored rate.
        fps_true: the rate it was really captured at, Hz.
        inputs: `body` and `regressor` paths.
        config: method and target rate.

    Raises:
        UserError: body or regressor missing or wrong.
        ItemError: keypoints that no person can have.
    """
    gender = body_gender(motion.gender, inputs["body"], config)
    poses, trans = resample_motion(motion.poses, motion.trans, fps_true, config.fps)
    if config.method == "fast":
        subject = _fast_table(inputs["regressor"], inputs["body"], gender).at(motion.betas)
        points = subject.keypoints(poses, trans)
    else:
        regressor = regressor_for(inputs["regressor"], inputs["body"], gender)
        points = mesh_keypoints(load_body(inputs["body"], gender), regressor, poses, motion.betas, trans)
    points = np.ascontiguousarray(points, dtype=np.float32)
    if not np.isfinite(points).all():
        raise ItemError("not finite", "the body gave keypoints that are not finite")
    times = frame_times(len(motion.poses), fps_true, config.fps)
    return Keypoints(keypoints=points, times=times, fps=config.fps, gender=gender)


def fastest_joint(points: NDArray[np.float32], fps: float) -> float:
    """Largest speed of a joint relative to the pelvis, m/s; 0 for a single frame."""
    if len(points) < 2:
        return 0.0
    relative = points - points[:, ROOT : ROOT + 1]
    return float(np.linalg.norm(np.diff(relative, axis=0), axis=-1).max() * fps)


# --- one file ---------------------------------------------------------------------------------


def keypoints_file(source: Path, output: Path, config: DataConfig) -> Keypoints:
    """`ap-data keypoints FILE -o OUT`: write keypoints, fps, joint_names and frame_times.

    Raises:
        UserError: the motion, the body or the regressor cannot be used.
    """
    try:
        motion = read_motion(source)
        rate = snap_rate(motion.fps)
        parts = source.resolve().parts
        if config.keypoints.rate_overrides and len(parts) >= 3:
            known = tables.overridden_rate(parts[-3], parts[-2], motion.fps)
            rate = known.fps if known else rate
        inputs = {"body": config.inputs.body, "regressor": config.inputs.regressor}
        result = motion_keypoints(motion, rate, inputs, config.keypoints)
    except (ItemError, Skip) as error:
        raise UserError(error.message) from error
    with atomic_path(output) as aside, open(aside, "wb") as handle:
        np.savez(
            handle,
            keypoints=result.keypoints,
            fps=np.float64(result.fps),
            joint_names=np.array(JOINT_NAMES),
            frame_times=result.times,
            gender=np.array(result.gender),
            fps_stored=np.float64(motion.fps),
            fps_true=np.float64(rate),
            method=np.array(config.keypoints.method),
        )
    return result


# --- stage keypoints --------------------------------------------------------------------------


def keypoint_items(motions: Iterable[MotionRow]) -> list[Item]:
    """One item per motion; the cost is a guess at unpacking and computing it."""
    return [
        Item(
            id=row.motion_id,
            data={"source": row.source, "fps_true": row.fps_true},
            cost=0.002 + row.bytes / 60e6 + row.duration_s * 30 / 60e3,
        )
        for row in motions
    ]


def keypoints_one(item: Item, context: dict[str, Any], folder: Path) -> Rows:
    """One motion of the stage."""
    config: KeypointConfig = context["config"]
    motion = read_motion(Path(context["amass"]) / item.data["source"])
    result = motion_keypoints(motion, item.data["fps_true"], context, config)
    speed = fastest_joint(result.keypoints, config.fps)
    if speed > FASTEST_JOINT:
        raise ItemError(
            "joint too fast", f"{item.id}: a joint moves at {speed:.0f} m/s: wrong units or rate, or damage"
        )
    name = f"files/{item.id}.npy"
    with atomic_path(folder / name) as aside:
        np.save(aside, result.keypoints)
    row = KeypointRow(
        motion_id=item.id,
        file=name,
        frames=len(result.keypoints),
        fps=config.fps,
        body=result.gender,
        speed_max=round(speed, 3),
        bytes=(folder / name).stat().st_size,
        sha256=sha256_file(folder / name),
    )
    return {"keypoints": [row]}


def keypoints_stage(
    config: DataConfig, motions: Iterable[MotionRow], index_content: str
) -> tuple[Stage, dict[str, Any]]:
    """The stage and the context its workers get.

    Raises:
        UserError: the body of a gender that the motions need is missing, or the regressor does not fit it.
    """
    body, regressor = (str(Path(p).expanduser().resolve()) for p in (config.inputs.body, config.inputs.regressor))
    genders = sorted({row.gender or config.keypoints.missing_gender for row in motions} - {"skip"})
    found = set(available_genders(body))
    files = {gender: sha256_file(find_body(body, gender)) for gender in genders if gender in found}
    for gender in genders[:1]:
        find_body(body, gender)
    orders = {gender: regressor_for(regressor, body, gender) for gender in files}
    payload = {
        "keypoints": {key: value for key, value in asdict(config.keypoints).items() if key != "rate_overrides"},
        "body": files,
        "regressor": {gender: {"sha256": r.sha256, "order": r.order} for gender, r in orders.items()},
        "index": index_content,
    }
    stage = Stage(
        name="keypoints",
        version=1,
        tables=("keypoints",),
        work=keypoints_one,
        payload=payload,
        row_per_item="keypoints",
    )
    context = {
        "config": config.keypoints,
        "amass": str(Path(config.inputs.amass).resolve()),
        "body": body,
        "regressor": regressor,
    }
    return stage, context

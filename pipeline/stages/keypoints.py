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
from actionpose.geometry import FASTEST_JOINT, fastest_joint
from actionpose.skeleton import JOINT_NAMES, ROOT
from pipeline.body.collapse import KeypointTable
from pipeline.body.dmpls import SoftTissue, load_dmpls
from pipeline.body.mesh import mesh_keypoints
from pipeline.body.regressor import regressor_for
from pipeline.body.resample import exact_stride, frame_times, resample_linear, resample_motion, snap_rate
from pipeline.body.smplh import available_genders, find_body, load_body
from pipeline.config import DataConfig, KeypointConfig
from pipeline.engine.checksum import checksum_file
from pipeline.engine.item import Item, ItemError, Rows, Skip
from pipeline.engine.manifest import KeypointRow, MotionRow
from pipeline.engine.stage import Stage
from pipeline.sources import facts
from pipeline.sources.amass import Motion, MotionFile, open_motion

FASTEST_PERSON = 30.0
"""m/s of the pelvis, on median; the fastest runner makes 12, and a walk in centimetres 130."""


@dataclass(frozen=True, kw_only=True)
class Keypoints:
    """Result for one motion.

    keypoints (T, 17, 3) float32 metres, AMASS world frame (z up); times (T,) float64 seconds; gender of the body,
    stated whether the motion named it; soft_tissue whether DMPLs moved it.
    """

    keypoints: NDArray[np.float32]
    times: NDArray[np.float64]
    fps: float
    gender: str
    stated: bool = True
    soft_tissue: bool = False


# --- one motion -------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _table(path: str, body: str, gender: str, soft: SoftTissue | None, stamp: tuple[int, int]) -> KeypointTable:
    dirs = None if soft is None else soft.dirs
    return KeypointTable.build(load_body(body, gender), regressor_for(path, body, gender), dmpl_dirs=dirs)


def _fast_table(path: str, body: str, gender: str, soft: SoftTissue | None) -> KeypointTable:
    stamp = (find_body(body, gender).stat().st_mtime_ns, Path(path).stat().st_mtime_ns)
    return _table(path, body, gender, soft, stamp)


def body_gender(motion_gender: str, config: KeypointConfig) -> str:
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
        motion: at its stored rate, or thinned (`Motion.every`).
        fps_true: the rate it was really captured at, Hz, before any thinning.
        inputs: `body` and `regressor` paths, and `dmpls` where `keypoints.dmpls` is on.
        config: method and target rate.

    Raises:
        UserError: body, regressor or DMPL file missing or wrong.
        ItemError: keypoints that no person can have.
    """
    gender = body_gender(motion.gender, config)
    fps_read = fps_true / motion.every
    poses, trans = resample_motion(motion.poses, motion.trans, fps_read, config.fps)
    body, regressor = inputs["body"], inputs["regressor"]
    soft, dmpls = None, None
    if config.dmpls:
        soft = load_dmpls(inputs.get("dmpls", ""), gender, len(load_body(body, gender).v_template))
        dmpls = None if motion.dmpls is None else resample_linear(motion.dmpls, fps_read, config.fps)
    if config.method == "fast":
        points = _fast_table(regressor, body, gender, soft).at(motion.betas).keypoints(poses, trans, dmpls)
    else:
        model, matrix = load_body(body, gender), regressor_for(regressor, body, gender)
        points = mesh_keypoints(model, matrix, poses, motion.betas, trans, dmpls=dmpls, soft=soft)
    points = np.ascontiguousarray(points, dtype=np.float32)
    if not np.isfinite(points).all():
        raise ItemError("not finite", "the body gave keypoints that are not finite")
    times = frame_times(len(motion.poses), fps_read, config.fps)
    return Keypoints(
        keypoints=points,
        times=times,
        fps=config.fps,
        gender=gender,
        stated=bool(motion.gender),
        soft_tissue=dmpls is not None,
    )


def check_speeds(points: NDArray[np.float32], fps: float) -> float:
    """Largest speed of a joint about the pelvis in m/s, when person and joints are as slow as people are.

    Args:
        points: (T, 17, 3), metres.
        fps: their rate, Hz.

    Raises:
        ItemError: wrong units or rate, or damage.
    """
    speed = fastest_joint(points, fps)
    if speed > FASTEST_JOINT:
        raise ItemError("joint too fast", f"a joint moves at {speed:.0f} m/s: wrong units or rate, or damage")
    steps = np.linalg.norm(np.diff(points[:, ROOT], axis=0), axis=-1)
    travel = float(np.median(steps)) * fps if len(steps) else 0.0
    if travel > FASTEST_PERSON:
        raise ItemError(
            "person too fast",
            f"the person moves at {travel:.0f} m/s half of the time: trans is not in metres, or damaged",
        )
    return speed


def _needed(file: MotionFile, fps_true: float, config: KeypointConfig) -> Motion:
    """Of a motion that is picked by frames, those frames; of one that is interpolated, all."""
    return file.read(every=exact_stride(fps_true, config.fps) or 1, dmpls=config.dmpls)


def keypoints_file(source: Path, output: Path, config: DataConfig) -> Keypoints:
    """`ap-data keypoints FILE -o OUT`: write keypoints, fps, joint_names and frame_times.

    Raises:
        UserError: the motion, the body or the regressor cannot be used.
    """
    try:
        with open_motion(source) as file:
            stored = file.header.fps
            rate = snap_rate(stored)
            parts = source.resolve().parts
            if config.keypoints.rate_overrides and len(parts) >= 3:
                known = facts.overridden_rate(parts[-3], parts[-2], stored)
                rate = known.fps if known else rate
            motion = _needed(file, rate, config.keypoints)
        inputs = {name: getattr(config.inputs, name) for name in ("body", "regressor", "dmpls")}
        result = motion_keypoints(motion, rate, inputs, config.keypoints)
        check_speeds(result.keypoints, result.fps)
    except (ItemError, Skip) as error:
        raise UserError(error.message if str(source) in error.message else f"{source}: {error.message}") from error
    with atomic_path(output) as aside, open(aside, "wb") as handle:
        np.savez(
            handle,
            keypoints=result.keypoints,
            fps=np.float64(result.fps),
            joint_names=np.array(JOINT_NAMES),
            frame_times=result.times,
            gender=np.array(result.gender),
            fps_stored=np.float64(stored),
            fps_true=np.float64(rate),
            method=np.array(config.keypoints.method),
            soft_tissue=np.array(result.soft_tissue),
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
    with open_motion(Path(context["amass"]) / item.data["source"]) as file:
        motion = _needed(file, item.data["fps_true"], config)
    result = motion_keypoints(motion, item.data["fps_true"], context, config)
    speed = check_speeds(result.keypoints, config.fps)
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
        checksum=checksum_file(folder / name),
        soft_tissue=result.soft_tissue,
    )
    return {"keypoints": [row]}


def keypoints_stage(
    config: DataConfig, motions: Iterable[MotionRow], index_content: str
) -> tuple[Stage, dict[str, Any]]:
    """The stage and the context its workers get.

    Raises:
        UserError: no body that the motions need is there, or the regressor or DMPLs do not fit one.
    """
    body, regressor = (str(Path(p).resolve()) for p in (config.inputs.body, config.inputs.regressor))
    genders = sorted({row.gender or config.keypoints.missing_gender for row in motions} - {"skip"})
    found = set(available_genders(body))
    files = {gender: sha256_file(find_body(body, gender)) for gender in genders if gender in found}
    if genders and not files:
        find_body(body, genders[0])  # which says what is missing
    dmpls = config.inputs.dmpls and str(Path(config.inputs.dmpls).resolve())
    soft = {}
    if config.keypoints.dmpls:
        soft = {gender: load_dmpls(dmpls, gender, len(load_body(body, gender).v_template)).sha256 for gender in files}
    orders = {gender: regressor_for(regressor, body, gender) for gender in files}
    payload = {
        "keypoints": {key: value for key, value in asdict(config.keypoints).items() if key != "rate_overrides"},
        "body": files,
        "regressor": {gender: {"sha256": r.sha256, "order": r.order} for gender, r in orders.items()},
        "dmpls": soft,
        "index": index_content,
    }
    stage = Stage(
        name="keypoints",
        version=2,
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
        "dmpls": dmpls,
    }
    return stage, context

"""What to preview: a clip of a shard folder, a file of keypoints, or a motion on its body."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from actionpose.arrays import Floats
from actionpose.characters import printable
from actionpose.errors import UserError
from actionpose.geometry import facing_heading
from actionpose.progress import say
from actionpose.shards import ShardSet
from actionpose.skeleton import ROOT
from pipeline.body.keypoint_file import read_keypoints
from pipeline.body.regressor import regressor_for
from pipeline.body.smplh import load_body
from pipeline.config import DataConfig
from pipeline.engine.item import ItemError, Skip
from pipeline.sources.amass import read_motion
from pipeline.view.pictures import draw_mesh_png, export_glb


@dataclass(frozen=True, kw_only=True)
class Preview:
    """Something to look at: frames (T, 17, 3) metres, z up; `source` is what `title` does not name."""

    frames: Floats
    heading: float
    fps: float
    title: str
    source: str = ""


def find_clip(path: Path, clip_id: str = "", label: str = "") -> Preview:
    """The clip to show.

    Args:
        path: a shard folder, or a file that `ap-data keypoints` wrote.
        clip_id: in a shard folder, which clip; its motion's id gives the whole motion. Of a benchmark, which video.
        label: in a shard folder, the first clip with exactly this text, else one that begins with it or contains it.

    Raises:
        UserError: neither kind of path, no such clip, or a label where there are none.
    """
    if path.is_file():
        if clip_id or label:
            raise UserError(f"{path} is one motion", "leave --clip and --label out, or give a shard folder")
        frames, fps = read_keypoints(path)
        return Preview(frames=frames, heading=facing_heading(frames)[0], fps=fps, title=path.name)
    shards = ShardSet(path)
    motions = list(shards.motions["motion_id"])
    if shards.kind == "benchmark":
        if label:
            raise UserError(f"the videos of {path} have no labels", "name one: --clip ID")
        return _video(shards, motions, clip_id)
    if clip_id in motions:
        number = motions.index(clip_id)
        frames, heading = shards.motion_frames(number), float(shards.motions["heading"][number])
        return Preview(frames=frames, heading=heading, fps=shards.fps, title=clip_id)
    number = _clip_number(shards, clip_id, label)
    texts = [text for text, clip in zip(shards.pairs["text"], shards.pairs["clip"], strict=True) if clip == number]
    return Preview(
        frames=shards.clip_frames(number),
        heading=float(shards.clips["heading"][number]),
        fps=shards.fps,
        title=", ".join(texts),
        source=str(shards.clips["clip_id"][number]),
    )


def _video(shards: ShardSet, motions: list[str], motion_id: str) -> Preview:
    """A benchmark's video, the first by default, in metres and upright: the front view is what its camera sees."""
    if motion_id and motion_id not in motions:
        raise UserError(f"there is no video '{motion_id}'", "list them: ap-data inspect FOLDER --table videos")
    number = motions.index(motion_id) if motion_id else 0
    unit_mm = shards.videos[number].mean_unit_mm
    seen = shards.motion_frames(number) * (unit_mm / 1000)
    seen = seen - seen[:, ROOT].mean(axis=0)
    frames = np.stack([seen[..., 0], seen[..., 2], -seen[..., 1]], axis=-1)
    title = " ".join(filter(None, [motions[number], str(shards.motions["action"][number])]))
    return Preview(frames=frames, heading=0.0, fps=float(shards.motions["fps_true"][number]), title=title)


def _clip_number(shards: ShardSet, clip_id: str, label: str) -> int:
    if clip_id:
        found = np.flatnonzero(shards.clips["clip_id"] == clip_id)
        if not len(found):
            raise UserError(f"there is no clip '{clip_id}'", "list them: ap-data inspect FOLDER --table clips")
        return int(found[0])
    texts = list(shards.pairs["text"])
    matches = _matching(texts, label)
    if not matches:
        raise UserError(f"no label contains '{label}'", "list them: ap-data inspect FOLDER --table pairs")
    if label:
        chosen = texts[matches[0]]
        clips = "1 clip" if len(matches) == 1 else f"{len(matches):,} clips"
        say(printable(f"'{chosen}', the first of {clips} {_how(chosen, label)} '{label}'"))
    return int(shards.pairs["clip"][matches[0]])


def _matching(texts: list[str], label: str) -> list[int]:
    """Rows with exactly this label; where there are none, those that begin with it, hold it as a word, or hold it."""
    it = re.escape(label.strip().casefold())
    patterns = (f"{it}$", rf"{it}\b", rf".*\b{it}\b", f".*{it}")
    found = ([n for n, text in enumerate(texts) if re.match(p, text.strip().casefold())] for p in patterns)
    return next(filter(None, found), [])


def _how(text: str, label: str) -> str:
    text, label = text.strip().casefold(), label.strip().casefold()
    begins = "begins with" if text.startswith(label) else "contains"
    return "labelled" if text == label else f"whose label {begins}"


def show_body(path: Path, config: DataConfig, out: Path, frame: int | None) -> str:
    """Draw one frame of an AMASS motion as a mesh with its keypoints: `.png`, or `.glb` for a 3D viewer.

    Raises:
        UserError: the motion, body or regressor cannot be used, or there is no such frame.
    """
    from pipeline.body.mesh import mesh_vertices

    try:
        motion = read_motion(path)
    except (ItemError, Skip) as error:
        raise UserError(error.message) from error
    frame = len(motion.poses) // 2 if frame is None else frame
    if not 0 <= frame < len(motion.poses):
        raise UserError(f"{path} has frames 0 to {len(motion.poses) - 1}, not {frame}")
    gender = motion.gender or config.keypoints.missing_gender
    body = load_body(config.inputs.body, gender)
    at = slice(frame, frame + 1)
    vertices = mesh_vertices(body, motion.poses[at], motion.betas, motion.trans[at])[0]
    if out.suffix == ".glb":
        export_glb(vertices, body.faces, out)
    else:
        regressor = regressor_for(config.inputs.regressor, config.inputs.body, gender)
        draw_mesh_png(vertices, body.faces, regressor.matrix @ vertices, out, title=f"{path.name}, frame {frame}")
    return f"frame {frame} of {len(motion.poses)}, {gender} body"

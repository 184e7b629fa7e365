"""What both forms of Human3.6M files share: poses in screen units, names of actions, takes a protocol leaves out."""

from __future__ import annotations

import numpy as np

from actionpose.arrays import Float32s, Floats
from actionpose.geometry import pixel_to_screen
from pipeline.h36m.cameras import Camera
from pipeline.sources import facts


def screen_pose(xy: Floats, third: Floats | float, camera: Camera) -> Float32s:
    """(n, 17, 2) pixels and a third channel, already in its unit, as (n, 17, 3) float32 with x, y in screen units."""
    pose = np.empty((*xy.shape[:2], 3), dtype=np.float32)
    pose[..., :2] = pixel_to_screen(xy.astype(np.float64), camera.width, camera.height)
    pose[..., 2] = third
    return pose


def action_names() -> dict[int, str]:
    """Number in file names → name of the action."""
    return {row["number"]: row["name"] for row in facts.table("h36m")["action"]}


def skipped(protocol: str, subject: str, take: str) -> dict[str, str]:
    """Protocol → reason, when it leaves a take out."""
    rows = facts.table("h36m")["skip"]
    key = (protocol, subject, take)
    return {row["protocol"]: row["reason"] for row in rows if (row["protocol"], row["subject"], row["take"]) == key}

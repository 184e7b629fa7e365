"""The player for web pages: scenes as data for `assets/player.js`, its HTML, and a page that holds nothing else."""

from __future__ import annotations

import base64
import html
import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.files import write_text
from actionpose.geometry import camera_matrix
from actionpose.picture.panels import caption
from actionpose.picture.scene import OBLIQUE, Person, Scene
from actionpose.skeleton import BONES, LEFT, RIGHT

UNKNOWN = -32768
"""What stands for a coordinate that is not known."""

FLATS = 2
"""Small pictures beside the turning one."""


def asset(name: str) -> str:
    """A file of this folder's assets: `page.css` or `player.js`."""
    return resources.files("actionpose.picture").joinpath("assets", name).read_text(encoding="utf-8")


def clip_data(scene: Scene) -> dict[str, Any]:
    """A scene as the script reads it: int16 millimetres from an origin on the floor."""
    points = np.concatenate([person.points.reshape(-1, 3) for person in scene.people])
    known = points[np.isfinite(points).all(axis=1)]
    middle = (known.min(axis=0) + known.max(axis=0)) / 2 if len(known) else np.zeros(3)
    origin = np.array([middle[0], middle[1], 0.0])
    flats: list[dict[str, Any]] = []
    if scene.seen is not None:
        flats.append({"name": scene.seen.name, **_layer(scene.seen.points, scene.seen.filled)})
    cameras = {view: camera_matrix(view, scene.heading).round(6).tolist() for view in scene.views if view != OBLIQUE}
    flats += [{"name": caption(view), "camera": camera} for view, camera in cameras.items()]
    return {
        "title": scene.title,
        "about": scene.about,
        "fps": scene.fps,
        "frames": len(scene),
        "first_s": round(scene.first_s, 3),
        "heading": scene.heading,
        "floor": _floor(known),
        "people": [_person(person, origin) for person in scene.people],
        "flats": flats[:FLATS],
        "labels": [
            {"from": x.start_s * scene.fps, "to": x.end_s * scene.fps, "text": x.text} for x in scene.labels
        ],
        "values": [{"name": name, "data": _numbers(values)} for name, values in scene.errors_mm.items()] or None,
        "unit": "mm",
    }  # fmt: skip


def _person(person: Person, origin: Floats) -> dict[str, Any]:
    return {"name": person.name, "ghost": person.ghost, **_layer(person.points - origin, person.filled)}


def _layer(points: Floats, filled: NDArray[np.bool_] | None) -> dict[str, Any]:
    whole = np.isfinite(points).all(axis=-1, keepdims=True)
    millimetres = np.clip(np.rint(np.where(whole, points, 0.0) * 1000), UNKNOWN + 1, 32767)
    out: dict[str, Any] = {"data": _text(np.where(whole, millimetres, UNKNOWN).astype("<i2"))}
    if filled is not None and filled.any():
        out["filled"] = _text(filled.astype(np.uint8))
    return out


def _text(values: NDArray[Any]) -> str:
    return base64.b64encode(values.tobytes()).decode("ascii")


def _numbers(values: Floats) -> list[float | None]:
    return [round(float(v), 1) if np.isfinite(v) else None for v in values]


def _floor(known: Floats) -> float:
    """Height of the ground in metres: 0 where the feet come near it, else just under the lowest joint."""
    lowest = float(np.percentile(known[:, 2], 0.5)) if len(known) else 0.0
    return 0.0 if -0.1 < lowest < 0.3 else lowest - 0.05


def player(clips: Sequence[Mapping[str, Any]], *, grid: float | None = None) -> str:
    """The player's HTML for a page with `page.css` and, at its end, `player.js`.

    Args:
        clips: of `clip_data`, at least one.
        grid: screen units for a metre: the flat views get a grid in screen units.
    """
    content = {"clips": clips, "bones": BONES, "left": LEFT, "right": RIGHT, "grid": grid}
    data = json.dumps(content, ensure_ascii=False, separators=(",", ":")).replace("<", "\\u003c")
    options = "".join(f'<option value="{k}">{html.escape(clip["title"])}</option>' for k, clip in enumerate(clips))
    flats = '<div><canvas aria-label="2D view"></canvas><span></span></div>' * max(len(clip["flats"]) for clip in clips)
    ghosts = list(dict.fromkeys(p["name"] for clip in clips for p in clip["people"] if p["ghost"]))
    keys = "".join(f'<span class="key ghost"><i class="swatch ghost"></i>{html.escape(name)}</span>' for name in ghosts)
    return (
        '<div class="player"><p class="legend"><span class="key"><i class="swatch left"></i>left</span>'
        f'<span class="key"><i class="swatch right"></i>right</span>{keys}'
        '<span class="key hollow" hidden><i class="swatch hollow"></i>not seen: completed by the model</span></p>'
        '<div class="viewer"><canvas class="space" tabindex="0" aria-label="Skeleton in 3D, drag to turn"></canvas>'
        f'<div class="flat">{flats}</div></div><p class="phase"></p><div class="bands"></div>'
        '<canvas class="track" hidden aria-label="Error over time"></canvas><p class="legend values"></p>'
        '<div class="controls"><button class="play" type="button">Pause</button>'
        f'<select class="pick" aria-label="Which clip"{" hidden" if len(clips) == 1 else ""}>{options}</select>'
        '<div class="timeline"><input class="slider" type="range" min="0" max="1" value="0" aria-label="Frame"></div>'
        '<span class="clock"></span></div><p class="note about"></p>'
        f'<script type="application/json">{data}</script></div>'
    )


def document(title: str, body: str, styles: str = "") -> str:
    """A whole page that fetches nothing, with the looks and the script of the player."""
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>\n{asset('page.css')}{styles}</style>\n</head>\n<body>\n<main>\n"
        f"{body}</main>\n<script>\n{asset('player.js')}</script>\n</body>\n</html>\n"
    )


def write_page(scenes: Sequence[Scene], out: Path) -> None:
    """Write scenes as one HTML file."""
    title = scenes[0].title
    body = (
        f"<header><h1>{html.escape(title)}</h1></header>\n<section>{player([clip_data(scene) for scene in scenes])}"
        '<p class="note">Drag to turn, shift-scroll to come nearer, double-click to start over; '
        "the floor's lines are half a metre apart.</p></section>\n"
    )
    write_text(out, document(title, body))

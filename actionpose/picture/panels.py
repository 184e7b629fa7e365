"""The panels of a scene: the 2D input and the views in 3D, at one scale, over the ground, and the labels over time.

Units are those of the board. Shape letters: T frames.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from actionpose.arrays import Floats
from actionpose.charts import HAIR, INK, SOFT
from actionpose.drawing import GHOST_COLOUR, LEFT_COLOUR, RIGHT_COLOUR, Strokes, rgb, skeleton
from actionpose.geometry import camera_matrix, to_camera, view_angles
from actionpose.picture.board import Board
from actionpose.picture.scene import OBLIQUE, Person, Scene, followed
from actionpose.skeleton import BONES

SEEN_PAPER = "#f2f3f5"
TINTS = ("#d7e8e4", "#e9dff1", "#f6e7c8", "#dbe6d0", "#f3dada", "#dfe3ea")
STRONG = ("#0f766e", "#7c3aa8", "#946200", "#4d7c0f", "#b42318", "#475467")
"""Colours of labels, pale and full; none is a colour of the body."""

LEGEND = 460.0
"""Room for the legend beside the title."""

GRID_M, GRID_REACH_M = 0.5, 1.5
SHADOW = "#e4e6e9"
MARGIN_M = 0.14


@dataclass(frozen=True, kw_only=True)
class Panel:
    """One picture of every frame.

    Attributes:
        name: heading.
        paper: colour behind it.
        layers: people: (T, 17, 3) metres as the viewer sees them, the followed place at 0, and how to draw each.
        camera: (3, 3) world to viewer; None for the 2D input.
        path: (T, 3) metres, world: the followed place on the floor.
        flat: whether the camera is level, so that the ground is a line.
    """

    name: str
    paper: str
    layers: tuple[tuple[Floats, Person], ...]
    camera: Floats | None = None
    path: Floats | None = None
    flat: bool = True

    @cached_property
    def reach(self) -> tuple[float, float, float]:
        """Metres from the middle to a side, and of the lowest and the highest point (y down: the larger is lower)."""
        every = np.concatenate([points.reshape(-1, 3) for points, _ in self.layers])
        every = every[np.isfinite(every).all(axis=1)]
        if not len(every):
            return 0.5, 0.9, -0.9
        low, high = np.percentile(every[:, 1], [99.9, 0.1])
        return float(np.percentile(np.abs(every[:, 0]), 99.9)), float(low), float(high)


def panels_of(scene: Scene) -> list[Panel]:
    """The 2D input first if there is one, then the scene's views."""
    first = [_seen(scene)] if scene.seen else []
    return [*first, *(_view(scene, view) for view in scene.views)]


def _seen(scene: Scene) -> Panel:
    assert scene.seen is not None
    flat = scene.seen.points - followed(scene.seen.points, scene.fps)[:, None]
    points = np.concatenate([flat, np.zeros((*flat.shape[:-1], 1))], axis=-1)
    person = Person(points=points, filled=scene.seen.filled)
    return Panel(name=scene.seen.name, paper=SEEN_PAPER, layers=((points, person),))


def _view(scene: Scene, view: str) -> Panel:
    camera = camera_matrix(view, scene.heading)
    path = followed(scene.people[0].points, scene.fps) * np.array([1.0, 1.0, 0.0])
    layers = tuple((to_camera(person.points - path[:, None], camera), person) for person in scene.people)
    return Panel(name=caption(view), paper="#ffffff", layers=layers, camera=camera, path=path,
                 flat=view_angles(view)[1] == 0)  # fmt: skip


def caption(view: str) -> str:
    """A view for people."""
    if view == OBLIQUE:
        return "3D"
    if not view.startswith("yaw"):
        return f"3D, {view}"
    return f"3D, turned {view_angles(view)[0]:g}°"


def common_scale(panels: Sequence[Panel], width: float, height: float) -> float:
    """Units for a metre at which every frame of every panel fits."""
    reaches = [panel.reach for panel in panels]
    wide = max(side for side, _, _ in reaches) + MARGIN_M
    tall = max(low - high for _, low, high in reaches) + 2 * MARGIN_M
    return min(width / (2 * wide), height / tall)


def draw_panel(board: Board, panel: Panel, frame: int, box: tuple[float, float, float, float], scale: float) -> None:
    """Draw one frame of a panel into the box x, y, width, height."""
    x, y, width, height = box
    _, low, high = panel.reach
    origin = np.array([x + width / 2, y + height / 2 - scale * (low + high + MARGIN_M) / 2, 0.0])
    if panel.camera is not None:
        _ground(board, panel, frame, origin, scale, box)
    for points, person in sorted(panel.layers, key=lambda layer: not layer[1].ghost):
        at = points[frame] * scale + origin
        filled = None if person.filled is None else person.filled[frame]
        look = {"colour": GHOST_COLOUR, "thin": 0.6} if person.ghost else {}
        board.strokes(skeleton(at, scale, filled=filled, paper=panel.paper, **look))  # type: ignore[arg-type]


def _ground(
    board: Board, panel: Panel, frame: int, origin: Floats, scale: float, box: tuple[float, float, float, float]
) -> None:
    """The floor: a grid that fades with distance and the shadow of the first person; a line for a level camera."""
    assert panel.camera is not None
    assert panel.path is not None
    middle = panel.path[frame]
    if panel.flat:
        y = origin[1] + 0.02 * scale
        board.lines(np.array([[[box[0] + 8, y], [box[0] + box[2] - 8, y]]]), HAIR, 1.5)
        return

    def seen(floor: Floats) -> Floats:
        return to_camera(floor - middle, panel.camera)[..., :2] * scale + origin[:2]  # type: ignore[arg-type]

    ends, shares = _grid(middle, min(GRID_REACH_M, 0.65 * box[2] / scale))
    colours = [(*rgb(HAIR), share) for share in shares]
    board.lines(seen(ends), colours, 1.2)
    pose = panel.layers[0][0][frame] @ panel.camera + middle  # back in the world
    shadow = np.stack([pose[list(bone)] for bone in BONES]) * np.array([1.0, 1.0, 0.0])
    known = np.isfinite(shadow).all(axis=(1, 2))
    if known.any():
        n = int(known.sum())
        grey = np.tile(rgb(SHADOW), (n, 1))
        ends_2d = seen(shadow[known])
        board.strokes(Strokes(segments=ends_2d, colours=grey, widths=np.full(n, 0.07 * scale)), above=2)


def _grid(middle: Floats, reach: float) -> tuple[Floats, Floats]:
    """Pieces of the floor's grid within `reach` metres of a place, (S, 2, 3), and how strong each is."""
    steps = np.arange(-GRID_REACH_M, GRID_REACH_M + 1e-9, GRID_M)
    place = np.round(middle[:2] / GRID_M) * GRID_M
    short = GRID_M / 4
    along = np.arange(-GRID_REACH_M, GRID_REACH_M - 1e-9, short)
    pieces = [((a, b), (a + short, b)) for a in along for b in steps]
    pieces += [((b, a), (b, a + short)) for a in along for b in steps]
    flat = np.array(pieces) + place
    away = np.linalg.norm(flat.mean(axis=1) - middle[:2], axis=1)
    share = np.clip(1.25 * (1 - away / reach), 0, 1)
    kept = share > 0.02
    return np.concatenate([flat, np.zeros((len(flat), 2, 1))], axis=2)[kept], share[kept]


# --- around the panels ------------------------------------------------------------------------


def draw_title(board: Board, scene: Scene, x: float) -> None:
    """Two lines at the top."""
    board.text(x, 40, shortened(scene.title, board.width - 2 * x - LEGEND, 27), 24, fontweight="bold")
    board.text(x, 66, shortened(scene.about, board.width - 2 * x, 14), 14, SOFT)


def draw_legend(board: Board, scene: Scene, x: float, y: float) -> None:
    """What colours and hollow limbs mean, from x to the left."""
    entries = [(LEFT_COLOUR, "left", False), (RIGHT_COLOUR, "right", False)]
    entries += [(GHOST_COLOUR, person.name, False) for person in scene.people if person.ghost]
    if scene.anything_filled:
        entries.append(("#56616c", "not seen: completed by the model", True))
    for colour, name, hollow in reversed(entries):
        x -= 7.2 * len(name) + 4
        board.text(x, y + 5, name, 13, SOFT)
        spot = np.array([[[x - 26, y], [x - 12, y]]] * (2 if hollow else 1))
        colours = np.array([rgb(c) for c in (colour, "#ffffff")[: len(spot)]])
        board.strokes(Strokes(segments=spot, colours=colours, widths=np.array([9.0, 5.0])[: len(spot)]))
        x -= 40


def draw_timeline(board: Board, scene: Scene, x: float, y: float, width: float, frame: int | None = None) -> None:
    """The labels over time as a bar, the one at `frame` in full colour, with a cursor there."""
    length, height = len(scene) / scene.fps, 30.0
    board.bar(x, y, width, height, "#f2f3f5", above=0.5)
    texts = list(dict.fromkeys(label.text for label in scene.labels))
    now = None if frame is None else (frame + 0.5) / scene.fps
    for label in scene.labels:
        number = texts.index(label.text) % len(TINTS)
        left, right = (x + width * min(max(t, 0.0), length) / length for t in (label.start_s, label.end_s))
        current = now is not None and label.start_s <= now < label.end_s
        board.bar(left + 1, y, max(right - left - 2, 2), height, (STRONG if current else TINTS)[number])
        if short := shortened(label.text, right - left - 16, 14):
            board.text(left + 9, y + 20, short, 14, "#ffffff" if current else STRONG[number])
    if now is not None:
        at = x + width * now / length
        board.lines(np.array([[[at, y - 5], [at, y + height + 5]]]), INK, 2.5, above=7)


def shortened(text: str, width: float, size: float) -> str:
    """As much of a text as fits; empty where not even a few letters do."""
    fits = int(width / (0.56 * size))
    return text if len(text) <= fits else f"{text[: fits - 1]}…" if fits >= 5 else ""

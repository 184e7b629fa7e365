"""Human3.6M files to benchmark shards: which of them belong together, what else is needed, and the build."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from actionpose.config import fingerprint
from actionpose.errors import UserError
from actionpose.files import sha256_file
from actionpose.places import not_there
from actionpose.walk import Unreadable, walk, written_name
from pipeline.h36m import motionbert, videopose3d
from pipeline.h36m.cameras import cameras
from pipeline.h36m.extrinsics import FORMS, read_places
from pipeline.h36m.extrinsics import HINT as CAMERAS_HINT
from pipeline.h36m.recognise import PROTOCOLS, SENTENCES, WANTED, layout_of, recognise
from pipeline.pack.benchmark import BenchmarkFile, BenchmarkMotion, Rejected, Written, write_benchmark
from pipeline.sources import facts

STAGE = "build-h36m"
VERSION = 1
"""Raised when the same files would give other frames."""

LICENCE = (
    "Derived from Human3.6M: academic use under the licence of vision.imar.ro/human3.6m; neither frames nor what is "
    "made from them may be passed on."
)

_ADVICE = {
    videopose3d.LAYOUT_2D: "give data_3d_h36m.npz to --h36m and this file to --detections",
    "lcn-frames": f"it lists frames one by one without confidences; {motionbert.WHERE}",
    "clip-pickle": f"clips have neither video names nor the scale that scoring needs; {motionbert.WHERE}",
    "mmpose-frames": "it has no detections; its cameras.pkl serves --cameras, and --h36m takes data_3d_h36m.npz",
    "3dhp": "give it to `ap-data build-3dhp`",
    "amass": "give its folder to `ap-data build-babel --amass`",
    "web-page": "log in with a browser and download the file again",
    "empty": "download it again",
}
# --- what is to be done -----------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Opened:
    """Files that belong together, read: what they are, and their videos, one at a time."""

    files: tuple[BenchmarkFile, ...]
    motions: Callable[[], Iterable[BenchmarkMotion | Rejected]]
    videos: int
    notes: tuple[str, ...] = field(default=())

    @property
    def problems(self) -> list[str]:
        """What is odd about the files, each with its name."""
        return [f"{file.path.name}: {problem}" for file in self.files for problem in file.problems]


def open_h36m(h36m: Path, cameras_file: Path | None = None, detections: Path | None = None) -> Opened:
    """Find out what is given and read it.

    Args:
        h36m: a file, or a folder that holds one build's files.
        cameras_file: camera extrinsics; searched for next to the positions if not given.
        detections: 2D for the positions; found next to them if there is exactly one.

    Raises:
        UserError: a file is missing, ambiguous, damaged, or of another layout; with what to get or type.
    """
    main = _main_file(h36m)
    layout = layout_of(main)
    if layout == motionbert.LAYOUT:
        for given, option in ((cameras_file, "--cameras"), (detections, "--detections")):
            if given is not None:
                raise UserError(f"{main} has its own cameras and detections", f"leave {option} {given} out")
        return _open_pickle(main)
    if layout == videopose3d.LAYOUT_3D:
        return _open_world(main, cameras_file, detections)
    if layout in FORMS:
        advice = "give it to --cameras, and data_3d_h36m.npz to --h36m"
    else:
        advice = _ADVICE.get(layout or "", f"wanted: {WANTED}")
    raise UserError(f"{main}: {SENTENCES.get(layout or '', 'nothing this reader knows')}", advice)


def _main_file(given: Path) -> Path:
    """The file itself, or the one of a folder that a build can start from."""
    if given.is_file():
        return given
    if not given.is_dir():
        raise not_there(given, "check the path given with --h36m")
    layouts = dict(_layouts_in(given))
    mains = [path for path, layout in layouts.items() if layout in PROTOCOLS]
    if len(mains) == 1:
        return mains[0]
    if mains:
        raise UserError(
            f"{given} holds files for several builds: {', '.join(path.name for path in mains)}",
            "name one: " + " or ".join(f"--h36m {path}" for path in mains),
        )
    known = [f"{path.name} ({SENTENCES[layout]})" for path, layout in layouts.items() if layout]
    for place in walk(given, 3):
        if isinstance(place, Unreadable):
            known.append(f"{place.path.relative_to(given)} (cannot be read: {place.reason})")
        elif place.suffix == ".pkl":
            layout = layout_of(place)
            if layout == "clip-pickle":
                raise UserError(f"{given}: a folder of clips ({place.name}, …)", _ADVICE[layout])
            break
    raise UserError(
        f"{given} holds no file to start from" + (f"; there is {', '.join(known[:6])}" if known else ""),
        f"wanted: {WANTED}",
    )


def _layouts_in(folder: Path) -> Iterable[tuple[Path, str | None]]:
    for path in sorted(folder.iterdir()):
        if path.is_file() and not path.name.startswith("."):
            try:
                yield path, layout_of(path)
            except UserError:  # a damaged file matters only when the user names it
                yield path, None


def _open_pickle(path: Path) -> Opened:
    file = recognise(path)
    content = motionbert.read_content(path)
    file = replace(file, counts=content.counts, problems=content.problems)
    videos = sum(len(split.videos) for split in content.splits)
    return Opened(files=(file,), motions=lambda: motionbert.motions(content), videos=videos)


def _open_world(path: Path, cameras_file: Path | None, detections: Path | None) -> Opened:
    neighbours = dict(_layouts_in(path.parent)) if cameras_file is None or detections is None else {}
    cameras_file = cameras_file or _neighbour(neighbours, FORMS)
    if cameras_file is None:
        raise UserError(f"{path} holds positions in the world, but not where the cameras stood", CAMERAS_HINT)
    places = read_places(cameras_file)
    places_file = BenchmarkFile(
        path=cameras_file,
        layout=places.layout,
        sentence=places.sentence,
        counts={"subjects": len(places.subjects)},
        sha256=sha256_file(cameras_file),
    )
    positions = videopose3d.read_positions(path)
    takes = sum(len(by_take) for by_take in positions.values())
    shapes = [take.shape for by_take in positions.values() for take in by_take.values() if isinstance(take, np.ndarray)]
    frames = sum(shape[0] for shape in shapes if shape)
    counts = {"subjects": len(positions), "takes": takes, "frames": frames}
    files = [replace(recognise(path), counts=counts), places_file]
    seen, notes = _opened_detections(neighbours, detections, files)
    source = written_name(path.name)
    return Opened(
        files=tuple(files),
        motions=lambda: videopose3d.motions(source, positions, places, seen),
        videos=takes * len(cameras()),
        notes=notes,
    )


def _neighbour(layouts: dict[Path, str | None], wanted: Iterable[str]) -> Path | None:
    """The first file of the wanted layouts, in their order."""
    for layout in wanted:
        for path, found in layouts.items():
            if found == layout:
                return path
    return None


def _opened_detections(
    neighbours: dict[Path, str | None], given: Path | None, files: list[BenchmarkFile]
) -> tuple[videopose3d.Detections2D | None, tuple[str, ...]]:
    if given is None:
        found = [path for path, layout in neighbours.items() if layout == videopose3d.LAYOUT_2D]
        if not found:
            return None, ("no detections given: the 2D is projected from the 3D (source_2d gt)",)
        if len(found) > 1:
            raise UserError(
                f"{found[0].parent} holds several detections",
                "name one: " + " or ".join(f"--detections {path}" for path in found),
            )
        given = found[0]
    layout = layout_of(given)
    if layout != videopose3d.LAYOUT_2D:
        raise UserError(
            f"{given}: {SENTENCES.get(layout or '', 'nothing this reader knows')}, no detections",
            "--detections takes data_2d_h36m_cpn_ft_h36m_dbb.npz or another data_2d_h36m_*.npz",
        )
    seen = videopose3d.read_detections(given)
    takes = sum(len(by_take) for by_take in seen.takes.values())
    files.append(replace(recognise(given), counts={"subjects": len(seen.takes), "takes": takes}))
    return seen, ()


def build_h36m(opened: Opened, out: Path) -> Written:
    """Write the shards, unless they are there already.

    Raises:
        UserError: see `write_benchmark`.
    """
    return write_benchmark(
        out,
        opened.motions(),
        stage=STAGE,
        fps=float(facts.table("h36m")["fps"]),
        licence=LICENCE,
        sources=opened.files,
        # What manifests/h36m.toml says goes into the bytes: another table, another build.
        settings={"version": VERSION, "table": fingerprint(facts.table("h36m"))},
        total=opened.videos,
    )

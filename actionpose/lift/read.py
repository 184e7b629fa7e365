"""Which reader a keypoint file needs: decided by what is in it, never by its name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from actionpose.errors import UserError
from actionpose.lift.collect import DetectedPerson, collect
from actionpose.lift.detections import Detections, frames_of
from actionpose.lift.read_arrays import Objects, read_npy, read_npz, read_sleap
from actionpose.lift.read_json import load_json, nobody, openpose_people, read_content, read_json
from actionpose.lift.read_tables import read_table
from actionpose.lift.read_yolo import read_yolo
from actionpose.sniff import content_of, first_bytes, refuse_no_data

PICTURES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff"))
OPENPOSE_ENDING = "_keypoints.json"
MOST_FILES = 1_000_000
_FILMS = (b"ftyp", b"AVI ", b"webm", b"matroska", b"moov")
DETECT_FIRST = "run a 2D pose detector on it first; docs/lift.md shows how for MMPose, rtmlib, AlphaPose, OpenPose"


def read_keypoints(paths: Sequence[Path], objects: Objects | None = None) -> Detections:
    """Read the keypoints of one clip: a file, a folder of one file a frame, or the files of such a folder.

    Args:
        paths: the file, the folder, or all files of one clip.
        objects: opens VideoPose3D's members (`read_arrays.read_npz`).

    Raises:
        UserError: not there, damaged, or nothing that is known; the message names the file and the next move.
    """
    if len(paths) == 1 and paths[0].is_dir():
        return _read_folder(paths[0])
    if len(paths) > 1 and all(path.suffix == ".txt" for path in paths):
        return _read_yolo(sorted(paths), f"{paths[0].parent} ({len(paths)} files)")
    if len(paths) > 1:
        return _read_frames(sorted(paths), f"{paths[0].parent} ({len(paths)} files)")
    return _read_file(paths[0], objects)


def one_clip(paths: Sequence[Path]) -> bool:
    """Whether several paths are frames of one clip, as a shell's `frames/*.json` gives them, and not clips each."""
    endings = (OPENPOSE_ENDING, ".txt")
    return len(paths) > 1 and any(all(p.is_file() and p.name.endswith(ending) for p in paths) for ending in endings)


def _read_file(path: Path, objects: Objects | None) -> Detections:
    head = first_bytes(path)
    if not head:
        raise UserError(f"{path} is empty", "make it again")
    if head[:6] == b"\x93NUMPY":
        return read_npy(path)
    if head[:4] in (b"PK\x03\x04", b"PK\x05\x06"):
        return read_npz(path, objects)
    if head[:8] == b"\x89HDF\r\n\x1a\n":
        return read_sleap(path)
    _refuse(head, path)
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n")
    return read_json(path) if text[:1] in (b"{", b"[") else read_table(path)


def _refuse(head: bytes, path: Path) -> None:
    """Files that people give by mistake.

    Raises:
        UserError: it is one of them.
    """
    if head[:3] == b"\xff\xd8\xff" or head[:8] == b"\x89PNG\r\n\x1a\n" or head[:2] == b"BM":
        raise UserError(f"{path} is a picture", DETECT_FIRST)
    if any(mark in head[:64] for mark in _FILMS) or head[:4] == b"\x1a\x45\xdf\xa3":
        raise UserError(f"{path} is a film", DETECT_FIRST)
    if content_of(head) == "pickle":
        raise UserError(
            f"{path} is a pickle, and opening one runs whatever is in it",
            "save the arrays plainly: numpy.savez('keypoints.npz', keypoints=..., scores=...)",
        )
    refuse_no_data(path, "give the detector's own file")
    if b"\0" in head:
        raise UserError(f"{path} is not a known keypoint file", "docs/lift.md lists those that are")


# --- one file a frame -------------------------------------------------------------------------


def _read_folder(folder: Path) -> Detections:
    files = sorted(path for path in folder.iterdir() if path.is_file() and not path.name.startswith("."))
    frames = [path for path in files if path.suffix == ".json"]
    if frames:
        openpose = [path for path in frames if path.name.endswith(OPENPOSE_ENDING)]
        found = _read_frames(openpose or frames, str(folder))
        if openpose and len(openpose) < len(frames):
            found.notes.append(f"left out: {len(frames) - len(openpose)} files that are not *{OPENPOSE_ENDING}")
        return found
    labels = [path for path in files if path.suffix == ".txt" and path.stem != "classes"]
    if 2 * len(labels) > len(files):
        return _read_yolo(labels, str(folder))
    kinds = Counter(path.suffix.lower() for path in files)
    pictures = sum(n for suffix, n in kinds.items() if suffix in PICTURES)
    if pictures:
        raise UserError(f"{folder} holds {pictures} pictures and no keypoints", DETECT_FIRST)
    if not files:
        raise UserError(f"{folder} is empty", "give the folder of the detector's JSON files, or one file")
    known = [path for path in files if path.suffix in (".npz", ".npy", ".csv", ".h5")]
    if len(known) == 1:
        return _read_file(known[0], None)
    held = ", ".join(f"{n} {suffix or 'nameless'}" for suffix, n in kinds.most_common(3))
    raise UserError(
        f"{folder} holds {held} and no JSON",
        "give one file, or a folder with a JSON file (of YOLO a .txt) for each frame",
    )


def _read_frames(files: Sequence[Path], source: str) -> Detections:
    """OpenPose's or MMPose's files, one for each frame, their frame numbers in their names."""
    if len(files) > MOST_FILES:
        raise UserError(f"{source}: {len(files)} files", "give one clip at a time")
    if len(files) == 1:
        return _read_file(files[0], None)
    first = load_json(files[0])
    if isinstance(first, dict) and isinstance(first.get("people"), list):
        return _openpose_folder(files, source)
    numbers, notes = _numbers(files)
    parts = []
    for path, number in zip(files, numbers, strict=True):
        content = load_json(path)
        if nobody(content):
            continue
        part = read_content(content, path)
        if len(set(part.frame.tolist())) > 1:
            raise UserError(f"{source}: {path.name} is a clip of its own", "give one clip at a time")
        part.frame[:] = number
        parts.append(part)
    found = _joined(parts, source)
    found.notes += notes
    return found


def _numbers(files: Sequence[Path]) -> tuple[list[int], list[str]]:
    """The frame number of each file, by its name or else by their order, and what there is to say about it."""
    try:
        return frames_of([path.name for path in files], "").tolist(), []
    except UserError:
        note = "the files' names carry no frame numbers of their own, so their order by name counts"
        return list(range(len(files))), [note]


def _read_yolo(files: Sequence[Path], source: str) -> Detections:
    numbers, notes = _numbers(files)
    found = read_yolo(files, numbers, source)
    found.notes += notes
    return found


def _openpose_folder(files: Sequence[Path], source: str) -> Detections:
    people: list[DetectedPerson | None] = []
    numbers, notes = _numbers(files)
    for number, path in zip(numbers, files, strict=True):
        content = load_json(path)
        if not isinstance(content, dict) or not isinstance(content.get("people"), list):
            raise UserError(
                f"{path} is not an OpenPose frame like the other files: it has no 'people'", "remove it from the folder"
            )
        people += openpose_people(content, number, path)
    found = collect(people, Path(source), f"OpenPose folder of {len(files)} frames")
    found.notes += notes
    return found


def _joined(parts: Sequence[Detections], source: str) -> Detections:
    if len({part.points.shape[1] for part in parts}) > 1 or not parts:
        raise UserError(f"{source}: files of different detectors", "give one clip at a time")
    tracks = [part.track for part in parts]
    return Detections(
        source=source,
        kind=f"{parts[0].kind.removesuffix(', one frame')}, {len(parts)} files",
        frame=np.concatenate([part.frame for part in parts]),
        points=np.concatenate([part.points for part in parts]),
        confidence=np.concatenate([part.confidence for part in parts]),
        track=None if any(t is None for t in tracks) else np.concatenate([t for t in tracks if t is not None]),
        names=parts[0].names,
        units=parts[0].units,
        notes=sorted({note for part in parts for note in part.notes}),
    )

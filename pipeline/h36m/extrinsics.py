"""Where the cameras of Human3.6M stood for each subject, from whichever file the user has.

Four forms are recognised by their content: the dataset's `metadata.xml`; mmpose's `cameras.pkl`; a JSON of the table in
VideoPose3D's source; an `.npz` with `subjects`, `orientation` or `rotation`, and `translation`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.errors import UserError
from actionpose.sniff import first_bytes
from pipeline.body.rotations import quaternion_matrices
from pipeline.h36m.cameras import Extrinsics, camera_named, cameras
from pipeline.untrusted.npz import NpzError, open_npz
from pipeline.untrusted.pickles import glimpse, load_pickle, numbers

HINT = (
    "give --cameras the metadata.xml of the dataset, mmpose's cameras.pkl, or a JSON of VideoPose3D's table; "
    "docs/benchmark-data.md has the command that writes it"
)
SUBJECTS = 11
_W0 = re.compile(rb"<w0>\s*\[?([^<\]]*)\]?\s*</w0>")
_LARGEST_TEXT = 50_000_000
_FARTHEST_M = 50.0  # numbers beyond this are millimetres: the capture hall measures a few metres


@dataclass(frozen=True, kw_only=True)
class Places:
    """Extrinsics by (subject, camera id), and which form of file they come from."""

    layout: str
    sentence: str
    at: Mapping[tuple[str, str], Extrinsics]

    @property
    def subjects(self) -> list[str]:
        """Subjects of which all four cameras are known."""
        names = {subject for subject, _ in self.at}
        return sorted((s for s in names if all((s, c.id) in self.at for c in cameras())), key=lambda s: int(s[1:]))


def read_places(path: Path) -> Places:
    """Read a file of cameras.

    Raises:
        UserError: not there, none of the four forms, or damaged.
    """
    form = camera_form(path)
    if form is None:
        raise UserError(f"{path} holds no cameras of Human3.6M that this reader knows", HINT)
    read, sentence = FORMS[form]
    try:
        at = dict(read(path))
    except (KeyError, ValueError, TypeError, AttributeError, IndexError, RecursionError, NpzError) as error:
        raise UserError(f"{path}: {sentence}, but damaged: {type(error).__name__}: {error}", HINT) from error
    if not at:
        raise UserError(f"{path}: {sentence}, without a single camera in it", HINT)
    return Places(layout=form, sentence=sentence, at=at)


def camera_form(path: Path) -> str | None:
    """Which of the four forms a file has, by its content; None for none of them."""
    head, small = first_bytes(path, 64), path.stat().st_size <= _LARGEST_TEXT
    if head[:4] == b"PK\x03\x04":
        return "cameras-npz" if _npz_names(path) >= {"subjects", "translation"} else None
    if small and head.lstrip()[:1] in (b"{", b"[") and b"translation" in path.read_bytes():
        return "cameras-json"
    if small and head.lstrip()[:1] == b"<":
        return "metadata-xml" if _W0.search(path.read_bytes()) else None
    seen = glimpse(path) if small else None
    if seen is not None and seen.container in ("dict", "tuple") and {"R", "T", "f", "c"} <= set(seen.texts):
        return "mmpose-cameras"
    return None


def _npz_names(path: Path) -> frozenset[str]:
    try:
        with open_npz(path) as archive:
            return archive.names
    except NpzError:
        return frozenset()


# --- the four forms ---------------------------------------------------------------------------

Found = Iterator[tuple[tuple[str, str], Extrinsics]]


def _from_metadata(path: Path) -> Found:
    """`w0`: six numbers a camera and subject (three angles, position in mm), then nine a camera."""
    text = _W0.search(path.read_bytes())
    assert text is not None
    numbers = np.array([float(word) for word in re.split(rb"[\s,;]+", text[1].strip()) if word])
    wanted = 6 * SUBJECTS * len(cameras()) + 9 * len(cameras())
    if len(numbers) != wanted:
        raise ValueError(f"w0 has {len(numbers)} numbers, not {wanted}")
    for camera in cameras():
        for subject in range(1, SUBJECTS + 1):
            start = 6 * (SUBJECTS * camera.number + subject - 1)
            angles, position = numbers[start : start + 3], numbers[start + 3 : start + 6]
            yield (f"S{subject}", camera.id), _place(metadata_rotation(angles), position)


def metadata_rotation(angles: NDArray[np.floating]) -> NDArray[np.floating]:
    """Camera → world rotation from the three angles of `w0`: the transpose of Rx(-a₁) Ry(a₂) Rz(-a₃)."""
    (ca, cb, cg), (sa, sb, sg) = (f(np.array([-angles[0], angles[1], -angles[2]])) for f in (np.cos, np.sin))
    about_x = np.array([[1, 0, 0], [0, ca, sa], [0, -sa, ca]])
    about_y = np.array([[cb, 0, sb], [0, 1, 0], [-sb, 0, cb]])
    about_z = np.array([[cg, sg, 0], [-sg, cg, 0], [0, 0, 1]])
    return (about_x @ about_y @ about_z).T


def _from_mmpose(path: Path) -> Found:
    loaded = load_pickle(path)
    for (subject, name), entry in loaded.items():
        camera = camera_named(name)
        if camera is not None:
            yield (_subject(subject), camera.id), _place(entry["R"], entry["T"])


def _from_json(path: Path) -> Found:
    """Subject → four cameras in order, or camera id → entry, with `orientation` or `R`, `translation` or `T`."""
    for subject, entries in json.loads(path.read_text(encoding="utf-8")).items():
        in_order = (
            entries.items() if isinstance(entries, dict) else zip((c.id for c in cameras()), entries, strict=False)
        )
        for name, entry in in_order:
            camera = camera_named(entry.get("id", name))
            rotation = entry.get("orientation", entry.get("R"))
            if camera is None or rotation is None:
                continue  # VideoPose3D's table has empty entries for subjects without 3D
            yield (_subject(subject), camera.id), _place(rotation, entry.get("translation", entry.get("T")))


def _from_npz(path: Path) -> Found:
    with open_npz(path) as archive:
        subjects, positions = archive.read("subjects"), archive.read("translation")
        rotations = archive.read("orientation" if "orientation" in archive.names else "rotation")
    for s, subject in enumerate(subjects):
        for camera in cameras():
            yield (_subject(subject), camera.id), _place(rotations[s, camera.number], positions[s, camera.number])


FORMS = {
    "metadata-xml": (_from_metadata, "metadata of Human3.6M, with the cameras"),
    "mmpose-cameras": (_from_mmpose, "cameras as mmpose keeps them"),
    "cameras-json": (_from_json, "a table of cameras, JSON"),
    "cameras-npz": (_from_npz, "a table of cameras, npz"),
}
"""Name of a form → its reader, and what it is in words; the dataset's own before what others made of it."""


def _subject(name: object) -> str:
    text = name.decode() if isinstance(name, bytes) else str(name)
    if not re.fullmatch(r"S?0*\d{1,2}", text):
        raise ValueError(f"'{text[:40]}' is not a subject (S1 to S{SUBJECTS})")
    return f"S{int(text.removeprefix('S'))}"


def _place(rotation: Any, position: Any) -> Extrinsics:
    """A quaternion or a matrix, and a position in metres or millimetres."""
    given = numbers(rotation).astype(np.float64)
    if not np.isfinite(given).all() or not given.any():
        raise ValueError("not a rotation")
    turned = quaternion_matrices(given.reshape(4)) if given.size == 4 else given.reshape(3, 3)
    where = numbers(position).astype(np.float64).reshape(3)
    if not np.allclose(turned @ turned.T, np.eye(3), atol=1e-4) or np.linalg.det(turned) < 0:
        raise ValueError("not a rotation")
    if not np.isfinite(where).all():
        raise ValueError("a position that is not finite")
    return Extrinsics(rotation=turned, position=where / 1000 if np.linalg.norm(where) > _FARTHEST_M else where)

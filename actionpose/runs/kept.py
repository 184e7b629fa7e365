"""Clips that an evaluation keeps beside its result, for reports: predictions with their truth, masks, embeddings.

RUN/clips.npz, written by `keep` and read without torch. Shape letters: C clips, F frames of all of them, L frames of
the masked clip, M masks, N embedded clips.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from actionpose.arrays import Floats
from actionpose.errors import UserError
from actionpose.files import atomic_path
from actionpose.plain_npz import read_plain_npz

CLIPS = "clips.npz"
SCHEMA = "actionpose-kept-clips"


@dataclass(frozen=True, kw_only=True)
class Kept:
    """What is kept of one evaluation. Poses are root-relative millimetres in the camera's frame: x right, y down.

    Attributes:
        about: fingerprint of the shards, checkpoint, protocol, split, frames a second.
        clip: (C,) name: motion, view and first frame; equal for all runs that are measured on the same windows.
        label: (C,) what the clip shows; may be empty.
        first: (C + 1,) where each clip begins among the frames, and where the last one ends.
        predicted: (F, 17, 3).
        target: (F, 17, 3).
        seen: (F, 17, 2) the 2D input in the same scale, NaN where it was hidden.
        masked_clip: the clip that `masked` is about; -1 without.
        masked_frames: (M, 2) first hidden frame and the one after the last.
        masked: (M, L, 17, 3) predictions with these frames hidden.
        features: (N, D) embeddings of labelled clips.
        feature_label: (N,) their first category, or their text where they have none.
    """

    about: dict[str, Any] = field(default_factory=dict)
    clip: NDArray[np.str_]
    label: NDArray[np.str_]
    first: NDArray[np.int64]
    predicted: Floats
    target: Floats
    seen: Floats
    masked_clip: int = -1
    masked_frames: NDArray[np.int64] = field(default_factory=lambda: np.zeros((0, 2), dtype=np.int64))
    masked: Floats = field(default_factory=lambda: np.zeros((0, 0, 17, 3), dtype=np.float16))
    features: Floats = field(default_factory=lambda: np.zeros((0, 1), dtype=np.float32))
    feature_label: NDArray[np.str_] = field(default_factory=lambda: np.zeros(0, dtype=np.str_))

    def __len__(self) -> int:
        return len(self.clip)

    def part(self, number: int) -> slice:
        """The frames of a clip."""
        return slice(int(self.first[number]), int(self.first[number + 1]))

    def errors(self, number: int) -> Floats:
        """(T, 17) millimetres: every joint's distance from the truth, in a clip's frames."""
        part = self.part(number)
        return np.linalg.norm(self.predicted[part].astype(np.float64) - self.target[part].astype(np.float64), axis=-1)


def save_kept(kept: Kept, path: Path) -> None:
    """Write the file; it appears whole or not at all. Poses are stored as float16, exact to 1 mm within 2 m."""
    arrays: dict[str, Any] = {
        one.name: np.asarray(getattr(kept, one.name)) for one in dataclasses.fields(kept) if one.name != "about"
    }
    for name in ("predicted", "target", "seen", "masked"):
        arrays[name] = arrays[name].astype(np.float16)
    about = json.dumps({"schema": SCHEMA, **kept.about}, ensure_ascii=False)
    with atomic_path(path) as aside, open(aside, "wb") as handle:
        np.savez_compressed(handle, about=np.asarray(about), **arrays)


def load_kept(path: Path) -> Kept:
    """Read the file.

    Raises:
        UserError: not there, damaged, or another file.
    """
    again = "measure the run again with `ap-train evaluate`"
    arrays = read_plain_npz(path, wants="kept clips", make=again)
    try:
        about = json.loads(str(arrays.pop("about")))
        kept = Kept(**{**arrays, "masked_clip": int(arrays["masked_clip"]), "about": about})
        fits = about["schema"] == SCHEMA and len(kept.predicted) == len(kept.target) == len(kept.seen)
        if not fits or len(kept.first) != len(kept) + 1 or int(kept.first[-1]) != len(kept.target):
            raise ValueError("its parts do not fit each other")
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{path} does not hold the clips of an evaluation: {error}", again) from error
    return kept

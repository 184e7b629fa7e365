"""The demo world: a body, motion and labels in the formats of SMPL+H, AMASS and BABEL, made from nothing licensed.

FOLDER/smplh/{female,male,neutral}/model.npz, FOLDER/J_regressor_h36m.npy     the body (`body.py`)
FOLDER/amass/<dataset>/<subject>/<name>_poses.npz                             the motion
FOLDER/babel/{train,val}.json                                                 the labels
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from actionpose.files import atomic_path, write_text
from actionpose.progress import track
from pipeline.body.smplh import load_body
from pipeline.demo.body import write_demo_body
from pipeline.demo.labels import babel_json
from pipeline.demo.motion import Performance, perform
from pipeline.demo.rig import Rig
from pipeline.demo.script import SUBJECTS, DemoSequence, style_of, write_scenes

BETA_SIGMA = 0.8
N_DMPLS = 8
NO_DMPLS = "DemoStage"
"""This folder's files have no `dmpls`, as some sets of AMASS."""

LICENCE = """The motion in this folder is synthetic: drawn from curves by ActionPose, from nobody's recordings.
Use it for anything. Only the file layout is that of AMASS.
"""


def make_world(folder: str | Path, *, minutes: float = 10.0, seed: int = 0) -> None:
    """Write the demo world; the same arguments give the same bytes.

    Args:
        folder: where; files of the same names are replaced.
        minutes: length of all motion together, roughly.
        seed: another seed gives other people and other sequences.

    Raises:
        UserError: the folder cannot be written to.
    """
    folder = Path(folder)
    write_demo_body(folder)
    scenes = write_scenes(minutes, seed)

    @cache
    def person(subject: int) -> tuple[NDArray[np.float64], Rig]:
        betas = betas_of(subject, seed)
        return betas, Rig.of(load_body(folder / "smplh", SUBJECTS[subject].gender), betas)

    for scene in track(scenes, "acting", unit="sequence"):
        betas, rig = person(scene.subject)
        write_motion(folder / "amass" / scene.folder / f"{scene.name}_poses.npz", scene, act(rig, scene, seed), betas)
    _litter(folder / "amass", seed)
    for split in ("train", "val"):
        write_text(folder / "babel" / f"{split}.json", babel_json(scenes, split, seed))


def betas_of(subject: int, seed: int) -> NDArray[np.float64]:
    """A subject's shape (16,)."""
    return np.round(np.random.default_rng([seed, 14, subject]).normal(0, BETA_SIGMA, 16), 4)


def act(rig: Rig, scene: DemoSequence, seed: int) -> Performance:
    """Perform one scene."""
    return perform(
        rig,
        style_of(scene.subject, seed),
        scene.performed,
        seconds=scene.seconds,
        rate=scene.rate,
        key=(seed, 15, scene.sid),
        beside=scene.beside,
    )


def write_motion(path: Path, scene: DemoSequence, motion: Performance, betas: NDArray[np.float64]) -> None:
    """Write one file as the legacy edition of AMASS has it."""
    members: dict[str, NDArray[np.generic]] = {
        "trans": motion.trans,
        "gender": _gender(SUBJECTS[scene.subject].gender, SUBJECTS[scene.subject].folder),
        "mocap_framerate": np.array(scene.rate),
        "betas": betas,
        "dmpls": np.zeros((len(motion.trans), N_DMPLS)),
        "poses": motion.poses,
    }
    if SUBJECTS[scene.subject].folder == NO_DMPLS:
        del members["dmpls"]
    with atomic_path(path) as aside:
        np.savez_compressed(aside, **members)  # type: ignore[arg-type]


def _gender(gender: str, folder: str) -> NDArray[np.generic]:
    """The gender in one of the three forms that occur in AMASS."""
    forms = {"DemoCapture": np.array(gender, dtype="<U7"), "Demo_Studio": np.array(gender.encode(), dtype="S7")}
    return forms.get(folder, np.array([gender]))


def _litter(amass: Path, seed: int) -> None:
    """Leave the files lying about that AMASS has beside its motions."""
    write_text(amass / "DemoCapture" / "LICENSE.txt", LICENCE)
    first = next(i for i, subject in enumerate(SUBJECTS) if subject.folder == "Demo_Studio")
    with atomic_path(amass / "Demo_Studio" / SUBJECTS[first].name / "shape.npz") as aside:
        np.savez_compressed(aside, betas=betas_of(first, seed), gender=np.array(SUBJECTS[first].gender))

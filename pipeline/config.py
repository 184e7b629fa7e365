"""What changes the bytes of a build (`DataConfig`), kept apart from how it is run (`RunOptions`)."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from os.path import expanduser
from typing import Literal

from actionpose.config import section, setting


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Paths of the user's data, `~` expanded. They never enter a fingerprint; the contents of the files do."""

    amass: str = setting("", "folder of AMASS motions (SMPL+H G), one sub-folder per dataset")
    babel: str = setting("", "folder with BABEL's train.json and val.json")
    body: str = setting("", "folder with the SMPL+H body: smplh/{male,female,neutral}/model.npz")
    regressor: str = setting("", "the 17 x 6890 Human3.6M joint regressor, an .npy file")
    dmpls: str = setting("", "folder with soft-tissue directions, dmpls/{male,female,neutral}/model.npz; optional")
    h36m: str = setting("", "Human3.6M as others converted it, for `build-h36m`: a file or a folder")
    mpi_inf_3dhp: str = setting(
        "", "MPI-INF-3DHP for `build-3dhp`: folder with data_train_3dhp.npz and data_test_3dhp.npz"
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):  # no shell does it in a settings file
            object.__setattr__(self, field.name, expanduser(getattr(self, field.name)))


@dataclass(frozen=True, kw_only=True)
class KeypointConfig:
    """From SMPL+H parameters to 17 keypoints."""

    method: Literal["fast", "mesh"] = setting(
        "fast",
        "`fast`: skinning and regression collapsed exactly; `mesh`: all vertices through smplx, the oracle",
    )
    fps: float = setting(30.0, "frames per second of the result; the paper resamples AMASS to 30 Hz")
    missing_gender: Literal["neutral", "female", "male", "skip"] = setting(
        "neutral", "body for motions whose gender is unknown; the paper is silent"
    )
    rate_overrides: bool = setting(
        True, "correct the rates that manifests/amass.toml knows to be wrong, label times with them"
    )
    dmpls: bool = setting(
        False, "let soft tissue move (needs inputs.dmpls); files without `dmpls` count as still; the paper is silent"
    )

    def __post_init__(self) -> None:
        if not 1 <= self.fps <= 240:
            raise ValueError(f"keypoints.fps={self.fps} is not a frame rate between 1 and 240")


@dataclass(frozen=True, kw_only=True)
class ProjectConfig:
    """From keypoints to orthographic views."""

    views: tuple[str, ...] = setting(
        ("front", "side"),
        "views to project to; the paper uses front and side; also `back`, `yaw+45`, `yaw-30pitch+15`",
    )
    heading: Literal["canonical", "world"] = setting(
        "canonical",
        "`canonical`: each clip is turned so that its person faces the front camera; `world`: as captured, as in "
        "MotionBERT, where front is a front view only by chance; the paper is silent",
    )

    def __post_init__(self) -> None:
        if not self.views or len(set(self.views)) != len(self.views):
            raise ValueError(f"project.views={list(self.views)} must name at least one view, none twice")


@dataclass(frozen=True, kw_only=True)
class PairConfig:
    """From BABEL labels to label/motion pairs."""

    splits: tuple[str, ...] = setting(
        ("train", "val"), "BABEL files to use; test labels are withheld by BABEL and cannot make pairs"
    )
    extra: bool = setting(False, "also use extra_train.json and extra_val.json; the paper does not mention them")
    text: Literal["proc", "raw"] = setting(
        "proc",
        "`proc`: lemmatised labels, one text per action; `raw`: as typed, with many inflections of one action",
    )
    sequence_labels: bool = setting(
        True, "a sequence without frame labels and with exactly one label is one pair over the whole motion"
    )
    transition: Literal["span", "cut", "skip"] = setting(
        "span",
        "`span`: one contiguous clip from the start of A to the end of B; `cut`: A and B joined without the frames "
        "between; the paper's sentence can be read both ways",
    )
    same_label_transitions: bool = setting(
        True,
        "keep transitions between two labels of one text, as in `transit from walk to walk`: there is a pause or a "
        "change that BABEL marks; false drops them, each with its reason; the paper is silent",
    )
    tolerance_s: float = setting(0.1, "seconds by which A may end before, or B start after, a transition")
    min_frames: int = setting(15, "shortest pair, frames at the target rate; the paper is silent")
    min_side_frames: int = setting(8, "shortest A and B of a transition clip, frames; the paper is silent")
    exclude_labels: tuple[str, ...] = setting((), "labels that make no pairs, for example `t-pose`; none by default")
    duration_tolerance_s: float = setting(
        0.25, "a motion whose length differs from BABEL's `dur` by more is rejected: wrong edition or rate"
    )


@dataclass(frozen=True, kw_only=True)
class PackConfig:
    """From clips and pairs to shards."""

    max_frames: int = setting(500_000, "frames in one shard file, about 100 MB; a motion is never divided")
    duplicates: Literal["report", "drop"] = setting(
        "report",
        "the same take under two ids, found by content: `report` lists them in manifests/duplicates.jsonl; `drop` also "
        "leaves one copy's pairs out: the one in train when training and validation share the take, else the later id; "
        "the paper is silent",
    )
    max_per_label: int = setting(
        0,
        "most pairs of one text in train, transitions included; others are left out, each with its reason in "
        "manifests/dropped.jsonl; val is never reduced; 0: no cap; the paper is silent",
    )
    cap_seed: int = setting(0, "which pairs `max_per_label` keeps; nothing else depends on it")

    def __post_init__(self) -> None:
        if self.max_per_label < 0:
            raise ValueError(f"pack.max_per_label={self.max_per_label} must be a number of pairs, or 0 for no cap")


@dataclass(frozen=True, kw_only=True)
class DataConfig:
    """Everything that decides what a build contains."""

    inputs: Inputs = section(Inputs, "paths of the user's data")
    keypoints: KeypointConfig = section(KeypointConfig, "SMPL+H to keypoints")
    project: ProjectConfig = section(ProjectConfig, "keypoints to views")
    pairs: PairConfig = section(PairConfig, "labels to pairs")
    pack: PackConfig = section(PackConfig, "clips and pairs to shards")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a build is run; nothing here changes a byte of it."""

    workers: int = 0
    scheduler: str = ""
    retry_failed: bool = False
    max_failure_share: float = 0.5
    debug: bool = False

"""Which 3D a file holds is judged by geometry, and files that contradict each other are refused."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actionpose.shards import ShardSet
from pipeline.demo.mpi3dhp import write_demo_3dhp
from pipeline.mpi3dhp.recognise import chosen, look
from pipeline.sources.facts import table
from tests.makers.mpi3dhp import content, rewritten, run
from tests.makers.shards import make_shards

FACTS = table("mpi_inf_3dhp")


def test_counts_that_differ_from_the_published_files_are_named_with_both_numbers(files: Path):
    problems = {x.contents.split: " | ".join(x.file.problems) for x in chosen(files)}
    n = len(content(files / "data_train_3dhp.npz")["S1 Seq1"][0]["0"]["data_3d"])
    assert f"S1_Seq1 {n} instead of 6,416" in problems["train"]
    assert "10 of 16 sequences are missing" in problems["train"]
    assert "S1_Seq1 has 0, 2, 8" in problems["train"]
    test = content(files / "data_test_3dhp.npz")
    assert f"TS1 {int(test['TS1']['valid'].sum())} instead of 603" in problems["test"]


def test_annot3_is_distinguished_from_univ_annot3_by_geometry_and_permits_no_protocol(filmed: ShardSet, tmp_path: Path):
    write_demo_3dhp(tmp_path / "metric", filmed, annotation="metric")
    looks = chosen(tmp_path / "metric")
    assert [x.kind for x in looks] == ["metric", "metric"]
    assert all(x.annotation.as_is_px < 0.1 for x in looks)
    assert [x.file.protocols for x in looks] == [(), ()]
    assert "annot3 permits no protocol" in " ".join(looks[0].file.problems)


def test_one_person_filmed_as_they_are_under_many_names_is_still_metric(tmp_path: Path):
    one = ShardSet(make_shards(tmp_path / "one", (70,), splits=("train", "val")))
    write_demo_3dhp(tmp_path / "metric", one, annotation="metric")
    write_demo_3dhp(tmp_path / "universal", one)
    assert [x.kind for x in chosen(tmp_path / "metric")] == ["metric", "metric"]
    assert [x.kind for x in chosen(tmp_path / "universal")] == ["universal", "universal"]


@pytest.mark.parametrize("annotation", ["universal", "metric"])
def test_the_judgement_survives_noisy_and_distorted_2d(annotation: str, filmed: ShardSet, tmp_path: Path):
    write_demo_3dhp(tmp_path / "clean", filmed, annotation=annotation)
    rng = np.random.default_rng(0)

    def damage(data: dict[str, Any]) -> dict[str, Any]:
        for clip in data.values():
            x = (clip["data_2d"] - 1024) / 1500
            clip["data_2d"] = (x * (1 - 0.1 * (x**2).sum(-1, keepdims=True))) * 1500 + 1024 + rng.normal(0, 5, x.shape)
        return data

    assert look(rewritten(tmp_path / "clean", tmp_path / "f", damage, "test")).kind == annotation


def test_the_scale_that_was_taken_out_of_each_subject_is_found(files: Path):
    (train, _) = chosen(files)
    assert train.kind == "universal"
    assert train.annotation.height_spread < 0.02
    by_subject: dict[str, set[float]] = {}
    for key, (cameras, _) in content(files / "data_train_3dhp.npz").items():
        for clip in cameras.values():
            best = best_scale(clip["data_2d"].astype(float), clip["data_3d"].astype(float))
            by_subject.setdefault(key[:2], set()).add(best)
    for subject, scales in by_subject.items():
        assert abs(train.annotation.scales[subject] - np.median(list(scales))) < 0.01


def best_scale(pose2d: np.ndarray, pose3d: np.ndarray) -> float:
    """Independent of the reader: which scale about the pelvis makes the true camera's picture."""
    scales = np.arange(0.8, 1.25, 0.002)
    pelvis = pose3d[:, 14:15]
    errors = []
    for k in scales:
        points = pelvis + k * (pose3d - pelvis)
        pixels = points[..., :2] / points[..., 2:] * np.array([1497.7, 1497.1]) + 1024
        errors.append(np.abs(pixels - pose2d).mean())
    return float(scales[int(np.argmin(errors))])


def test_3d_that_is_root_relative_is_not_judged_until_the_user_says(files: Path, tmp_path: Path):
    def centred(data: dict[str, Any]) -> dict[str, Any]:
        for cameras, _ in data.values():
            for clip in cameras.values():
                clip["data_3d"] = clip["data_3d"] - clip["data_3d"][:, 14:15]
        return data

    path = rewritten(files, tmp_path / "f", centred)
    (looked,) = chosen(path)
    assert looked.kind == "unknown"
    assert "--annotation universal" in " ".join(looked.file.problems)
    (named,) = chosen(path, "universal")
    assert named.file.protocols == ("3dhp",)


def test_what_geometry_finds_is_reported_even_against_the_users_choice(files: Path, tmp_path: Path):
    def halved(data: dict[str, Any]) -> dict[str, Any]:
        return {name: {**video, "data_2d": video["data_2d"] / 2} for name, video in data.items()}

    path = rewritten(files, tmp_path / "halved", halved, "test")
    (looked,) = chosen(path, "universal")
    assert looked.kind == "universal"
    assert "does not project onto the 2D" in looked.file.sentence


def test_training_on_one_kind_beside_testing_on_the_other_is_refused(files: Path, filmed: ShardSet, tmp_path: Path):
    write_demo_3dhp(tmp_path / "f", filmed, annotation="metric")
    shutil.copy(files / "data_train_3dhp.npz", tmp_path / "f")
    result = run("build-3dhp", "--mpi-inf-3dhp", tmp_path / "f", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "data_train_3dhp.npz: universal; data_test_3dhp.npz: metric" in result.stderr


def test_two_files_with_the_same_videos_are_not_both_taken(files: Path, tmp_path: Path):
    shutil.copytree(files, tmp_path / "f")
    shutil.copy(files / "data_test_3dhp.npz", tmp_path / "f" / "copy.npz")
    result = run("build-3dhp", "--mpi-inf-3dhp", tmp_path / "f", "--out", tmp_path / "out")
    assert result.exit_code == 1
    assert "both hold 3dhp/TS1" in result.stderr


def test_a_folder_that_is_not_there_or_empty_says_where_the_files_come_from(tmp_path: Path):
    for place in (tmp_path, tmp_path / "nowhere"):
        result = run("build-3dhp", "--mpi-inf-3dhp", place, "--out", tmp_path / "out")
        assert result.exit_code == 1
        assert "P-STMO" in result.stderr

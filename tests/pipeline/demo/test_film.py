"""The demo's film is a COCO results file of somebody nobody was trained on, with what detectors get wrong."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from actionpose.lift.read import read_keypoints
from actionpose.lift.recognise import name_joints
from actionpose.shards import ShardSet
from pipeline.demo.film import COCO, HIDDEN, write_demo_film
from tests.makers.walker import make_shards


def test_the_film_has_noise_hidden_joints_and_missing_frames(tmp_path: Path) -> None:
    shards = ShardSet(make_shards(tmp_path / "shards"))
    write_demo_film(tmp_path, shards)
    rows = json.loads((tmp_path / "film.json").read_text())
    frames = [row["image_id"] for row in rows]
    assert frames == sorted(frames)
    assert set(range(max(frames))) - set(frames)
    values = np.array([row["keypoints"] for row in rows]).reshape(len(rows), 17, 3)
    hidden = values[..., 2] < 0.1
    assert {COCO[joint] for joint in np.flatnonzero(hidden.any(axis=0))} == set(HIDDEN)
    assert hidden.any(axis=1).mean() < 0.5
    steps = np.linalg.norm(np.diff(values[..., :2], n=2, axis=0), axis=-1)
    assert 1 < np.median(steps) < 20  # a pixel or two of noise
    assert (
        (values[..., 0] > 0) & (values[..., 0] < 1280) & (values[..., 1] > 0) & (values[..., 1] < 720)
    ).mean() > 0.95


def test_the_film_is_read_as_coco_and_its_labels_are_among_those_of_the_shards(tmp_path: Path) -> None:
    shards = ShardSet(make_shards(tmp_path / "shards"))
    write_demo_film(tmp_path, shards)
    assert name_joints(read_keypoints([tmp_path / "film.json"])).layout.name == "coco-17"
    labels = (tmp_path / "film-labels.txt").read_text().splitlines()
    assert set(labels) <= {text for text in shards.pairs["text"].tolist() if not text.startswith("transit")}
    assert len(labels) >= 2
    first = (tmp_path / "film.json").read_bytes()
    write_demo_film(tmp_path, shards)
    assert (tmp_path / "film.json").read_bytes() == first

"""`ap.pairs`: a torch Dataset that a plain `DataLoader` takes, with the texts in it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

import actionpose as ap
from actionpose.data.batches import Assembler
from tests.makers.shards import make_shards


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_shards(tmp_path_factory.mktemp("pairs") / "shards", splits=("train", "val"))


@pytest.mark.parametrize("workers", [0, 1])
def test_a_plain_loader_takes_it_as_it_is(shards: Path, workers: int):
    dataset = ap.pairs(shards)
    loader = DataLoader(
        dataset, batch_size=5, shuffle=True, num_workers=workers, multiprocessing_context="spawn" if workers else None
    )
    batches = list(loader)
    assert sum(len(batch["text"]) for batch in batches) == len(dataset)
    assert batches[0]["pose2d"].shape == batches[0]["pose3d"].shape == (5, dataset.frames, 17, 3)
    assert batches[0]["valid"].shape == (5, dataset.frames)
    assert all(isinstance(text, str) for text in batches[0]["text"])


def test_a_sample_is_the_labelled_clip_seen_from_its_view(shards: Path):
    opened, dataset = ap.open_shards(shards), ap.pairs(shards)
    for number in (0, 1, len(dataset) - 1):
        sample = dataset[number]
        clip = int(opened.pairs["clip"][sample["pair"]])
        frames = int(sample["valid"].sum())
        assert sample["text"] == opened.pairs["text"][sample["pair"]]
        assert frames == opened.clip_lengths()[clip]
        # Bones have one length in the world and, in millimetres, in the sample.
        world = opened.clip_frames(clip)
        bone = np.linalg.norm(world[:, 1] - world[:, 2], axis=-1)
        seen = (sample["pose3d"][:, 1] - sample["pose3d"][:, 2]).norm(dim=-1) * sample["unit_mm"] / 1000
        np.testing.assert_allclose(seen[:frames].numpy(), bone, atol=1e-5)
        assert sample["pose3d"][:, 0].abs().max() == 0
        torch.testing.assert_close(sample["pose2d"][frames:], sample["pose2d"][frames - 1 :][:1].expand_as(
            sample["pose2d"][frames:]))  # fmt: skip


def test_samples_are_those_that_training_sees(shards: Path):
    dataset = ap.pairs(shards, augment=True, seed=3, zoom=(0.8, 1.2))
    dataset.set_epoch(2)
    batch = Assembler(table=dataset.table, seed=3)(np.array([4]), 2)
    torch.testing.assert_close(dataset[4]["pose3d"][: batch["pose3d"].shape[1]], batch["pose3d"][0])
    assert {dataset[k]["unit_mm"] for k in range(len(dataset))} != {dataset[0]["unit_mm"]}


def test_one_by_one_and_many_at_once_give_the_same(shards: Path):
    dataset = ap.pairs(shards, augment=True)
    for one, many in zip((dataset[k] for k in (0, 5, 3)), dataset.__getitems__([0, 5, 3]), strict=True):
        torch.testing.assert_close(one["pose2d"], many["pose2d"])
        assert one["text"] == many["text"]


@pytest.mark.parametrize("frames", [2, 16, 60, 500])
def test_any_clip_length_fits_the_other_defaults(shards: Path, frames: int):
    assert ap.pairs(shards, clip_frames=frames).frames == min(frames, 60)


def test_a_mistyped_setting_is_named_with_the_nearest(shards: Path):
    with pytest.raises(ap.UserError, match=r"clip_frame'(.|\n)*clip_frames"):
        ap.pairs(shards, clip_frame=81)


def test_it_ends_and_counts_from_the_end_as_sequences_do(shards: Path):
    dataset = ap.pairs(shards)
    assert dataset[-1]["pair"] == dataset[len(dataset) - 1]["pair"]
    with pytest.raises(IndexError):
        dataset[len(dataset)]

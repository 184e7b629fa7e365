"""`ap.load`: NumPy arrays in and out; what the network gives, alone or in windows, with one clip or several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import actionpose as ap
from actionpose.runs.evaluate import load_model
from actionpose.train import checkpoint
from tests.makers.filmed import camera_pose, filmed
from tests.makers.pretrained import pretrained_demo


@pytest.fixture(scope="module")
def pretrained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    demo = pretrained_demo(tmp_path_factory.mktemp("pretrained"))
    return demo / "pretrain", demo / "world" / "shards"


def test_lifting_is_what_the_one_line_gives(run_folder: Path):
    keypoints = filmed(camera_pose(40), "coco-17")
    lifted = ap.load(run_folder).lift(keypoints, fps=30, layout="coco-17", size=(1280, 720))
    again = ap.lift(keypoints, run_folder, fps=30, layout="coco-17", size=(1280, 720))
    assert lifted.poses_3d.shape == (40, 17, 3)
    assert lifted.poses_3d.dtype == np.float32
    assert lifted.units == "metres"
    np.testing.assert_array_equal(lifted.poses_3d, again.poses_3d)


def test_poses_of_shards_come_back_as_the_network_gives_them(pretrained):
    run, shards = pretrained
    model, network = ap.load(run, device="cpu"), load_model(checkpoint.find(run))
    sample = ap.pairs(shards, clip_frames=model.frames)[0]
    whole = sample["pose2d"][: int(sample["valid"].sum())]
    with torch.no_grad():
        expected = network.lift(whole[None])[0].numpy()
    assert isinstance(model.lift_screen(whole.numpy()), np.ndarray)
    np.testing.assert_allclose(model.lift_screen(whole.numpy()), expected, atol=1e-5)
    np.testing.assert_allclose(model.lift_screen(np.stack([whole, whole]))[1], expected, atol=1e-5)


def test_clips_of_any_length_and_any_company_embed_the_same_way(pretrained):
    model = ap.load(pretrained[0])
    rng = np.random.default_rng(0)
    clips = [rng.normal(size=(frames, 17, 3)).astype(np.float32) for frames in (3, model.frames, 2 * model.frames + 5)]
    together = model.embed_motion(clips)
    assert together.shape == (3, model.embed_text("walk").shape[0])
    np.testing.assert_allclose(np.linalg.norm(together, axis=1), 1, atol=1e-6)
    for clip, row in zip(clips, together, strict=True):
        np.testing.assert_allclose(model.embed_motion(clip), row, atol=1e-5)
    assert model.lift_screen(clips[2]).shape == clips[2].shape


def test_texts_and_motion_share_a_space(pretrained):
    model = ap.load(pretrained[0])
    texts = model.embed_text(["walk", "sit down", "walk"])
    assert texts.dtype == np.float32
    np.testing.assert_array_equal(texts[0], texts[2])
    np.testing.assert_allclose(model.embed_text("sit down"), texts[1], atol=1e-6)
    clip = ap.pairs(pretrained[1])[0]["pose2d"].numpy()
    assert np.abs(model.embed_motion(clip) @ texts.T).max() <= 1 + 1e-6


def test_confidence_may_be_left_out(pretrained):
    model, clip = ap.load(pretrained[0]), np.random.default_rng(1).normal(size=(8, 17, 2))
    sure = np.concatenate([clip, np.ones((8, 17, 1))], axis=-1)
    np.testing.assert_array_equal(model.lift_screen(clip), model.lift_screen(sure))


def test_a_model_without_texts_says_so(run_folder: Path):
    for use in (lambda m: m.embed_text("walk"), lambda m: m.embed_motion(np.zeros((4, 17, 3)))):
        with pytest.raises(ap.UserError, match=r"no text branch(.|\n)*pretraining run"):
            use(ap.load(run_folder))


@pytest.mark.parametrize(
    ("clip", "match"),
    [
        (np.zeros((4, 16, 3)), r"\(4, 16, 3\), not \(T, 17, 2 or 3\)"),
        (np.zeros((17, 3)), "shape"),
        (np.full((4, 17, 3), np.nan), "not finite"),
        (np.zeros((0, 17, 3)), "shape"),
        ([], "no clip"),
    ],
)
def test_arrays_that_are_no_clips_are_refused_by_shape(run_folder: Path, clip, match: str):
    with pytest.raises(ValueError, match=match):
        ap.load(run_folder).lift_screen(clip)

"""Random cameras: what is seen is a perspective picture, brought to size and place by lifting's own rule."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
import torch

from actionpose.config import load_config
from actionpose.data import rng
from actionpose.data.batches import Assembler
from actionpose.data.camera_config import CameraConfig
from actionpose.data.cameras import camera_axes, draw_angles, film, with_proportions
from actionpose.data.definitions import DERIVED, as_detected, draw_offsets
from actionpose.data.place import sizes_of, to_model
from actionpose.data.projection import mirror
from actionpose.data.samples import DataConfig, pair_samples
from actionpose.evaluate.lifting import EvalConfig, held_out, mean_pose_lift, score, summarise
from actionpose.geometry import SCREEN_PER_METRE, camera_matrix
from actionpose.lift.layouts import LAYOUTS, to_h36m
from actionpose.shards import ShardSet
from actionpose.skeleton import BONES, FLIP_ORDER, ROOT
from actionpose.train.runtime import Runtime
from benchmarks.detector_files import joints_of
from tests.makers.walker import walking

EXACT = CameraConfig(
    random=True, roll=0.0, orthographic=0.0, aside=0.0, proportions=0.0, definitions=False, size_error=0.0,
    place_error=0.0,
)  # fmt: skip
KEYS = rng.keys(0, 0, torch.arange(3))
FPS = 30.0


def people(frames=40):
    """(3, T, 17, 3) float32, metres, z up; walking, each elsewhere."""
    pose = torch.from_numpy(np.asarray(walking(frames), np.float32))
    return torch.stack([pose, pose + torch.tensor([3.0, 1.0, 0.0]), pose * 1.1])


def filmed(config, pose=None, key=KEYS, valid=None, **options):
    pose = people() if pose is None else pose
    valid = torch.ones(pose.shape[:2], dtype=torch.bool) if valid is None else valid
    return film(pose, valid, key, config, unit=SCREEN_PER_METRE, fps=FPS, **options)


def test_a_filmed_clip_is_what_a_pinhole_camera_sees_at_the_size_and_place_of_lifting():
    config = dataclasses.replace(EXACT, pitch=(20.0, 20.0), distance=(3.0, 3.0))
    pose, found = people().double().numpy(), filmed(config)
    for clip, yaw in enumerate(draw_angles(KEYS, config)[0].tolist()):
        centre = pose[clip, :, ROOT].mean(axis=0)
        level, high = 3.0 * math.cos(math.radians(20)), 3.0 * math.sin(math.radians(20))
        eye = centre + np.array([math.sin(yaw) * level, -math.cos(yaw) * level, high])
        ahead = (centre - eye) / 3.0
        right = np.cross(ahead, (0.0, 0.0, 1.0))
        right /= np.linalg.norm(right)
        down = np.cross(ahead, right)
        x, y, z = ((pose[clip] - eye) @ axis for axis in (right, down, ahead))
        pixels = 1200.0 * np.stack([x / z, y / z], axis=-1) + (960, 540)
        sure = np.ones(pixels.shape[:2])
        shown = to_model(pixels, sure, sizes_of(pixels, sure, FPS), SCREEN_PER_METRE)
        np.testing.assert_allclose(found.pose2d[clip].numpy(), shown, atol=2e-6)
        camera = np.stack([x, y, z], axis=-1)
        truth = (camera - camera[:, :1]) * SCREEN_PER_METRE * float(found.factor[clip])
        np.testing.assert_allclose(found.pose3d[clip].numpy(), truth, atol=2e-6)


def test_axes_without_roll_are_those_of_the_named_views():
    for yaw, pitch in ((0, 0), (90, 0), (37, -25), (200, 40)):
        found = camera_axes(*(torch.tensor([math.radians(a)], dtype=torch.float64) for a in (yaw, pitch, 0)))
        np.testing.assert_allclose(found[0].numpy(), camera_matrix(f"yaw{yaw}pitch{pitch}"), atol=1e-12)


def test_without_perspective_and_errors_the_target_lies_behind_the_picture():
    still = people()[:, :1].expand(-1, 40, -1, -1)
    found = filmed(dataclasses.replace(EXACT, orthographic=1.0, roll=5.0), still)
    seen = found.pose2d[..., :2] - found.pose2d[:, :, ROOT : ROOT + 1, :2]
    torch.testing.assert_close(seen, found.pose3d[..., :2], atol=2e-6, rtol=0)


def test_where_people_stand_does_not_matter_and_evaluation_is_at_true_size():
    moved = filmed(EXACT, people() + torch.tensor([5.0, -2.0, 1.0]))
    torch.testing.assert_close(moved.pose2d, filmed(EXACT).pose2d, atol=5e-6, rtol=0)
    pose, true = people(), filmed(CameraConfig(random=True, proportions=0.0), training=False)
    for a, b in BONES:
        expected = torch.linalg.vector_norm(pose[:, :, a] - pose[:, :, b], dim=-1) * SCREEN_PER_METRE
        measured = torch.linalg.vector_norm(true.pose3d[:, :, a] - true.pose3d[:, :, b], dim=-1)
        torch.testing.assert_close(measured, expected, atol=2e-6, rtol=0)


def test_a_clip_is_filmed_the_same_in_any_batch_and_with_any_padding():
    config, pose = CameraConfig(random=True), people()
    padded = torch.cat([pose[1:2, :30], pose[1:2, 29:30].expand(-1, 10, -1, -1)], dim=1)
    alone = filmed(config, pose[1:2, :30], KEYS[1:2])
    other = filmed(config, padded, KEYS[1:2], torch.arange(40)[None] < 30)
    torch.testing.assert_close(other.pose2d[:, :30], alone.pose2d, atol=2e-6, rtol=0)
    torch.testing.assert_close(other.pose3d[:, :30], alone.pose3d, atol=2e-6, rtol=0)
    assert torch.equal(filmed(config).pose2d[1:2], filmed(config, pose[1:2], KEYS[1:2]).pose2d)
    assert not torch.equal(filmed(config).pose2d, filmed(config, key=rng.keys(0, 1, torch.arange(3))).pose2d)


def test_a_camera_never_stands_in_a_person():
    close = filmed(CameraConfig(random=True, distance=(0.01, 0.01)))
    assert bool(torch.isfinite(close.pose2d).all())
    assert float(close.pose2d[..., :2].abs().max()) < 2.0


@pytest.mark.parametrize("layout", list(DERIVED))
def test_joints_are_derived_as_lifting_derives_them_from_a_detectors_file(layout):
    pose = people(5)[:1]
    chosen = torch.tensor([list(DERIVED).index(layout)])
    found = as_detected(pose, chosen, torch.zeros(1, 17, 3))
    for axes in ((0, 2), (1, 2)):
        detected = joints_of(pose[0].double().numpy(), layout)[..., list(axes)]
        expected, _ = to_h36m(detected, np.ones(detected.shape[:2]), LAYOUTS[layout])
        np.testing.assert_allclose(found[0, ..., list(axes)].numpy(), expected, atol=2e-6)


def test_definitions_and_proportions_know_no_side():
    everyone = torch.ones(3, dtype=torch.bool)
    layout = torch.tensor([1, 2, 4])
    offset = draw_offsets(KEYS, layout, 0.03)
    assert float(offset.abs().max()) > 0.01
    changed = as_detected(mirror(people(), everyone), layout, offset)
    torch.testing.assert_close(changed, mirror(as_detected(people(), layout, offset), everyone), atol=2e-6, rtol=0)
    longer = with_proportions(mirror(people(), everyone), KEYS, 0.1)
    torch.testing.assert_close(longer, mirror(with_proportions(people(), KEYS, 0.1), everyone), atol=2e-6, rtol=0)
    assert not torch.allclose(longer, people()[:, :, list(FLIP_ORDER)])


def test_by_default_nothing_is_filmed_whatever_the_cameras_settings(shards):
    ids = np.arange(4)

    def batch(config):
        return Assembler(table=pair_samples(ShardSet(shards), config))(ids, 3)

    usual = batch(DataConfig(clip_frames=20))
    other = batch(DataConfig(clip_frames=20, camera=CameraConfig(pitch=(0.0, 1.0), offset=0.5)))
    random = batch(DataConfig(clip_frames=20, camera=CameraConfig(random=True)))
    for name in ("pose2d", "pose3d", "unit_mm"):
        assert torch.equal(usual[name], other[name])
        assert not torch.equal(usual[name], random[name])
    length = [torch.linalg.vector_norm(b["pose3d"][:, 0, 2] - b["pose3d"][:, 0, 1], dim=-1) for b in (usual, random)]
    ratio = length[1] * random["unit_mm"] / (length[0] * usual["unit_mm"])
    assert float((ratio - 1).abs().max()) < 0.3  # the same person, but for the proportions
    assert not load_config(DataConfig).camera.random


def test_evaluation_says_that_cameras_were_random_and_films_the_same_each_time(shards):
    data = DataConfig(clip_frames=20, camera=CameraConfig(random=True))
    table = held_out(ShardSet(shards), data, EvalConfig())
    still = mean_pose_lift(pair_samples(ShardSet(shards), data))
    cpu = Runtime(device=torch.device("cpu"), bf16=False)
    first, again = (summarise(score(still, table, EvalConfig(), cpu), table) for _ in range(2))
    assert first.source_2d == "projected by random cameras, noise"
    assert first.mpjpe_mm == again.mpjpe_mm > 0

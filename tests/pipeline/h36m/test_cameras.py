"""Human3.6M's cameras: the constants of 2.5D, every step with its way back, and one place from four forms of files."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from actionpose.errors import UserError
from actionpose.geometry import pixel_to_screen
from pipeline.demo.h36m import place_of, write_demo_h36m
from pipeline.h36m.cameras import (
    camera_named,
    cameras,
    image_pose,
    pixels_per_mm,
    project,
    world_to_camera,
)
from pipeline.h36m.extrinsics import camera_form, metadata_rotation, read_places
from pipeline.sources import facts
from tests.makers.screen import screen_to_pixel
from tests.makers.shards import make_shards

RNG = np.random.default_rng(5)


def pose_mm(frames: int = 7) -> np.ndarray:
    """A person 4 to 6 m in front of a camera, millimetres."""
    root = np.array([200.0, -100.0, 5000.0]) + RNG.normal(0, 400, (frames, 1, 3))
    return root + RNG.normal(0, 300, (frames, 17, 3))


@pytest.fixture(scope="module")
def demo(tmp_path_factory):
    folder = tmp_path_factory.mktemp("h36m")
    write_demo_h36m(folder, _shards(tmp_path_factory.mktemp("filmed")))
    return folder


def _shards(folder):
    from actionpose.shards import ShardSet

    return ShardSet(make_shards(folder, lengths=(40, 50), splits=("train", "val")))


# --- 2.5D and projection ----------------------------------------------------------------------


def test_the_scale_of_a_pelvis_5204_mm_away_is_the_published_one():
    camera = cameras()[0]  # fx 1145.05
    scale = float(pixels_per_mm(np.array(5204.0), camera))
    assert scale == pytest.approx(0.22054, abs=1e-4)
    assert 1 / scale == pytest.approx(4.5344, abs=3e-3)
    assert scale == (2000 * camera.focal[0] / 5204.0 + 1) / 2000


def test_back_projection_with_the_known_depth_is_exact():
    for camera in cameras():
        pose = pose_mm()
        image, factor = image_pose(pose, camera)
        depth = pose[:, :1, 2] + image[..., 2] * factor[:, None]
        plane = (image[..., :2] - np.array(camera.centre)) / np.array(camera.focal) * depth[..., None]
        assert np.abs(np.concatenate([plane, depth[..., None]], axis=-1) - pose).max() < 1e-9
        assert image[:, 0, 2].tolist() == [0] * len(pose)
        assert np.allclose(factor * pixels_per_mm(pose[:, 0, 2], camera), 1)


def test_distortion_is_the_formula_written_out_for_one_point():
    camera = cameras()[2]
    x, y, z = 700.0, -900.0, 4000.0
    u, v = x / z, y / z
    r2 = u * u + v * v
    (k1, k2, k3), (q1, q2) = camera.radial, camera.tangential
    bent = 1 + k1 * r2 + k2 * r2**2 + k3 * r2**3 + q1 * u + q2 * v
    want = [
        camera.focal[0] * (u * bent + q1 * r2) + camera.centre[0],
        camera.focal[1] * (v * bent + q2 * r2) + camera.centre[1],
    ]
    assert project(np.array([x, y, z]), camera) == pytest.approx(want, abs=1e-9)
    plain = [camera.focal[0] * u + camera.centre[0], camera.focal[1] * v + camera.centre[1]]
    assert project(np.array([x, y, z]), camera, distorted=False) == pytest.approx(plain, abs=1e-9)
    assert math.dist(want, plain) > 1


@pytest.mark.parametrize("size", [(1000, 1002), (1000, 1000), (2048, 2048), (1920, 1080)])
def test_pixels_to_screen_and_back(size):
    pixels = RNG.uniform(0, 1000, (4, 17, 2))
    screen = pixel_to_screen(pixels, *size)
    assert np.abs(screen_to_pixel(screen, *size) - pixels).max() < 1e-9
    assert screen_to_pixel(np.array([0.0, 0.0]), *size).tolist() == [size[0] / 2, size[1] / 2]


def test_world_to_camera_and_back():
    points = RNG.normal(0, 2, (5, 17, 3))
    for camera in cameras():
        place = place_of(9, camera)
        assert np.abs(world_to_camera(points, place) @ place.rotation.T + place.position - points).max() < 1e-12
        assert world_to_camera(place.position, place) == pytest.approx([0, 0, 0], abs=1e-12)
        assert world_to_camera(np.array([0.0, 0.0, 0.9]), place)[2] > 3  # in front of it


def test_the_three_angles_of_the_metadata_are_the_transposed_product():
    a, b, c = -0.3, 0.2, 0.5

    def turn(i, j, angle):
        m = np.eye(3)
        m[i, i] = m[j, j] = math.cos(angle)
        m[i, j], m[j, i] = math.sin(angle), -math.sin(angle)
        return m

    # about x and z the sine stands above the diagonal, about y too: Ry = [[c, 0, s], [0, 1, 0], [-s, 0, c]]
    want = (turn(1, 2, -a) @ turn(0, 2, b) @ turn(0, 1, -c)).T
    assert metadata_rotation(np.array([a, b, c])) == pytest.approx(want)


# --- the table --------------------------------------------------------------------------------


def test_a_camera_has_one_name_in_every_spelling():
    for camera in cameras():
        assert camera_named(camera.id) == camera_named(int(camera.id)) == camera_named(camera.id.encode()) == camera
    assert camera_named("54138970") is None
    assert [c.height for c in cameras()] == [1002, 1000, 1000, 1002]


def test_the_table_has_the_splits_actions_and_exclusions_of_the_field():
    table = facts.table("h36m")
    assert table["split"] == {"train": ["S1", "S5", "S6", "S7", "S8"], "test": ["S9", "S11"]}
    assert [row["number"] for row in table["action"]] == list(range(2, 17))
    assert len(set(table["joints"])) == 17
    assert max(table["joints"]) < 32
    assert {row["take"] for row in table["skip"] if row["protocol"] == "h36m-b"} == {
        "s_09_act_05_subact_02",
        "s_09_act_10_subact_02",
        "s_09_act_13_subact_01",
    }
    assert all(row["reason"] for name in ("skip", "expected") for row in table[name])
    (expected,) = table["expected"]
    assert (expected["train"], expected["test"]) == (1_559_752, 566_920)


def test_every_key_of_the_table_is_explained_on_top_of_it():
    lines = (facts.manifests_folder() / "h36m.toml").read_text(encoding="utf-8").splitlines()
    top = "\n".join(lines[: lines.index("")])

    def keys(value):
        if isinstance(value, dict):
            return set(value).union(*map(keys, value.values()))
        return set().union(*map(keys, value)) if isinstance(value, list) else set()

    assert {key for key in keys(facts.table("h36m")) if key not in top} == set()


# --- where they stood -------------------------------------------------------------------------


def test_four_forms_of_files_say_the_same_place(demo, tmp_path):
    everybody = [f"S{number}" for number in range(1, 12)]
    np.savez(
        tmp_path / "cameras.npz",
        subjects=np.array(everybody),
        rotation=np.array([[place_of(int(s[1:]), c).rotation for c in cameras()] for s in everybody]),
        translation=np.array([[place_of(int(s[1:]), c).position for c in cameras()] for s in everybody]),
    )
    forms = set()
    for path in (demo / "metadata.xml", demo / "cameras.pkl", demo / "cameras.json", tmp_path / "cameras.npz"):
        nameless = tmp_path / f"x{len(forms)}"
        nameless.write_bytes(path.read_bytes())  # told by what is in it
        places = read_places(nameless)
        forms.add(places.layout)
        assert places.subjects == everybody
        for (subject, name), place in places.at.items():
            want = place_of(int(subject[1:]), camera_named(name))
            assert place.rotation == pytest.approx(want.rotation, abs=1e-7)
            assert place.position == pytest.approx(want.position, abs=1e-6)
    assert len(forms) == 4


def test_the_table_of_videopose3d_has_neither_ids_nor_all_subjects(demo, tmp_path):
    table = json.loads((demo / "cameras.json").read_text())
    bare = {s: [{k: e[k] for k in ("orientation", "translation")} for e in table[s]] for s in ("S1", "S9")}
    bare["S2"] = [{}, {}, {}, {}]
    (tmp_path / "c.json").write_text(json.dumps(bare))
    places = read_places(tmp_path / "c.json")
    assert places.subjects == ["S1", "S9"]
    assert places.at["S9", cameras()[3].id].position == pytest.approx(place_of(9, cameras()[3]).position)


def test_what_holds_no_cameras_is_refused_by_name(demo, tmp_path):
    for name, content in {
        "page.xml": b"<html><body>please log in</body></html>",
        "short.xml": b"<metadata><w0>[1 2 3]</w0></metadata>",
        "bent.json": json.dumps({"S1": [{"orientation": [[1, 1, 0]] * 3, "translation": [0, 0, 0]}]}).encode(),
        "empty": b"",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match=name) as refused:
            read_places(tmp_path / name)
        assert "metadata.xml" in refused.value.hint
    assert camera_form(demo / "data_3d_h36m.npz") is None
    assert camera_form(demo / "h36m_sh_conf_cam_source_final.pkl") is None

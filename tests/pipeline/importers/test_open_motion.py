"""Real takes of the CMU database: from BVH as others made them of it, and from both encodings the same motion.

Needs the folder `data/` of the shared material: ACTIONPOSE_SHARED, or `../shared` beside the repository.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cli.data import main
from pipeline.importers.figure import joint_places, load_figure
from pipeline.importers.take import Imported, Options, import_file
from tests.makers.places import SHARED

DATA = SHARED / "data"
BVH, MOCAP = DATA / "open-bvh", DATA / "open-mocap"
pytestmark = pytest.mark.skipif(not BVH.is_dir(), reason="no takes of the CMU database: set ACTIONPOSE_SHARED")
FIGURE = load_figure(None)
BOTH = ("07_01", "08_08")


def relative(poses: np.ndarray, trans: np.ndarray) -> np.ndarray:
    """Millimetres (T, 22, 3) of joints relative to the pelvis."""
    places = joint_places(FIGURE, poses.astype(float), trans.astype(float))
    return 1000 * (places - places[:, :1])


def of(take: Imported) -> np.ndarray:
    return relative(take.poses, take.trans)


@pytest.mark.parametrize("name", BOTH)
def test_a_take_is_reproduced_from_its_bvh(name: str):
    take = import_file(BVH / f"{name}.bvh", FIGURE, Options())
    with np.load(MOCAP / "OpenCMU" / name[:2] / f"{name}_poses.npz") as made:
        wanted = relative(made["poses"], made["trans"])
        assert take.fps == made["mocap_framerate"]
    assert len(take.poses) == len(wanted)
    distance = np.linalg.norm(of(take) - wanted, axis=2).mean()
    print(f"{name}: {distance:.2f} mm from the take of open-mocap")
    assert distance < 3


@pytest.mark.parametrize("name", BOTH)
def test_both_encodings_are_one_motion(name: str):
    bvh = of(import_file(BVH / f"{name}.bvh", FIGURE, Options()))
    amc = of(import_file(BVH / f"{name}.amc", FIGURE, Options()))
    # The BVH has an invented T-pose before its first frame; where it begins in the AMC is found.
    shifts = {shift: _distance(bvh, amc[shift:]) for shift in range(12)}
    shift, distance = min(shifts.items(), key=lambda item: item[1])
    print(f"{name}: {distance:.1f} mm between BVH and AMC, which begins {shift} frames earlier")
    assert distance < 20


def _distance(one: np.ndarray, two: np.ndarray) -> float:
    length = min(len(one), len(two))
    return float(np.linalg.norm(one[:length] - two[:length], axis=2).mean())


def test_a_jump_of_the_database_falls_at_nine_point_eight():
    take = import_file(BVH / "02_04.bvh", FIGURE, Options())
    gravity = next(finding for finding in take.checks if finding.check == "gravity")
    print(f"02_04: {gravity.sentence}")
    assert gravity.value == pytest.approx(9.8, abs=0.5)


def test_labels_come_from_the_table(tmp_path: Path):
    files = [str(path) for path in sorted(BVH.glob("*.bvh"))]
    table = BVH / "descriptions.tsv"
    done = CliRunner().invoke(main, ["import", *files, "--labels", str(table), "--out", str(tmp_path / "o")])
    assert done.exit_code == 0, done.output
    wanted = dict(line.split("\t") for line in table.read_text().splitlines())
    found = {}
    for split in ("train", "val"):
        for entry in json.loads((tmp_path / "o" / "babel" / f"{split}.json").read_text()).values():
            name = Path(entry["feat_p"]).name.removesuffix("_poses.npz")
            found[name] = entry["seq_ann"]["labels"][0]["raw_label"]
    assert found == wanted

"""Joint positions as tables: CSV for people and spreadsheets, TRC for OpenSim, C3D for motion capture programs.

Shape letters: T frames.
"""

from __future__ import annotations

import io
import shutil
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from actionpose.export.clip import Clip
from actionpose.extras import needed_for
from actionpose.files import atomic_path, write_text
from actionpose.lift.result import Lifted
from actionpose.skeleton import JOINT_NAMES

MILLIMETRES = 1000.0


def write_csv(lifted: Lifted, path: Path) -> tuple[str, ...]:
    """One row for each person and frame: ids, time, then x, y, z of each joint as in the result; empty where hidden."""
    names = [f"{joint}_{axis}" for joint in JOINT_NAMES for axis in "xyz"]
    out = io.StringIO()
    out.write(",".join(["track_id", "frame_index", "timestamp", *names]) + "\n")
    rows = lifted.poses_3d.reshape(len(lifted), -1)
    for person, frame, second, row in zip(lifted.track_id, lifted.frame_index, lifted.timestamps, rows, strict=True):
        cells = ("" if np.isnan(value) else f"{value:.6f}" for value in row)
        out.write(f"{person},{frame},{second:.6f}," + ",".join(cells) + "\n")
    write_text(path, out.getvalue())
    return (f"axes: {lifted.coordinate_system}; {lifted.units}",)


def write_trc(clip: Clip, path: Path) -> tuple[str, ...]:
    """TRC, OpenSim's marker file: millimetres, y up; hidden joints are nan."""
    count, rate = len(clip.frame), f"{clip.fps:.6g}"
    head = [
        f"PathFileType\t4\t(X/Y/Z)\t{path.name}",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{rate}\t{rate}\t{count}\t17\tmm\t{rate}\t1\t{count}",
        "Frame#\tTime\t" + "\t\t\t".join(JOINT_NAMES) + "\t\t",
        "\t\t" + "\t".join(f"{axis}{number}" for number in range(1, 18) for axis in "XYZ"),
        "",
    ]
    rows = MILLIMETRES * clip.poses.reshape(count, -1)
    for number, (second, row) in enumerate(zip(clip.seconds, rows, strict=True), 1):
        cells = ("nan" if np.isnan(value) else f"{value:.4f}" for value in row)
        head.append(f"{number}\t{second:.6f}\t" + "\t".join(cells))
    write_text(path, "\n".join(head) + "\n")
    return clip.notes


def write_c3d(clip: Clip, path: Path) -> tuple[str, ...]:
    """C3D: millimetres, y up; hidden joints are marked as not reconstructed.

    Raises:
        MissingPackageError: ezc3d is not installed.
    """
    with needed_for("a C3D file", "export"):
        import ezc3d

    file = ezc3d.c3d()
    file["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    file["parameters"]["POINT"]["RATE"]["value"] = [clip.fps]
    file["parameters"]["POINT"]["LABELS"]["value"] = list(JOINT_NAMES)
    points = np.ones((4, 17, len(clip.frame)))
    points[:3] = MILLIMETRES * clip.poses.transpose(2, 1, 0)
    file["data"]["points"] = points
    with TemporaryDirectory() as scratch, atomic_path(path) as aside:
        plain = Path(scratch, "clip.c3d")  # the library opens no file whose name is not UTF-8
        file.write(str(plain))
        shutil.copyfile(plain, aside)
    return clip.notes

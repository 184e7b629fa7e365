"""Cases of AMASS files: rates, genders and folders that are not what they seem."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.cases.case import ap_data, body_options, case, wrong


def keypoints(motion: Path, scratch: Path) -> tuple[int, str]:
    """Frames at 30 Hz that `ap-data keypoints` makes of a motion, and what it says."""
    out = scratch / "keypoints.npz"
    done = ap_data("keypoints", motion, *body_options(scratch), "--output", out)
    if done.exit_code:
        return 0, done.stderr
    with np.load(out, allow_pickle=False) as archive:
        return len(archive["keypoints"]), done.stderr


@case("rate-120.00004577")
def rate_of_ssm(folder: Path, scratch: Path) -> str:
    """A stored rate that is known to be wrong is put right wherever the file lies."""
    frames, said = keypoints(folder / "jump_poses.npz", scratch)
    return f"{frames} frames at 30 Hz, 61 are right: {said}" if frames != 61 else ""


@case("rate-key-frame_rate")
def rate_under_another_key(folder: Path, scratch: Path) -> str:
    """SMPL+H is told by its columns, whatever the rate is called."""
    frames, said = keypoints(folder / "walk_poses.npz", scratch)
    return f"{frames} frames at 30 Hz, 31 are right: {said}" if frames != 31 else ""


@case("gender-letter")
def gender_letter(folder: Path, scratch: Path) -> str:
    """`f` is female."""
    frames, said = keypoints(folder / "walk_poses.npz", scratch)
    return "" if frames and "female body" in said else said


@case("early-stop-names-good-file")
def early_stop(folder: Path, scratch: Path) -> str:
    """A stage that stops early names a file that failed, and why, each time it is run."""
    faults = []
    for run in (1, 2):
        said = ap_data("index", "--amass", folder / "amass", "--work", scratch / "work").stderr
        message = next((line for line in said.splitlines() if "the last failure" in line), "")
        name, _, reason = message.partition("the last failure, ")[2].partition(": ")
        named = folder / "amass" / f"{name}_poses.npz"
        if not named.is_file() or "(2, 72)" not in reason or "looked at" not in message:
            faults.append(f"run {run}: {message or said}")
    return "; ".join(faults)


@case("two-names-two-sets")
def two_names_two_sets(folder: Path, scratch: Path) -> str:
    """Every dataset that lies under two names is named; folders that complete each other are not to be deleted."""
    doctor = ap_data("doctor", "--amass", folder / "amass")
    said = " ".join(doctor.stdout.split())
    return wrong(
        not_every_set_is_named="BMLrub, DFaust" not in said,
        takes_are_said_to_count_twice="twice" in said,
        advice_to_delete="keep one" in said or "delete" in said,
        complementary_folders_stop_it=doctor.exit_code != 0,
    )

"""What reading strangers' files with care costs: our readers by turns with numpy and pickle, CPU time a file.

    python benchmarks/bench_readers.py [--rounds 9]

Files as large as common ones: an AMASS take of 20 s at 120 Hz with markers and soft-tissue coefficients, 3,000 frames
of 2D keypoints, a regressor of 17 x 6890, a pickle of 0.6 MB. Numpy reads the members that we read. The pickle is read
in a child process, whose CPU time counts. All are in the page cache.
"""

from __future__ import annotations

import argparse
import os
import pickle
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np
from turns import take_turns, times_faster

from actionpose.plain_npz import npz_arrays
from pipeline.body.regressor import read_matrix
from pipeline.sources.amass import read_motion
from pipeline.untrusted.pickles import load_pickle

FRAMES, VERTICES = 2400, 6890
NEEDED = ("poses", "trans", "betas", "gender", "mocap_framerate")

Reading = tuple[Callable[[], object], Callable[[], object], int]
"""Ours, the usual way, and how often both are called in a round."""


def cpu_seconds(run: Callable[[], object]) -> float:
    """CPU time of this process and of children that have ended."""
    before = os.times()
    start = time.process_time()
    run()
    after = os.times()
    children = after.children_user + after.children_system - before.children_user - before.children_system
    return time.process_time() - start + children


def with_numpy(path: Path, names: Sequence[str]) -> None:
    """Members of an archive by `np.load`."""
    with np.load(path, allow_pickle=False) as archive:
        for name in names:
            archive[name]


def unpickled(path: Path) -> object:
    """The usual way with a pickle, which runs what is in it."""
    with open(path, "rb") as handle:
        return pickle.load(handle)  # our own file


def readings(folder: Path) -> dict[str, Reading]:
    """Write the files; what is read, and how."""
    rng = np.random.default_rng(0)
    take: dict[str, Any] = {
        "poses": np.cumsum(rng.normal(0, 1e-3, (FRAMES, 156)), axis=0),
        "trans": np.cumsum(rng.normal(0, 1e-3, (FRAMES, 3)), axis=0),
        "betas": rng.normal(size=16),
        "gender": np.array("male"),
        "mocap_framerate": np.array(120.0),
        "dmpls": rng.normal(size=(FRAMES, 8)),
        "marker_data": rng.normal(size=(FRAMES, 67, 3)),
    }
    stored, deflated, flat, regressor, pickled = (
        folder / name for name in ("stored.npz", "deflated.npz", "2d.npz", "regressor.npy", "small.pkl")
    )
    np.savez(stored, **take)
    np.savez_compressed(deflated, **take)
    np.savez(flat, keypoints=rng.normal(size=(3000, 17, 3)).astype(np.float32), fps=np.array(30.0))
    np.save(regressor, rng.dirichlet(np.ones(VERTICES), 17))
    pickled.write_bytes(pickle.dumps({"poses": rng.normal(size=(1000, 72)), "fps": 60.0}))
    return {
        "AMASS, stored": (lambda: read_motion(stored, every=4), lambda: with_numpy(stored, NEEDED), 20),
        "AMASS, deflated": (lambda: read_motion(deflated, every=4), lambda: with_numpy(deflated, NEEDED), 10),
        "2D keypoints": (lambda: npz_arrays(flat), lambda: with_numpy(flat, ("keypoints", "fps")), 100),
        "regressor": (lambda: read_matrix(regressor, VERTICES), lambda: np.load(regressor), 50),
        "pickle, in a child": (lambda: load_pickle(pickled), lambda: unpickled(pickled), 1),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=9)
    rounds = parser.parse_args().rounds
    print(f"{'file':20} {'ours, ms':>9} {'usual, ms':>10} {'ours / usual':>13}")
    with tempfile.TemporaryDirectory() as folder:
        for name, (ours, usual, calls) in readings(Path(folder)).items():
            contestants = {
                "ours": lambda ours=ours, calls=calls: [ours() for _ in range(calls)],
                "usual": lambda usual=usual, calls=calls: [usual() for _ in range(calls)],
            }
            seconds = take_turns(contestants, rounds, cpu_seconds)
            of_one = {side: 1e3 * statistics.median(seconds[side]) / calls for side in contestants}
            ratio = 1 / times_faster(seconds, "ours", "usual")
            print(f"{name:20} {of_one['ours']:9.2f} {of_one['usual']:10.2f} {ratio:13.2f}")


if __name__ == "__main__":
    main()

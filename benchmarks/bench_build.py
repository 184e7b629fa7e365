"""What a whole build costs a frame, and so what all of AMASS costs: index to shards, everything included.

    python benchmarks/bench_build.py [--files 12,60] [--folder DIR]

Trees of AMASS-like files (16 s at 120 Hz, float64, with markers) with a label every four seconds are built twice, a
small one and a large one, in one process; the difference in CPU time is the cost of the frames, free of what a start
costs. Once with stored members, once with deflated ones. Files are in the page cache: a disk adds its own time.
"""

from __future__ import annotations

import argparse
import logging
import os
import tempfile
import time
from pathlib import Path

# Before numpy reads them: one thread, as each worker has.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

from amass_like import AMASS_FRAMES, write_inputs, write_tree

from pipeline.config import DataConfig, Inputs, RunOptions
from pipeline.stages.build import STAGES, Build

SLOW_DISK, FAST_DISK = 200e6, 2e9


def stage_seconds(root: Path, inputs: Path) -> dict[str, float]:
    """CPU seconds of every stage of a build of one tree."""
    paths = Inputs(
        amass=str(root / "amass"),
        babel=str(root / "babel"),
        body=str(inputs / "body"),
        regressor=str(inputs / "regressor.npy"),
    )
    build = Build(DataConfig(inputs=paths), root / "stages", root / "shards", RunOptions())
    seconds = {}
    for name in STAGES:
        start = time.process_time()
        build.run(name)
        seconds[name] = time.process_time() - start
    return seconds


def measured(folder: Path, sizes: tuple[int, int], *, deflated: bool) -> tuple[dict[str, float], float]:
    """CPU microseconds a frame of the result by stage, and bytes read a frame."""
    found = []
    for files in sizes:
        root = folder / f"{files}-{deflated}"
        write_tree(root, files, deflated=deflated)
        seconds = stage_seconds(root, folder)
        frames = sum(int(path.stat().st_size - 128) // 204 for path in (root / "stages").rglob("*.npy"))
        size = sum(path.stat().st_size for path in (root / "amass").rglob("*.npz"))
        found.append((seconds, frames, size))
    (few, frames_few, size_few), (many, frames_many, size_many) = found
    more = frames_many - frames_few
    each = {name: max(many[name] - few[name], 0) / more * 1e6 for name in STAGES}
    return each, (size_many - size_few) / more


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", default="12,60", help="files of the small and of the large tree")
    parser.add_argument("--folder", type=Path, default=None, help="where the trees go [default: the system's]")
    options = parser.parse_args()
    logging.disable(logging.INFO)
    few, many = (int(number) for number in options.files.split(","))
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        write_inputs(folder)
        write_tree(folder / "first", 2, deflated=False)
        stage_seconds(folder / "first", folder)  # pays what the first build of a process pays
        for deflated in (False, True):
            each, size = measured(folder, (few, many), deflated=deflated)
            kind = "deflated" if deflated else "stored"
            parts = ", ".join(f"{stage} {us:.1f}" for stage, us in each.items())
            total = sum(each.values())
            cpu = total * 1e-6 * AMASS_FRAMES
            print(f"{kind:8s} {total:6.1f} us CPU a frame at 30 Hz ({parts}), {size / 1e3:.1f} kB read a frame")
            print(
                f"{'':8s} all of AMASS, {AMASS_FRAMES / 1e6:.1f} M frames, {size * AMASS_FRAMES / 1e9:.0f} GB: "
                f"{cpu:.0f} CPU-s, {cpu / 120:.1f} minutes on two cores; reading alone from a disk of "
                f"{SLOW_DISK / 1e6:.0f} MB/s {size * AMASS_FRAMES / SLOW_DISK / 60:.0f} minutes, "
                f"of {FAST_DISK / 1e9:.0f} GB/s {size * AMASS_FRAMES / FAST_DISK / 60:.1f}",
                flush=True,
            )


if __name__ == "__main__":
    main()

"""Memory of a build against the number of motions: the main process and the workers, at several sizes.

    python benchmarks/bench_scale.py [--sizes 750,1500,3000] [--workers 2] [--folder DIR]

Each size is a made-up AMASS tree of short motions at awkward rates, BABEL files with labels of every kind and a
small body; `ap-data build-babel` builds it in a process of its own. Printed are the largest resident sizes of that
process and of its workers (Linux' VmHWM, sampled), stage by stage, and what one more motion adds.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Before numpy reads it, and for the builds: one thread a process.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np

from benchmarks.bodies import synthetic_body, synthetic_regressor, write_body

RATES = (60.0, 59.94005994, 100.0)
SECONDS = 1.5
SETS = (("KIT", "KIT"), ("CMU", "CMU"), ("BMLrub", "BioMotionLab_NTroje"), ("DFaust67", "DFaust_67"))
VERBS = ("walk", "sit", "wave", "jump", "turn", "kick", "throw", "bend", "stand", "dance")
HOWS = ("", " forward", " back", " left", " right", " slowly", " fast", " twice", " with both hands", " on one leg")


# --- the world --------------------------------------------------------------------------------


def make_world(root: Path, motions: int) -> None:
    """Body, motions and labels; every motion differs from every other."""
    model = synthetic_body(320, correctives="hands")
    for gender in ("female", "male", "neutral"):
        write_body(model, root / "body" / "smplh" / gender / "model.npz")
    np.save(root / "regressor.npy", synthetic_regressor(model))
    labels: dict[str, dict[str, Any]] = {"train": {}, "val": {}}
    for number in range(motions):
        first, folder = SETS[number % len(SETS)]
        fps = RATES[number % len(RATES)]
        name = f"{folder}/{number // 100:03d}/take_{number:05d}_poses.npz"
        write_motion(root / "amass" / name, round(SECONDS * fps), fps, number)
        entry = annotated(number, f"{first}/{name}", round(SECONDS * fps) / fps)
        if number % 10 != 9:  # one in ten has no labels at all
            labels["val" if number % 4 == 3 else "train"][str(number)] = entry
        if number % 50 == 0:  # and one in fifty labels has no motion
            labels["train"][str(10**6 + number)] = {**entry, "feat_p": f"{first}/{folder}/none/{number}_poses.npz"}
    (root / "babel").mkdir()
    for split, entries in labels.items():
        (root / "babel" / f"{split}.json").write_text(json.dumps(entries))


def write_motion(path: Path, frames: int, fps: float, seed: int) -> None:
    """A body that sways, in float32, without the members that nobody reads."""
    rng = np.random.default_rng(seed)
    t = np.arange(frames)[:, None] / fps
    poses = 0.4 * np.sin(2 * np.pi * rng.uniform(0.2, 1.5, 156) * t + rng.uniform(0, 6.28, 156))
    poses[:, :3] = [np.pi / 2, 0, 0]
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        path,
        poses=poses.astype(np.float32),
        trans=np.column_stack([t, t * 0.1, np.full(frames, 0.9)]).astype(np.float32),
        betas=rng.normal(size=16) * 0.3,
        gender=np.array(("female", "male", "neutral")[seed % 3]),
        mocap_framerate=np.array(fps),
    )


def annotated(number: int, feat_p: str, duration: float) -> dict[str, Any]:
    """One BABEL sequence: segments that overlap and two transitions, or one label for the whole."""
    texts = [VERBS[(number * k) % 10] + HOWS[(number // 10 + k) % 10] for k in (1, 3, 7)]
    spans = [(texts[0], 0.0, 0.6), ("transition", 0.6, 0.8), (texts[1], 0.8, duration), (texts[2], 0.1, 1.2)]
    spans += [("transition", 0.0, 0.05), ("brief", 0.3, 0.31)]
    labels = [
        {"raw_label": text, "proc_label": text, "seg_id": f"{number}-{k}", "act_cat": [text.split()[0]]}
        | {"start_t": start, "end_t": end}
        for k, (text, start, end) in enumerate(spans)
    ]
    whole = {key: labels[0][key] for key in ("raw_label", "proc_label", "seg_id", "act_cat")}
    dense = {"babel_lid": f"f{number}", "anntr_id": "a", "mul_act": True, "labels": labels}
    return {
        "babel_sid": number,
        "url": f"https://example.invalid/{number:06d}.mp4",
        "feat_p": feat_p,
        "dur": round(duration, 2),
        "seq_ann": {"babel_lid": f"s{number}", "anntr_id": "a", "mul_act": False, "labels": [whole]},
        "frame_ann": None if number % 5 == 2 else dense,
    }


# --- the build, watched -----------------------------------------------------------------------


def status_kib(pid: int, name: str) -> int:
    """A line of /proc/PID/status in KiB; 0 when the process is gone."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def descendants(pid: int) -> Iterator[int]:
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            children = [int(child) for child in task.read_text().split()]
        except (FileNotFoundError, ProcessLookupError):
            continue
        for child in children:
            yield child
            yield from descendants(child)


class Watch(threading.Thread):
    """Samples the peaks of a process and of everything below it until stopped."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.main, self.workers = pid, 0, 0
        self.stopped = threading.Event()

    def run(self) -> None:
        while not self.stopped.wait(0.02):
            self.main = max(self.main, status_kib(self.pid, "VmHWM"))
            self.workers = max((self.workers, *(status_kib(child, "VmHWM") for child in descendants(self.pid))))


def build(root: Path, workers: int) -> dict[str, Any]:
    """Run the command on a world; peaks in KiB, seconds, and the resident size at the end of each stage."""
    inputs = ["--amass", root / "amass", "--babel", root / "babel", "--body", root / "body"]
    inputs += ["--regressor", root / "regressor.npy", "--out", root / "shards", "--workers", workers]
    settings = ["-o", "pack.max_frames=10000"]
    command = [sys.executable, "-m", "cli.data", "build-babel", *map(str, inputs), *settings]
    start = time.perf_counter()
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
    watch = Watch(process.pid)
    watch.start()
    stages: dict[str, int] = {}
    lines: list[str] = []
    assert process.stderr is not None
    for line in process.stderr:
        lines.append(line)
        if " done, " in line:
            stages[line.split()[0]] = status_kib(process.pid, "VmHWM")
    code = process.wait()
    watch.stopped.set()
    if code:
        raise SystemExit("".join(lines[-20:]))
    written = sum(path.stat().st_size for path in root.rglob("*") if path.is_file())
    seconds = time.perf_counter() - start
    return {"main": watch.main, "workers": watch.workers, "seconds": seconds, "stages": stages, "bytes": written}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="750,1500,3000", help="numbers of motions")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=None, help="where the worlds go [default: the system's]")
    options = parser.parse_args()
    sizes = [int(size) for size in options.sizes.split(",")]
    results = []
    for size in sizes:
        with tempfile.TemporaryDirectory(dir=options.folder) as folder:
            make_world(Path(folder), size)
            results.append(found := build(Path(folder), options.workers))
        stages = ", ".join(f"{name} {kib / 1024:.0f}" for name, kib in found["stages"].items())
        print(
            f"{size:6d} motions, {found['bytes'] / 1e6:5.0f} MB, {options.workers} workers: {found['seconds']:5.1f} s  "
            f"main process {found['main'] / 1024:6.1f} MiB   largest worker {found['workers'] / 1024:6.1f} MiB   "
            f"(main after {stages})",
            flush=True,
        )
    if len(sizes) > 1:
        more = sizes[-1] - sizes[0]
        for name in ("main", "workers"):
            print(f"each motion more adds {(results[-1][name] - results[0][name]) * 1024 / more:7.0f} bytes to {name}")


if __name__ == "__main__":
    main()

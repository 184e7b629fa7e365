"""Cases of benchmark files whose 2D is not that of their 3D, and of the line to type next."""

from __future__ import annotations

import shlex
import subprocess
import sys
from pathlib import Path

from actionpose.shards import ShardSet
from pipeline.demo.mpi3dhp import write_demo_3dhp
from tests.cases.case import ap_data, ap_train, case, unless_refused, wrong
from tests.makers.h36m import PICKLE, make_h36m
from tests.makers.shards import make_benchmark, make_shards, options, tiny


@case("3dhp-2d-normalised")
def normalised_3dhp(folder: Path, scratch: Path) -> str:
    """2D in another unit is refused, whatever --annotation says."""
    filmed = make_shards(scratch / "filmed", lengths=(20, 31, 26, 40), splits=("train", "val"))
    demo = write_demo_3dhp(scratch / "3dhp", ShardSet(filmed))["test"]
    path = _damaged(folder, demo, scratch / "data_test_3dhp.npz")
    build = ("build-3dhp", "--mpi-inf-3dhp", path, "--annotation", "universal")
    return _no_way_round(build, ("doctor", "--mpi-inf-3dhp", path), scratch, "times the size")


@case("h36m-b-detections-normalised")
def normalised_h36m(folder: Path, scratch: Path) -> str:
    """Detections in another unit are refused."""
    path = _damaged(folder, make_h36m(scratch) / PICKLE, scratch / PICKLE)
    return _no_way_round(("build-h36m", "--h36m", path), ("doctor", "--h36m", path), scratch, "times the size")


@case("h36m-b-legs-swapped")
def legs_swapped(folder: Path, scratch: Path) -> str:
    """Detections with joints exchanged are refused, and it is said which."""
    path = _damaged(folder, make_h36m(scratch) / PICKLE, scratch / PICKLE)
    words = ("test", "left and right leg exchanged")
    return _no_way_round(("build-h36m", "--h36m", path), ("doctor", "--h36m", path), scratch, *words)


def _damaged(folder: Path, demo: Path, out: Path) -> Path:
    """What the case's make.py makes of the demo's file."""
    subprocess.run([sys.executable, str(folder / "make.py"), str(demo), str(out)], check=True, timeout=60)
    return out


def _no_way_round(build: tuple[object, ...], doctor: tuple[object, ...], scratch: Path, *words: str) -> str:
    """What is wrong unless the build, its dry run and the doctor all stop and say why."""
    out = scratch / "shards"
    looked = ap_data(*doctor)
    said = " ".join(looked.stdout.split())
    faults = {
        "build": unless_refused(ap_data(*build, "--out", out), *words),
        "dry run": unless_refused(ap_data(*build, "--out", out, "--dry-run"), *words),
        "doctor": wrong(does_not_stop=looked.exit_code != 1, does_not_say_why=any(word not in said for word in words)),
        "shards": wrong(written=out.exists()),
    }
    return "; ".join(f"{name}: {fault}" for name, fault in faults.items() if fault)


@case("next-line-fails")
def next_line(folder: Path, scratch: Path) -> str:
    """The line that training prints can be typed as it is, on shards that hold nothing but a test split out."""
    shards = make_benchmark(scratch / "shards 3dhp", "3dhp", (33, 34), train=2)
    run = scratch / "run"
    settings = options(tiny("finetune.epochs=1"))
    trained = ap_train("finetune", "-c", "tiny", "--data", shards, "--out", run, *settings)
    if trained.exit_code:
        return trained.stderr[-200:]
    program, *words = shlex.split(trained.stderr.partition("Next: ")[2].splitlines()[0])
    faults = []
    for more in ((), ("--protocol", "3dhp")):
        done = ap_train(*words, *more)
        if program != "ap-train" or done.exit_code:
            faults.append(f"{program} {shlex.join([*words, *more])}: {done.stderr[-200:]}")
    return "; ".join(faults)

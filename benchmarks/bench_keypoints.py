"""How fast poses become keypoints against the ways one would otherwise take, and files against poses in memory.

    python benchmarks/bench_keypoints.py [--frames 8192] [--rounds 5] [--correctives hands] [--folder DIR]

A full-size synthetic SMPL+H body (6890 vertices, dense pose correctives, a regressor with 107
entries) and random poses; one thread; CPU time. Every ratio is the median over rounds in which the
contestants take turns, so that a noisy machine slows all equally. Peers run at their best batch size.

- fast: pipeline.body.collapse
- mesh: pipeline.body.mesh, all vertices through smplx, then the regressor
- body-models: `forward_points` of the package of that name, if it is there. No dependency of ours; get it aside:
  `pip install --target DIR --no-deps body-models==0.26.2 jaxtyping wadler-lindig nanomanifold
  scipy trimesh platformdirs`, then `PYTHONPATH=DIR`

In the same rounds, from AMASS-like files of 16 s at 120 Hz (float64, with markers), stored and deflated, in frames of
the result at 30 Hz: reading alone, reading and computing, the work of the stages index (a checksum of each file)
and keypoints; what that makes for all of AMASS on two cores.
"""

from __future__ import annotations

import argparse
import importlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

# Before numpy and torch read them: every contestant gets one thread.
os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np
import torch
from amass_like import AMASS_FRAMES, SECONDS, write_inputs, write_motion

from benchmarks.bodies import FULL_SIZE, random_motion, synthetic_body, synthetic_regressor, write_body
from pipeline.body.collapse import KeypointTable
from pipeline.body.mesh import mesh_keypoints
from pipeline.body.smplh import SmplhModel
from pipeline.config import KeypointConfig
from pipeline.sources.amass import read_motion
from pipeline.stages.index import index_items, index_one, motion_row
from pipeline.stages.keypoints import keypoint_items, keypoints_one, motion_keypoints

Contestant = Callable[[int], np.ndarray]
PEER = "body-models==0.26.2 jaxtyping wadler-lindig nanomanifold scipy trimesh platformdirs"
BATCHES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def body_models_points(
    model: SmplhModel, regressor: np.ndarray, poses: np.ndarray, betas: np.ndarray, trans: np.ndarray
) -> Callable[..., np.ndarray] | str:
    """Return a function (frames, batch) -> keypoints, or the reason why there is none."""
    try:
        package = importlib.import_module("body_models.smplh.torch")
    except ImportError as error:
        return f"skipped: {error}; pip install --target DIR --no-deps {PEER}, then PYTHONPATH=DIR"
    with tempfile.TemporaryDirectory() as folder:
        body = package.SMPLH(model_path=write_body(model, Path(folder) / "model.npz"), flat_hand_mean=True)
    points = body.prepare_point_regressor(torch.tensor(regressor, dtype=torch.float32))
    identity = body.prepare_identity(torch.tensor(betas, dtype=torch.float32))
    pose = torch.tensor(poses, dtype=torch.float32).reshape(len(poses), 52, 3)
    shift = torch.tensor(trans, dtype=torch.float32)

    def run(frames: int, batch: int) -> np.ndarray:
        parts = []
        with torch.inference_mode():
            for i in range(0, frames, batch):
                b = slice(i, min(i + batch, frames))
                parts.append(
                    body.forward_points(
                        pose[b, 1:22],
                        pose[b, 22:],
                        point_regressor=points,
                        pelvis_rotation=pose[b, 0],
                        identity=identity,
                        global_translation=shift[b],
                    )
                )
        return torch.cat(parts).numpy()

    return run


def cpu_seconds(run: Contestant, frames: int) -> float:
    start = time.process_time()
    run(frames)
    return time.process_time() - start


def best_batch(run: Callable[..., np.ndarray], frames: int) -> int:
    seconds = {batch: cpu_seconds(partial(run, batch=batch), frames) for batch in BATCHES if batch <= frames}
    return min(seconds, key=seconds.__getitem__)


# --- files ------------------------------------------------------------------------------------

FILES = 6


def file_contestants(folder: Path) -> dict[str, Contestant]:
    """Ways through FILES files of each kind; what they return is not looked at, every number says the rate."""
    write_inputs(folder)
    inputs = {"body": str(folder / "body"), "regressor": str(folder / "regressor.npy")}
    found: dict[str, Contestant] = {}
    for kind in ("stored", "deflated"):
        root = folder / kind
        for number in range(FILES):
            write_motion(root / "CMU" / "01" / f"{number}_poses.npz", deflated=kind == "deflated", seed=number)
        items = index_items(root)
        rows = [motion_row(item, root, rate_overrides=False) for item in items]
        context = {"amass": str(root), "rate_overrides": False, "config": KeypointConfig(), **inputs}
        work = keypoint_items(rows)
        found |= {
            f"{kind}: np.load of every member": partial(_each, lambda path: dict(np.load(path)), _paths(root)),
            f"{kind}: reading": partial(_each, read_motion, _paths(root)),
            f"{kind}: reading and computing": partial(_each, partial(_file, inputs=inputs), _paths(root)),
            f"{kind}: stage index": partial(_each, partial(index_one, context=context, folder=folder), items),
            f"{kind}: stage keypoints": partial(_each, partial(keypoints_one, context=context, folder=folder), work),
        }
    return found


def _paths(root: Path) -> list[Path]:
    return sorted(root.rglob("*.npz"))


def _each(do: Callable[..., object], things: list, _: int) -> np.ndarray:
    for thing in things:
        do(thing)
    return np.empty(0)


def _file(path: Path, inputs: dict[str, str]) -> object:
    return motion_keypoints(read_motion(path), 120.0, inputs, KeypointConfig())


def print_files(rates: dict[str, list[float]], computing: float) -> None:
    """Rates of the ways through files, what reading costs against computing, and the sum for all of AMASS."""
    middle = {name: statistics.median(found) for name, found in rates.items()}
    print(f"{FILES} files of {SECONDS:g} s at 120 Hz each; frames are those of the result at 30 Hz")
    for name, rate in middle.items():
        print(f"{name:48s} {rate:>10,.0f} frames/CPU-s")
    for kind in ("stored", "deflated"):
        share = computing / middle[f"{kind}: reading"]
        seconds = {s: AMASS_FRAMES / middle[f"{kind}: stage {s}"] for s in ("index", "keypoints")}
        print(
            f"{kind}: reading costs {share:.1f} times the computing; all of AMASS ({AMASS_FRAMES / 1e6:.1f} M frames): "
            f"index {seconds['index']:.0f} + keypoints {seconds['keypoints']:.0f} CPU-s, "
            f"{sum(seconds.values()) / 120:.1f} minutes on two cores"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8192, help="frames a round for the fast way")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--correctives", choices=("none", "hands", "dense"), default="hands")
    parser.add_argument("--folder", type=Path, default=None, help="where files go [default: the system's]")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        compare(options, Path(folder))


def compare(options: argparse.Namespace, folder: Path) -> None:
    model = synthetic_body(FULL_SIZE, correctives=options.correctives)
    regressor = synthetic_regressor(model)
    poses, trans = random_motion(options.frames, seed=1)
    betas = np.random.default_rng(2).normal(size=16)
    subject = KeypointTable.build(model, regressor).at(betas)

    def mesh_way(frames: int, batch: int) -> np.ndarray:
        return mesh_keypoints(model, regressor, poses[:frames], betas, trans[:frames], chunk=batch)

    # The slow ways get fewer frames a round; rates are per frame all the same.
    contestants: dict[str, tuple[Contestant, int]] = {
        "fast": (lambda n: subject.keypoints(poses[:n], trans[:n]), options.frames)
    }
    few = min(512, options.frames)
    mesh_way(few, 64)
    chunk = best_batch(mesh_way, few)
    contestants[f"mesh (smplx, batches of {chunk})"] = (partial(mesh_way, batch=chunk), few)
    points = body_models_points(model, regressor, poses, betas, trans)
    if isinstance(points, str):
        print(f"body-models forward_points: {points}")
    else:
        some = min(4096, options.frames)
        points(some, 64)
        batch = best_batch(points, some)
        contestants[f"body-models forward_points (batches of {batch})"] = (partial(points, batch=batch), some)

    reference = subject.keypoints(poses[:few], trans[:few])
    files = {name: (run, FILES * round(SECONDS * 30)) for name, run in file_contestants(folder).items()}
    rates: dict[str, list[float]] = {name: [] for name in (*contestants, *files)}
    for run, frames in files.values():  # the body's table is made once, not in every round
        run(frames)
    for _ in range(options.rounds):
        for name, (run, frames) in (contestants | files).items():
            rates[name].append(frames / cpu_seconds(run, frames))
    print(f"{FULL_SIZE} vertices, correctives: {options.correctives}, one thread, {options.rounds} rounds")
    for name, (run, _) in contestants.items():
        ratio = statistics.median(f / r for f, r in zip(rates["fast"], rates[name], strict=True))
        apart = np.abs(run(few) - reference).max()
        print(
            f"{name:48s} {statistics.median(rates[name]):>10,.0f} frames/CPU-s   "
            f"fast is {ratio:6.1f} x   differs by {apart:.1e} m"
        )
    print_files({name: rates[name] for name in files}, statistics.median(rates["fast"]))


if __name__ == "__main__":
    main()

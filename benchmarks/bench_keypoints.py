"""How fast poses become keypoints: the collapsed table against the ways one would otherwise take.

    python benchmarks/bench_keypoints.py [--frames 8192] [--rounds 5] [--correctives hands]

A full-size synthetic SMPL+H body (6890 vertices, dense pose correctives, a regressor with 107
entries) and random poses; one thread; CPU time. Every ratio is the median over rounds in which the
contestants take turns, so that a noisy machine slows all alike. Peers run at their best batch size.

- fast: pipeline.collapse
- mesh: pipeline.mesh, all vertices through smplx, then the regressor
- body-models: `forward_points` of the package of that name, if it is installed
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

from pipeline.body import SmplhModel
from pipeline.collapse import KeypointTable
from pipeline.mesh import mesh_keypoints
from pipeline.testing import FULL_SIZE, random_motion, synthetic_body, synthetic_regressor, write_body

Contestant = Callable[[int], np.ndarray]
BATCHES = (16, 32, 64, 128, 256, 512, 1024, 2048, 4096)


def body_models_points(
    model: SmplhModel, regressor: np.ndarray, poses: np.ndarray, betas: np.ndarray, trans: np.ndarray
) -> Callable[..., np.ndarray] | str:
    """Return a function (frames, batch) -> keypoints, or the reason why there is none."""
    try:
        package = importlib.import_module("body_models.smplh.torch")
    except ImportError as error:
        return f"skipped: {error} (pip install body-models)"
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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=8192, help="frames a round for the fast way")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--correctives", choices=("none", "hands", "dense"), default="hands")
    options = parser.parse_args()
    torch.set_num_threads(1)

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
    rates: dict[str, list[float]] = {name: [] for name in contestants}
    for _ in range(options.rounds):
        for name, (run, frames) in contestants.items():
            rates[name].append(frames / cpu_seconds(run, frames))
    print(f"{FULL_SIZE} vertices, correctives: {options.correctives}, one thread, {options.rounds} rounds")
    for name, (run, _) in contestants.items():
        ratio = statistics.median(f / r for f, r in zip(rates["fast"], rates[name], strict=True))
        apart = np.abs(run(few) - reference).max()
        print(
            f"{name:48s} {statistics.median(rates[name]):>10,.0f} frames/CPU-s   "
            f"fast is {ratio:6.1f} x   differs by {apart:.1e} m"
        )


if __name__ == "__main__":
    main()

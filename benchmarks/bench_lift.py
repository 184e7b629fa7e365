"""Frames lifted a second at MotionBERT-lite's size: its own form of the network, ours, and the whole of `ap-lift`.

    python benchmarks/bench_lift.py [--frames 486] [--rounds 2] [--threads 1]

MotionBERT's module is `textbook.py` without the token (a test holds it to outputs of MotionBERT's own code); all have
the same random weights. Modules get windows of 243 frames side by side; `ap-lift` starts from keypoints in pixels and
ends with a result in metres, its windows overlapping by half, without the mirrored pass. Contestants take turns; rates
are frames per second of CPU time, ratios medians over rounds.
"""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

import numpy as np
import torch
from encoders import clips, contestants, encoder_config, forward
from turns import best, take_turns, times_faster

from actionpose.lift.detections import Detections
from actionpose.lift.run import lift_detections
from actionpose.lift.source import BENCHMARK_FPS, H36M_PER_METRE, LiftModel
from actionpose.lift.understand import LiftOptions
from actionpose.model.action_pose import ActionPose

WINDOW, PAIRS = 243, 5
THEIRS = "MotionBERT-lite's module"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=2 * WINDOW)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    config = encoder_config("lite", PAIRS, class_token=False)
    both, inputs = (
        contestants(config, torch.device("cpu")),
        clips(options.frames // WINDOW, WINDOW, torch.device("cpu")),
    )
    whole = ActionPose(config).eval()
    whole.pose.load_state_dict(both["ours"].state_dict())
    source = LiftModel(model=whole, path=Path("lite"), frames=WINDOW, fps=BENCHMARK_FPS, unit=H36M_PER_METRE,
                       longest_gap=1.0, says="", temperature=0.1, facts={})  # fmt: skip
    seconds = take_turns(
        {
            THEIRS: partial(forward, both["textbook"], inputs),
            "our module": partial(forward, both["ours"], inputs),
            "ap-lift, all of it": partial(lift_detections, someone(options.frames), source, LiftOptions(flip=False)),
        },
        options.rounds,
    )
    load = os.getloadavg()[0]
    print(f"{options.frames} frames, {options.threads} threads, torch {torch.__version__}, load {load:.1f}")
    for name in seconds:
        rate = options.frames / best(seconds, name)
        print(f"{name:25s} {rate:7.1f} frames a CPU second   {times_faster(seconds, name, THEIRS):5.2f} x {THEIRS}")


def someone(frames: int) -> Detections:
    """Keypoints of a person who moves a little, pixels."""
    rng = np.random.default_rng(0)
    points = rng.uniform(300, 700, (1, 17, 2)) + rng.normal(0, 1.0, (frames, 17, 2)).cumsum(axis=0)
    return Detections(source="someone", kind="array", frame=np.arange(frames), points=points,
                      confidence=np.ones((frames, 17)), layout="h36m-17", fps=BENCHMARK_FPS)  # fmt: skip


if __name__ == "__main__":
    main()

"""Where other jobs hold the cores it is noticed, once; threads are named and spin for a bounded time."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
import torch

from actionpose.train import crowd
from actionpose.train.crowd import OtherJobs
from actionpose.train.runtime import RunConfig, start
from tests.makers.places import ROOT

CPU = torch.device("cpu")


@pytest.fixture
def two_threads(monkeypatch):
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    monkeypatch.setattr(crowd, "MEASURED_S", 0.01)


def steps(others: OtherJobs, wait_s: float, work_s: float = 0.0) -> None:
    with others:
        time.sleep(wait_s)
        until = time.thread_time() + work_s
        while time.thread_time() < until:
            pass


def test_steps_that_wait_for_cores_are_noticed_once(two_threads):
    others = OtherJobs(CPU)
    steps(others, 0.05)
    assert others.newly_noticed(0.0)
    steps(others, 0.05)
    assert not others.newly_noticed(0.0)


def test_waiting_for_data_is_not_waiting_for_cores(two_threads):
    others = OtherJobs(CPU)
    begun = time.monotonic()
    steps(others, 0.05)
    waited = time.monotonic() - begun
    steps(others, 0.0, work_s=0.05)
    others.seconds = waited + others.computing_s  # as on a quiet machine, whatever this one is doing
    assert not others.newly_noticed(waited)


def test_one_thread_and_gpus_are_left_in_peace(two_threads, monkeypatch):
    gpu = OtherJobs(torch.device("cuda"))
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    for others in (gpu, OtherJobs(CPU)):
        steps(others, 0.05)
        assert not others.newly_noticed(0.0)


@pytest.mark.parametrize(("threads", "named"), [(1, "1 thread,"), (2, "2 threads,")])
def test_the_banner_names_the_threads(threads, named):
    before = torch.get_num_threads()
    try:
        with start(RunConfig(device="cpu", threads=threads)) as runtime:
            assert named in runtime.why
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("door", ["actionpose", "cli.train", "cli.data", "cli.lift"])
@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, "100000 None"), ({"GOMP_SPINCOUNT": "7"}, "7 None"), ({"OMP_WAIT_POLICY": "passive"}, "None passive")],
)
def test_threads_spin_for_a_bounded_time_unless_the_user_says_otherwise(door, own, expected):
    code = f"import os, sys, {door}; assert 'torch' not in sys.modules; e = os.environ.get; "
    code += "print(e('GOMP_SPINCOUNT'), e('OMP_WAIT_POLICY'))"
    clean = {key: value for key, value in os.environ.items() if key not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, env=clean | own, capture_output=True, text=True)
    assert done.stdout.strip() == expected, done.stderr

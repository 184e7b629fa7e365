"""Device, precision and seeds are chosen for a reason that is said; one process needs no others."""

from __future__ import annotations

import random
from datetime import timedelta

import numpy as np
import pytest
import torch
import torch.distributed as dist

from actionpose.errors import UserError
from actionpose.train.runtime import RunConfig, Runtime, seed_all, start


@pytest.fixture(autouse=True)
def _restore():
    yield
    torch.use_deterministic_algorithms(False)


def test_the_choice_is_explained():
    with start(RunConfig(device="cpu")) as runtime:
        assert runtime.device.type == "cpu"
        assert not runtime.bf16
        assert "as asked" in runtime.why
        assert "fp32" in runtime.why
        assert (runtime.main, runtime.world) == (True, 1)
    with start(RunConfig(device="cpu", precision="bf16")) as runtime:
        assert runtime.bf16
        with runtime.autocast():
            assert torch.nn.Linear(2, 2)(torch.ones(1, 2)).dtype == torch.bfloat16


@pytest.mark.parametrize("device", ["gpu", "cuda:99", "meta"])
def test_a_device_that_is_not_there_is_refused_with_advice(device):
    with pytest.raises(UserError, match=r"run\.device=(.|\n)*auto"), start(RunConfig(device=device)):
        pass


@pytest.mark.parametrize("wrong", [{"seed": -1}, {"log_every": 0}, {"keep": 0}, {"save_minutes": 0.0}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        RunConfig(**wrong)


def test_a_key_seeds_all_global_random_state():
    def draw(*key):
        seed_all(*key)
        return random.random(), np.random.rand(), torch.rand(()).item()

    assert draw(1, 2, 3) == draw(1, 2, 3)
    assert len({draw(1, 2, 3), draw(1, 2, 4), draw(1, 3, 3), draw(2, 2, 3)}) == 4


def test_one_process_averages_and_agrees_with_itself():
    runtime = Runtime(device=torch.device("cpu"), bf16=False)
    tensor = torch.ones(3)
    assert runtime.average(tensor) is tensor
    runtime.broadcast([tensor])
    runtime.barrier()
    assert tensor.tolist() == [1, 1, 1]
    assert runtime.any(True)
    assert not runtime.any(False)


def test_processes_wait_longer_than_an_evaluation_takes(monkeypatch):
    asked = {}
    monkeypatch.setattr(dist, "init_process_group", lambda *_, **given: asked.update(given))
    monkeypatch.setattr(dist, "destroy_process_group", lambda: None)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with start(RunConfig(device="cpu")):
        assert asked["timeout"] >= timedelta(hours=1)


def test_evaluation_computes_in_full_float32_and_puts_the_setting_back():
    runtime = Runtime(device=torch.device("cpu"), bf16=False)
    torch.set_float32_matmul_precision("high")
    with runtime.exact():
        assert torch.get_float32_matmul_precision() == "highest"
    assert torch.get_float32_matmul_precision() == "high"
    torch.set_float32_matmul_precision("highest")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_gpu_is_taken_when_there_is_one():
    with start(RunConfig()) as runtime:
        assert runtime.device.type == "cuda"
        moved = runtime.move({"x": torch.ones(2), "text": ["walk"]})
        assert moved["x"].is_cuda
        assert moved["text"] == ["walk"]

"""Gradients are sent while backward goes on, in buckets, once a step; the numbers are plain means."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from actionpose.train import overlap
from actionpose.train.overlap import Averaging
from actionpose.train.runtime import Runtime


class Twin(Runtime):
    """One of two processes; the other one has the same gradients, thrice as large."""

    def send_sum(self, tensor):
        twin_log.append(tensor.numel())
        tensor *= 4
        return Done()

    def broadcast(self, tensors):
        pass


class Done:
    def wait(self):
        return True


twin_log: list[int] = []


@pytest.fixture
def chain(monkeypatch):
    """Three layers and one that is not used; a bucket holds one layer's weight, or several biases."""
    twin_log.clear()
    monkeypatch.setattr(overlap, "BUCKET_BYTES", 4 * 16)
    torch.manual_seed(0)
    layers = nn.Sequential(*(nn.Linear(4, 4) for _ in range(3)), nn.Linear(4, 4))
    runtime = Twin(device=torch.device("cpu"), bf16=False, world=2)
    return layers, Averaging(list(layers.parameters()), runtime)


def backward(layers, inputs):
    layers[:3](inputs).square().sum().backward()


def expected(layers, *inputs):
    layers.zero_grad()
    for each in inputs:
        backward(layers, each)
    return [None if p.grad is None else 2 * p.grad for p in layers.parameters()]


def test_every_step_ends_with_the_mean_over_processes_and_an_unused_layer_keeps_none(chain):
    layers, averaging = chain
    inputs = torch.rand(5, 4)
    wanted = expected(layers, inputs)
    for _ in range(3):
        layers.zero_grad()
        averaging.begin()
        backward(layers, inputs)
        averaging.finish()
        for parameter, mean in zip(layers.parameters(), wanted, strict=True):
            assert parameter.grad is mean is None or torch.equal(parameter.grad, mean)


def test_from_the_second_step_on_buckets_leave_before_backward_is_done(chain):
    layers, averaging = chain
    gone = []
    layers[0].weight.register_hook(lambda gradient: gone.append(sum(twin_log)))
    for _ in range(2):
        twin_log.clear()
        layers.zero_grad()
        averaging.begin()
        backward(layers, torch.rand(5, 4))
        averaging.finish()
        assert sum(twin_log) == 4 * (16 + 4)  # every parameter once, the unused ones too
    assert gone[0] == 0
    assert gone[1] >= 2 * 16


def test_parts_of_a_step_add_up_and_are_sent_once(chain):
    layers, averaging = chain
    one, two = torch.rand(5, 4), torch.rand(5, 4)
    wanted = expected(layers, one, two)
    for _ in range(2):
        twin_log.clear()
        layers.zero_grad()
        backward(layers, one)
        assert not twin_log
        averaging.begin()
        backward(layers, two)
        averaging.finish()
        assert sum(twin_log) == 4 * (16 + 4)
    for parameter, mean in zip(layers.parameters(), wanted, strict=True):
        assert parameter.grad is mean is None or torch.equal(parameter.grad, mean)

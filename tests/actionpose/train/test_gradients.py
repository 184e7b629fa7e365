"""Tests of gradients by loss."""

import pytest
import torch
from torch import Tensor

from actionpose.train.gradients import SharedGradients


def alone(tensor: Tensor) -> Tensor:
    """The mean over one process."""
    return tensor


def test_norms_are_of_the_weights_that_all_losses_reach():
    shared, own = torch.tensor([3.0, 4.0], requires_grad=True), torch.tensor([100.0], requires_grad=True)
    looked = SharedGradients([shared, own])
    looked.add({"a": (shared * shared).sum(), "b": 2 * shared.sum() + own.sum()})
    assert {name: pytest.approx(float(norm)) for name, norm in looked.norms(alone).items()} == {"a": 10.0, "b": 8**0.5}
    assert shared.grad is None
    apart = SharedGradients([shared, own])
    apart.add({"a": shared.sum(), "b": own.sum()})
    assert {name: float(norm) for name, norm in apart.norms(alone).items()} == {"a": 0.0, "b": 0.0}


def test_gradients_of_parts_are_added_before_their_norm_is_taken():
    # The parts pull in opposite directions: of the last one alone the norm would be 1, of the step it is 0.
    weight = torch.tensor([1.0], requires_grad=True)
    looked = SharedGradients([weight])
    for sign in (1.0, -1.0):
        looked.add({"a": sign * weight.sum(), "b": 3 * weight.sum()}, parts=2)
    assert {name: float(norm) for name, norm in looked.norms(alone).items()} == {"a": 0.0, "b": 3.0}


def test_the_norm_is_that_of_the_mean_over_processes():
    weight = torch.tensor([1.0, 1.0], requires_grad=True)
    looked = SharedGradients([weight])
    looked.add({"a": weight.sum()})
    other = torch.tensor([1.0, -1.0])  # what another process found
    assert float(looked.norms(lambda mine: (mine + other) / 2)["a"]) == 1.0

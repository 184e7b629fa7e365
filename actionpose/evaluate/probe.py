"""A linear probe: what a straight line can read from features that are left as they are.

Multinomial logistic regression in float64 from zero weights: nothing is drawn, so equal features give equal answers.

Shape suffixes: N clips to learn from, M clips to test on, F features, U categories.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

from actionpose.arrays import Floats
from actionpose.evaluate.retrieval import Flags, Naming, naming

PENALTY = 0.01
"""Weight of half the squared weights against the mean loss; features have unit variance. Not tuned."""
STEPS = 200


def linear_probe(train_NF: Floats, true_NU: Flags, test_MF: Floats, test_true_MU: Flags) -> Naming:
    """Learn categories from some clips, name them on others.

    Args:
        train_NF: features to learn from.
        true_NU: bool, their categories, at least one each; a clip with several teaches each an equal share.
        test_MF: features of held-out clips.
        test_true_MU: bool, their categories, at least one each; any of them counts.
    """
    shift, scale = train_NF.mean(axis=0), train_NF.std(axis=0)
    scale = np.where(scale > 1e-12, scale, np.inf)  # what never changes says nothing
    learn, ask = (torch.from_numpy((x - shift) / scale).double() for x in (train_NF, test_MF))
    target = torch.from_numpy(true_NU / true_NU.sum(axis=1, keepdims=True)).double()
    weight, bias = fit(learn, target, PENALTY)
    return naming((ask @ weight + bias).numpy(), test_true_MU)


def fit(x_NF: Tensor, target_NU: Tensor, penalty: float) -> tuple[Tensor, Tensor]:
    """Weights (F, U) and bias (U,) that minimise mean cross entropy plus penalty/2 x squared weights."""
    weight = torch.zeros(x_NF.shape[1], target_NU.shape[1], dtype=torch.float64, requires_grad=True)
    bias = torch.zeros(target_NU.shape[1], dtype=torch.float64, requires_grad=True)
    optimizer = torch.optim.LBFGS([weight, bias], max_iter=STEPS, tolerance_grad=1e-6, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(x_NF @ weight + bias, target_NU) + 0.5 * penalty * weight.square().sum()
        loss.backward()
        return loss

    with torch.enable_grad():
        optimizer.step(closure)
    return weight.detach(), bias.detach()

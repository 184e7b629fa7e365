"""How hard each loss pulls at the weights that all losses share.

Adam divides every weight's gradient by its own size, so in a head that one loss alone reaches, the factor in front of
that loss does nothing. It tells where losses meet: there the larger gradient has its way, whatever the losses' values.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor


def shared_gradient_norms(losses: Mapping[str, Tensor], parameters: Sequence[Tensor]) -> dict[str, Tensor]:
    """Euclidean norm of each loss's gradient over the parameters that every loss reaches; 0 where there are none.

    Leaves `.grad` and the graph as they are. Losses are scalars, weighted as in the sum that is minimised.
    """
    of_loss = {
        name: torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        for name, loss in losses.items()
    }
    shared = [i for i in range(len(parameters)) if all(found[i] is not None for found in of_loss.values())]
    return {
        name: torch.stack([gradients[i].detach().float().norm() for i in shared]).norm() if shared else torch.zeros(())
        for name, gradients in of_loss.items()
    }

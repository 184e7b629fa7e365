"""How strongly each loss of a step pulls at the weights that all losses reach."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor


class SharedGradients:
    """Gradients of each loss by itself over a whole step, which may be computed in parts and by several processes.

    Adam divides every weight's gradient by its own size, so in a head that one loss alone reaches, the factor in front
    of that loss does nothing. It decides where losses meet: there the larger gradient wins, whatever their values are.
    Leaves `.grad` and the graph as they are.

    Args:
        parameters: the weights that are looked at.
    """

    def __init__(self, parameters: Sequence[Tensor]) -> None:
        self.parameters = parameters
        self._of_loss: dict[str, list[Tensor | None]] = {}

    def add(self, losses: Mapping[str, Tensor], parts: int = 1) -> None:
        """One of the `parts` of the step, whose loss is the mean over them; scalars, weighted as they are minimised."""
        for name, loss in losses.items():
            found = torch.autograd.grad(loss / parts, self.parameters, retain_graph=True, allow_unused=True)
            before = self._of_loss.get(name, [None] * len(found))
            self._of_loss[name] = [_sum(old, new) for old, new in zip(before, found, strict=True)]

    def norms(self, average: Callable[[Tensor], Tensor]) -> dict[str, Tensor]:
        """Euclidean norm of each loss's gradient over the weights that every loss reaches; 0 where there are none.

        Args:
            average: the mean of a tensor over processes.
        """
        found = self._of_loss.values()
        shared = [at for at, every in enumerate(zip(*found, strict=True)) if all(g is not None for g in every)]
        if not shared:
            return {name: torch.zeros(()) for name in self._of_loss}
        return {name: average(_flat(gradients, shared)).norm() for name, gradients in self._of_loss.items()}


def _sum(old: Tensor | None, new: Tensor | None) -> Tensor | None:
    if old is None or new is None:
        return new if old is None else old
    return old + new


def _flat(gradients: Sequence[Tensor | None], places: Sequence[int]) -> Tensor:
    return torch.cat([found.flatten().float() for at in places if (found := gradients[at]) is not None])

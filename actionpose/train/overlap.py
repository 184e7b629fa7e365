"""Gradients averaged over processes while backward still computes others: in buckets, each sent as soon as it is full.

Buckets follow the order in which the gradients of the first step arrive, as in torch's DistributedDataParallel (Li et
al., 2020). That step is averaged in the same buckets, only later: a run that resumes adds up in the same order.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import torch
import torch.distributed as dist
from torch import Tensor

from actionpose.train.runtime import Runtime

BUCKET_BYTES = 25 << 20
"""DistributedDataParallel's choice: large enough for the wire, small enough that the last one is soon sent."""


class Averaging:
    """Averages the gradients of parameters over processes; with one process it does nothing.

    Backward passes add to the gradients and send nothing until `begin`; the one after it sends, and `finish` waits.
    """

    def __init__(self, parameters: Sequence[Tensor], runtime: Runtime) -> None:
        self.parameters, self.runtime = parameters, runtime
        self.buckets: list[list[int]] = []  # places in `parameters`
        self.arrived: dict[int, None] = {}  # a set that keeps its order
        self.sent: list[tuple[list[Tensor], Tensor, dist.Work]] = []
        self.sending = False
        for place, parameter in enumerate(parameters if runtime.world > 1 else ()):
            parameter.register_post_accumulate_grad_hook(partial(self._arrive, place))

    def begin(self) -> None:
        """The backward pass to come is the last one of its step."""
        self.sending, self.arrived, self.sent = True, {}, []

    def finish(self) -> None:
        """Wait until all gradients are means over processes."""
        if self.runtime.world == 1:
            return
        self.sending = False
        self.buckets = self.buckets or self._fill()
        while len(self.sent) < len(self.buckets):  # in the first step all; later, those with an unused parameter
            self._send()
        for gradients, joined, work in self.sent:
            work.wait()
            parts = joined.div_(self.runtime.world).split([gradient.numel() for gradient in gradients])
            for gradient, part in zip(gradients, parts, strict=True):
                gradient.copy_(part.view_as(gradient))

    def _arrive(self, place: int, _: Tensor) -> None:
        if not self.sending:
            return
        self.arrived[place] = None
        # One bucket after the other, so that all processes send the same.
        while len(self.sent) < len(self.buckets) and all(p in self.arrived for p in self.buckets[len(self.sent)]):
            self._send()

    def _send(self) -> None:
        members = [self.parameters[place] for place in self.buckets[len(self.sent)]]
        gradients = [torch.zeros_like(member) if member.grad is None else member.grad for member in members]
        joined = torch.cat([gradient.reshape(-1) for gradient in gradients])
        self.sent.append((gradients, joined, self.runtime.send_sum(joined)))

    def _fill(self) -> list[list[int]]:
        """The parameters in the order in which rank 0 had their gradients, what has none last, in parts of one type."""
        order = torch.tensor(
            list(self.arrived | dict.fromkeys(range(len(self.parameters)))), device=self.runtime.device
        )
        self.runtime.broadcast([order])
        buckets: list[list[int]] = [[]]
        size = 0
        for place in order.tolist():
            parameter = self.parameters[place]
            fits = size + parameter.nbytes <= BUCKET_BYTES
            if buckets[-1] and not (fits and parameter.dtype == self.parameters[buckets[-1][0]].dtype):
                buckets.append([])
                size = 0
            buckets[-1].append(place)
            size += parameter.nbytes
        return buckets

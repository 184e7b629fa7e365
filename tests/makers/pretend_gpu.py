"""A device that computes on the CPU and is as strict as a GPU: what it holds mixes with nothing that the CPU holds.

torch calls it `meta`, its own name for a device without data; here there is data. So whatever runs on it, to the same
numbers, has every tensor where a GPU needs it. Kernels, precision and speed of a GPU are not tried.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from unittest import mock

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils._pytree import tree_leaves, tree_map_only

DEVICE = torch.device("meta")

MOVES = {"_to_copy", "copy_"}
"""These alone take tensors of both devices."""

INDEXED = {"index", "index_put_", "_index_put_impl_"}
"""Here a GPU takes the CPU's whole numbers too, and waits for their copy."""

WAITS = {"_local_scalar_dense", "nonzero", "masked_select", "equal"}
"""Whose answer the host needs before it can go on."""


@dataclass
class Pretended:
    """What was asked of the device.

    Attributes:
        waits: by operator, how often the host would have waited; copies to and from the device are `copy`.
    """

    waits: Counter[str] = field(default_factory=Counter)


class Held(torch.Tensor):
    """A tensor of that device."""

    inner: torch.Tensor

    @staticmethod
    def __new__(cls, inner: torch.Tensor, seen: Pretended) -> Held:
        held = torch.Tensor._make_wrapper_subclass(
            cls, inner.size(), inner.stride(), inner.storage_offset(), dtype=inner.dtype, device=DEVICE,
            requires_grad=inner.requires_grad,
        )  # fmt: skip
        held.inner, held.seen = inner, seen
        return held

    __torch_function__ = torch._C._disabled_torch_function_impl

    def tolist(self) -> object:
        self.seen.waits["copy"] += 1
        return self.inner.tolist()

    def numpy(self, **_: object) -> object:
        raise TypeError("what a GPU holds has to be brought to the CPU first")

    def __repr__(self, **_: object) -> str:
        return f"Held({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        seen = next(leaf.seen for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Held))
        return _run(seen, func, args, kwargs or {})


class _Operators(TorchDispatchMode):
    def __init__(self, seen: Pretended) -> None:
        super().__init__()
        self.seen = seen

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        return _run(self.seen, func, args, kwargs or {})


class _Constants(TorchFunctionMode):
    """torch makes tensors of Python's numbers without asking a `TorchDispatchMode`."""

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = dict(kwargs or {})
        if func in (torch.tensor, torch.as_tensor) and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is torch.Tensor.new_tensor:
            return torch.tensor(*args[1:], **{"dtype": args[0].dtype, **kwargs}).to(args[0].device)
        return func(*args, **kwargs)


def _run(seen: Pretended, func, args, kwargs):
    name, asked = func.name().removeprefix("aten::").split(".")[0], kwargs.get("device")
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    held = any(isinstance(tensor, Held) for tensor in tensors)
    if held and name not in MOVES:
        _refuse_two_devices(name, tensors)
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    out = func(*tree_map_only(Held, lambda x: x.inner, args), **tree_map_only(Held, lambda x: x.inner, kwargs))
    here = not held if asked is None else torch.device(asked) != DEVICE
    if name == "copy_":
        here = not isinstance(args[0], Held)
    crosses = here == held if name == "_to_copy" else len({isinstance(x, Held) for x in tensors if x.ndim}) == 2
    if crosses and name in MOVES | INDEXED:
        seen.waits["copy"] += 1
    elif held and name in WAITS:
        seen.waits[name] += 1
    if here:
        return out.clone() if name == "_to_copy" and held else out
    out = tree_map_only(torch.Tensor, lambda x: Held(x, seen), out)
    return return_and_correct_aliasing(func, args, kwargs, out) if held else out


def _refuse_two_devices(name: str, tensors: list[torch.Tensor]) -> None:
    """As a GPU does; single numbers of the CPU may stand anywhere."""
    for tensor in tensors:
        index = name in INDEXED and not tensor.is_floating_point()
        if not isinstance(tensor, Held) and tensor.ndim and not index:
            raise RuntimeError(f"{name}: two devices, and on the CPU is a tensor of shape {tuple(tensor.shape)}")


@contextmanager
def pretend_gpu() -> Iterator[Pretended]:
    """While it lasts, `DEVICE` has data, all that computes chooses it, and autocast on it does nothing."""
    from actionpose.lift import model, run, source
    from actionpose.train import runtime

    seen, autocast, enabled, adamw = Pretended(), torch.autocast, torch.is_autocast_enabled, torch.optim.AdamW

    def known(device: str) -> str:
        return device.replace(DEVICE.type, "cpu")

    instead = [
        (torch, "autocast", lambda device_type, *a, **kw: autocast(known(device_type), *a, **kw)),
        (torch, "is_autocast_enabled", lambda device="cpu": enabled(known(device))),
        (torch.optim, "AdamW", lambda *a, fused, **kw: adamw(*a, foreach=False, **kw)),
        (torch._C, "_InferenceMode", lambda mode=True: torch.no_grad()),  # tensors of two parts have no such mode
        (runtime, "_device", lambda *_: (DEVICE, "pretended")),
        *((module, "device_of", lambda _: str(DEVICE)) for module in (source, run, model)),
    ]
    with ExitStack() as stack:
        for owner, name, other in instead:
            stack.enter_context(mock.patch.object(owner, name, other))
        stack.enter_context(_Operators(seen))
        stack.enter_context(_Constants())
        yield seen

"""Where training runs: device, precision, the processes torchrun started, seeds; and why each was chosen.

The only module that knows about processes. Without torchrun the same command runs on one device.
"""

from __future__ import annotations

import contextlib
import os
import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Literal, TypeVar, cast

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor

from actionpose.config import above, at_least, setting
from actionpose.errors import UserError

B = TypeVar("B", bound=Mapping[str, Any])
"""A batch, of whichever kind."""

PATIENCE = timedelta(hours=6)
"""How long a process waits for the others, which the first one keeps waiting while it evaluates: NCCL's own ten minutes
are less than that takes on large test sets. `torchrun` ends all of them at once when one fails."""


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """How a job is run. Only the seed changes what is learned; the rest changes how fast, and what is kept."""

    seed: int = setting(0, "key of every random choice: weights, order, flips, corruption, negatives")
    device: str = setting("auto", "auto, cpu, cuda or cuda:N")
    precision: Literal["auto", "bf16", "bf16-stream", "fp32"] = setting(
        "auto",
        "auto: bf16 autocast where the GPU computes in it, else fp32. Heads, losses and metrics stay in fp32. "
        "bf16-stream: between blocks too, which moves half as much memory and rounds each block's sum to 8 bits",
    )
    compile: Literal["auto", True, False] = setting(
        "auto", "torch.compile the pose encoder's blocks; auto: on a GPU. Takes a minute before the first step"
    )
    threads: int = setting(0, "CPU threads for torch; 0 leaves torch's own choice")
    workers: int = setting(0, "processes that assemble batches; 0: the training process does it")
    worker_start: Literal["", "fork", "forkserver", "spawn"] = setting(
        "", "how workers start; empty: the platform's default"
    )
    log_every: int = setting(20, "steps between log lines")
    gradients: bool = setting(
        False,
        "log, once an interval, the gradient norm of each loss on the shared weights; costs a backward pass for each",
    )
    save_minutes: float = setting(
        10.0, "minutes between checkpoints; one is also written at the end and for each new best"
    )
    keep: int = setting(2, "newest checkpoints to keep; the best one is always kept")
    deterministic: bool = setting(False, "refuse kernels whose result can change from run to run; slower on GPUs")
    budget_minutes: float = setting(0.0, "stop after this many minutes and count as done; 0: no limit")

    def __post_init__(self) -> None:
        at_least(self, 0, "seed", "threads", "workers", "budget_minutes")
        at_least(self, 1, "log_every", "keep")
        above(self, 0, "save_minutes")


@dataclass(frozen=True, kw_only=True)
class Runtime:
    """The machine as one process sees it.

    Attributes:
        device: where tensors live.
        bf16: whether the forward pass runs under bfloat16 autocast.
        rank: number of this process, 0 … world - 1; 0 writes files and prints.
        world: processes that share a global batch.
        why: one line for the log: what was chosen and why.
    """

    device: torch.device
    bf16: bool
    rank: int = 0
    world: int = 1
    why: str = ""

    @property
    def main(self) -> bool:
        """Whether this process writes files and prints."""
        return self.rank == 0

    def autocast(self) -> contextlib.AbstractContextManager[Any]:
        """The forward pass's precision."""
        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16)

    @contextlib.contextmanager
    def exact(self) -> Iterator[None]:
        """Full float32 products, for evaluation: the faster TF32 of GPUs rounds joints by tenths of millimetres."""
        before = torch.get_float32_matmul_precision()
        torch.set_float32_matmul_precision("highest")
        try:
            yield
        finally:
            torch.set_float32_matmul_precision(before)

    def move(self, batch: B) -> B:
        """Tensors of a batch to the device; the rest as it is."""
        if self.device.type == "cpu":
            return batch
        moved = {k: v.to(self.device, non_blocking=True) if isinstance(v, Tensor) else v for k, v in batch.items()}
        return cast(B, moved)

    def broadcast(self, tensors: Iterable[Tensor]) -> None:
        """Make every process start from rank 0's values."""
        if self.world > 1:
            for tensor in tensors:
                dist.broadcast(tensor.detach(), src=0)

    def send_sum(self, tensor: Tensor) -> dist.Work:
        """Begin to replace a tensor by its sum over several processes; `wait` for it before reading."""
        return dist.all_reduce(tensor, async_op=True)

    def average(self, tensor: Tensor) -> Tensor:
        """The mean over processes."""
        if self.world == 1:
            return tensor
        self.send_sum(tensor).wait()
        return tensor / self.world

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process."""
        if self.world == 1:
            return flag
        raised = torch.tensor([float(flag)], device=self.device)
        dist.all_reduce(raised, op=dist.ReduceOp.MAX)
        return bool(raised.item())

    def barrier(self) -> None:
        """Wait for the other processes."""
        if self.world > 1:
            dist.barrier()


@contextlib.contextmanager
def start(config: RunConfig) -> Iterator[Runtime]:
    """Choose device and precision, join torchrun's processes if there are any, and leave them at the end.

    Raises:
        UserError: a device that is not there.
    """
    rank, world, local = (int(os.environ.get(name, default)) for name, default in
                          (("RANK", 0), ("WORLD_SIZE", 1), ("LOCAL_RANK", 0)))  # fmt: skip
    if config.threads:
        torch.set_num_threads(config.threads)
    device, why_device = _device(config.device, local, world)
    bf16, why_precision = _precision(config.precision, device)
    if device.type == "cuda":
        torch.cuda.set_device(device)
        torch.set_float32_matmul_precision("high")
    if config.deterministic:  # cuBLAS reads it when it is first used, and refuses to work deterministically without
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    if config.deterministic != torch.are_deterministic_algorithms_enabled():  # seconds: it imports torch's compiler
        torch.use_deterministic_algorithms(config.deterministic, warn_only=False)
    if world > 1:
        backend = "nccl" if device.type == "cuda" else "gloo"
        dist.init_process_group(backend, rank=rank, world_size=world, timeout=PATIENCE)
    try:
        shared = f"; {world} processes share each batch" if world > 1 else ""
        count = torch.get_num_threads()
        threads = f", {count} thread{'s' if count > 1 else ''}" if device.type == "cpu" else ""
        why = f"{device} ({why_device}){threads}, {'bf16 autocast' if bf16 else 'fp32'} ({why_precision}){shared}"
        yield Runtime(device=device, bf16=bf16, rank=rank, world=world, why=why)
    finally:
        if world > 1:
            dist.destroy_process_group()


def _device(asked: str, local: int, world: int) -> tuple[torch.device, str]:
    if asked == "auto":
        if torch.cuda.is_available():
            return torch.device("cuda", local), "a GPU is there"
        return torch.device("cpu"), "no GPU is there"
    try:
        device = torch.device(asked)
    except RuntimeError as error:
        raise UserError(f"run.device={asked} is not a device", "use auto, cpu, cuda or cuda:0") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        number = local if world > 1 or device.index is None else device.index
        if number >= count:
            raise UserError(f"run.device={asked}: there are {count} CUDA devices", "use -o run.device=auto or cpu")
        return torch.device("cuda", number), "as asked"
    if device.type != "cpu":
        raise UserError(f"run.device={asked} is not supported", "use auto, cpu, cuda or cuda:0")
    return device, "as asked"


def _precision(asked: str, device: torch.device) -> tuple[bool, str]:
    if asked == "fp32":
        return False, "as asked"
    if asked.startswith("bf16"):
        return True, "as asked"
    if device.type != "cuda":
        return False, "CPUs gain nothing from bf16 here"
    # Before Ampere (8.0) bfloat16 is emulated, which is slower than fp32.
    capable = torch.cuda.get_device_capability(device) >= (8, 0)
    return capable, "the GPU computes in bf16" if capable else "the GPU has no bf16 units"


def seed_all(*key: int) -> None:
    """Seed Python, NumPy and torch from a key, for what draws from global state (initial weights, dropout).

    The loop calls it with (seed, step, rank) before every step, so that a resumed run needs no saved generator.
    """
    words = np.random.SeedSequence(key).generate_state(4)
    random.seed(int(words[0]))
    np.random.seed(int(words[1]))
    torch.manual_seed(int(words[2]) << 32 | int(words[3]))

"""The training loop: one for both stages, exact to resume, on one device or under torchrun.

A task turns a batch into (losses, report): terms to minimise, already weighted, and numbers only to look at. The
loop sums the first, logs both, and knows nothing of poses or texts.
"""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from actionpose.arrays import Ints
from actionpose.data.batch import Batch, RawBatch
from actionpose.data.batches import Loader, epoch_batches, slice_rank
from actionpose.errors import UserError
from actionpose.train import checkpoint
from actionpose.train.crowd import ADVICE, OtherJobs
from actionpose.train.gradients import SharedGradients
from actionpose.train.left import Chore, times_due
from actionpose.train.log import RunLog
from actionpose.train.overlap import Averaging
from actionpose.train.runtime import RunConfig, Runtime, seed_all
from actionpose.train.schedule import StageConfig, learning_rate
from actionpose.train.signals import SignalWatch

T = TypeVar("T")
Task = Callable[[Batch], tuple[dict[str, Tensor], dict[str, Tensor]]]


@dataclass(kw_only=True)
class TrainState:
    """Progress of training: all that resuming needs besides weights and optimizer."""

    epoch: int = 0
    position: int = 0
    """Steps done in this epoch."""
    step: int = 0
    samples: int = 0
    best: float | None = None
    best_step: int | None = None
    finished: bool = False
    epoch_open: bool = False
    """Stopped after an epoch's last step but before it was settled and evaluated; resuming does that first."""


@dataclass(kw_only=True)
class Meter:
    """What happened since the last log line; tensors stay on the device until then."""

    names: tuple[list[str], list[str]] = field(default_factory=lambda: ([], []))
    rows: list[tuple[int, Ints, Tensor]] = field(default_factory=list)
    clips: int = 0
    wait_s: float = 0.0
    gradients: dict[str, Tensor] = field(default_factory=dict)
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True, kw_only=True)
class Measured:
    """A model on held-out data.

    Attributes:
        error: the smaller, the better; chooses the best checkpoint.
        row: goes into the log.
        words: the same in short, for people.
    """

    error: float
    row: dict[str, Any]
    words: str


class Trainer:
    """Minimise a task's losses over a loader's batches.

    Args:
        task: (batch) → (losses, report).
        model: whose parameters are trained and saved.
        loader: makes batches from ids.
        stage: schedule.
        run: seed, saving, logging.
        runtime: device and processes.
        folder: the run folder.
        about: recipe, data and versions, for checkpoints.
        notes: what else checkpoints say, asked for whenever one is written.
        counted: (lengths, ids, epoch) → how many frames of each sample the losses are means over; all by default.
        validate: measures the model, in evaluation mode; None: there is nothing to measure on.
        settle: puts the model in order for use, before it is measured and after the last step, in evaluation mode, in
            every process.
        finish: the same, once, after the last step.
    """

    def __init__(
        self,
        *,
        task: Task,
        model: nn.Module,
        loader: Loader,
        stage: StageConfig,
        run: RunConfig,
        runtime: Runtime,
        folder: Path,
        about: Mapping[str, Any],
        notes: Callable[[], Mapping[str, Any]] = dict,
        counted: Callable[[Ints, Ints, int], Ints] = lambda lengths, ids, epoch: lengths,
        validate: Chore[Measured] | None = None,
        settle: Chore[None] | None = None,
        finish: Chore[None] | None = None,
    ) -> None:
        check_batch(stage, runtime.world, len(loader.assemble.table))
        self.task, self.model, self.loader, self.counted = task, model, loader, counted
        self.validate, self.settle, self.finish = validate, settle, finish
        self.stage, self.run, self.runtime, self.folder = stage, run, runtime, folder
        self.about, self.notes = about, notes
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = torch.optim.AdamW(self.parameters, lr=stage.lr, weight_decay=stage.weight_decay, fused=True)
        self.averaging = Averaging(self.parameters, runtime)
        self.state, self.meter = TrainState(), Meter()
        self.total = stage.epochs * self.steps_per_epoch
        self.total = min(self.total, stage.steps) if stage.steps else self.total
        self.log = RunLog(folder, total=self.total, active=runtime.main)
        self.watch = SignalWatch()
        self.started = self.saved = time.monotonic()
        self.step_s = 0.0
        self.others = OtherJobs(runtime.device)

    # --- the loop ---------------------------------------------------------------------------

    def fit(self) -> str:
        """Train to the end, a limit or a signal; return why it ended: `done`, `budget` or a signal's name."""
        self.runtime.broadcast(self.model.state_dict().values())
        self.model.train()
        with self.watch:
            if self.state.epoch_open:
                self._end_of_epoch("")
            while self.state.step < self.total:
                reason = self._epoch()
                if reason:
                    return reason
        return "done"

    def _epoch(self) -> str:
        """The rest of the current epoch; a reason to stop, or nothing."""
        state = self.state
        plan = self.plan(state.epoch)
        parts = self.loader(state.epoch, [ids for batch in plan[state.position :] for ids in self.share(batch)])
        reason = ""
        for ids in plan[state.position :]:
            self.log.tick(state.step, self.left())
            with self.others:
                self.step(parts, ids)
            logged = state.step % self.run.log_every == 0
            if logged:
                self.report()
            if logged or self.runtime.world == 1:  # several processes look up together, once an interval
                reason = self._stop_reason()
            if reason or state.step == self.total:
                break
            if logged and self._save_is_due():
                self.save()
        if state.position == len(plan):
            state.epoch, state.position = state.epoch + 1, 0
        state.finished = state.step >= self.total
        self._end_of_epoch(reason)
        return reason

    def step(self, parts: Iterator[RawBatch], ids: Ints) -> None:
        """One optimizer step over the next `accumulate` parts of the loader."""
        state = self.state
        for group in self.optimizer.param_groups:
            group["lr"] = self.learning_rate()
        seed_all(self.run.seed, state.step, self.runtime.rank)  # dropout; all else is keyed on samples
        terms: list[Tensor] = []
        due = self.run.gradients and (state.step + 1) % self.run.log_every == 0
        looked = SharedGradients(self.parameters) if due else None
        for number, part in enumerate(self.share(ids), 1):
            asked = time.monotonic()
            raw = self.runtime.move(next(parts))
            self.meter.wait_s += time.monotonic() - asked
            batch = self.loader.assemble.finish(raw)
            if len(part) < len(ids):
                batch["weights"] = self.weights(part, ids)
            batch["progress"] = state.step / self.total
            with self.runtime.autocast():
                losses, report = self.task(batch)
            if looked:
                looked.add(losses, self.stage.accumulate)
            if number == self.stage.accumulate:
                self.averaging.begin()
            (sum(losses.values(), torch.zeros((), device=self.runtime.device)) / self.stage.accumulate).backward()
            terms.append(self._terms(losses, report))
        self.averaging.finish()
        if looked:
            self.meter.gradients = looked.norms(self.runtime.average)
        if self.stage.clip_norm:
            nn.utils.clip_grad_norm_(self.parameters, self.stage.clip_norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        state.step, state.position, state.samples = state.step + 1, state.position + 1, state.samples + len(ids)
        self.meter.rows.append((state.step, ids, torch.stack(terms).mean(dim=0)))
        self.meter.clips += len(ids)

    # --- what is in a step --------------------------------------------------------------------

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps in an epoch."""
        return max(1, len(self.loader.assemble.table) // self.stage.batch)

    def plan(self, epoch: int) -> list[Ints]:
        """Global batches of an epoch, the same in every process."""
        table = self.loader.assemble.table
        return epoch_batches(
            table.length, self.stage.batch, seed=self.run.seed, epoch=epoch,
            bucket=table.config.bucket, weights=table.weights,
        )  # fmt: skip

    def share(self, ids: Ints) -> list[Ints]:
        """This process's parts of a global batch, `accumulate` of them."""
        mine = slice_rank(ids, self.runtime.rank, self.runtime.world)
        return [slice_rank(mine, part, self.stage.accumulate) for part in range(self.stage.accumulate)]

    def weights(self, part: Ints, ids: Ints) -> dict[str, float]:
        """What a part's means count for, so that the mean over parts and processes is that of the whole batch.

        `frames`, `pairs` (of neighbouring frames) and `clips`: the part's number of them against an even share, 1 where
        all parts hold equally many.
        """
        lengths, count = self.loader.assemble.table.length, self.stage.accumulate * self.runtime.world
        mine, whole = (self.counted(lengths[some], some, self.state.epoch) for some in (part, ids))
        shares = {
            "frames": (mine.sum(), whole.sum()),
            "pairs": ((mine - 1).sum(), (whole - 1).sum()),
            "clips": (len(part), len(ids)),
        }
        return {name: float(has * count / max(all_, 1)) for name, (has, all_) in shares.items()}

    def learning_rate(self) -> float:
        """Of the step to come: a function of the counters, so nothing of it needs saving."""
        return learning_rate(self.stage, self.state.step, self.state.epoch, self.total)

    def _terms(self, losses: Mapping[str, Tensor], report: Mapping[str, Tensor]) -> Tensor:
        self.meter.names = (list(losses), list(report))
        return torch.stack(
            [torch.as_tensor(v).detach().float().to(self.runtime.device) for v in (*losses.values(), *report.values())]
        )

    # --- looking up from the work --------------------------------------------------------------

    def report(self) -> None:
        """Log the interval's means.

        Raises:
            UserError: a loss that is not finite, with the samples it happened on.
        """
        meter, state = self.meter, self.state
        if not meter.rows:
            return
        values = torch.stack([row for _, _, row in meter.rows])
        values = self.runtime.average(values).cpu()
        losses, report = meter.names
        self._check_finite(values[:, : len(losses)])
        means = values.double().mean(dim=0).tolist()
        seconds = max(time.monotonic() - meter.since, 1e-9)
        self.step_s = seconds / len(meter.rows)
        memory = torch.cuda.max_memory_allocated() / 2**20 if self.runtime.device.type == "cuda" else 0.0
        self.log.steps(
            {
                "step": state.step,
                "epoch": (state.step - 1) // self.steps_per_epoch,  # of the last step; the next one's may be another
                "losses": {"total": math.fsum(means[: len(losses)]), **dict(zip(losses, means, strict=False))},
                "report": dict(zip(report, means[len(losses) :], strict=True)),
                **({"gradients": {k: float(v) for k, v in meter.gradients.items()}} if meter.gradients else {}),
                "lr": self.optimizer.param_groups[0]["lr"],
                "clips_per_s": round(meter.clips / seconds, 2),
                "wait_s": round(meter.wait_s, 4),
                "step_s": round(self.step_s, 5),
                "memory_mb": round(memory, 1),
                "eta_s": round(self.left() or 0.0, 1),
            }
        )
        if self.others.newly_noticed(meter.wait_s if self.run.workers else 0.0):
            self.log.say(ADVICE)
        self.meter = Meter(names=meter.names)

    def left(self) -> float | None:
        """Seconds to the end: of the steps, as fast as the last ones, and of what is done between and after them.

        None before the first step.
        """
        state, rows = self.state, len(self.meter.rows)
        step_s = self.step_s or (time.monotonic() - self.meter.since) / max(rows, 1)
        if not self.step_s and not rows:
            return None
        before = state.step - 1 if state.position else state.step  # what follows this step is still to be done
        due = partial(times_due, before, self.total, self.steps_per_epoch)
        measured = due(self.stage.eval_every) if self.validate else 0
        last = due(self.total)
        chores = ((self.settle, measured or last), (self.validate, measured), (self.finish, last))
        clip_s = step_s / self.stage.batch
        return (self.total - state.step) * step_s + sum(c.lasts(clip_s) * times for c, times in chores if c)

    def _check_finite(self, losses: Tensor) -> None:
        bad = (~losses.isfinite().all(dim=1)).nonzero().flatten().tolist()
        if not bad:
            return
        step, ids, _ = self.meter.rows[bad[0]]
        table = self.loader.assemble.table
        shown = "; ".join(table.describe(int(i)) for i in ids[:4])
        names = [name for name, value in zip(self.meter.names[0], losses[bad[0]], strict=True) if not value.isfinite()]
        raise UserError(
            f"step {step}: {' and '.join(names)} is not a finite number. The batch: samples {ids.tolist()}; {shown}",
            "the last checkpoint is from before; continue from it with --resume and a smaller learning rate "
            "(-o pretrain.lr=… or finetune.lr=…), or check the samples named above",
        )

    def _stop_reason(self) -> str:
        """Why to stop now: a signal or the time budget, in whichever process."""
        spent = (time.monotonic() - self.started) / 60
        over = self.runtime.any(bool(self.run.budget_minutes) and spent > self.run.budget_minutes)
        if self.runtime.any(bool(self.watch.name)):
            return self.watch.name or "SIGTERM"
        return "budget" if over else ""

    def _save_is_due(self) -> bool:
        return self.runtime.any(time.monotonic() - self.saved > 60 * self.run.save_minutes)

    def _end_of_epoch(self, reason: str) -> None:
        """Evaluate when it is time, save when it is time or the last chance."""
        state, done = self.state, self.state.finished
        every = self.stage.eval_every
        best = False
        if done:
            self.report()  # before what comes now, whose time is no step's
        # A stop does not wait for an evaluation. Resuming does it first, so the best checkpoint is the same.
        state.epoch_open = bool(reason) and (state.position == 0 or done)
        state.finished = done and not state.epoch_open
        evaluated = not reason and self.validate and every and (state.epoch % every == 0 or done)
        for order, due in ((self.settle, evaluated or done), (self.finish, done)):
            if order and due and not reason:
                self._between(order)
        if evaluated:
            best = self._evaluate()
        if best or reason or done:
            self.save(best=best)

    def _between(self, chore: Chore[T]) -> T:
        """Work between steps, on the model in evaluation mode; its time does not count as theirs."""
        self.log.pause()
        self.model.eval()
        done = chore()
        self.model.train()
        self.meter.since += chore.seconds or 0.0
        return done

    def _evaluate(self) -> bool:
        """Measure on the main process; True when it is the best so far."""
        better = False
        if self.runtime.main and self.validate:
            measured = self._between(self.validate)
            better = measured.error < (math.inf if self.state.best is None else self.state.best)
            if better:
                self.state.best, self.state.best_step = measured.error, self.state.step
            self.log.event("eval", step=self.state.step, epoch=self.state.epoch, **measured.row)
            best = " (best)" if better else ""
            self.log.say(f"step {self.state.step}/{self.total} | held out: {measured.words}{best}")
        return self.runtime.any(better)

    # --- stopping and resuming ------------------------------------------------------------------

    def save(self, *, best: bool = False) -> None:
        """Write a checkpoint; never one whose losses were not finite."""
        self.report()
        if self.runtime.main:
            state = dataclasses.asdict(self.state)
            checkpoint.save(
                self.folder, model=self.model, optimizer=self.optimizer, state=state,
                about={**self.about, **self.notes()}, keep=self.run.keep, best=best,
            )  # fmt: skip
        self.runtime.barrier()
        self.saved = time.monotonic()

    def resume(self, found: checkpoint.Checkpoint) -> None:
        """Go on from a checkpoint as if nothing had happened."""
        self.model.load_state_dict(found.weights())
        found.restore_optimizer(self.optimizer, self.model)
        self.state = TrainState(**found.meta["state"])
        self.state.finished = self.state.step >= self.total
        self.log.trim(self.state.step)


def check_batch(stage: StageConfig, world: int, samples: int) -> None:
    """Refuse a global batch that cannot be divided.

    Raises:
        UserError: not a multiple of processes x parts, or fewer samples than that.
    """
    parts = world * stage.accumulate
    if stage.batch % parts or (samples < stage.batch and samples % parts):
        raise UserError(
            f"a batch of {min(stage.batch, samples)} clips cannot be divided by {world} processes x "
            f"{stage.accumulate} parts",
            f"choose a batch that is a multiple of {parts}, and at least as many samples",
        )

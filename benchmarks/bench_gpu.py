"""What training costs on a GPU: ceilings, encoder against the textbook, whole steps and their parts, lengths, loader.

    python benchmarks/bench_gpu.py [--minutes 9] [--only ceilings,encoder,step,lengths,loader] [--out gpu.json] [--tiny]

Times are the device's own, under bfloat16 autocast; ours and the textbook's take turns, and ratios are medians over
rounds. "Of the matrix rate" is FLOPs by formula (`costs.py`) over time, divided by what a large bfloat16 product
reaches in the same run. What fails, or what no time is left for, is named at the end; the rest stands in a table and
in the file. `--tiny` goes through the same code with the smallest sizes, on a CPU too, where its numbers mean nothing.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")

import torch
from bench_pretrain_lengths import babel_lengths
from costs import encoder_macs, matrix_rate
from encoders import WORK, clips, contestants, encoder_config, forward_backward
from made_up_run import TINY, Run, batches, made
from torch import nn
from turns import best, clock_of, take_turns, times_faster

from actionpose.model.pose_encoder import PoseConfig
from actionpose.train.runtime import RunConfig, Runtime, start
from actionpose.train.trainer import Trainer

Numbers = dict[str, float]


# --- what was found ---------------------------------------------------------------------------


@dataclass
class Bench:
    """The machine, the time that is left, and what was found so far."""

    runtime: Runtime
    minutes: float
    tiny: bool
    rate: float = float("nan")
    rows: list[dict[str, object]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    begun: float = field(default_factory=time.monotonic)

    @property
    def device(self) -> torch.device:
        return self.runtime.device

    @property
    def gpu(self) -> bool:
        return self.device.type == "cuda"

    @property
    def backend(self) -> str:
        """Compiling for a GPU is what is measured; a CPU only shows that the code runs."""
        return "inductor" if self.gpu else "eager"

    def add(self, section: str, what: str, numbers: Numbers) -> None:
        self.rows.append({"section": section, "what": what, **numbers})
        print(line(self.rows[-1]), flush=True)

    def attempt(self, what: str, seconds: float, work: Callable[[], None]) -> None:
        """Do it, unless it takes longer than there is time; name what fails or is left out, and go on."""
        left = 60 * self.minutes - (time.monotonic() - self.begun)
        if left < (0 if self.tiny else seconds):
            self.missing.append(f"{what}: takes about {seconds:.0f} s, {max(left, 0):.0f} s were left")
            return
        try:
            work()
        except Exception as error:
            said = next(iter(str(error).splitlines()), "")[:200]
            self.missing.append(f"{what}: {type(error).__name__}: {said}")
        torch._dynamo.reset()
        if self.gpu:
            torch.cuda.empty_cache()


def line(row: dict[str, object]) -> str:
    numbers = (f"{k} {v:,.4g}" for k, v in row.items() if isinstance(v, float))
    return f"{row['section']:9s} {row['what']:44s} " + "  ".join(numbers)


def settle(bench: Bench) -> None:
    if bench.gpu:
        torch.cuda.synchronize()


def wall(bench: Bench, run: Callable[[], object]) -> float:
    """Seconds until the device is done."""
    settle(bench)
    begin = time.perf_counter()
    run()
    settle(bench)
    return time.perf_counter() - begin


def peak_gib(bench: Bench, run: Callable[[], object], *, beyond: bool) -> Numbers:
    """Most that is allocated during a call, or that beyond what was there; nothing on a CPU, which keeps no account."""
    if not bench.gpu:
        return {}
    settle(bench)
    before = torch.cuda.memory_allocated() if beyond else 0
    torch.cuda.reset_peak_memory_stats()
    run()
    settle(bench)
    return {"peak_gib": (torch.cuda.max_memory_allocated() - before) / 2**30}


def waits(bench: Bench, run: Callable[[], object]) -> Numbers:
    """How often a call makes the host wait for the device; the lines are printed."""
    if not bench.gpu:
        return {}
    settle(bench)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            run()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    found = [f"{Path(w.filename).name}:{w.lineno}" for w in caught if "synchroniz" in str(w.message)]
    for place in dict.fromkeys(found):
        print(f"          the host waits at {place}, {found.count(place)} times")
    return {"waits": float(len(found))}


# --- ceilings ---------------------------------------------------------------------------------


def ceilings(bench: Bench) -> None:
    size, numbers = (256, 1 << 16) if bench.tiny else (8192, 1 << 29)
    bench.rate = matrix_rate(bench.device, torch.bfloat16, size=size)
    bench.add("ceilings", f"bfloat16 product, {size} x {size}", {"tflop_s": bench.rate / 1e12})
    source = torch.randn(numbers, device=bench.device)
    target = torch.empty_like(source)
    seconds = take_turns({"copy": lambda: target.copy_(source)}, 5, clock_of(bench.device))
    rate = 2 * source.nbytes / max(best(seconds, "copy"), 1e-9)
    bench.add("ceilings", f"copy of {source.nbytes >> 20} MiB, read and written", {"tb_s": rate / 1e12})


# --- encoder ----------------------------------------------------------------------------------


def encoder(bench: Bench) -> None:
    for size in ("base",) if bench.tiny else ("base", "lite"):
        config = TINY if bench.tiny else encoder_config(size, pairs=5)
        for batch, frames in ((2, 9),) if bench.tiny else ((16, 243), (16, 31)):
            what = f"{size} {batch} x {frames}"
            bench.attempt(f"encoder, {what}", 90, partial(race, bench, config, what, batch, frames))


def race(bench: Bench, config: PoseConfig, what: str, batch: int, frames: int) -> None:
    both = contestants(config, bench.device)
    fused = copy.deepcopy(both["ours"])
    narrow = copy.deepcopy(both["ours"])
    narrow.bf16_stream = True
    for each in (fused, narrow):
        each.compile_blocks(bench.backend)
    runners: dict[str, nn.Module] = {**both, "ours, compiled": fused, "ours, compiled, bf16 stream": narrow}
    inputs = clips(batch, frames, bench.device)
    first = wall(bench, partial(forward_backward, fused, inputs))
    found: dict[str, Numbers] = {name: {} for name in runners}
    for do, passes in WORK.values():
        turns = {name: partial(do, each, inputs) for name, each in runners.items()}
        seconds = take_turns(turns, 1 if bench.tiny else 8, clock_of(bench.device))
        flops = 2 * passes * encoder_macs(config, batch, frames)
        short = "fwd" if passes == 1 else "both"
        for name in runners:
            least = best(seconds, name)
            found[name] |= {
                f"{short}_ms": 1e3 * least,
                f"{short}_x_textbook": times_faster(seconds, name, "textbook"),
                f"{short}_of_matrix_rate": flops / least / bench.rate,
            }
    for name, runner in runners.items():
        more = peak_gib(bench, partial(forward_backward, runner, inputs), beyond=True)
        bench.add("encoder", f"{what}, {name}", found[name] | more)
    bench.add("encoder", f"{what}, compiling", {"first_call_s": first})


# --- whole steps ------------------------------------------------------------------------------


def step(bench: Bench) -> None:
    """Pretraining, 16 clips of 243 frames with 17 texts each."""
    for compiled in ("", bench.backend):
        for text in ("trained", "frozen", ""):
            what = f"{'compiled' if compiled else 'eager'}, text {text or 'left out'}"
            run = whole_clips(bench, text, compiled)
            bench.attempt(f"step, {what}", 90 if compiled else 30, partial(one_kind, bench, run, what))


def one_kind(bench: Bench, run: Run, what: str) -> None:
    with made(run, bench.runtime) as trainer:
        whole_step(bench, trainer, what)
        parts_of_step(bench, trainer, what)


def whole_clips(bench: Bench, text: str = "", compiled: str = "", workers: int = 0) -> Run:
    lengths = [9] * 24 if bench.tiny else [243] * 1024
    batch = 4 if bench.tiny else 16
    return Run(lengths=lengths, text=text, compiled=compiled, workers=workers, batch=batch, tiny=bench.tiny)


def stepper(trainer: Trainer) -> Callable[[], None]:
    """Takes one training step after the other."""
    parts = batches(trainer)
    ids = trainer.plan(0)[0]  # only its lengths count, and all clips are equally long
    return lambda: trainer.step(parts, ids)


def whole_step(bench: Bench, trainer: Trainer, what: str) -> None:
    take, count = stepper(trainer), 1 if bench.tiny else 20
    first = wall(bench, take)
    for _ in range(0 if bench.tiny else 4):
        take()
    asked: list[float] = []

    def several() -> None:
        for _ in range(count):
            begin = time.perf_counter()
            take()
            asked.append(time.perf_counter() - begin)

    seconds = wall(bench, several) / count
    batch, frames = trainer.stage.batch, int(trainer.loader.assemble.table.length.max())
    flops = 6 * encoder_macs(trainer.model.pose.config, batch, frames)
    numbers = {
        "step_ms": 1e3 * seconds,
        "host_ms": 1e3 * sorted(asked)[len(asked) // 2],
        "clips_s": batch / seconds,
        "encoder_of_matrix_rate": flops / seconds / bench.rate,
        "first_s": first,
    }
    bench.add("step", what, numbers | waits(bench, take) | peak_gib(bench, take, beyond=False))


class Marks:
    """Points on the device's own time line; on a CPU the clock's."""

    def __init__(self, gpu: bool) -> None:
        self.gpu = gpu
        self.points: list[tuple[str, torch.cuda.Event | float]] = []

    def __call__(self, name: str) -> None:
        """What ends here."""
        if not self.gpu:
            self.points.append((name, time.perf_counter()))
            return
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.points.append((name, event))

    def milliseconds(self) -> Numbers:
        """Sums by name of the way from each point to the next."""
        found: Numbers = {}
        for (_, before), (name, after) in zip(self.points, self.points[1:], strict=False):
            ms = 1e3 * (after - before) if isinstance(after, float) else before.elapsed_time(after)
            found[f"{name}_ms"] = found.get(f"{name}_ms", 0.0) + ms
        return found


def parts_of_step(bench: Bench, trainer: Trainer, what: str) -> None:
    """Where a step's time goes, in order; a point may wait for the host, so gaps count too."""
    mark, count = Marks(bench.gpu), 1 if bench.tiny else 10
    model, source = trainer.model, batches(trainer)
    hooks = [
        model.pose.register_forward_pre_hook(lambda *_: mark("corrupt_and_text")),
        model.pose.register_forward_hook(lambda *_: mark("encoder")),
    ]
    for raw in islice(source, count):
        mark("between")
        batch = trainer.loader.assemble.finish(bench.runtime.move(raw))
        mark("move_and_finish")
        with bench.runtime.autocast():
            losses, _ = trainer.task(batch)
        mark("losses")
        sum(losses.values(), torch.zeros((), device=bench.device)).backward()
        mark("backward")
        nn.utils.clip_grad_norm_(trainer.parameters, 1.0)
        trainer.optimizer.step()
        trainer.optimizer.zero_grad(set_to_none=True)
        mark("optimizer")
    settle(bench)
    for hook in hooks:
        hook.remove()
    bench.add("step", f"{what}: parts", {k: v / count for k, v in mark.milliseconds().items()})


# --- lengths and loader -----------------------------------------------------------------------


def lengths(bench: Bench) -> None:
    """Clips as long as BABEL's, without text: the first pass meets every shape anew, the second none."""
    frames, batch = ([5, 6, 9, 12] * 2, 4) if bench.tiny else (babel_lengths(640).tolist(), 16)
    for round_to, compiled in ((1, ""), (8, ""), (8, bench.backend)):
        what = f"rounded to {round_to}, {'compiled' if compiled else 'eager'}"
        run = Run(lengths=frames, compiled=compiled, batch=batch, round_to=round_to, tiny=bench.tiny)
        bench.attempt(f"lengths, {what}", 120 if compiled else 40, partial(two_passes, bench, run, what))


def two_passes(bench: Bench, run: Run, what: str) -> None:
    with made(run, bench.runtime) as trainer:
        first, second = (wall(bench, partial(one_pass, trainer)) for _ in range(2))
        count = len(trainer.plan(0)) * run.batch
        bench.add("lengths", what, {"1st_pass_clips_s": count / first, "2nd_pass_clips_s": count / second})


def one_pass(trainer: Trainer) -> None:
    plan = trainer.plan(0)
    parts = trainer.loader(0, plan)
    for ids in plan:
        trainer.step(parts, ids)


def loader(bench: Bench) -> None:
    """Clips that are read, moved and finished, with 17 texts each, and nothing else to do."""
    for workers in (0, 1 if bench.tiny else 4):
        run = whole_clips(bench, "frozen", workers=workers)
        bench.attempt(f"loader, {workers} workers", 20, partial(loading, bench, run))


def loading(bench: Bench, run: Run) -> None:
    with made(run, bench.runtime) as trainer:
        plan = trainer.plan(0)
        read_all(bench, trainer, 0)  # starts the workers
        seconds = wall(bench, partial(read_all, bench, trainer, 1))
        read = wall(bench, partial(trainer.loader.assemble.read, plan[0], 2))
        numbers = {"clips_s": len(plan) * run.batch / seconds, "read_ms_a_batch": 1e3 * read}
        bench.add("loader", f"{run.workers} workers", numbers)


def read_all(bench: Bench, trainer: Trainer, epoch: int) -> None:
    for raw in trainer.loader(epoch, trainer.plan(epoch)):
        trainer.loader.assemble.finish(bench.runtime.move(raw))


# --- all of it --------------------------------------------------------------------------------

SECTIONS = {"ceilings": ceilings, "encoder": encoder, "step": step, "lengths": lengths, "loader": loader}


def machine(bench: Bench) -> dict[str, object]:
    about: dict[str, object] = {"torch": torch.__version__, "cores": os.cpu_count(), "tiny": bench.tiny}
    if bench.gpu:
        found = torch.cuda.get_device_properties(bench.device)
        about |= {"gpu": found.name, "gib": found.total_memory / 2**30, "cuda": torch.version.cuda}
        about |= {"cudnn": torch.backends.cudnn.version()}
    return about


def measure(bench: Bench, sections: list[str], out: Path) -> None:
    """Run the sections; whatever happens, leave what was found on the screen and in `out`."""
    left = [name for name in sections if name != "ceilings"]
    try:
        ceilings(bench)
        while left:
            SECTIONS[left[0]](bench)
            del left[0]
    except KeyboardInterrupt:
        bench.missing += [f"{name}: stopped" for name in left]
    finally:
        found = {"machine": machine(bench), "rows": bench.rows, "missing": bench.missing}
        out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
        print("\n" + "  ".join(f"{k} {v}" for k, v in machine(bench).items()))
        print("\n".join(map(line, bench.rows)))
        print("\n".join(f"NOT MEASURED  {what}" for what in bench.missing))


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=9.0)
    parser.add_argument("--only", default=",".join(SECTIONS), help="sections, with commas [default: all]")
    parser.add_argument("--out", type=Path, default=Path("gpu.json"))
    parser.add_argument("--tiny", action="store_true", help="the smallest sizes, on a CPU too")
    options = parser.parse_args(arguments)
    if not (options.tiny or torch.cuda.is_available()):
        sys.exit("no GPU is there; --tiny goes through the same code on a CPU")
    if unknown := set(options.only.split(",")) - set(SECTIONS):
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    with start(RunConfig()) as runtime:
        measure(Bench(runtime, options.minutes, options.tiny), options.only.split(","), options.out)


if __name__ == "__main__":
    main()

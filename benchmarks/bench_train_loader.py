"""Shuffled reading of training clips: our loader over shards against one pickle file per clip, the field's habit.

    python benchmarks/bench_train_loader.py [--motions 120] [--batch 64] [--rounds 7] [--folder DIR]

Both sides give the same clips of 243 frames in the same order, in batches, CPU time of one process without workers:

- ours: `actionpose.data.batches.Loader` over generated shards, windows at stride 81 cut from mapped frames. "loader" is
  what the loading process or its workers do: frames, cameras, masks, ids. "finished" adds what a GPU would do by then,
  here on the CPU: the view's projection to 2D, centring, 3D relative to the root; "flips" also random mirroring.
- pickles: a torch DataLoader over files that hold a dict of arrays, as MotionBERT writes them. "label" reads files
  with 3D alone; "input + label" files with 2D and 3D, both finished and just put together: nothing is computed.
  "label, flipped, projected" does clip by clip what training on such files does for synthetic 2D.

The files are in the page cache; `--cold` shows wall time after asking the system to drop them, where it obeys.
"""

from __future__ import annotations

import argparse
import os
import pickle
import random
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

os.environ |= {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}

import numpy as np
import torch
from swinging import write_shards
from turns import best, take_turns, times_faster

from actionpose.arrays import Ints
from actionpose.data.batches import Assembler, Batch, Loader, epoch_batches
from actionpose.data.samples import DataConfig, SampleTable, motion_samples
from actionpose.geometry import flip
from actionpose.shards import ShardSet

PAIRS = (
    ("shards, loader", "pickles, label"),
    ("shards, loader", "pickles, input + label"),
    ("shards, finished", "pickles, input + label"),
    ("shards, finished with flips", "pickles, label, flipped, projected"),
)
"""What is compared. The first two are reading, from the files to a batch: what the target is about. In the third
ours projects and theirs is done; in the last both sides do the same work."""

MOTION_FRAMES = 243 + 8 * 81
"""Nine windows a motion."""


# --- one pickle per clip ----------------------------------------------------------------------


class PickledClips(torch.utils.data.Dataset[tuple[torch.Tensor, ...]]):
    """As in MotionBERT and its successors: a file per clip, opened when it is asked for."""

    def __init__(self, folder: Path, names: Sequence[str], project: bool = False) -> None:
        self.files = sorted(folder.glob("*.pkl"))
        self.names, self.project = names, project

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, ...]:
        with open(self.files[index], "rb") as file:
            clip = pickle.load(file)
        if self.project:
            label = clip["data_label"] - clip["data_label"][:, :1]
            label = flip(label) if random.random() < 0.5 else label
            seen = label.copy()
            seen[..., 2] = 1.0
            clip = {"data_input": seen, "data_label": label}
        return tuple(torch.from_numpy(clip[name]) for name in self.names)


def write_pickles(table: SampleTable, folder: Path, *, with_input: bool) -> Path:
    """The clips as our loader gives them, one file each."""
    folder.mkdir()
    assemble = Assembler(table=table, augment=False)
    for sample in range(len(table)):
        batch = assemble(np.array([sample]), 0)
        clip = {"data_label": batch["pose3d"][0].numpy().copy()}
        if with_input:
            clip["data_input"] = batch["pose2d"][0].numpy().copy()
        (folder / f"{sample:08d}.pkl").write_bytes(pickle.dumps(clip, protocol=pickle.HIGHEST_PROTOCOL))
    return folder


def pickled_batches(
    folder: Path, names: Sequence[str], plan: Sequence[Ints], project: bool = False
) -> Iterator[list[torch.Tensor]]:
    clips = PickledClips(folder, names, project)
    yield from torch.utils.data.DataLoader(clips, batch_sampler=[ids.tolist() for ids in plan])


# --- the race ---------------------------------------------------------------------------------


def consume(batches: Callable[[], Iterator[object]]) -> None:
    for _ in batches():
        pass


def finished(assemble: Assembler, plan: Sequence[Ints]) -> Iterator[Batch]:
    return map(assemble.finish, Loader(assemble)(0, plan))


def check(table: SampleTable, plan: Sequence[Ints], pickles: Path) -> None:
    """Both sides must give the same numbers."""
    ours = finished(Assembler(table=table, augment=False), plan)
    for batch, (pose2d, pose3d) in zip(ours, pickled_batches(pickles, ("data_input", "data_label"), plan), strict=True):
        if not (
            torch.allclose(batch["pose2d"], pose2d, atol=1e-6) and torch.allclose(batch["pose3d"], pose3d, atol=1e-6)
        ):
            sys.exit("the loader and the pickles do not give the same clips")


def forget(folder: Path) -> None:
    """Ask the system to drop the folder's files from its page cache; needs no rights."""
    for path in folder.iterdir():
        number = os.open(path, os.O_RDONLY)
        os.fsync(number)
        os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(number)


def cold(shards: Path, small: Path, batch: int) -> None:
    """Wall time of one shuffled pass with nothing in the page cache."""
    forget(shards)
    start = time.perf_counter()
    table = samples(shards)
    plan = epoch_batches(table.length, batch, seed=0, epoch=0)
    consume(partial(Loader(Assembler(table=table)), 0, plan))
    ours = time.perf_counter() - start
    forget(small)
    start = time.perf_counter()
    consume(partial(pickled_batches, small, ("data_label",), plan))
    theirs = time.perf_counter() - start
    clips = sum(len(ids) for ids in plan)
    print(
        f"cold, wall time: shards {clips / ours:,.0f} clips/s, pickles {clips / theirs:,.0f}; {theirs / ours:.1f} times"
    )


def samples(shards: Path) -> SampleTable:
    return motion_samples(ShardSet(shards), DataConfig(views=("front",), detections="clean"))


def race(shards: Path, folder: Path, options: argparse.Namespace) -> None:
    table = samples(shards)
    plan = epoch_batches(table.length, options.batch, seed=0, epoch=0)
    small = write_pickles(table, folder / "label", with_input=False)
    large = write_pickles(table, folder / "both", with_input=True)
    check(table, plan, large)
    plain, flipping = (Assembler(table=table, augment=augment) for augment in (False, True))
    both = ("data_input", "data_label")
    contestants = {
        "shards, loader": partial(consume, partial(Loader(flipping), 0, plan)),
        "shards, finished": partial(consume, partial(finished, plain, plan)),
        "shards, finished with flips": partial(consume, partial(finished, flipping, plan)),
        "pickles, label": partial(consume, partial(pickled_batches, small, ("data_label",), plan)),
        "pickles, input + label": partial(consume, partial(pickled_batches, large, both, plan)),
        "pickles, label, flipped, projected": partial(consume, partial(pickled_batches, small, both, plan, True)),
    }
    seconds = take_turns(contestants, options.rounds)
    clips = sum(len(ids) for ids in plan)
    print(
        f"{clips} clips of 243 frames, batches of {options.batch}, {options.rounds} rounds, one process, "
        "files in the page cache"
    )
    for name in seconds:
        print(f"{name:36s} {clips / best(seconds, name):>10,.0f} clips/CPU-s")
    for name, peer in PAIRS:
        print(f"{name} against {peer}: {times_faster(seconds, name, peer):.2f} times")
    sizes = (sum(path.stat().st_size for path in where.iterdir()) / 1e6 for where in (shards, small, large))
    print("on disk: shards {:.0f} MB, pickles {:.0f} (label), {:.0f} (input + label)".format(*sizes))
    if options.cold:
        cold(shards, small, options.batch)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--motions", type=int, default=120, help="nine clips each")
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cold", action="store_true", help="one more pass over files that are not in the page cache")
    parser.add_argument("--folder", type=Path, default=None, help="where files go [default: the system's]")
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        shards = write_shards(Path(folder) / "shards", [MOTION_FRAMES] * options.motions)
        race(shards, Path(folder), options)


if __name__ == "__main__":
    main()

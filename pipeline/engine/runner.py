"""Where items run: in a plain loop, on local Dask processes, or on a running Dask cluster."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Any

from actionpose.errors import UserError
from actionpose.extras import needed_for
from pipeline.config import RunOptions
from pipeline.engine.item import Item, ItemError, Outcome, Skip, Work


def attempt(work: Work, item: Item, context: Any, folder: Path, *, debug: bool = False) -> Outcome:
    """Run one item; whatever goes wrong becomes a value, so that one bad file never sinks the others.

    With `debug` an unexpected error is raised where it happens instead.
    """
    try:
        rows = work(item, context, folder)
    except Skip as verdict:
        return Outcome(item.id, skip=(verdict.reason, verdict.message))
    except ItemError as error:
        return Outcome(item.id, failure=(error.reason, error.message))
    except UserError as error:
        return Outcome(item.id, failure=("refused", error.message))
    except MemoryError as error:
        return Outcome(item.id, failure=("out of memory", str(error) or "MemoryError"))
    except OSError as error:
        return Outcome(item.id, failure=(error.strerror or type(error).__name__, str(error)))
    except Exception as error:
        if debug:
            raise
        where = traceback.extract_tb(error.__traceback__)[-1]
        message = f"{type(error).__name__}: {error} ({Path(where.filename).name}:{where.lineno})"
        return Outcome(item.id, failure=("unexpected error", message))
    return Outcome(item.id, rows={name: [asdict(row) for row in table] for name, table in rows.items()})


def _attempt_chunk(work: Work, items: Sequence[Item], context: Any, folder: str) -> list[Outcome]:
    return [attempt(work, item, context, Path(folder)) for item in items]


def chunked(items: Iterable[Item], cost: float = 1.0) -> Iterator[list[Item]]:
    """Group items so that a task takes about `cost` seconds; order kept."""
    chunk: list[Item] = []
    total = 0.0
    for item in items:
        chunk.append(item)
        total += item.cost
        if total >= cost:
            yield chunk
            chunk, total = [], 0.0
    if chunk:
        yield chunk


class Runner:
    """Where items run: in a plain loop, on local Dask processes, or on a running Dask cluster.

    No workers: a plain loop, in which breakpoints work. `options.workers`: a local cluster, one thread a process.
    `options.scheduler`: a running one, whose workers see the same folders. The cluster starts with the first item
    that needs it and serves all stages until the `with` block ends.
    """

    def __init__(self, options: RunOptions) -> None:
        self.options = options
        self._open = ExitStack()
        self._client: Any = None

    def __enter__(self) -> Runner:
        return self

    def __exit__(self, *_: object) -> None:
        self._client = None
        self._open.close()

    def run(
        self, work: Work, items: Sequence[Item], context: Any, folder: Path, *, parallel: bool = True
    ) -> Iterator[Outcome]:
        """Outcomes of all items, as they come.

        Raises:
            UserError: no scheduler answers at the address given.
        """
        if items and parallel and (self.options.workers or self.options.scheduler):
            yield from _on_cluster(self._connected(), work, items, context, folder)
            return
        for item in items:
            yield attempt(work, item, context, folder, debug=self.options.debug)

    def _connected(self) -> Any:
        if self._client is None:
            with needed_for("work in parallel (--workers, --scheduler)"):
                import dask

                # Read when distributed is imported, so it comes first: its own log is not for our users.
                quiet = {"distributed": "critical", "distributed.client": "critical"}
                dask.config.set({"logging": quiet, "distributed.admin.tick.limit": "60s"})
                import distributed  # noqa: F401
            self._client = self._open.enter_context(self._given() if self.options.scheduler else self._local())
        return self._client

    def _given(self) -> Any:
        from distributed import Client

        try:
            return Client(self.options.scheduler, timeout="10s")
        except (OSError, TimeoutError) as error:
            raise UserError(
                f"no Dask scheduler answers at {self.options.scheduler}",
                "start one with `dask scheduler`, workers with `dask worker ADDRESS`, and give its address",
            ) from error

    def _local(self) -> Any:
        from distributed import Client, LocalCluster

        try:
            # Workers hold one motion at a time; a memory limit would only kill them on small machines.
            cluster = LocalCluster(
                n_workers=self.options.workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address=":0",
                memory_limit=0,
                silence_logs=logging.CRITICAL,
            )
            return Client(self._open.enter_context(cluster))
        except (RuntimeError, OSError, TimeoutError) as error:
            raise UserError(
                f"the {self.options.workers} worker processes did not start: {error}",
                "use fewer workers, or none: --workers 0 runs everything in this process",
            ) from error


def _on_cluster(client: Any, work: Work, items: Sequence[Item], context: Any, folder: Path) -> Iterator[Outcome]:
    from distributed import as_completed

    slots = max(1, sum(client.nthreads().values()))
    chunks = chunked(items)
    waiting: dict[str, list[Item]] = {}

    def submit() -> Any | None:
        chunk = next(chunks, None)
        if chunk is None:
            return None
        future = client.submit(_attempt_chunk, work, chunk, context, str(folder), pure=False, retries=1)
        waiting[future.key] = chunk
        return future

    # A window of a few chunks per worker: memory does not grow with the number of items.
    window = as_completed([f for f in (submit() for _ in range(4 * slots)) if f is not None])
    for future in window:
        chunk = waiting.pop(future.key)
        if future.status == "finished":
            yield from future.result()
        else:
            error = future.exception()
            why = f"{type(error).__name__}: {error}" if error else "the process was killed, or the scheduler stopped"
            yield from (Outcome(item.id, failure=("worker died", why)) for item in chunk)
        future.release()
        if (following := submit()) is not None:
            window.add(following)

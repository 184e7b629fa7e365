"""Items run in order of cost in a loop or on workers; whatever goes wrong with one becomes its recorded failure."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from actionpose.errors import UserError
from pipeline.config import RunOptions
from pipeline.engine.item import Item
from pipeline.engine.runner import Runner, attempt, chunked
from tests.makers.stages import items, square


def test_a_worker_that_dies_is_a_recorded_failure(tmp_path):
    with Runner(RunOptions(workers=1)) as runner:
        outcomes = list(runner.run(die, items(3), {}, tmp_path))
    by_id = {outcome.id: outcome for outcome in outcomes}
    assert set(by_id) == {"m000", "m001", "m002"}
    assert all(o.failure and o.failure[0] == "worker died" for o in outcomes)


def die(item: Item, context: dict, folder: Path) -> dict:
    os._exit(3)


def test_debug_raises_where_it_happens(tmp_path):
    with pytest.raises(ZeroDivisionError):
        attempt(square, items(1, m000="bug")[0], {}, tmp_path, debug=True)
    assert attempt(square, items(1, m000="skip")[0], {}, tmp_path, debug=True).skip == ("not ours", "not ours")


def test_chunks_keep_order_and_cost():
    chunks = list(chunked([Item(str(i), {}, cost=0.3) for i in range(10)], cost=1.0))
    assert [len(chunk) for chunk in chunks] == [4, 4, 2]
    assert [item.id for chunk in chunks for item in chunk] == [str(i) for i in range(10)]


def test_no_scheduler_at_the_address_says_how_to_start_one(tmp_path):
    with pytest.raises(UserError, match="no Dask scheduler answers"):
        list(Runner(RunOptions(scheduler="tcp://127.0.0.1:9")).run(square, items(1), {}, tmp_path))

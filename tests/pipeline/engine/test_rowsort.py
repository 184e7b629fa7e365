"""Sorting on disk gives what sorting in memory gives."""

from __future__ import annotations

import json
from operator import itemgetter

from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.engine.rowsort import RowSorter

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


@settings(max_examples=60, deadline=None)
@given(rows=st.lists(st.tuples(texts, st.integers()), max_size=40), run=st.integers(1, 50))
def test_sorting_on_disk_is_sorting(tmp_path_factory, rows, run):
    with RowSorter(tmp_path_factory.getbasetemp(), run=run) as sorter:
        for key, value in rows:
            sorter.add(key, json.dumps([key, value], ensure_ascii=False))
        assert sorter.rows == len(rows)
        ordered = [json.dumps(list(row), ensure_ascii=False) + "\n" for row in sorted(rows, key=itemgetter(0))]
        assert list(sorter.lines()) == ordered


def test_what_waits_on_disk_has_no_name(tmp_path):
    with RowSorter(tmp_path, run=2) as sorter:
        for number in range(9):
            sorter.add(str(number), "x")
        assert list(tmp_path.iterdir()) == []
    assert list(tmp_path.iterdir()) == []

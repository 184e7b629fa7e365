"""`import actionpose as ap`: what is offered, under which names, and what a wrong name or a missing package gives."""

from __future__ import annotations

import importlib

import pytest

import actionpose as ap


def test_every_name_is_there_and_listed():
    for name in ap.__all__:
        assert getattr(ap, name) is not None
        assert name in dir(ap)
    assert sorted(ap.__all__) == sorted(ap._HOMES)
    assert ap.__version__


def test_a_wrong_name_names_the_nearest():
    with pytest.raises(AttributeError, match="no attribute 'open_shard'; did you mean 'open_shards'"):
        _ = ap.open_shard
    with pytest.raises(AttributeError, match=r"it has: .*load.*pairs"):
        _ = ap.xyzzy
    assert not hasattr(ap, "_private")


def test_modules_are_imported_as_before():
    assert importlib.import_module("actionpose.lift.run").lift.__module__ == "actionpose.lift.run"
    from actionpose import charts, lift

    assert charts.__name__ == "actionpose.charts"
    assert lift.__name__ == "actionpose.lift"
    assert callable(ap.lift)

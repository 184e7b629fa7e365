"""A pretraining run of two steps, with its shards and text model, in the places where `make demo` puts them."""

from __future__ import annotations

from pathlib import Path

from click.testing import CliRunner

from cli.train import main
from tests.makers.bert import write_tiny_bert
from tests.makers.shards import make_shards, options, tiny


def pretrained_demo(home: Path) -> Path:
    """Make HOME/demo/world/shards and HOME/demo/pretrain; returns HOME/demo."""
    demo = home / "demo"
    shards = make_shards(demo / "world" / "shards", splits=("train", "val"))
    settings = tiny("pretrain.steps=2", text=write_tiny_bert(home / "bert"))
    done = CliRunner().invoke(
        main, ["pretrain", "--data", str(shards), "--out", str(demo / "pretrain"), *options(settings)]
    )
    assert done.exit_code == 0, done.output
    return demo

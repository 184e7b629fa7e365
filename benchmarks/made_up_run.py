"""A pretraining run on made-up clips with made-up labels and a BERT of random weights, to see what a step costs."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from encoders import SIZES
from swinging import write_shards

from actionpose.data.batch import RawBatch
from actionpose.data.batches import Assembler, Loader
from actionpose.data.samples import DataConfig, pair_samples
from actionpose.model.pose_encoder import PoseConfig
from actionpose.model.text_encoder import TextConfig
from actionpose.runs import train
from actionpose.runs.recipe import Recipe
from actionpose.shards import ShardSet
from actionpose.train.runtime import Runtime, seed_all
from actionpose.train.trainer import Trainer

WORDS = [
    "walk", "run", "turn", "left", "right", "arm", "leg", "raise", "lower", "step", "stand", "sit", "jump", "kick",
    "throw", "catch", "wave", "bend", "stretch", "look", "head", "knee", "forward", "backward", "around", "slowly",
    "quickly", "hand", "foot", "body", "place", "pick", "up", "put", "down", "hold", "swing", "balance", "circle",
]  # fmt: skip
TINY = PoseConfig(dim_feat=32, dim_rep=32, heads=2, depth=2, middle=1)


@dataclass(frozen=True, kw_only=True)
class Run:
    """What is run.

    Attributes:
        lengths: frames of each clip.
        text: `trained`, `frozen`, or empty for no alignment.
        compiled: by which backend the encoder's blocks are compiled; empty: they are not.
        workers: that load.
        batch: clips in a step.
        round_to: what lengths of batches are rounded up to.
        tiny: the smallest sizes, for a CPU.
    """

    lengths: list[int]
    text: str = ""
    compiled: str = ""
    workers: int = 0
    batch: int = 16
    round_to: int = 8
    tiny: bool = False


@contextlib.contextmanager
def made(run: Run, runtime: Runtime) -> Iterator[Trainer]:
    """A trainer like `ap-train pretrain` makes; its files are gone afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        yield _trainer(run, runtime, Path(folder))


def _trainer(run: Run, runtime: Runtime, folder: Path) -> Trainer:
    shards = ShardSet(write_shards(folder / "shards", run.lengths))
    rng = np.random.default_rng(0)
    shards.pairs["text"][:] = [" ".join(rng.choice(WORDS, size=rng.integers(2, 6))) for _ in run.lengths]
    recipe = Recipe(pose=TINY if run.tiny else PoseConfig(**SIZES["base"]))
    text = TextConfig(model=str(write_bert(folder / "bert", tiny=run.tiny)), frozen=run.text == "frozen")
    recipe = dataclasses.replace(
        recipe,
        data=DataConfig(views=("front",)),
        text=text if run.text else TextConfig(),
        loss=dataclasses.replace(recipe.loss, lambda_con=0.1 if run.text else 0.0),
        pretrain=dataclasses.replace(recipe.pretrain, batch=run.batch),
        run=dataclasses.replace(recipe.run, log_every=10**9, workers=run.workers),
    )
    table = pair_samples(shards, recipe.data)
    seed_all(0)
    model, task, texts = train.build("pretrain", recipe, table, loaded=False)
    model.to(runtime.device)
    task.to(runtime.device)
    if run.compiled:
        model.pose.compile_blocks(run.compiled)
    read = model.text.reader(texts.spellings()) if model.text is not None and texts is not None else None
    assemble = Assembler(table=table, texts=texts, read_texts=read, round_to=run.round_to)
    loader = Loader(assemble, workers=run.workers, pin=runtime.device.type == "cuda")
    trainer = Trainer(
        task=task, model=model, loader=loader, stage=recipe.pretrain, run=recipe.run, runtime=runtime,
        folder=folder / "run", about={},
    )  # fmt: skip
    model.train()
    return trainer


def batches(trainer: Trainer) -> Iterator[RawBatch]:
    """What the loader reads, epoch after epoch."""
    epoch = 0
    while True:
        yield from trainer.loader(epoch, trainer.plan(epoch))
        epoch += 1


def write_bert(folder: Path, *, tiny: bool) -> Path:
    """A BERT of base size (or tiny) and three layers; words are whole tokens."""
    from transformers import BertConfig, BertModel
    from transformers.utils import logging

    logging.disable_progress_bar()
    torch.manual_seed(0)
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    vocabulary += [f"[unused{i}]" for i in range((100 if tiny else 30522) - len(vocabulary))]
    sizes = {"hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64} if tiny else {}
    described = BertConfig(vocab_size=len(vocabulary), num_hidden_layers=3, **sizes)
    BertModel(described, add_pooling_layer=False).save_pretrained(folder)
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    about = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder

"""A small BERT folder with random weights, so that tests need no download."""

from __future__ import annotations

import json
import os
from pathlib import Path

import torch

from actionpose.model.text_encoder import _quiet_transformers


def write_tiny_bert(folder: str | os.PathLike[str], *, hidden: int = 32, layers: int = 4, seed: int = 0) -> Path:
    """Write a small BERT with random weights and a letter vocabulary, for tests and dry runs without a download."""
    path = Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    letters = "abcdefghijklmnopqrstuvwxyz0123456789"
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *letters, *("##" + c for c in letters)]
    with _quiet_transformers(), torch.random.fork_rng(devices=[]):
        from transformers import BertConfig, BertModel

        torch.manual_seed(seed)
        described = BertConfig(
            vocab_size=len(vocabulary),
            hidden_size=hidden,
            num_hidden_layers=layers,
            num_attention_heads=2,
            intermediate_size=2 * hidden,
            max_position_embeddings=64,
            initializer_range=0.2,  # large enough for phrases to differ
        )
        BertModel(described, add_pooling_layer=False).save_pretrained(path)
    (path / "vocab.txt").write_text("\n".join(vocabulary) + "\n", encoding="utf-8")
    (path / "tokenizer_config.json").write_text(
        json.dumps({"tokenizer_class": "BertTokenizer", "do_lower_case": True}), encoding="utf-8"
    )
    return path

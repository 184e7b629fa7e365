"""A text encoder that does not learn: its vectors of the phrases it was asked for, and the encoder for others.

A frozen encoder gives the same vector every time. So each phrase is encoded once, the vectors are saved with the
weights in place of the encoder's own, and a model can evaluate and name actions where the encoder is not installed.

Shape suffixes: V phrases of the table, U phrases asked for, E features.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionpose.errors import UserError
from actionpose.model.text_encoder import MINILM, TextConfig, TextEncoder, TextReader, load_text_encoder

SAME = 0.999
"""Cosine of two vectors of one phrase, at least: half precision and other processors change them by less."""


class FrozenTextEncoder(nn.Module):
    """Phrases in, one vector each out, from a table that grows by what the encoder is asked for.

    Attributes:
        config: of the encoder.
        table_VE: float32, the vectors; a buffer, so that they are saved with the weights.
    """

    table_VE: Tensor

    def __init__(
        self, config: TextConfig, texts: Sequence[str] = (), vectors_VE: Tensor | None = None,
        encoder: TextEncoder | None = None,
    ) -> None:  # fmt: skip
        """Start from what was saved, or from an encoder.

        Args:
            config: names the text model, which is read when a phrase is not in the table.
            texts: the phrases that were saved.
            vectors_VE: (V, E) theirs.
            encoder: in place of reading the text model.

        Raises:
            UserError: nothing was saved and the text model cannot be read.
        """
        super().__init__()
        self.config = config
        self._encoder: list[TextEncoder] = []  # in a list, so that it is no part of the weights
        if vectors_VE is None:
            self._take(encoder or load_text_encoder(config))
        vectors = torch.empty(0, self._encoder[0].dim) if vectors_VE is None else vectors_VE.float()
        self.register_buffer("table_VE", vectors, persistent=True)
        self._texts = list(texts)
        self._known = {self._key(text): row for row, text in enumerate(texts)}
        self._rows = {text: row for row, text in enumerate(texts)}

    @property
    def dim(self) -> int:
        """E."""
        return self.table_VE.shape[1]

    @property
    def texts(self) -> tuple[str, ...]:
        """The phrases of the table, in its order."""
        return tuple(self._texts)

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Vectors of phrases, (U, E) float32."""
        read = self.reader(texts)(texts)
        return self.encode({name: value.to(self.table_VE.device) for name, value in read.items()})

    def reader(self, texts: Sequence[str] = ()) -> TextReader:
        """What makes `encode`'s input of these phrases and of all that were asked for before.

        Raises:
            UserError: a phrase is not in the table, and the text model cannot be read or is another one.
        """
        new: dict[str, str] = {}
        for text in texts:
            if self._key(text) not in self._known:
                new.setdefault(self._key(text), text)
        if new:
            self.table_VE = torch.cat([self.table_VE, *self._read(list(new.values()))])
            self._texts += new.values()
            self._known |= {key: len(self._known) + at for at, key in enumerate(new)}
        self._rows |= {text: self._known[self._key(text)] for text in texts}
        return TextReader(rows=self._rows)

    def encode(self, read: Mapping[str, Tensor]) -> Tensor:
        """(U, E) float32 of what a `TextReader` made of U phrases."""
        return self.table_VE.index_select(0, read["text_rows"])

    def live(self) -> TextEncoder:
        """The encoder itself, read when it is first needed.

        Raises:
            UserError: it cannot be read, or is not the one whose vectors were saved.
        """
        if not self._encoder:
            encoder = load_text_encoder(self.config)
            if self._texts and not _same(_alone(encoder, self._texts[0]), self.table_VE[:1].cpu()):
                raise UserError(
                    f"the text model {self.config.model} is not the one that this model learned from: it has another "
                    f"vector for '{self._texts[0]}'",
                    "put that one there again, or ask only for phrases that were trained with",
                )
            self._take(encoder)
        return self._encoder[0]

    def _take(self, encoder: TextEncoder) -> None:
        self._encoder.append(encoder.eval().requires_grad_(False))

    def _key(self, text: str) -> str:
        """What is the same to the encoder; of other models it is not known whether capitals are."""
        return text.strip().casefold() if self.config.model == MINILM else text

    def _read(self, texts: Sequence[str]) -> list[Tensor]:
        """(1, E) for each phrase."""
        try:
            encoder = self.live().to(self.table_VE.device)
        except UserError as error:
            near = difflib.get_close_matches(self._key(texts[0]), self._known, n=3, cutoff=0.5)
            closest = f" (close to it: {', '.join(near)})" if near else ""
            raise UserError(
                f"'{texts[0]}' is not among the {len(self._texts)} phrases that this model knows without its text "
                f"model{closest}; {error.message}",
                error.hint,
            ) from error
        return [_alone(encoder, text) for text in texts]

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Vectors that were saved must be those that the encoder gives now; a resumed run may know fewer or more."""
        saved, bert = state_dict.pop(f"{prefix}table_VE", None), f"{prefix}bert."
        whole = {name.removeprefix(bert): state_dict.pop(name) for name in list(state_dict) if name.startswith(bert)}
        if whole:  # runs used to save the encoder itself
            self.live().bert.load_state_dict(whole)
        if saved is not None and not _same(self.table_VE, saved.to(self.table_VE)):
            raise UserError(
                f"the text model {self.config.model} is not the one that this run began with", "put that one there"
            )


def _alone(encoder: TextEncoder, text: str) -> Tensor:
    """(1, E). A phrase goes alone, since padding changes the last digits, and never in half precision."""
    device = next(encoder.parameters()).device
    with torch.no_grad(), torch.autocast(device_type=device.type, enabled=False):
        return encoder([text])


def _same(one_VE: Tensor, other_VE: Tensor) -> bool:
    """Whether the phrases that two tables have in common, their first ones, have the same vectors."""
    both = min(len(one_VE), len(other_VE))
    if one_VE.shape[1] != other_VE.shape[1]:
        return False
    return both == 0 or F.cosine_similarity(one_VE[:both], other_VE[:both]).min().item() > SAME

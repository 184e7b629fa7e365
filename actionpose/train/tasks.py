"""What a training step computes: pretraining (reconstruct and align) and fine-tuning (lift).

A task is a module that maps a batch to weighted losses, which the loop only has to sum, and to a report
of plain numbers. It holds no optimizer, reads no clock and draws nothing from global random state but
dropout.

Shape suffixes: B clips, T frames, J joints, N candidate texts, D shared features, U distinct texts.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from actionpose.arrays import Ints
from actionpose.data import rng
from actionpose.data.batch import Batch
from actionpose.data.corrupt import CorruptConfig, corrupt
from actionpose.model.action_pose import ActionPose
from actionpose.model.frame_step import thin
from actionpose.model.frozen_text import FrozenTextEncoder
from actionpose.model.text_encoder import TextEncoder
from actionpose.skeleton import ROOT
from actionpose.train import losses
from actionpose.train.losses import LossConfig

Terms = dict[str, Tensor]

PHASE_STREAM = 201
"""Tells the draw of the first frame from all other draws of a sample."""


class PretrainTask(nn.Module):
    """Reconstruct clean 3D from corrupted 2D, and tell the clip's text from K others (paper, 'Pretraining Tasks').

    With `lambda_con` 0 texts are neither read nor encoded.
    """

    def __init__(self, model: ActionPose, corruption: CorruptConfig, loss: LossConfig, seed: int) -> None:
        super().__init__()
        if loss.lambda_con > 0 and model.text is None:
            raise ValueError("alignment needs a text encoder; set loss.lambda_con to 0 or name a text.model")
        self.model = model
        self.corruption = corruption
        self.loss = loss
        self.seed = seed
        self.similarity: TextSimilarity | None = None
        if loss.lambda_con == 0:
            _freeze_text_branch(model)
        elif loss.targets == "text-similarity":
            assert model.text is not None
            self.similarity = TextSimilarity(model.text)

    def forward(self, batch: Batch) -> tuple[Terms, Terms]:
        """Losses to be summed, and a report of detached numbers.

        For alignment the batch needs `text` and `negatives`, the same number for each clip.
        """
        corrupted = _corrupted(batch, self.corruption, self.seed)
        batch = thinned({**batch, "pose2d": corrupted}, self.model.pose.config.frame_step, self.seed)
        if self.loss.lambda_con == 0:
            pose_BTJ3 = self.model.lift(batch["pose2d"], attended(batch), thinned=True)
            return _reconstruction(pose_BTJ3, batch, self.loss)
        rows, text_UE, at_BN = self._texts(batch)  # before the poses: their kernels queue up while the host is here
        pose_BTJ3, clip_BD = self.model.forward_both(batch["pose2d"], attended(batch), thinned=True)
        terms, report = _reconstruction(pose_BTJ3, batch, self.loss)
        assert self.model.text_pool is not None
        aligned, more = self._alignment(clip_BD, rows, self.model.text_pool(text_UE)[at_BN], batch)
        return terms | aligned, report | more

    def _texts(self, batch: Batch) -> tuple[list[list[str]], Tensor, Tensor]:
        """Each clip's own text and its negatives; the U distinct ones encoded (U, E); which of them they are (B, N)."""
        assert self.model.text is not None
        rows = [[text, *negatives] for text, negatives in zip(batch["text"], batch["negatives"], strict=True)]
        if len({len(row) for row in rows}) != 1:
            raise ValueError("every clip of a batch needs the same number of negatives")
        if "text_at" in batch:
            return rows, self.model.text.encode(cast("Mapping[str, Tensor]", batch)), batch["text_at"]
        place = {text: at for at, text in enumerate(dict.fromkeys(text for row in rows for text in row))}
        text_UE = self.model.text(list(place))
        return rows, text_UE, torch.tensor([[place[text] for text in row] for row in rows], device=text_UE.device)

    def _alignment(self, clip_BD: Tensor, rows: list[list[str]], text_BND: Tensor, batch: Batch) -> tuple[Terms, Terms]:
        with torch.autocast(device_type=clip_BD.device.type, enabled=False):
            logits = losses.alignment_logits(clip_BD.float(), text_BND.float(), self.loss.temperature)
            loss = losses.alignment_loss(logits, self._target(rows, logits), self.loss.gamma)
            share = logits.detach().softmax(dim=-1)[:, 0]
            # Ties do not count as found: if all embeddings are equal, nothing is recognised.
            found = logits.detach()[:, 0] > logits.detach()[:, 1:].amax(dim=-1)
        weight = weights_of(batch)["clips"]
        report = {"con": loss.detach(), "own_text": share.mean(), "own_text_first": found.float().mean()}
        begun = float(batch.get("progress", 1.0)) >= self.loss.con_from  # before, all gradients of it are 0
        return {"con": self.loss.lambda_con * begun * weight * loss}, {
            name: weight * value for name, value in report.items()
        }

    def _target(self, rows: list[list[str]], logits_BN: Tensor) -> Tensor:
        if self.loss.targets == "one-hot":
            return losses.one_hot_target(logits_BN)
        if self.similarity is not None:
            similar = self.similarity(rows)
        else:
            same = [[float(text.casefold() == row[0].casefold()) for text in row] for row in rows]
            similar = torch.tensor(same, device=logits_BN.device)
        return losses.softmax_target(similar.to(logits_BN.device), self.loss.target_temperature)


class FinetuneTask(nn.Module):
    """Lift clean (or, if asked, corrupted) 2D poses; the text branch takes no part (paper, 'Fine-tuning')."""

    def __init__(
        self, model: ActionPose, loss: LossConfig, corruption: CorruptConfig | None = None, seed: int = 0
    ) -> None:
        super().__init__()
        _freeze_text_branch(model)
        self.model = model
        self.loss = loss
        self.corruption = corruption
        self.seed = seed

    def forward(self, batch: Batch) -> tuple[Terms, Terms]:
        """Losses to be summed, and a report; reads `pose2d`, `pose3d`, `valid`, `unit_mm` (and ids, for corruption)."""
        if self.corruption is not None:
            batch = {**batch, "pose2d": _corrupted(batch, self.corruption, self.seed)}
        batch = thinned(batch, self.model.pose.config.frame_step, self.seed)
        return _reconstruction(self.model.lift(batch["pose2d"], attended(batch), thinned=True), batch, self.loss)


def _corrupted(batch: Batch, config: CorruptConfig, seed: int) -> Tensor:
    """The batch's 2D as pretraining shows it at this point of the run, (B, T, 17, 3)."""
    if float(batch.get("progress", 1.0)) < config.masks_from:
        config = dataclasses.replace(config, share_random=0.0, share_part=0.0, share_window=0.0)
    ids, epoch = batch["sample_id"], int(batch["epoch"])
    return corrupt(batch["pose2d"], batch["valid"], ids, config, seed=seed, epoch=epoch).pose2d_BTJ3


def thinned(batch: Batch, step: int, seed: int) -> Batch:
    """A batch of every `step`-th frame, starting at a random frame, drawn for each clip and epoch.

    Done after noise and masks, which are made at the shards' frames a second.
    """
    if step == 1:
        return batch
    valid_BT = batch["valid"]
    count_B = valid_BT.sum(dim=1)
    phase_B = _phases(count_B, batch["sample_id"], step, seed, int(batch["epoch"]))
    frame_BS, valid_BS = thin(count_B, valid_BT.shape[1], step, phase_B)
    clip_B1 = torch.arange(len(count_B), device=count_B.device)[:, None]
    pose2d, pose3d = batch["pose2d"][clip_B1, frame_BS], batch["pose3d"][clip_B1, frame_BS]
    ragged = batch["padded"] or valid_BT.shape[1] % step != 0
    return {**batch, "pose2d": pose2d, "pose3d": pose3d, "valid": valid_BS, "padded": ragged}


def _phases(count_B: Tensor, sample_id_B: Tensor, step: int, seed: int, epoch: int) -> Tensor:
    """The first frame that is taken of each clip, (B,) int64."""
    return rng.integer(rng.keys(seed, epoch, sample_id_B), PHASE_STREAM, count_B.clamp(max=step))


def thinned_lengths(lengths: Ints, sample_id: Ints, epoch: int, *, step: int, seed: int) -> Ints:
    """How many frames `thinned` leaves of clips of these lengths, (B,)."""
    if step == 1:
        return lengths
    count_B = torch.from_numpy(lengths)
    left_B = count_B - _phases(count_B, torch.from_numpy(sample_id), step, seed, epoch)
    return (-(-left_B // step)).numpy()


def attended(batch: Batch) -> Tensor | None:
    """The frames that attention may read; None for all of them, which lets it do without a mask.

    Known from the lengths when the batch was read, so that no GPU is asked.
    """
    return batch["valid"] if batch["padded"] else None


def weights_of(batch: Batch) -> Mapping[str, float]:
    """What means over this batch's frames, pairs of frames and clips count for; 1 unless it is part of a larger one."""
    return batch.get("weights") or {"frames": 1.0, "pairs": 1.0, "clips": 1.0}


def _reconstruction(pose_BTJ3: Tensor, batch: Batch, config: LossConfig) -> tuple[Terms, Terms]:
    """Weighted position, velocity and, if asked, scale-free losses in float32; report adds millimetres.

    The millimetres follow the published rule, as evaluation does: joint 0 counts as being in its place.
    """
    target_BTJ3, valid_BT = batch["pose3d"], batch["valid"]
    weight = weights_of(batch)
    with torch.autocast(device_type=pose_BTJ3.device.type, enabled=False):
        position = weight["frames"] * losses.position_loss(pose_BTJ3, target_BTJ3, valid_BT)
        velocity = weight["pairs"] * losses.velocity_loss(pose_BTJ3, target_BTJ3, valid_BT)
        terms = {"3d": config.lambda_3d * position, "v": config.lambda_v * velocity}
        report = {"3d": position.detach(), "v": velocity.detach()}
        if config.lambda_scale > 0:
            scale = weight["frames"] * losses.scale_loss(pose_BTJ3, target_BTJ3, valid_BT)
            terms["scale"], report["scale"] = config.lambda_scale * scale, scale.detach()
        unit = batch["unit_mm"][:, None, None, None]
        error_BTJ3 = (pose_BTJ3.detach() - target_BTJ3) * unit
        error_BTJ3[:, :, ROOT].zero_()  # `= 0` would send a number to the device and wait for it
        report["mpjpe_mm"] = weight["frames"] * losses.masked_mean(
            torch.linalg.vector_norm(error_BTJ3, dim=-1), valid_BT
        )
    return terms, report


def _freeze_text_branch(model: ActionPose) -> None:
    """Parameters that take no part must not look trainable: distributed training waits for their gradients."""
    for part in (model.text, model.pose_pool, model.text_pool):
        if part is not None:
            part.requires_grad_(False)


class TextSimilarity(nn.Module):
    """Similarity of texts under the untrained text encoder, by mean of tokens.

    It must not be the encoder in training: that one could make all texts similar and so its own targets
    flat. Frozen, it encodes each distinct text once.
    """

    def __init__(self, encoder: TextEncoder | FrozenTextEncoder) -> None:
        super().__init__()
        config = dataclasses.replace(encoder.config, pooling="mean", frozen=True)
        live = encoder.live() if isinstance(encoder, FrozenTextEncoder) else encoder
        untrained = TextEncoder(copy.deepcopy(live.bert), live.tokenizer, config)
        self.encoder = FrozenTextEncoder(config, encoder=untrained)

    @torch.no_grad()
    def forward(self, rows: Sequence[Sequence[str]]) -> Tensor:
        """Cosine of each text with the first of its row: (B, N), 1 in the first column."""
        text_BNE = self.encoder([text for row in rows for text in row]).unflatten(0, (len(rows), -1))
        unit_BNE = F.normalize(text_BNE, dim=-1)
        return torch.einsum("bne,be->bn", unit_BNE, unit_BNE[:, 0])

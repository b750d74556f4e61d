"""Head that aligns regions with text: the categories are frozen features of their names."""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Sequence
from typing import Any

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import normalize

from mmdynamicvis.ops.autocast import outside_autocast
from mmdynamicvis.pretraining.gather import gather_rows
from mmdynamicvis.pretraining.held_out import held_out_labels
from mmdynamicvis.pretraining.meta_embeddings import load_text_embeddings
from mmdynamicvis.pretraining.mil_head import MAX_LOG_SCALE
from mmdynamicvis.pretraining.mil_nce import mil_nce_loss
from mmdynamicvis.registry import MODELS


@MODELS.register_module()
class TextHead(BaseModule):
    """Projects regions to the space of a text model, where MIL-NCE contrasts them with names.

    As :class:`MILHead` (DynamicVis, section 3.4, equation 14), but the meta-embeddings are frozen
    text features in their own width, regions are projected to it, and there is no other classifier:
    the logit of a name is the scaled cosine. So a trained model classifies regions by any names
    that the same text model encoded. The names are no part of the weights. The weights record
    the text model, and are refused together with names of another.

    Args:
        classes: Names of the categories, in the order of their labels.
        text_embeddings: .safetensors file with features of at least these names, written by
            ``tools/text_meta_embeddings.py --no-projection``.
        in_channels: Width E of the region embeddings.
        held_out: Categories that are not trained on: their names are no negatives in the loss, and
            a region of them in the loss is an error. ``CocoRegions`` leaves out their boxes.
        init_cfg: Initialization of mmengine.

    Raises:
        FileNotFoundError: The file of text embeddings does not exist.
        ValueError: There are no classes or one is repeated; ``held_out`` is not a part of them; or
            the file is damaged, lacks a name or was projected.
    """

    def __init__(
        self,
        classes: Sequence[str],
        text_embeddings: str | os.PathLike,
        in_channels: int = 256,
        held_out: Sequence[str] = (),
        init_cfg: dict | list[dict] | None = dict(type='Xavier', layer='Linear'),
    ) -> None:
        super().__init__(init_cfg)
        if not classes or len(set(classes)) < len(classes):
            raise ValueError(f'TextHead has classes={classes}; give every category once')
        self.classes = tuple(classes)
        unseen = held_out_labels(classes, held_out)
        text = load_text_embeddings(text_embeddings)
        features_CD = text.of(classes)
        self.source, self.space = str(text_embeddings), text.space
        self.projection = nn.Linear(in_channels, features_CD.shape[1])
        self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))
        seen = [label for label in range(len(classes)) if label not in unseen]
        place_C = torch.full((len(classes),), -1)
        place_C[seen] = torch.arange(len(seen))
        # other names than those of the training may be given to trained weights
        for name, value in dict(
            text_CD=features_CD, seen=torch.tensor(seen), place=place_C
        ).items():
            self.register_buffer(name, value, persistent=False)
        self.register_buffer('text_space', _digest(text.space))

    @property
    def num_classes(self) -> int:
        """Number of categories, under the name that mmdet's ``NumClassCheckHook`` expects."""
        return len(self.classes)

    def forward(self, regions_RE: Tensor) -> Tensor:
        """Return the logits (R, C) of all names, held out or not: scaled cosines, float32."""
        regions_RD = self.projection(regions_RE)
        with outside_autocast(regions_RE):
            regions_RD = normalize(regions_RD.float(), dim=-1)
            text_CD = normalize(self.text_CD.float(), dim=-1)
            return self.log_scale.float().exp() * (regions_RD @ text_CD.t())

    def loss(self, regions_RE: Tensor, labels_R: Tensor) -> dict[str, Tensor]:
        """Return the loss over the regions of all processes, which is equal in all of them.

        Args:
            regions_RE: Embeddings (R, E) of this process's regions; R may be 0.
            labels_R: Their categories (R,), int64.

        Returns:
            The scalar ``loss_text``.

        Raises:
            ValueError: A region has a held-out category.
        """
        regions_RE, labels_R = gather_rows(regions_RE, labels_R)
        seen_R = self.place[labels_R]
        if (seen_R < 0).any():
            found = sorted({self.classes[label] for label in labels_R[seen_R < 0].tolist()})
            raise ValueError(
                f'regions of held-out categories are in the loss: {", ".join(found)}. Give the '
                'training dataset held_out, too'
            )
        with torch.no_grad():
            self.log_scale.clamp_(max=MAX_LOG_SCALE)
        regions_RD = self.projection(regions_RE)
        text_CD = self.text_CD[self.seen]
        return dict(loss_text=mil_nce_loss(regions_RD, seen_R, text_CD, self.log_scale.exp()))

    def _load_from_state_dict(self, state_dict: dict[str, Tensor], prefix: str, *args: Any) -> None:
        space = state_dict.get(f'{prefix}text_space')
        weight = state_dict.get(f'{prefix}projection.weight')
        if weight is not None and len(weight) != len(self.projection.weight):
            raise ValueError(
                f'the weights project regions to {len(weight)} dimensions, but the text '
                f'embeddings in {self.source} have {self.text_CD.shape[1]}: make them with the '
                'text model of the training'
            )
        if space is not None and not torch.equal(space.cpu(), self.text_space.cpu()):
            raise ValueError(
                f'the weights are aligned with another text model than {self.space!r}, which made '
                f'{self.source}: make the text embeddings with the text model of the training'
            )
        super()._load_from_state_dict(state_dict, prefix, *args)


def _digest(space: str) -> Tensor:
    """Return the SHA-256 of a text, int64 (4,); files of weights in uint8 count as quantized."""
    digest = hashlib.sha256(space.encode()).digest()
    numbers = [int.from_bytes(digest[i : i + 8], 'little', signed=True) for i in range(0, 32, 8)]
    return torch.tensor(numbers)

"""Head for region pretraining: a classifier, and meta-embeddings for the contrastive loss."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence

import torch
from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from mmdynamicvis.pretraining.gather import gather_rows
from mmdynamicvis.pretraining.meta_embeddings import load_meta_embeddings
from mmdynamicvis.pretraining.mil_nce import mil_nce_loss
from mmdynamicvis.registry import MODELS

MAX_LOG_SCALE = math.log(100)  # CLIP, arXiv 2103.00020, section 2.5


@MODELS.register_module()
class MILHead(BaseModule):
    """Linear classifier and learnable meta-embedding of each category (DynamicVis, section 3.4).

    Args:
        classes: Names of the categories, in the order of their labels.
        in_channels: Width E of the region embeddings.
        label_smoothing: Label smoothing of the classifier's cross entropy.
        mil_weight: Weight of the MIL-NCE loss; 0 trains only the classifier.
        meta_embeddings: .safetensors file of initial meta-embeddings, written by
            ``tools/text_meta_embeddings.py``; by default they are random.
        init_cfg: Initialization of mmengine.

    Raises:
        ValueError: There are no classes or one is repeated, an argument is out of range, or the
            meta-embeddings have other classes or another width.
    """

    def __init__(
        self,
        classes: Sequence[str],
        in_channels: int = 256,
        label_smoothing: float = 0.1,
        mil_weight: float = 0.5,
        meta_embeddings: str | os.PathLike | None = None,
        init_cfg: dict | list[dict] | None = dict(type='Normal', layer='Linear', std=0.01),
    ) -> None:
        super().__init__(init_cfg)
        if not classes or len(set(classes)) < len(classes):
            raise ValueError(f'MILHead has classes={classes}; give every category once')
        if not 0 <= label_smoothing < 1:
            raise ValueError(f'label_smoothing is {label_smoothing}; it must lie in [0, 1)')
        if mil_weight < 0:
            raise ValueError(f'mil_weight is {mil_weight}; it must not be negative')
        if meta_embeddings is not None and not mil_weight:
            raise ValueError(f'{meta_embeddings} would go unused: mil_weight is 0')
        self.classes = tuple(classes)
        self.label_smoothing = label_smoothing
        self.mil_weight = mil_weight
        self.fc = nn.Linear(in_channels, len(classes))
        if mil_weight:
            initial_CE = torch.randn(len(classes), in_channels)
            if meta_embeddings is not None:
                initial_CE = load_meta_embeddings(meta_embeddings, classes, in_channels)
            self.meta_embeddings = nn.Parameter(initial_CE)
            self.log_scale = nn.Parameter(torch.tensor(math.log(1 / 0.07)))

    @property
    def num_classes(self) -> int:
        """Number of categories, under the name that mmdet's ``NumClassCheckHook`` expects."""
        return len(self.classes)

    def forward(self, regions_RE: Tensor) -> Tensor:
        """Return the logits (R, C) of the classifier."""
        return self.fc(regions_RE)

    def loss(self, regions_RE: Tensor, labels_R: Tensor) -> dict[str, Tensor]:
        """Return the losses over the regions of all processes, which are equal in all of them.

        Args:
            regions_RE: Embeddings (R, E) of this process's regions; R may be 0.
            labels_R: Their categories (R,), int64.

        Returns:
            Scalars ``loss_cls`` and, unless ``mil_weight`` is 0, ``loss_mil``.
        """
        regions_RE, labels_R = gather_rows(regions_RE, labels_R)
        # sum divided by count, because the mean over no regions would be NaN
        loss_cls = cross_entropy(
            self(regions_RE), labels_R, label_smoothing=self.label_smoothing, reduction='sum'
        ) / max(len(labels_R), 1)
        if not self.mil_weight:
            return dict(loss_cls=loss_cls)
        with torch.no_grad():
            self.log_scale.clamp_(max=MAX_LOG_SCALE)
        loss_mil = mil_nce_loss(regions_RE, labels_R, self.meta_embeddings, self.log_scale.exp())
        return dict(loss_cls=loss_cls, loss_mil=self.mil_weight * loss_mil)

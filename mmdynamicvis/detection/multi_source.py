"""A detector for images of several sources, each with boxes of its own classes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from mmcv.transforms import BaseTransform
from mmdet.models import BaseDetector
from mmdet.structures import DetDataSample
from mmdet.utils import OptConfigType, OptMultiConfig
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmdynamicvis.registry import MODELS, TRANSFORMS


@TRANSFORMS.register_module()
class TagSource(BaseTransform):
    """Adds the name of its source to a sample: ``source``, for :class:`MultiSourceDetector`.

    The packing transform needs the key among its ``meta_keys``.

    Args:
        source: Name of the source.
    """

    def __init__(self, source: str) -> None:
        self.source = source

    def transform(self, results: dict) -> dict:
        """Add the name."""
        return {**results, 'source': self.source}

    def __repr__(self) -> str:
        return f'{type(self).__name__}(source={self.source!r})'


@MODELS.register_module()
class MultiSourceDetector(BaseDetector):
    """A single-stage detector with one backbone and neck, and a head for each source of images.

    Sources are sensors, such as RGB and SAR, or datasets with other classes. A batch may have
    images of any of them; their data samples name theirs as ``source`` (see :class:`TagSource`).
    All images have the same number of channels. SM3Det (https://arxiv.org/abs/2412.20665) trains
    on several sources in this way, with :class:`~mmdynamicvis.engine.BalancedLearningRateHook`.

    With several processes, set ``find_unused_parameters=True``: a batch may have no image of a
    source.

    Args:
        backbone: Config of the backbone.
        bbox_heads: Source -> config of a dense head of mmdet, such as ``FCOSHead``, with the
            ``train_cfg`` and ``test_cfg`` that its detector would give it.
        neck: Config of the neck.
        data_preprocessor: Config of the preprocessor, for all sources.
        init_cfg: Config of the initialization.

    Raises:
        ValueError: There are no heads; later, a sample names no source, or an unknown one.
    """

    def __init__(
        self,
        backbone: dict,
        bbox_heads: Mapping[str, dict],
        neck: OptConfigType = None,
        data_preprocessor: OptConfigType = None,
        init_cfg: OptMultiConfig = None,
    ) -> None:
        super().__init__(data_preprocessor=data_preprocessor, init_cfg=init_cfg)
        if not bbox_heads:
            raise ValueError('bbox_heads is empty; give the head of each source')
        self.backbone = MODELS.build(backbone)
        if neck is not None:
            self.neck = MODELS.build(neck)
        self.bbox_heads = nn.ModuleDict(
            {source: MODELS.build(head) for source, head in bbox_heads.items()}
        )

    def extract_feat(self, batch_inputs: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the neck.

        Args:
            batch_inputs: (B, C, H, W).
        """
        features = self.backbone(batch_inputs)
        return tuple(self.neck(features) if self.with_neck else features)

    def loss(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample]
    ) -> dict[str, Tensor | list[Tensor]]:
        """Return the losses of each source in the batch, ``SOURCE.LOSS``.

        Args:
            batch_inputs: (B, C, H, W).
            batch_data_samples: B samples with boxes.
        """
        features = self.extract_feat(batch_inputs)
        losses = {}
        for source, indices in self._of_sources(batch_data_samples).items():
            samples = [batch_data_samples[i] for i in indices]
            found = self.bbox_heads[source].loss(_take(features, indices), samples)
            losses |= {f'{source}.{name}': value for name, value in found.items()}
        return losses

    def predict(
        self,
        batch_inputs: Tensor,
        batch_data_samples: Sequence[DetDataSample],
        rescale: bool = True,
    ) -> list[DetDataSample]:
        """Add the detections, ``pred_instances``, whose labels are those of a sample's source.

        Args:
            batch_inputs: (B, C, H, W).
            batch_data_samples: B samples.
            rescale: Give boxes in pixels of the original images.
        """
        features = self.extract_feat(batch_inputs)
        results = [InstanceData() for _ in batch_data_samples]
        for source, indices in self._of_sources(batch_data_samples).items():
            samples = [batch_data_samples[i] for i in indices]
            found = self.bbox_heads[source].predict(
                _take(features, indices), samples, rescale=rescale
            )
            for i, result in zip(indices, found, strict=True):
                results[i] = result
        return self.add_pred_to_datasample(batch_data_samples, results)

    def _forward(
        self, batch_inputs: Tensor, batch_data_samples: Sequence[DetDataSample] | None = None
    ) -> dict[str, tuple[list[Tensor], ...]]:
        """Return the raw outputs of all heads for all images, by source."""
        features = self.extract_feat(batch_inputs)
        return {source: head(features) for source, head in self.bbox_heads.items()}

    def _of_sources(self, samples: Sequence[DetDataSample]) -> dict[str, list[int]]:
        """Return the indices of the samples of each source, in the order of the heads."""
        sources = [sample.metainfo.get('source') for sample in samples]
        if unknown := [source for source in sources if source not in self.bbox_heads]:
            raise ValueError(
                f'a sample has the source {unknown[0]!r}, and there are heads of '
                f'{list(self.bbox_heads)}: put mmdynamicvis.TagSource into the pipeline, and '
                "'source' into the meta_keys of PackDetInputs"
            )
        return {
            name: [i for i, source in enumerate(sources) if source == name]
            for name in self.bbox_heads
            if name in sources
        }


def _take(features: Sequence[Tensor], indices: Sequence[int]) -> tuple[Tensor, ...]:
    """Return the maps of some images."""
    return tuple(level[torch.tensor(indices, device=level.device)] for level in features)

"""Region-level multi-instance pretraining (DynamicVis, section 3.4)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack

import torch
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor
from torch.nn.functional import softplus

from mmdynamicvis.models.dynamicvis import StageSelection
from mmdynamicvis.models.modalities import MultiModalBatch
from mmdynamicvis.models.multi_modal import MultiModalDynamicVis
from mmdynamicvis.models.selections import (
    find_backbone,
    record_selections,
    selecting_stages,
    tokens_in_boxes,
)
from mmdynamicvis.registry import MODELS

SAME_GSD = 0.01
"""Largest relative difference of ground sampling distances that are taken to be the same."""


@MODELS.register_module()
class MILPretrainer(BaseModel):
    """Trains backbone, FPN, region extractor and head on the categories of boxes.

    The embedding of a region is the spatial mean of the extractor's features for its box. The parts
    can be used for other tasks afterwards: ``python tools/convert_checkpoint.py CHECKPOINT
    FILE.safetensors --parts backbone neck roi_extractor`` writes them to one file, from which a
    detector loads each with ``init_cfg=dict(type='Pretrained', checkpoint=FILE, prefix='neck.')``.

    Args:
        backbone: Config of the backbone.
        neck: Config of a feature pyramid; for a backbone for several modalities a list, of a
            :class:`~mmdynamicvis.models.ModalityNeck` and a pyramid, or the first alone.
        roi_extractor: Config of a region extractor with mmdet's interface, which uses the first
            levels of the pyramid. Its ``featmap_strides`` are in the pixels in which boxes are: of
            several modalities, the neck's ``cells`` over the gsd of the primary one.
        head: Config of the head, for example :class:`MILHead`.
        selection_weight: Weight of a loss that teaches the backbone (a DynamicVis of the default
            design) to select tokens inside boxes: the logistic loss of the scores of the selected
            tokens in each selecting stage, with equal weight for the tokens inside and outside
            boxes. Wrongly selected tokens thus get lower scores, until others replace them.
        data_preprocessor: Config of mmdet's ``DetDataPreprocessor`` or a similar one.
        init_cfg: Initialization of mmengine.

    Raises:
        ValueError: ``selection_weight`` is not 0, but no stage of the backbone selects, or it takes
            several modalities.
    """

    def __init__(
        self,
        backbone: dict,
        neck: dict,
        roi_extractor: dict,
        head: dict,
        selection_weight: float = 0.0,
        data_preprocessor: dict | None = None,
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(data_preprocessor, init_cfg)
        self.backbone = MODELS.build(backbone)
        self.neck = MODELS.build(neck)
        self.roi_extractor = MODELS.build(roi_extractor)
        self.head = MODELS.build(head)
        self.selection_weight = selection_weight
        if selection_weight and isinstance(find_backbone(self.backbone), MultiModalDynamicVis):
            raise ValueError(
                f'selection_weight is {selection_weight}, but the tokens of several modalities are '
                'not in the pixels of boxes: set selection_weight to 0'
            )
        if selection_weight and not selecting_stages(find_backbone(self.backbone)):
            raise ValueError(
                f'selection_weight is {selection_weight}, but no stage of the backbone selects: '
                'give it reduction_ratios, or set selection_weight to 0'
            )

    def forward(
        self,
        inputs: Tensor | MultiModalBatch,
        data_samples: Sequence[BaseDataElement],
        mode: str = 'tensor',
    ) -> Tensor | dict[str, Tensor] | Sequence[BaseDataElement]:
        """Run the model on the boxes of images.

        Args:
            inputs: Normalized images (B, C, H, W), or those of several modalities.
            data_samples: One per image; ``gt_instances`` has ``bboxes`` (R_i, 4), corners x1, y1,
                x2, y2 in pixels of the input, and ``labels`` (R_i,). Images may have no boxes. Of
                several modalities, pixels are those of the backbone's primary one at the gsd of
                its settings, whether or not a sample has it.
            mode: 'loss', 'predict' or 'tensor'.

        Returns:
            The losses; or the data samples with ``pred_instances`` of ``bboxes``, ``scores``
            (R_i, C) and ``labels``; or the region embeddings (R, E).

        Raises:
            ValueError: The mode is unknown.
        """
        boxes = [s.gt_instances.bboxes for s in data_samples]
        if mode == 'loss':
            return self._loss(inputs, boxes, data_samples)
        regions_RE = self.embed(inputs, boxes)
        if mode == 'tensor':
            return regions_RE
        if mode == 'predict':
            return self._predict(regions_RE, data_samples)
        raise ValueError(f"mode is {mode!r}; choose 'loss', 'predict' or 'tensor'")

    def _loss(
        self,
        inputs: Tensor | MultiModalBatch,
        boxes: Sequence[Tensor],
        data_samples: Sequence[BaseDataElement],
    ) -> dict[str, Tensor]:
        with ExitStack() as stack:
            if self.selection_weight:
                record = stack.enter_context(record_selections(self.backbone))
            regions_RE = self.embed(inputs, boxes)
        losses = self.head.loss(
            regions_RE, torch.cat([s.gt_instances.labels for s in data_samples])
        )
        if self.selection_weight:
            stages = record.selections.items()
            terms = [selection_loss(selection, boxes, stride) for stride, selection in stages]
            losses['loss_selection'] = self.selection_weight * torch.stack(terms).mean()
        return losses

    def embed(self, inputs: Tensor | MultiModalBatch, boxes: Sequence[Tensor]) -> Tensor:
        """Return the embeddings (R, E) of all boxes, (R_i, 4) per image, in order."""
        features = self.neck(self.backbone(inputs))
        # mmcv's RoIAlign has no kernel for bfloat16
        features = [f.to(torch.promote_types(f.dtype, torch.float32)) for f in features]
        rois = [torch.cat([b.new_full((len(b), 1), i), b], dim=1) for i, b in enumerate(boxes)]
        # Add one region, the whole first image, and discard its embedding. Without any boxes, the
        # parameters then get zero gradients instead of none, for which other processes would wait.
        whole = rois[0].new_tensor([[0, 0, 0, *self._size(inputs)]])
        rois_R5 = torch.cat([*rois, whole])
        n_levels = self.roi_extractor.num_inputs
        return self.roi_extractor(features[:n_levels], rois_R5)[:-1].mean((2, 3))

    def _size(self, inputs: Tensor | MultiModalBatch) -> tuple[float, float]:
        """Return width and height of the inputs, in the pixels in which boxes are."""
        if isinstance(inputs, Tensor):
            return inputs.shape[3], inputs.shape[2]
        name, primary = next(iter(find_backbone(self.backbone).modalities.items()))
        images = inputs.images.get(name) or next(iter(inputs.images.values()))
        scale = images.gsd / primary.gsd
        if name in inputs.images and abs(scale - 1) > SAME_GSD:
            raise ValueError(
                f'the images of {name} have {images.gsd:g} m per pixel, and the backbone settings '
                f'{primary.gsd:g}: boxes are in its pixels, so that both must be the same'
            )
        return images.pixels.shape[3] * scale, images.pixels.shape[2] * scale

    def _predict(
        self, regions_RE: Tensor, data_samples: Sequence[BaseDataElement]
    ) -> Sequence[BaseDataElement]:
        scores_RC = self.head(regions_RE).float().softmax(-1)
        counts = [len(sample.gt_instances) for sample in data_samples]
        for sample, scores in zip(data_samples, scores_RC.split(counts), strict=True):
            sample.pred_instances = InstanceData(
                bboxes=sample.gt_instances.bboxes, scores=scores, labels=scores.argmax(-1)
            )
        return data_samples


def selection_loss(selection: StageSelection, boxes: Sequence[Tensor], stride: int) -> Tensor:
    """Return the logistic loss, a scalar, of the scores of a stage's selected tokens.

    Tokens inside and outside boxes have equal weight.

    Args:
        selection: Selection of a stage for a batch of B images.
        boxes: B tensors (R_i, 4), corners x1, y1, x2, y2 in pixels.
        stride: Stride of the stage in pixels.

    Raises:
        ValueError: The backbone has the published design, whose selections have no scores.
    """
    if selection.kept_scores is None:
        raise ValueError(
            'selection_weight needs the default design of the backbone: set it to 0 for one of '
            'the published design'
        )
    inside_BL = tokens_in_boxes(boxes, selection.grid, stride)
    inside_BK = inside_BL.gather(1, selection.indices)
    scores_BK = selection.kept_scores
    parts = ((inside_BK, softplus(-scores_BK)), (~inside_BK, softplus(scores_BK)))
    return sum((loss * part).sum() / part.sum().clamp_min(1) for part, loss in parts) / 2

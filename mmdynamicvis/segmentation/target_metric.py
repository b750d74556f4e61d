"""Precision, recall, F1 and IoU of one class, in addition to mmseg's means over classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.evaluation.metrics import IoUMetric
from torch import Tensor

from mmdynamicvis.registry import METRICS


@METRICS.register_module()
class TargetMetric(IoUMetric):
    """mmseg's ``IoUMetric`` that also reports the target class alone, as in papers on roads.

    Pixels are counted over all images together, not averaged per image; all values are in percent.
    ``target/precision``, ``target/recall``, ``target/f1`` and ``target/iou`` are added to mmseg's
    ``mIoU``, ``aAcc``, etc. All pixels count equally, also at the boundaries of objects and images;
    pixels with the label ``ignore_index`` are excluded. Precision is NaN if no pixel is predicted
    as the target, recall if none is annotated, and F1 and IoU if there is neither.

    mmseg counts in float32, which is exact only up to 2^24 pixels of a class in one image, and
    silently skips labels beyond the classes. Here counts are exact, and such labels are an error.

    Args:
        target: Name of the target class; by default the last class.
        iou_metrics: As in mmseg.
        of: Name of one of several maps, for ``MultiTaskSiamese``: ``pred_NAME`` is compared with
            ``gt_NAME``. Set ``prefix`` to tell the metrics of several maps apart.
        **kwargs: Further arguments of mmseg's ``IoUMetric``.

    Raises:
        ValueError: Prediction and label differ in size, a label is not a class, or the dataset has
            no class ``target``.
    """

    def __init__(
        self,
        target: str | None = None,
        iou_metrics: Sequence[str] = ('mIoU', 'mFscore'),
        of: str = 'sem_seg',
        **kwargs: Any,
    ) -> None:
        super().__init__(iou_metrics=list(iou_metrics), **kwargs)
        self.target = target
        self.of = of

    @property
    def dataset_meta(self) -> dict | None:
        """Return the metainfo of the dataset, with the classes of the map that is evaluated."""
        return self._dataset_meta

    @dataset_meta.setter
    def dataset_meta(self, dataset_meta: dict) -> None:
        maps = dataset_meta.get('maps', {})
        if self.of != 'sem_seg' and self.of not in maps:
            raise ValueError(f'of is {self.of!r}; the maps of the dataset are {", ".join(maps)}')
        self._dataset_meta = dataset_meta | maps.get(self.of, {})

    def process(self, data_batch: dict, data_samples: Sequence[dict]) -> None:
        """Count the pixels of each sample, a dict with ``pred_NAME`` and ``gt_NAME``."""
        names = {f'{kind}_{self.of}': f'{kind}_sem_seg' for kind in ('pred', 'gt')}
        samples = [
            {**sample, **{name: sample[own] for own, name in names.items() if own in sample}}
            for sample in data_samples
        ]
        super().process(data_batch, samples)

    @staticmethod
    def intersect_and_union(
        pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Count the pixels of each class.

        Args:
            pred_label: (H, W) predicted class indices.
            label: (H, W) annotated class indices.
            num_classes: Number of classes.
            ignore_index: Label of pixels that are ignored.

        Returns:
            Numbers of intersection, union, predicted and annotated pixels per class, each
            (num_classes,) int64.
        """
        if pred_label.shape != label.shape:
            raise ValueError(
                f'the prediction has {tuple(pred_label.shape)} pixels, the label '
                f'{tuple(label.shape)}. Load annotations after the test pipeline resizes'
            )
        valid = label != ignore_index
        pred_label, label = pred_label[valid].long(), label[valid].long()
        if label.numel() and label.max() >= num_classes:
            wrong = label[label >= num_classes].unique().tolist()
            raise ValueError(
                f'labels {wrong} are no classes: there are {num_classes} classes, and '
                f'{ignore_index} is ignored'
            )
        hits = label[pred_label == label]
        intersect, predicted, annotated = (
            torch.bincount(x, minlength=num_classes).cpu() for x in (hits, pred_label, label)
        )
        return intersect, predicted + annotated - intersect, predicted, annotated

    def compute_metrics(self, results: list[tuple[Tensor, ...]]) -> dict[str, float]:
        """Compute mmseg's means over classes and the values of the target class, in percent."""
        metrics = super().compute_metrics(results)
        if self.format_only:
            return metrics
        classes = self.dataset_meta['classes']
        if self.target is not None and self.target not in classes:
            raise ValueError(f'target is {self.target!r}, the classes are {", ".join(classes)}')
        index = -1 if self.target is None else classes.index(self.target)
        counts = torch.stack([torch.stack(result) for result in results]).sum(0)
        hits, union, predicted, annotated = counts[:, index].double()
        values = dict(
            precision=hits / predicted,
            recall=hits / annotated,
            f1=2 * hits / (predicted + annotated),
            iou=hits / union,
        )
        metrics.update({f'target/{name}': float(value) * 100 for name, value in values.items()})
        return metrics

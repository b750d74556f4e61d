"""Precision, recall, F1 and IoU of one class, beside mmseg's means over classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from mmseg.evaluation.metrics import IoUMetric
from torch import Tensor

from mmdynamicvis.registry import METRICS


@METRICS.register_module()
class TargetMetric(IoUMetric):
    """mmseg's ``IoUMetric`` that also gives the target class alone, as papers on roads do.

    Pixels are counted over all images together, and not averaged per image; all values are in
    percent. ``target/precision``, ``target/recall``, ``target/f1`` and ``target/iou`` come beside
    the host's ``mIoU``, ``aAcc`` and so on. Every pixel counts alike, at the boundary of an
    object and of the image; those of the label ``ignore_index`` count nowhere. Where nothing of
    the target is annotated nor predicted, F1 and IoU are not a number; precision, where nothing is
    predicted; recall, where nothing is annotated.

    mmseg counts in float32, which stops at 2^24 pixels of a class in one image, and leaves out
    labels beyond the classes silently; here counts are exact, and such labels an error.

    Args:
        target: Name of the target class; the last one by default.
        iou_metrics: As in mmseg.
        **kwargs: The other arguments of mmseg's ``IoUMetric``.

    Raises:
        ValueError: Prediction and label differ in size, a label is no class, or the dataset has no
            class of that name.
    """

    def __init__(
        self,
        target: str | None = None,
        iou_metrics: Sequence[str] = ('mIoU', 'mFscore'),
        **kwargs: Any,
    ) -> None:
        super().__init__(iou_metrics=list(iou_metrics), **kwargs)
        self.target = target

    @staticmethod
    def intersect_and_union(
        pred_label: Tensor, label: Tensor, num_classes: int, ignore_index: int
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Count the pixels of each class.

        Args:
            pred_label: (H, W) predicted classes.
            label: (H, W) annotated classes.
            num_classes: Number of classes.
            ignore_index: Label of pixels that do not count.

        Returns:
            Intersection, union, predicted and annotated pixels, each (num_classes,) int64.
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
                f'labels {wrong} are no classes: there are {num_classes}, and {ignore_index} is '
                'ignored'
            )
        hits = label[pred_label == label]
        intersect, predicted, annotated = (
            torch.bincount(x, minlength=num_classes).cpu() for x in (hits, pred_label, label)
        )
        return intersect, predicted + annotated - intersect, predicted, annotated

    def compute_metrics(self, results: list[tuple[Tensor, ...]]) -> dict[str, float]:
        """Compute the means over classes and the values of the target, in percent."""
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

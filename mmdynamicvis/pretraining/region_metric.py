"""Metrics of region classification."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import matplotlib.pyplot as plt
import numpy as np
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from mmengine.visualization import Visualizer

from mmdynamicvis.pretraining.counted_regions import CountedRegions
from mmdynamicvis.registry import METRICS

if TYPE_CHECKING:
    from torch import Tensor
    from torchmetrics import MetricCollection

_MAX_CLASSES_WITH_NUMBERS = 20


@METRICS.register_module()
class RegionMetric(CountedRegions):
    """Precision, recall and F1 of region classification, in percent, computed by torchmetrics.

    ``region/precision``, ``region/recall`` and ``region/f1-score`` are means over the categories
    that occur; ``region/accuracy`` is over all regions. A table per category is logged. Every
    region counts exactly once, however unevenly regions are distributed among processes.

    Args:
        confusion_matrix: Draw the confusion matrix with the Runner's visualizer.
        prefix: Prefix of the names of metrics.

    Raises:
        ImportError: torchmetrics is not installed.
        ValueError: The dataset's ``metainfo`` has no classes.
    """

    default_prefix = 'region'

    def __init__(self, confusion_matrix: bool = False, prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        self.confusion_matrix = confusion_matrix

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the regions of a batch: ``gt_instances`` and ``pred_instances`` with labels."""
        for sample in data_samples:
            truth = sample['gt_instances']['labels']
            if len(truth):
                self._counts().update(sample['pred_instances']['labels'], truth)

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Log and draw the results of torchmetrics; return the means."""
        if is_main_process():
            MMLogger.get_current_instance().info(self._table(results))
            if self.confusion_matrix:
                picture = self._draw(results['confusion'])
                Visualizer.get_current_instance().add_image('confusion_matrix', picture)
        names = ('accuracy', 'precision', 'recall', 'f1-score')
        return {name: 100 * results[name].item() for name in names}

    def _build_counters(self, torchmetrics: ModuleType, n_classes: int) -> MetricCollection:
        by_multiclass = torchmetrics.classification
        metrics = {'confusion': by_multiclass.MulticlassConfusionMatrix(n_classes)}
        kinds = {'precision': 'Precision', 'recall': 'Recall', 'f1-score': 'F1Score'}
        for name, kind in kinds.items():
            metric_type = getattr(by_multiclass, f'Multiclass{kind}')
            metrics[name] = metric_type(n_classes, average='macro')
            metrics[f'{name} per class'] = metric_type(n_classes, average='none')
        metrics['accuracy'] = by_multiclass.MulticlassAccuracy(n_classes, average='micro')
        return torchmetrics.MetricCollection(metrics)

    def _table(self, results: dict[str, Tensor]) -> str:
        width = max(map(len, self._classes()))
        lines = [f'{"category":{width}} {"regions":>8} {"precision":>9} {"recall":>7} {"F1":>6}']
        per_class = (results[f'{name} per class'] for name in ('precision', 'recall', 'f1-score'))
        n_regions = results['confusion'].sum(1)
        for name, n, *values in zip(self._classes(), n_regions, *per_class, strict=True):
            p, r, f1 = (100 * value.item() for value in values)
            lines.append(f'{name:{width}} {int(n):8} {p:9.2f} {r:7.2f} {f1:6.2f}')
        return 'regions by category\n' + '\n'.join(lines)

    def _draw(self, confusion: Tensor) -> np.ndarray:
        """Return a picture (H, W, 3) uint8; colors are fractions of the regions of a true class."""
        classes = list(self._classes())
        shares = confusion.float() / confusion.sum(1, keepdim=True).clamp_min(1)
        side = 3 + 0.25 * len(classes)
        figure, axes = plt.subplots(figsize=(side, side), layout='constrained', dpi=120)
        axes.imshow(shares.cpu().numpy(), cmap='Blues')
        axes.set_xlabel('Predicted class')
        axes.set_ylabel('True class')
        axes.set_xticks(range(len(classes)), classes, rotation=90, fontsize=9)
        axes.set_yticks(range(len(classes)), classes, rotation=0, fontsize=9)
        if len(classes) <= _MAX_CLASSES_WITH_NUMBERS:
            for row, column in np.argwhere(confusion.cpu().numpy() > 0):
                color = 'white' if shares[row, column] > 0.5 else 'black'
                text = str(int(confusion[row, column]))
                axes.text(column, row, text, ha='center', va='center', fontsize=7, color=color)
        figure.canvas.draw()
        picture = np.asarray(figure.canvas.buffer_rgba())[..., :3].copy()
        plt.close(figure)
        return picture

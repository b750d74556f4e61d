"""Accuracy of region classification on categories that were held out of the training."""

from __future__ import annotations

from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING, Any

import torch
from mmengine.dist import is_main_process
from mmengine.logging import MMLogger
from torch import Tensor

from mmdynamicvis.pretraining.counted_regions import CountedRegions
from mmdynamicvis.pretraining.held_out import held_out_labels
from mmdynamicvis.registry import METRICS

if TYPE_CHECKING:
    from torchmetrics import MetricCollection

AMONG_HELD_OUT, AMONG_ALL = 'among held-out names', 'among all names'


@METRICS.register_module()
class ZeroShotMetric(CountedRegions):
    """Zero-shot and generalized zero-shot accuracy of regions, in percent.

    After Xian et al. (arXiv 1707.00600, section 4.2), an accuracy is the mean over the categories
    that have regions of the share of their regions with the right name:

    ===========================  ==============================  ===============
    metric                       regions of                      names to choose
    ===========================  ==============================  ===============
    ``zero-shot/accuracy``       held-out categories             held-out ones
    ``zero-shot/generalized``    held-out categories             all
    ``zero-shot/seen``           trained categories              all
    ===========================  ==============================  ===============

    ``zero-shot/harmonic-mean`` is that of the last two. ``zero-shot/regions`` is the accuracy as
    the first row has it, but over all regions alike. ``zero-shot/chance`` and
    ``zero-shot/generalized-chance`` are the accuracies of a guess without looking. A table per
    category is logged. Every region counts exactly once, however unevenly regions are distributed
    among processes.

    Args:
        held_out: Names of the held-out categories.
        prefix: Prefix of the names of metrics.

    Raises:
        ImportError: torchmetrics is not installed.
        ValueError: The dataset's ``metainfo`` has no classes, ``held_out`` is no part of them, or
            there is no region of a held-out or of a trained category.
    """

    default_prefix = 'zero-shot'

    def __init__(self, held_out: Sequence[str], prefix: str | None = None) -> None:
        super().__init__(prefix=prefix)
        if not held_out:
            raise ValueError('held_out is empty; name the categories that were not trained on')
        self.held_out = tuple(held_out)

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Count the regions of a batch: labels of ``gt_instances``, scores of ``pred_instances``.

        Scores are (R, C), of all names.
        """
        counts, unseen = self._counts(), self._unseen()
        for sample in data_samples:
            truth_R = sample['gt_instances']['labels']
            if not len(truth_R):
                continue
            scores_RC = sample['pred_instances']['scores']
            counts[AMONG_ALL].update(scores_RC.argmax(-1), truth_R)
            columns = torch.tensor(unseen, device=scores_RC.device)
            chosen_R = columns[scores_RC[:, columns].argmax(-1)]
            counts[AMONG_HELD_OUT].update(chosen_R, truth_R)

    def confusion(self) -> dict[str, Tensor]:
        """Return the confusion matrices (C, C), truth by chosen name, so far and by both choices.

        They are int64 and over all processes.
        """
        return {name: value.cpu() for name, value in self._counts().compute().items()}

    def compute_metrics(self, results: dict[str, Tensor]) -> dict[str, float]:
        """Log a table per category and return the metrics of both confusion matrices."""
        unseen = self._unseen()
        seen = [label for label in range(len(self._classes())) if label not in unseen]
        zero_shot, generalized = results[AMONG_HELD_OUT], results[AMONG_ALL]
        for part, labels in (('held-out', unseen), ('trained', seen)):
            if not generalized[labels].sum():
                raise ValueError(f'there is no region of any {part} category to evaluate')
        if is_main_process():
            MMLogger.get_current_instance().info(self._table(results))
        u, s = _mean_recall(generalized, unseen), _mean_recall(generalized, seen)
        right = zero_shot.diagonal()[unseen].sum() / zero_shot[unseen].sum()
        return {
            'accuracy': _mean_recall(zero_shot, unseen),
            'regions': 100 * right.item(),
            'chance': 100 / len(unseen),
            'generalized': u,
            'generalized-chance': 100 / len(self._classes()),
            'seen': s,
            'harmonic-mean': 2 * u * s / (u + s) if u + s else 0.0,
        }

    def _build_counters(self, torchmetrics: ModuleType, n_classes: int) -> MetricCollection:
        matrix = torchmetrics.classification.MulticlassConfusionMatrix
        return torchmetrics.MetricCollection(
            {AMONG_HELD_OUT: matrix(n_classes), AMONG_ALL: matrix(n_classes)}, compute_groups=False
        )

    def _unseen(self) -> list[int]:
        return held_out_labels(self._classes(), self.held_out)

    def _table(self, results: dict[str, Tensor]) -> str:
        classes, unseen = self._classes(), self._unseen()
        width = max(map(len, classes))
        lines = [
            'regions with the right name, in %',
            f'{"category":{width}} {"held out":>8} {"regions":>8} {AMONG_HELD_OUT} {AMONG_ALL}',
        ]
        for label, name in enumerate(classes):
            n = int(results[AMONG_ALL][label].sum())
            held = 'yes' if label in unseen else 'no'
            line = f'{name:{width}} {held:>8} {n:8}'
            for title in (AMONG_HELD_OUT, AMONG_ALL):  # torchmetrics returns them in any order
                counts = results[title]
                counted = n and (label in unseen or title == AMONG_ALL)
                share = f'{100 * counts[label, label].item() / n:.2f}' if counted else '-'
                line += f' {share:>{len(title)}}'
            lines.append(line)
        return '\n'.join(lines)


def _mean_recall(confusion: Tensor, labels: Sequence[int]) -> float:
    """Return the mean recall, in percent, of those of the labels that have regions."""
    rows = confusion[labels]
    counts = rows.sum(1)
    recall = confusion.diagonal()[labels] / counts
    return 100 * recall[counts > 0].mean().item()

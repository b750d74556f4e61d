"""Metrics of semantic change detection, as in papers on SECOND and Landsat-SCD."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmdynamicvis.registry import METRICS

IGNORED = 255


@METRICS.register_module()
class SemanticChangeMetric(BaseMetric):
    """SeK, mIoU, F_scd, overall accuracy and kappa, see :func:`semantic_change_scores`.

    Pixels are counted over all pairs, in integers. There are two protocols in papers, with other
    figures for the same predictions:

    - 'dates': a matrix of classes to which each pixel adds two counts, one per date (Bi-SRNet,
      SCanNet, open-cd).
    - 'transitions': a matrix of pairs of classes, to which a pixel adds one count (ChangeMamba).

    Args:
        dates: Outputs with the land cover of the two dates, 0 where nothing changed.
        protocol: Which of both.
        ignore_index: Label of pixels that are ignored, at either date.
        collect_device: As in mmengine.
        prefix: As in mmengine.

    Raises:
        ValueError: The protocol is unknown; prediction and label differ in size; or a label or
            prediction is none of the classes in the dataset's metainfo.
    """

    default_prefix = 'semantic'

    def __init__(
        self,
        dates: tuple[str, str] = ('semantic_from', 'semantic_to'),
        protocol: Literal['dates', 'transitions'] = 'dates',
        ignore_index: int = IGNORED,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        if protocol not in ('dates', 'transitions'):
            raise ValueError(f"protocol is {protocol!r}; choose 'dates' or 'transitions'")
        self.dates, self.protocol, self.ignore_index = tuple(dates), protocol, ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add the matrix of each pair to ``results``.

        Args:
            data_batch: Not used.
            data_samples: Samples with ``pred_NAME`` and ``gt_NAME`` of both dates, as dicts.
        """
        classes = len(self.dataset_meta['maps'][self.dates[0]]['classes'])
        for sample in data_samples:
            maps = [
                [sample[f'{kind}_{date}']['data'].squeeze(0).cpu().long() for date in self.dates]
                for kind in ('pred', 'gt')
            ]
            self.results.append(self._matrix(*maps, classes))

    def _matrix(
        self, predictions: Sequence[Tensor], labels: Sequence[Tensor], classes: int
    ) -> Tensor:
        """Return the numbers of pixels, (predicted, annotated) int64."""
        for prediction, label in zip(predictions, labels, strict=True):
            if prediction.shape != label.shape:
                raise ValueError(
                    f'the prediction has {tuple(prediction.shape)} pixels, the label '
                    f'{tuple(label.shape)}. Load labels after the test pipeline resizes'
                )
        known = (labels[0] != self.ignore_index) & (labels[1] != self.ignore_index)
        for maps in (predictions, labels):
            for data in maps:
                if known.any() and not 0 <= data[known].max() < classes:
                    raise ValueError(
                        f'a map has the class {int(data[known].max())}; the classes are 0 to '
                        f'{classes - 1}'
                    )
        if self.protocol == 'dates':
            found, true = (
                torch.cat([data[known] for data in maps]) for maps in (predictions, labels)
            )
            return _count(found, true, classes)
        # a transition needs a class at both dates
        known &= (labels[0] > 0) == (labels[1] > 0)
        found, true = (
            torch.where((maps[0] > 0) & (maps[1] > 0), (maps[0] - 1) * (classes - 1) + maps[1], 0)[
                known
            ]
            for maps in (predictions, labels)
        )
        return _count(found, true, (classes - 1) ** 2 + 1)

    def compute_metrics(self, results: list[Tensor]) -> dict[str, float]:
        """Compute the scores of all pairs together, in percent."""
        matrix = torch.stack(results).sum(0).numpy()
        return {name: 100 * value for name, value in semantic_change_scores(matrix).items()}


def _count(found: Tensor, true: Tensor, classes: int) -> Tensor:
    return torch.bincount(classes * found + true, minlength=classes**2).view(classes, classes)


def semantic_change_scores(matrix: np.ndarray) -> dict[str, float]:
    r"""Return the scores of a matrix of pixels, from 0 to 1 (kappa and SeK from -1).

    With :math:`Q`, :math:`q_{ij}` pixels predicted as i and annotated as j, and class 0 for no
    change (SeK, mIoU and score: https://arxiv.org/abs/2010.05687; F_scd: Bi-SRNet,
    https://arxiv.org/abs/2108.06103, ``SCDD_eval_all`` in its code):

    - ``SeK``: :math:`\kappa_0 e^{IoU_2 - 1}`, with :math:`IoU_2` the IoU of all changed pixels and
      :math:`\kappa_0` (``kappa_n0``) Cohen's kappa of Q with :math:`q_{00} = 0`.
    - ``mIoU``: mean of the IoU of unchanged and of changed pixels.
    - ``score``: 0.3 mIoU + 0.7 SeK.
    - ``Fscd``: harmonic mean of precision and recall of changed pixels with the right class.
    - ``OA`` and ``kappa``: accuracy and Cohen's kappa of Q.

    No score is NaN. A ratio of no pixels is 0, except the IoU of a part, changed or unchanged,
    that is neither predicted nor annotated: it is left out of the mean. As in the published code,
    kappa is 0 where all pixels of Q are in one cell, also on its diagonal.

    Args:
        matrix: Q, (classes, classes).
    """
    q = matrix.astype(np.float64)
    without = q.copy()
    without[0, 0] = 0
    changed = q[1:, 1:].sum()
    missed, wrong = q[0, 1:].sum(), q[1:, 0].sum()
    parts = [(q[0, 0], q[0, 0] + missed + wrong), (changed, changed + missed + wrong)]
    ious = [_ratio(*part) for part in parts if part[1]]
    kappa_n0 = _kappa(without)
    sek = kappa_n0 * math.exp(_ratio(*parts[1]) - 1)
    miou = _ratio(sum(ious), len(ious))
    hits = np.trace(q[1:, 1:])
    precision, recall = _ratio(hits, changed + wrong), _ratio(hits, changed + missed)
    return dict(
        SeK=sek,
        mIoU=miou,
        score=0.3 * miou + 0.7 * sek,
        Fscd=_ratio(2 * precision * recall, precision + recall),
        precision=precision,
        recall=recall,
        OA=_ratio(np.trace(q), q.sum()),
        kappa=_kappa(q),
        kappa_n0=kappa_n0,
    )


def _kappa(q: np.ndarray) -> float:
    """Return Cohen's kappa of a matrix of counts."""
    total = q.sum()
    by_chance = _ratio(float(q.sum(0) @ q.sum(1)), total**2)
    return _ratio(_ratio(np.trace(q), total) - by_chance, 1 - by_chance) if total else 0.0


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0

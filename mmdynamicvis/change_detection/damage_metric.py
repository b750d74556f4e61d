"""Metric of building damage assessment: the score of the xView2 challenge."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from mmengine.evaluator import BaseMetric
from torch import Tensor

from mmdynamicvis.registry import METRICS

EPSILON = 1e-6
"""What the published code adds to each F1 before it takes the harmonic mean."""


@METRICS.register_module()
class BuildingDamageMetric(BaseMetric):
    """The score of the xView2 challenge, see :func:`damage_scores`.

    Pixels are counted over all pairs, in integers. Buildings are counted in their own map of the
    first date, damage at the pixels that have a level in the annotated map of damage. A predicted
    level counts only where buildings are predicted. The levels are the classes of the damage map in
    the dataset's metainfo but the first, which is none.

    Pixels that are ignored in a map do not count in what is counted there: a building whose damage
    is not known counts as a building.

    Args:
        location: Output with the buildings, 0 for none and 1.
        damage: Output with their damage, 0 for no building.
        ignore_index: Label of pixels that are ignored.
        collect_device: As in mmengine.
        prefix: As in mmengine.

    Raises:
        ValueError: Prediction and label differ in size; or a label or prediction is none of the
            classes in the dataset's metainfo.
    """

    default_prefix = 'damage'

    def __init__(
        self,
        location: str = 'location',
        damage: str = 'damage',
        ignore_index: int = 255,
        collect_device: str = 'cpu',
        prefix: str | None = None,
    ) -> None:
        super().__init__(collect_device=collect_device, prefix=prefix)
        self.location, self.damage, self.ignore_index = location, damage, ignore_index

    def process(self, data_batch: Any, data_samples: Sequence[dict]) -> None:
        """Add the numbers of pixels of each pair to ``results``.

        Args:
            data_batch: Not used.
            data_samples: Samples with ``pred_NAME`` and ``gt_NAME`` of both outputs, as dicts.
        """
        for sample in data_samples:
            buildings = _map_of(sample, f'pred_{self.location}')
            levels = torch.where(buildings > 0, _map_of(sample, f'pred_{self.damage}'), 0)
            found = {self.location: buildings, self.damage: levels}
            self.results.append(tuple(self._count(name, found[name], sample) for name in found))

    def _count(self, name: str, found: Tensor, sample: dict) -> Tensor:
        """Return the numbers of pixels of a map, (predicted, annotated) int64."""
        true = _map_of(sample, f'gt_{name}')
        classes = len(self.dataset_meta['maps'][name]['classes'])
        if found.shape != true.shape:
            raise ValueError(
                f'the prediction of {name} has {tuple(found.shape)} pixels, the label '
                f'{tuple(true.shape)}. Load labels after the test pipeline resizes'
            )
        known = true != self.ignore_index
        found, true = found[known], true[known]
        for what, values in (('prediction', found), ('label', true)):
            wrong = values[(values < 0) | (values >= classes)]
            if len(wrong):
                raise ValueError(
                    f'the {what} of {name} has the class {int(wrong[0])}; the classes are 0 to '
                    f'{classes - 1}'
                )
        return torch.bincount(classes * found + true, minlength=classes**2).view(classes, classes)

    def compute_metrics(self, results: list[tuple[Tensor, Tensor]]) -> dict[str, float]:
        """Compute the scores of all pairs together, in percent."""
        location, damage = (
            torch.stack(matrices).sum(0).numpy() for matrices in zip(*results, strict=True)
        )
        levels = self.dataset_meta['maps'][self.damage]['classes'][1:]
        scores = damage_scores(location, damage, levels)
        return {name: 100 * value for name, value in scores.items()}


def _map_of(sample: dict, key: str) -> Tensor:
    return sample[key]['data'].squeeze(0).cpu().long()


def damage_scores(
    location: np.ndarray, damage: np.ndarray, levels: Sequence[str]
) -> dict[str, float]:
    r"""Return the scores of numbers of pixels, from 0 to 1.

    As in the code of the challenge (https://github.com/DIUx-xView/xView2_scoring, commit ea0793d):

    - ``localization_f1``: F1 of the pixels of buildings.
    - ``damage_f1_LEVEL``: F1 of the pixels of a level among those annotated with any; each '-' in
      its name becomes '_'.
    - ``damage_f1``: harmonic mean of these, :math:`n / \sum_i 1 / (F_i + 10^{-6})`.
    - ``score``: 0.3 localization_f1 + 0.7 damage_f1.

    And two of BRIGHT's benchmark (https://arxiv.org/abs/2501.06019), of the map of damage with its
    background:

    - ``OA``: share of the pixels with the right class.
    - ``mIoU``: mean IoU of the classes that are predicted or annotated.

    No score is NaN. The F1 of a level without right pixels is 0, also if no pixel has it, and then
    ``damage_f1`` is close to 0: the score of a few pairs that lack a level says little.

    Args:
        location: (2, 2), pixels predicted as i and annotated as j.
        damage: (1 + levels, 1 + levels), the same.
        levels: Names of the levels.
    """
    of_levels = damage[:, 1:]
    f1s = [_f1(of_levels, i, column=i - 1) for i in range(1, len(damage))]
    localization = _f1(location, 1, column=1)
    harmonic = len(f1s) / sum(1 / (f1 + EPSILON) for f1 in f1s)
    either = damage.sum(0) + damage.sum(1) - damage.diagonal()
    there = either > 0
    return dict(
        score=0.3 * localization + 0.7 * harmonic,
        localization_f1=localization,
        damage_f1=harmonic,
        **{
            f'damage_f1_{level.replace("-", "_")}': f1
            for level, f1 in zip(levels, f1s, strict=True)
        },
        OA=_ratio(damage.trace(), damage.sum()),
        mIoU=float((damage.diagonal()[there] / either[there]).mean()) if there.any() else 0.0,
    )


def _f1(matrix: np.ndarray, row: int, column: int) -> float:
    """Return the F1 of a class that is a row (predicted) and a column (annotated) of counts."""
    return _ratio(2 * matrix[row, column], matrix[row].sum() + matrix[:, column].sum())


def _ratio(part: float, whole: float) -> float:
    return float(part) / float(whole) if whole else 0.0

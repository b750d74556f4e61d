"""AP50 by size of the boxes, with custom size bounds."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import mmengine
import numpy as np
from mmdet.datasets.api_wrappers import COCO, COCOeval
from mmdet.evaluation.metrics import CocoMetric

from mmdynamicvis.registry import METRICS


@METRICS.register_module()
class SizedCocoMetric(CocoMetric):
    """AP at an IoU of 0.5 over all boxes (``AP50``) and over boxes of each size (``AP50_<size>``).

    For datasets for which COCO's size bounds (32 and 96 px) are unsuitable, such as LEVIR-Ship. The
    size of a box is the square root of width times height in pixels of the original image, for both
    annotations and detections. The ``area`` in annotation files is not used, because it may be that
    of a mask. As in COCO's evaluation:

    - Both bounds are inclusive: a box of exactly 32 x 32 px is both small and medium.
    - Annotations of other sizes and crowds are ignored: they count neither as missed nor, if
      detected, as false positives.
    - A detection that matches no annotation is a false positive for its own size and ignored for
      other sizes.
    - Precision is averaged over 101 recall levels and over the classes that have annotations.

    Papers on LEVIR-Ship use the bounds 32 and 64 px. They do not state whether these refer to the
    longer side or to the square root of the area, to which size a box on a bound belongs, or how
    the few larger ships are counted. Here larger ships count only in ``AP50``.

    Args:
        sizes: Name -> (smallest, largest) size in pixels; None means infinity.
        **kwargs: Arguments of mmdet's ``CocoMetric``, such as ``ann_file``.

    Raises:
        ValueError: Bounds are negative or not in ascending order.
    """

    def __init__(
        self,
        sizes: dict[str, tuple[float, float | None]] = dict(small=(0, 32), medium=(32, 64)),
        **kwargs: Any,
    ) -> None:
        super().__init__(metric='bbox', **kwargs)
        self.sizes = {'': (0.0, inf)}
        for name, (low, high) in sizes.items():
            high = inf if high is None else high
            if not 0 <= low < high:
                raise ValueError(
                    f'sizes[{name!r}] is {(low, high)}; give pixels, the smaller first'
                )
            self.sizes[f'_{name}'] = (low, high)

    def compute_metrics(self, results: Sequence[tuple[dict, dict]]) -> dict[str, float]:
        """Compute AP50 per size.

        Args:
            results: Ground truth and predictions of each image, as collected by ``process``.

        Returns:
            Name -> AP in [0, 1]; NaN if there are no annotations of the size.
        """
        ground_truth, predictions = zip(*results, strict=True)
        with TemporaryDirectory() as folder:
            prefix = str(Path(folder) / 'results')
            if self._coco_api is None:
                self._coco_api = COCO(self.gt_to_coco_json(ground_truth, prefix))
            self.cat_ids = self._coco_api.get_cat_ids(cat_names=self.dataset_meta['classes'])
            found = mmengine.load(self.results2json(predictions, prefix)['bbox'])
        annotations = self._coco_api.dataset.get('annotations', [])
        for number, annotation in enumerate(annotations, start=1):
            annotation['id'] = number  # pycocotools treats a match with id 0 as no match
            annotation['area'] = annotation['bbox'][2] * annotation['bbox'][3]
        self._coco_api.createIndex()
        return self._average_precisions(found)

    def _average_precisions(self, found: list[dict]) -> dict[str, float]:
        # pycocotools cannot read an empty list
        detections = self._coco_api.loadRes(found) if found else COCO()
        evaluation = COCOeval(self._coco_api, detections, 'bbox')
        evaluation.params.catIds = self.cat_ids
        evaluation.params.imgIds = self._coco_api.get_img_ids()
        evaluation.params.iouThrs = np.array([0.5])
        evaluation.params.maxDets = [max(self.proposal_nums)]
        evaluation.params.areaRng = [(low**2, high**2) for low, high in self.sizes.values()]
        evaluation.params.areaRngLbl = list(self.sizes)
        evaluation.evaluate()
        evaluation.accumulate()
        # (IoUs, recalls, classes, sizes, detections per image); -1 if there are no annotations
        precision_RCS = evaluation.eval['precision'][0, :, :, :, 0]
        averages = {}
        for i, size in enumerate(self.sizes):
            valid = precision_RCS[..., i][precision_RCS[..., i] > -1]
            averages[f'AP50{size}'] = float(valid.mean()) if valid.size else float('nan')
        return averages

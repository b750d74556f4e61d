"""AP50 by size of the boxes, with bounds of one's own."""

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
    """AP at an IoU of 0.5 over all boxes (``AP50``), and over those of each size (``AP50_<size>``).

    For datasets whose small objects are not COCO's (32 and 96 px), such as LEVIR-Ship. The size of
    a box is the square root of its width times its height, in pixels of the original image, for
    annotations and detections alike; the ``area`` of an annotation file is not looked at, as
    it may be that of a mask. As in COCO's evaluation:

    - Both bounds of a size belong to it: a box of exactly 32 x 32 px is small and medium.
    - Annotations of another size, and crowds, are ignored: neither missing nor a wrong hit.
    - A detection that hits no annotation is wrong where its own size belongs, ignored elsewhere.
    - Precision is the mean over 101 recalls, and over the classes that have annotations.

    Papers on LEVIR-Ship give the bounds of 32 and 64 px, but neither whether they are of the longer
    side or of the root of the area, nor to which size a box on the bound belongs; nor do they say
    what becomes of the few larger ships. Here those count in ``AP50`` alone.

    Args:
        sizes: Name -> smallest and largest size in pixels; infinity by None.
        **kwargs: The arguments of mmdet's ``CocoMetric``, as ``ann_file``.

    Raises:
        ValueError: Bounds are negative or not in order.
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
            results: Per image what ``process`` collected: ground truth and predictions.

        Returns:
            Name -> AP in [0, 1]; not a number where there are no annotations of the size.
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
            annotation['id'] = number  # pycocotools takes a hit of the id 0 for none
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
        # (IoUs, recalls, classes, sizes, detections per image), -1 where nothing is annotated
        precision_RCS = evaluation.eval['precision'][0, :, :, :, 0]
        averages = {}
        for i, size in enumerate(self.sizes):
            valid = precision_RCS[..., i][precision_RCS[..., i] > -1]
            averages[f'AP50{size}'] = float(valid.mean()) if valid.size else float('nan')
        return averages

"""Region annotations in COCO format for pretraining."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from mmdet.datasets import CocoDataset

from mmdynamicvis.data.coco import (
    annotation_problems,
    class_problems,
    incomplete_annotations,
    load_coco,
)
from mmdynamicvis.data.problems import raise_problems, require_boxes, require_images
from mmdynamicvis.engine import seed_sample
from mmdynamicvis.pretraining.held_out import held_out_labels
from mmdynamicvis.registry import DATASETS

REFUSED = (
    'no entry',
    'lacks a key',
    'no id',
    'id',
    'no image',
    'no category',
    'iscrowd',
    'box',
    'box from 0 to 1',
)
"""Reasons to refuse an annotation; boxes that are empty or outside their image are skipped."""


@DATASETS.register_module()
class CocoRegions(CocoDataset):
    """mmdet's ``CocoDataset`` with exact resumption and validation of annotations.

    Works for any dataset with boxes in COCO format: give ``ann_file``, ``data_prefix`` and
    ``metainfo=dict(classes=...)``. With ``mmdynamicvis.ResumableSampler``, the augmentation of a
    sample is seeded by ``seed``, the epoch and the index of the image. As in mmdet, boxes are
    clipped to the image, and boxes outside it, narrower than a pixel or with an area of zero are
    skipped. A missing ``area`` is computed from the box.

    Args:
        seed: Seed of the augmentations.
        held_out: Classes whose boxes are left out, for training without them; labels stay those of
            ``metainfo``. Images with no other boxes are left out.
        **kwargs: Arguments of mmdet's ``CocoDataset``.

    Raises:
        ValueError: The file is not in COCO format, has no boxes, or its classes differ from
            ``metainfo`` or are in another order; or an annotation has an unknown image or category,
            a repeated id, or a box that is not finite or in relative coordinates (0 to 1). The
            message names the file and the annotations. Also if ``held_out`` names a class that
            ``metainfo`` lacks.
    """

    METAINFO: dict = {}
    seeds_samples = True

    def __init__(
        self, *args: Any, seed: int = 0, held_out: Sequence[str] = (), **kwargs: Any
    ) -> None:
        self.seed = seed
        self.held_out = tuple(held_out)
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Validate and read the annotations."""
        content = load_coco(self.ann_file)
        classes = list(self.metainfo.get('classes', ()))
        fix = 'give metainfo.classes in the order of the categories'
        raise_problems(self.ann_file, class_problems(content, classes), fix)
        found = [*incomplete_annotations(content).values(), *annotation_problems(content).values()]
        refused = [problem.message for problem in found if problem.reason in REFUSED]
        fix = 'complete or leave these out with tools/prepare_data/clean_coco.py'
        raise_problems(self.ann_file, refused, fix)
        data_list = super().load_data_list()
        return _without(data_list, held_out_labels(classes, self.held_out))

    def filter_data(self) -> list[dict]:
        """Apply ``filter_cfg``, then require that images exist and that there are boxes."""
        data_list = super().filter_data()
        require_images(self.ann_file, data_list)
        require_boxes(self.ann_file, data_list, self.metainfo['classes'])
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Parse the annotations of one image."""
        for annotation in raw_data_info['raw_ann_info']:
            if annotation.get('area') is None:
                annotation['area'] = annotation['bbox'][2] * annotation['bbox'][3]
        return super().parse_data_info(raw_data_info)

    def prepare_data(self, idx: int) -> dict | None:
        """Load and augment one sample, with its own seed in training."""
        if not self.test_mode:
            seed_sample(self.seed, idx)
        return super().prepare_data(int(idx))


def _without(data_list: list[dict], labels: list[int]) -> list[dict]:
    """Return images without the boxes of some labels, and without images of no other boxes."""
    kept = []
    for data in data_list:
        others = [box for box in data['instances'] if box['bbox_label'] not in labels]
        if others or not data['instances']:
            kept.append(dict(data, instances=others))
    return kept

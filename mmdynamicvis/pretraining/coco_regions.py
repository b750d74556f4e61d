"""Region annotations in COCO's format, for the pretraining."""

from __future__ import annotations

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
"""Why an annotation is refused; one whose box is empty or outside its image is left out."""


@DATASETS.register_module()
class CocoRegions(CocoDataset):
    """mmdet's ``CocoDataset`` for training that resumes exactly, and that says what is wrong.

    Any dataset with boxes in COCO's format: give ``ann_file``, ``data_prefix`` and
    ``metainfo=dict(classes=...)``. Every sample is augmented with random numbers of its own, which
    follow from the seed, the epoch and the image where ``mmdynamicvis.ResumableSampler`` draws it.
    As in mmdet, boxes are clipped to the image; boxes outside it, narrower than a pixel or with an
    area of zero are left out. Where ``area`` is missing, it is that of the box.

    Args:
        seed: Of the augmentations.
        **kwargs: The arguments of mmdet's ``CocoDataset``.

    Raises:
        ValueError: The file is not COCO's, has no boxes, has other classes or has them in another
            order, or has an annotation of no image or no category, with the id of another, or with
            a box that is not finite or from 0 to 1; the message names it.
    """

    METAINFO: dict = {}
    seeds_samples = True

    def __init__(self, *args: Any, seed: int = 0, **kwargs: Any) -> None:
        self.seed = seed
        super().__init__(*args, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read the annotations."""
        content = load_coco(self.ann_file)
        classes = list(self.metainfo.get('classes', ()))
        fix = 'give metainfo.classes in the order of the categories'
        raise_problems(self.ann_file, class_problems(content, classes), fix)
        found = [*incomplete_annotations(content).values(), *annotation_problems(content).values()]
        refused = [problem.message for problem in found if problem.reason in REFUSED]
        fix = 'complete or leave these out with tools/prepare_data/clean_coco.py'
        raise_problems(self.ann_file, refused, fix)
        return super().load_data_list()

    def filter_data(self) -> list[dict]:
        """Leave out what ``filter_cfg`` says; images and boxes must be there."""
        data_list = super().filter_data()
        require_images(self.ann_file, data_list)
        require_boxes(self.ann_file, data_list, self.metainfo['classes'])
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Read one image's annotations."""
        for annotation in raw_data_info['raw_ann_info']:
            if annotation.get('area') is None:
                annotation['area'] = annotation['bbox'][2] * annotation['bbox'][3]
        return super().parse_data_info(raw_data_info)

    def prepare_data(self, idx: int) -> dict | None:
        """Load and augment one sample, with random numbers of its own."""
        if not self.test_mode:
            seed_sample(self.seed, idx)
        return super().prepare_data(int(idx))

"""Region annotations in COCO's format, for the pretraining."""

from __future__ import annotations

from typing import Any

import numpy as np
from mmdet.datasets import CocoDataset

from mmdynamicvis.data.coco import class_problems, load_coco
from mmdynamicvis.data.problems import raise_problems
from mmdynamicvis.engine import seed_sample
from mmdynamicvis.registry import DATASETS


@DATASETS.register_module()
class CocoRegions(CocoDataset):
    """mmdet's ``CocoDataset`` for training that resumes exactly, and that says what is wrong.

    Any dataset with boxes in COCO's format: give ``ann_file``, ``data_prefix`` and
    ``metainfo=dict(classes=...)``. Every sample is augmented with random numbers of its own, which
    follow from the seed, the epoch and the image where ``mmdynamicvis.ResumableSampler`` draws it.
    As in mmdet, boxes are clipped to the image; boxes outside it, narrower than a pixel or with an
    area of zero are left out.

    Args:
        seed: Of the augmentations.
        **kwargs: The arguments of mmdet's ``CocoDataset``.

    Raises:
        ValueError: The file is not COCO's, has no boxes, has other classes or has them in another
            order, or has a box that is not finite; the message names it.
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
        data_list = super().load_data_list()
        if not any(data['instances'] for data in data_list):
            raise ValueError(f'{self.ann_file} has no valid box of the classes {classes}')
        return data_list

    def parse_data_info(self, raw_data_info: dict) -> dict:
        """Read one image's annotations."""
        for annotation in raw_data_info['raw_ann_info']:
            if not np.isfinite(annotation['bbox']).all():
                name = raw_data_info['raw_img_info']['file_name']
                raise ValueError(
                    f'{self.ann_file}: annotation {annotation["id"]} of {name} has the box '
                    f'{annotation["bbox"]}'
                )
        return super().parse_data_info(raw_data_info)

    def prepare_data(self, idx: int) -> dict | None:
        """Load and augment one sample, with random numbers of its own."""
        if not self.test_mode:
            seed_sample(self.seed, idx)
        return super().prepare_data(int(idx))

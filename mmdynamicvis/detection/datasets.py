"""Datasets in COCO format: names, classes and palettes."""

from __future__ import annotations

from mmdet.datasets import CocoDataset

from mmdynamicvis.data.coco import check_coco
from mmdynamicvis.data.problems import require_boxes, require_images
from mmdynamicvis.registry import DATASETS


class CheckedCocoDataset(CocoDataset):
    """mmdet's ``CocoDataset`` with validation of the annotation file before mmdet reads it.

    Raises:
        ValueError: See :func:`mmdynamicvis.data.coco.check_coco`; the message names the file,
            the annotations and their images. Also if images do not exist, or there is no box to
            train on.
    """

    MASKS = False
    """Whether every annotation needs a mask."""

    def load_data_list(self) -> list[dict]:
        """Check and read the annotations."""
        check_coco(self.ann_file, self.metainfo['classes'], self.MASKS)
        return super().load_data_list()

    def filter_data(self) -> list[dict]:
        """Apply ``filter_cfg``, then require that images exist and, in training, boxes."""
        data_list = super().filter_data()
        require_images(self.ann_file, data_list)
        if not self.test_mode:
            require_boxes(self.ann_file, data_list, self.metainfo['classes'])
        return data_list


@DATASETS.register_module()
class LevirShipDetDataset(CheckedCocoDataset):
    """LEVIR-Ship: boxes of tiny ships in 3896 tiles of 512 x 512 px at 16 m/px."""

    METAINFO = {'classes': ('ship',), 'palette': [(255, 96, 55)]}


@DATASETS.register_module()
class NWPUInsSegDataset(CheckedCocoDataset):
    """NWPU VHR-10 with instance masks: 10 classes in 650 images of about 1000 px."""

    MASKS = True
    METAINFO = {
        'classes': (
            'airplane',
            'ship',
            'storage_tank',
            'baseball_diamond',
            'tennis_court',
            'basketball_court',
            'ground_track_field',
            'harbor',
            'bridge',
            'vehicle',
        ),
        'palette': [
            (240, 60, 50),
            (255, 160, 0),
            (250, 230, 60),
            (150, 220, 40),
            (20, 160, 80),
            (40, 220, 210),
            (30, 120, 240),
            (110, 80, 220),
            (220, 70, 220),
            (255, 140, 170),
        ],
    }


@DATASETS.register_module()
class SSDDInsSegDataset(CheckedCocoDataset):
    """SSDD with instance masks: ships in 1160 SAR images of about 500 px."""

    MASKS = True
    METAINFO = {'classes': ('ship',), 'palette': [(255, 96, 55)]}

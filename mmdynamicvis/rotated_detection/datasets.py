"""Datasets of rotated boxes: DOTA's text format and HRSC2016."""

from __future__ import annotations

import logging
import math
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmengine.fileio import get
from mmengine.logging import print_log
from mmrotate.datasets import DOTADataset, HRSCDataset

from mmdynamicvis.data.dota import check_dota
from mmdynamicvis.data.problems import require_boxes, require_images, warn_of_other_case
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import DATASETS

BOX = ('cx', 'cy', 'w', 'h', 'ang')
"""What HRSC2016 says of a box."""


@DATASETS.register_module()
class DOTATextDataset(DOTADataset):
    """mmrotate's ``DOTADataset`` with validation of annotations, sorted by file name.

    All lines are checked before training. Arguments are those of mmrotate's class.

    Raises:
        ValueError: A line is invalid, see :func:`mmdynamicvis.data.dota.check_dota`; the message
            names file and line. Also if images do not exist, or there is no box to train on.
    """

    METAINFO = DOTADataset.METAINFO

    def load_data_list(self) -> list[dict]:
        """Read the annotations, or, without ``ann_file`` (a test set), only list the images."""
        if self.ann_file:
            check_dota(self.ann_file, self.metainfo['classes'])
            warn_of_other_case(self.ann_file, '.txt')
        data_list = sorted(super().load_data_list(), key=lambda data: data['img_id'])
        if self.ann_file:
            self._warn_of_unlabeled()
        else:
            for data in data_list:
                # mmrotate adds a box without corners, which transforms cannot read
                data['instances'] = []
        return data_list

    def _warn_of_unlabeled(self) -> None:
        """Warn of images without a text file, which mmrotate passes over, in validation too.

        Folders beside ``ann_file`` count, for they may hold another split of the same images.
        """
        folder, labels = Path(self.data_prefix['img_path']), Path(self.ann_file)
        labeled = {path.stem for path in labels.parent.glob('*/*.txt')}
        images = folder.glob(f'[!.]*.{self.img_suffix}')
        unlabeled = sorted(image.name for image in images if image.stem not in labeled)
        if unlabeled:
            message = (
                f'{folder}: left out, as {labels} has no text file of them (an empty one means '
                f'that there is no object): {shorten(unlabeled)}'
            )
            print_log(message, logger='current', level=logging.WARNING)

    def filter_data(self) -> list[dict]:
        """Apply ``filter_cfg``, then require that images exist and, in training, boxes."""
        data_list = super().filter_data()
        source = self.ann_file or self.data_prefix['img_path']
        require_images(source, data_list)
        if not self.test_mode:
            require_boxes(source, data_list, self.metainfo['classes'])
        return data_list


@DATASETS.register_module()
class HRSC2016Dataset(HRSCDataset):
    """mmrotate's ``HRSCDataset`` with the true height of images; mmrotate's uses the width.

    Raises:
        ValueError: A label file is not XML, lacks a number, or has a box that is not finite or has
            no area; the message names it.
    """

    METAINFO = HRSCDataset.METAINFO

    def parse_data_info(self, img_info: dict) -> dict:
        """Parse the annotations of one image."""
        path = img_info['xml_path']
        try:
            data_info = super().parse_data_info(img_info)
            root = ElementTree.fromstring(get(path, backend_args=self.backend_args))
            data_info['height'] = int(root.findtext('Img_SizeHeight'))
        # missing elements are None
        except (ElementTree.ParseError, AttributeError, TypeError, ValueError) as error:
            raise ValueError(f'{path} is no label file of HRSC2016: {error}') from error
        for number, element in enumerate(root.iterfind('HRSC_Objects/HRSC_Object'), start=1):
            numbers = [float(element.findtext(f'mbox_{key}')) for key in BOX]
            if not math.isfinite(sum(numbers)) or min(numbers[2:4]) <= 0:
                box = ', '.join(f'{key} {value}' for key, value in zip(BOX, numbers, strict=True))
                raise ValueError(f'{path}, object {number}: its box is {box}')
        return data_info


@DATASETS.register_module()
class NWPURotatedDataset(DOTATextDataset):
    """NWPU VHR-10 with rotated boxes derived from masks: 10 classes, 650 images, 0.08 to 2 m/px."""

    METAINFO = {
        'classes': (
            'airplane',
            'ship',
            'storage-tank',
            'baseball-diamond',
            'tennis-court',
            'basketball-court',
            'ground-track-field',
            'harbor',
            'bridge',
            'vehicle',
        ),
        'palette': [
            (165, 42, 42),
            (255, 0, 255),
            (0, 51, 153),
            (189, 183, 107),
            (0, 255, 255),
            (255, 193, 193),
            (255, 0, 0),
            (255, 255, 0),
            (0, 255, 0),
            (138, 43, 226),
        ],
    }

    def __init__(self, img_suffix: str = 'jpg', **kwargs: Any) -> None:
        super().__init__(img_suffix=img_suffix, **kwargs)

"""Datasets of rotated boxes: DOTA's text format, DIOR-R and HRSC2016."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from mmengine.fileio import get
from mmengine.logging import print_log
from mmrotate.datasets import DIORDataset, DOTADataset, HRSCDataset

from mmdynamicvis.data.dota import check_dota
from mmdynamicvis.data.problems import (
    raise_problems,
    require_boxes,
    require_images,
    warn_of_other_case,
)
from mmdynamicvis.data.xml_objects import HRSC_OBJECTS, dior_problem, hrsc_problem
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import DATASETS


class _WithImagesAndBoxes:
    """Requires that images exist and, in training, boxes, of datasets of mmrotate."""

    def filter_data(self) -> list[dict]:
        """Apply ``filter_cfg``, then require that images exist and, in training, boxes."""
        data_list = super().filter_data()
        source = self.ann_file or self.data_prefix['img_path']
        require_images(source, data_list)
        if not self.test_mode:
            require_boxes(source, data_list, self.metainfo['classes'])
        return data_list


class _WithXMLLabels(_WithImagesAndBoxes):
    """Checks all objects in the XML label file of an image before mmrotate reads them."""

    OBJECTS = 'object'
    """XPath of the objects in a label file."""

    def _problem(self, element: ElementTree.Element) -> str:
        """Return the problem of an object, or an empty string."""
        raise NotImplementedError

    def parse_data_info(self, img_info: dict) -> dict:
        """Parse the annotations of one image."""
        path = img_info['xml_path']
        try:
            root = ElementTree.fromstring(get(path, backend_args=self.backend_args))
            objects = enumerate(root.iterfind(self.OBJECTS), start=1)
            found = [(number, self._problem(element)) for number, element in objects]
            problems = [f'object {number}: {problem}' for number, problem in found if problem]
            data_info = {} if problems else super().parse_data_info(img_info) | self._size(root)
        # missing elements are None
        except (ElementTree.ParseError, AttributeError, KeyError, TypeError, ValueError) as error:
            raise ValueError(f'{path} is no label file of this dataset: {error}') from error
        fix = 'unpack the labels again, or take this image out of the lists'
        raise_problems(path, problems, fix)
        return data_info

    def _size(self, root: ElementTree.Element) -> dict[str, int]:
        """Return what corrects the size of the image that mmrotate reads."""
        return {}


@DATASETS.register_module()
class DOTATextDataset(_WithImagesAndBoxes, DOTADataset):
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


@DATASETS.register_module()
class DIORRotatedDataset(_WithXMLLabels, DIORDataset):
    """mmrotate's ``DIORDataset``, for DIOR-R, with validation of annotations.

    Raises:
        ValueError: A label file is not XML or has an object of an unknown category or without a
            valid box, see :func:`mmdynamicvis.data.xml_objects.dior_problem`; the message names
            it. Also if images do not exist, or there is no box to train on.
    """

    METAINFO = DIORDataset.METAINFO

    def _problem(self, element: ElementTree.Element) -> str:
        return dior_problem(element, self.cat2label.keys())


@DATASETS.register_module()
class HRSC2016Dataset(_WithXMLLabels, HRSCDataset):
    """mmrotate's ``HRSCDataset`` with the true height of images; mmrotate's uses the width.

    Raises:
        ValueError: A label file is not XML, lacks a number, or has a box that is not finite, has no
            area or is in relative coordinates (0 to 1); the message names it. Also if images do not
            exist, or there is no box to train on.
    """

    METAINFO = HRSCDataset.METAINFO
    OBJECTS = HRSC_OBJECTS

    def _problem(self, element: ElementTree.Element) -> str:
        return hrsc_problem(element)

    def _size(self, root: ElementTree.Element) -> dict[str, int]:
        return dict(height=int(root.findtext('Img_SizeHeight')))


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

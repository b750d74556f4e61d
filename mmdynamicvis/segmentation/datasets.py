"""Datasets with one target class: names, classes, palettes and file suffixes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset

from mmdynamicvis.data.image_files import find_names, paths_of
from mmdynamicvis.data.problems import raise_problems, warn_of_other_case
from mmdynamicvis.registry import DATASETS


class BinarySegDataset(BaseSegDataset):
    """mmseg's ``BaseSegDataset`` with a check that all files exist before training.

    Without ``ann_file``, images are those that :func:`mmdynamicvis.data.image_files.find_files`
    finds.

    Raises:
        ValueError: There are no images, or images or masks are missing; the message names them.
    """

    def load_data_list(self) -> list[dict]:
        """List the images, and their masks if ``data_prefix`` has ``seg_map_path``."""
        folder = self.data_prefix['img_path']
        data_list = super().load_data_list() if self.ann_file else self._files_of(folder)
        if not data_list:
            raise ValueError(
                f'{folder} has no images *{self.img_suffix}. Check data_root, data_prefix and '
                'img_suffix'
            )
        if not self.ann_file:
            warn_of_other_case(folder, self.img_suffix)
        paths = [
            data[key] for data in data_list for key in ('img_path', 'seg_map_path') if key in data
        ]
        missing = [f'{path} does not exist' for path in paths if not Path(path).is_file()]
        raise_problems(folder, missing, 'Check data_prefix, img_suffix and seg_map_suffix')
        return data_list

    def _files_of(self, folder: str) -> list[dict]:
        names = [n.removesuffix(self.img_suffix) for n in find_names(folder, self.img_suffix)]
        suffixes = dict(img_path=self.img_suffix, seg_map_path=self.seg_map_suffix)
        common = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)
        paths = paths_of(names, self.data_prefix, suffixes)
        return [dict(files, **common, seg_fields=[]) for files in paths]


@DATASETS.register_module()
class MassachusettsRoadsSegDataset(BinarySegDataset):
    """Massachusetts Roads: 1171 images of 1500 x 1500 px at 1 m/px, masks of 0 and 255."""

    METAINFO = {'classes': ('background', 'road'), 'palette': [(0, 0, 0), (255, 255, 255)]}

    def __init__(
        self, img_suffix: str = '.tiff', seg_map_suffix: str = '.tif', **kwargs: Any
    ) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)


@DATASETS.register_module()
class WHUSegDataset(BinarySegDataset):
    """WHU aerial buildings: 8188 tiles of 512 x 512 px at 0.3 m/px, 1-bit masks."""

    METAINFO = {'classes': ('background', 'building'), 'palette': [(0, 0, 0), (255, 255, 255)]}

    def __init__(
        self, img_suffix: str = '.tif', seg_map_suffix: str = '.tif', **kwargs: Any
    ) -> None:
        super().__init__(img_suffix=img_suffix, seg_map_suffix=seg_map_suffix, **kwargs)

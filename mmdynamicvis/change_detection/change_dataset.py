"""A dataset of image pairs with masks of the changes between them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.fileio import list_from_file
from mmseg.datasets import BaseCDDataset

from mmdynamicvis.data.image_files import find_names, paths_of
from mmdynamicvis.data.problems import raise_problems, warn_of_other_case
from mmdynamicvis.registry import DATASETS


@DATASETS.register_module()
class ChangeDataset(BaseCDDataset):
    """mmseg's ``BaseCDDataset`` with a check that all files exist before training.

    The two images and the mask share a name, which is combined with the folder and the suffix of
    each. Both ``A/x.png``, ``B/x.png``, ``label/x.png`` and ``x/im1.png``, ``x/im2.png``,
    ``x/gt.png`` (with the suffixes '/im1.png' etc.) can be read. ``ann_file`` lists the names, one
    per line, with or without ``img_suffix``; by default all files of the first folder are used.

    Args:
        img_suffix: Suffix of the first image.
        img_suffix2: Suffix of the second image; by default that of the first.
        seg_map_suffix: Suffix of the mask.
        **kwargs: Further arguments of mmseg's class. Without ``seg_map_path`` in ``data_prefix``
            there are no masks.

    Raises:
        FileNotFoundError: The list or a folder does not exist.
        ValueError: There are no pairs, or some lack an image or the mask; the message names them.
    """

    METAINFO = {'classes': ('unchanged', 'changed'), 'palette': [(0, 0, 0), (255, 255, 255)]}

    def __init__(
        self,
        img_suffix: str = '.png',
        img_suffix2: str | None = None,
        seg_map_suffix: str = '.png',
        **kwargs: Any,
    ) -> None:
        super().__init__(
            img_suffix=img_suffix,
            img_suffix2=img_suffix if img_suffix2 is None else img_suffix2,
            seg_map_suffix=seg_map_suffix,
            **kwargs,
        )

    def load_data_list(self) -> list[dict]:
        """List the pairs: ``img_path``, ``img_path2`` and ``seg_map_path``."""
        names = self._names()
        source = self.ann_file or self.data_prefix['img_path']
        if not names:
            raise ValueError(
                f'{source} has no pairs *{self.img_suffix}. Check data_root, data_prefix and '
                'img_suffix'
            )
        paths = paths_of(names, self.data_prefix, self._suffixes())
        missing = [
            f'{path} does not exist'
            for pair in paths
            for path in pair.values()
            if not Path(path).is_file()
        ]
        raise_problems(source, missing, 'Check data_prefix and the suffixes, or correct the list')
        common = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)
        return [dict(pair, **common, seg_fields=[]) for pair in paths]

    def _suffixes(self) -> dict[str, str]:
        """Return the suffix of each file of a pair."""
        return {
            'img_path': self.img_suffix,
            'img_path2': self.img_suffix2,
            'seg_map_path': self.seg_map_suffix,
        }

    def _names(self) -> list[str]:
        if self.ann_file:
            if not Path(self.ann_file).is_file():
                raise FileNotFoundError(
                    f'list {self.ann_file} does not exist. Check data_root and ann_file'
                )
            lines = map(str.strip, list_from_file(self.ann_file, encoding='utf-8-sig'))
            return [line.removesuffix(self.img_suffix) for line in lines if line]
        first = _list(self.data_prefix['img_path'], self.img_suffix)
        second = _list(self.data_prefix['img_path2'], self.img_suffix2)
        alone = [
            f'{name}: only the {"first" if name in first else "second"} image exists'
            for name in sorted(first ^ second)
        ]
        raise_problems(self.data_prefix['img_path'], alone, 'Add or remove these images')
        warn_of_other_case(self.data_prefix['img_path'], self.img_suffix)
        return sorted(first)


def _list(folder: str, suffix: str) -> set[str]:
    """Return the relative paths of files with a suffix below a folder, without the suffix."""
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'folder {folder} does not exist. Check data_root and data_prefix')
    return {name.removesuffix(suffix) for name in find_names(folder, suffix)}

"""Datasets of image pairs with several label maps: land cover of both dates, and change."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any, ClassVar

from mmengine.logging import print_log

from mmdynamicvis.change_detection.change_dataset import ChangeDataset
from mmdynamicvis.registry import DATASETS

CHANGE = dict(classes=('unchanged', 'changed'), palette=[(0, 0, 0), (255, 255, 255)])
BUILDINGS = dict(classes=('background', 'building'), palette=[(0, 0, 0), (255, 255, 255)])
AUGMENTED = ('rotate', 'crop', 'zhedang')
"""Parts of the names of Landsat-SCD's augmented copies, in lower case."""


class LabeledPairs(ChangeDataset):
    """Pairs of images with a label map per name, for ``MultiTaskSiamese``.

    The ``METAINFO`` of a class has ``maps``: name -> ``classes`` and ``palette`` of a map, by which
    labels, metrics and scenes know it. Load labels by ``LoadPairLabels``.

    Args:
        data_prefix: Folders ``img_path`` and ``img_path2`` of the images, and of each map that has
            files of its own, under its name. Without any map there are no labels.
        **kwargs: Further arguments of ``ChangeDataset``; ``seg_map_suffix`` is that of all labels.

    Raises:
        FileNotFoundError: The list or a folder does not exist.
        ValueError: There are no pairs; some lack an image or a label; or ``data_prefix`` has a key
            that is no map, or lacks a map. The message names what is wrong.
    """

    DERIVED: ClassVar[dict[str, tuple[str, ...]]] = {}
    """Map without files -> those that it is made of: 1 where all are not 0, 0 where all are."""

    def __init__(self, data_prefix: dict[str, str], **kwargs: Any) -> None:
        known = {'img_path', 'img_path2', *self._label_keys()}
        if unknown := sorted(set(data_prefix) - known):
            raise ValueError(f'data_prefix has {unknown}; it may have {sorted(known)}')
        super().__init__(data_prefix=dict(data_prefix), **kwargs)

    def load_data_list(self) -> list[dict]:
        """List the pairs: ``img_path``, ``img_path2`` and ``labels``, see ``LoadPairLabels``."""
        infos = super().load_data_list()
        for info in infos:
            files = {name: info.pop(name) for name in self._label_keys() if name in info}
            if files:
                info['labels'] = self._labels(files)
        return infos

    def _labels(self, files: dict[str, str]) -> dict[str, dict]:
        """Return how each map of a pair is read."""
        absent = [name for name in self._with_files() if name not in files]
        if absent:
            raise ValueError(
                f'data_prefix has a folder of {sorted(files)} and none of {absent}: give both, or '
                'no folder of labels for images without any'
            )
        read = {
            name: dict(path=path, palette=self._metainfo['maps'][name]['palette'])
            for name, path in files.items()
        }
        return read | self._derived()

    def _derived(self) -> dict[str, dict]:
        return {name: dict(of=bases) for name, bases in self.DERIVED.items()}

    def _with_files(self) -> list[str]:
        return [name for name in self.METAINFO['maps'] if name not in self.DERIVED]

    def _label_keys(self) -> list[str]:
        """Return the keys of ``data_prefix`` that are folders of labels."""
        return self._with_files()

    def _suffixes(self) -> dict[str, str]:
        images = {key: suffix for key, suffix in super()._suffixes().items() if 'img' in key}
        return images | dict.fromkeys(self._label_keys(), self.seg_map_suffix)


def _land_cover(classes: Sequence[str], palette: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return the metainfo of a dataset of semantic change."""
    cover = dict(classes=tuple(classes), palette=[tuple(color) for color in palette])
    return dict(CHANGE, maps=dict(change=CHANGE, semantic_from=cover, semantic_to=cover))


@DATASETS.register_module()
class SECOND(LabeledPairs):
    """SECOND: pairs of 512 x 512 px of Chinese cities, land cover of both dates where it changed.

    Published layout (https://captain-whu.github.io/SCD/): ``train/{im1,im2,label1,label2}`` with
    2968 pairs and ``test/...`` with 1694, .png of the same name. Labels are colors, or class
    indices in the order of Bi-SRNet and open-cd, that of ``METAINFO``. Unchanged pixels, white or
    0, have no land cover; a pixel has one at both dates or at none, and ``change`` is where it has
    one. The indices of files that ChangeMamba prepares have another order, which nothing in them
    tells: give the published colors, or ``metainfo`` with ``maps`` in that order.
    """

    METAINFO: ClassVar[dict] = _land_cover(
        ['unchanged', 'water', 'ground', 'low vegetation', 'tree', 'building', 'sports field'],
        [
            (255, 255, 255),
            (0, 0, 255),
            (128, 128, 128),
            (0, 128, 0),
            (0, 255, 0),
            (128, 0, 0),
            (255, 0, 0),
        ],
    )
    DERIVED: ClassVar[dict[str, tuple[str, ...]]] = {'change': ('semantic_from', 'semantic_to')}

    def __init__(
        self,
        data_prefix: dict[str, str] = dict(
            img_path='train/im1',
            img_path2='train/im2',
            semantic_from='train/label1',
            semantic_to='train/label2',
        ),
        **kwargs: Any,
    ) -> None:
        super().__init__(data_prefix=data_prefix, **kwargs)


@DATASETS.register_module()
class LandsatSCD(LabeledPairs):
    """Landsat-SCD: pairs of 416 x 416 px at 30 m at the edge of a desert, 1990 to 2020.

    Published layout (https://doi.org/10.6084/m9.figshare.19946135): ``A``, ``B`` and ``label``,
    .png of the same name, whose values 0 to 9, or their colors, are no change and nine transitions.
    As SCanNet prepares it (https://github.com/ggsDing/SCanNet), it has one label map per date
    instead: give ``data_prefix=dict(img_path='A', img_path2='B', semantic_from='labelA',
    semantic_to='labelB')``. Black in its colored labels, where both images are white, is ignored.

    Args:
        data_prefix: Folders; ``transitions`` is that of the published labels.
        augmented: Use the augmented copies among the 8468 pairs, whose names have 'rotate', 'Crop'
            or 'ZheDang' in them. A random split puts copies of training pairs into the test.
        **kwargs: Further arguments of ``LabeledPairs``.
    """

    METAINFO: ClassVar[dict] = _land_cover(
        ['unchanged', 'farmland', 'desert', 'building', 'water'],
        [(255, 255, 255), (0, 155, 0), (255, 165, 0), (230, 30, 100), (0, 170, 240)],
    )
    DERIVED: ClassVar[dict[str, tuple[str, ...]]] = {'change': ('semantic_from', 'semantic_to')}
    TRANSITIONS: ClassVar[dict[str, list[int]]] = {
        'semantic_from': [0, 1, 1, 2, 2, 2, 3, 3, 4, 4],
        'semantic_to': [0, 2, 3, 1, 3, 4, 1, 2, 1, 2],
    }
    """Class at each date of the values in ``label``."""
    TRANSITION_PALETTE: ClassVar[list[tuple[int, int, int]]] = [
        (255, 255, 255),
        (255, 165, 0),
        (230, 30, 100),
        (70, 140, 0),
        (218, 112, 214),
        (0, 170, 240),
        (127, 235, 170),
        (230, 80, 0),
        (205, 220, 57),
        (218, 165, 32),
    ]
    IGNORED_COLOR: ClassVar[tuple[int, int, int]] = (0, 0, 0)

    def __init__(
        self,
        data_prefix: dict[str, str] = dict(img_path='A', img_path2='B', transitions='label'),
        augmented: bool = False,
        **kwargs: Any,
    ) -> None:
        self.augmented = augmented
        super().__init__(data_prefix=data_prefix, **kwargs)

    def _names(self) -> list[str]:
        names = super()._names()
        if self.augmented:
            return names
        kept = [name for name in names if not any(part in name.lower() for part in AUGMENTED)]
        if len(kept) < len(names):
            print_log(
                f'{self.ann_file or self.data_prefix["img_path"]}: left out the '
                f'{len(names) - len(kept)} augmented copies of {len(names)} pairs',
                logger='current',
                level=logging.WARNING,
            )
        return kept

    def _labels(self, files: dict[str, str]) -> dict[str, dict]:
        if 'transitions' not in files:
            read = super()._labels(files)
        elif len(files) > 1:
            raise ValueError(
                f'data_prefix has folders of {sorted(files)}: give transitions, or the maps of '
                'both dates'
            )
        else:
            common = dict(path=files['transitions'], palette=self.TRANSITION_PALETTE)
            read = {name: dict(common, table=table) for name, table in self.TRANSITIONS.items()}
            read |= self._derived()
        for label in read.values():
            if 'palette' in label:
                label['ignored_color'] = self.IGNORED_COLOR
        return read

    def _label_keys(self) -> list[str]:
        return [*super()._label_keys(), 'transitions']

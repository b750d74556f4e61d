"""Datasets of image pairs with several label maps: land cover, change, buildings, damage."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from mmdynamicvis.change_detection.change_dataset import ChangeDataset
from mmdynamicvis.registry import DATASETS

CHANGE = dict(classes=('unchanged', 'changed'), palette=[(0, 0, 0), (255, 255, 255)])
BUILDINGS = dict(classes=('background', 'building'), palette=[(0, 0, 0), (255, 255, 255)])
AUGMENTED = ('rotate', 'crop', 'zhedang')
"""Parts of the names of Landsat-SCD's augmented copies, in lower case."""


class LabeledPairs(ChangeDataset):
    """Pairs of images with a label map per name, for ``MultiTaskSiamese``.

    The ``METAINFO`` of a class has ``maps``: name -> ``classes`` and ``palette`` of a map, by which
    metrics, scenes and pictures know it. Load labels by ``LoadPairLabels``.

    Args:
        data_prefix: Folders ``img_path`` and ``img_path2`` of the images, and of each map that has
            files of its own, under its name. Without any map there are no labels.
        map_suffixes: Name of a map -> suffix of its files; by default ``seg_map_suffix``.
        **kwargs: Further arguments of ``ChangeDataset``.

    Raises:
        FileNotFoundError: The list or a folder does not exist.
        ValueError: There are no pairs, some lack an image or a map, or ``data_prefix`` has a key
            that is no map; the message names what is wrong.
    """

    DERIVED: ClassVar[dict[str, str]] = {}
    """Map that is true where another, a map with files, is not 0."""
    OPTIONAL: ClassVar[tuple[str, ...]] = ()
    """Maps that a dataset may lack: all their pixels are ignored."""
    BINARY: ClassVar[tuple[str, ...]] = ()
    """Maps stored as masks of 0 and 1, 0 and 255, or one bit."""

    def __init__(
        self,
        data_prefix: dict[str, str],
        map_suffixes: dict[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        maps = self.METAINFO['maps']
        self.map_suffixes = dict(map_suffixes or {})
        with_files = [name for name in maps if name not in self.DERIVED]
        for argument, given in (('data_prefix', data_prefix), ('map_suffixes', self.map_suffixes)):
            unknown = set(given) - {*with_files, *self._other_keys()}
            if unknown:
                raise ValueError(
                    f'{argument} has {sorted(unknown)}, which are none of {with_files}'
                )
        self._with_files = with_files
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
        absent = [name for name in self._with_files if name not in files]
        if required := [name for name in absent if name not in self.OPTIONAL]:
            raise ValueError(f'data_prefix has no folder of {required}; all pairs need these maps')
        labels: dict[str, dict] = {name: dict(path=files.get(name)) for name in self._with_files}
        for name in self._with_files:
            if name in self.BINARY:
                labels[name]['binary'] = True
            else:
                labels[name]['palette'] = self._metainfo['maps'][name]['palette']
        return labels | {name: dict(of=base) for name, base in self.DERIVED.items()}

    def _label_keys(self) -> list[str]:
        """Return the keys of ``data_prefix`` that are folders of labels."""
        return self._with_files

    def _other_keys(self) -> tuple[str, ...]:
        """Return the keys that ``data_prefix`` may have besides maps."""
        return ('img_path', 'img_path2')

    def _suffixes(self) -> dict[str, str]:
        images = {key: suffix for key, suffix in super()._suffixes().items() if 'img' in key}
        labels = {
            name: self.map_suffixes.get(name, self.seg_map_suffix) for name in self._label_keys()
        }
        return images | labels


def _land_cover(classes: Sequence[str], palette: Sequence[Sequence[int]]) -> dict[str, Any]:
    """Return the metainfo of a dataset of semantic change."""
    cover = dict(classes=tuple(classes), palette=[tuple(color) for color in palette])
    return dict(CHANGE, maps=dict(change=CHANGE, semantic_from=cover, semantic_to=cover))


@DATASETS.register_module()
class SECOND(LabeledPairs):
    """SECOND: pairs of 512 x 512 px of Chinese cities, land cover of both dates where it changed.

    Published layout (https://captain-whu.github.io/SCD/): 2968 pairs ``train/{im1,im2,label1,
    label2}`` and 1694 ``test/...``, all .png of the same name. Labels are colors or class indices;
    unchanged pixels, white or 0, have no land cover. The order of the classes is that of Bi-SRNet
    and open-cd. Indices that ChangeMamba reads have another order: give colors, or ``metainfo``
    with ``maps`` in that order. ``change`` is where ``semantic_from`` is not 0, as in their code.
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
    DERIVED: ClassVar[dict[str, str]] = {'change': 'semantic_from'}

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
    .png of the same name, whose values 0 to 9 are no change and nine transitions. As SCanNet
    prepares it (https://github.com/ggsDing/SCanNet), it has one label map per date instead: give
    ``data_prefix=dict(img_path='A', img_path2='B', semantic_from='labelA', semantic_to='labelB')``.
    Some of the 8468 pairs are augmented copies of others.

    Args:
        data_prefix: Folders, ``transitions`` for that of the published labels.
        augmented: Use augmented copies, whose names have 'rotate', 'Crop' or 'ZheDang' in them. A
            random split puts copies of training pairs into the test.
        **kwargs: Further arguments of ``LabeledPairs``.
    """

    METAINFO: ClassVar[dict] = _land_cover(
        ['unchanged', 'farmland', 'desert', 'building', 'water'],
        [(255, 255, 255), (0, 155, 0), (255, 165, 0), (230, 30, 100), (0, 170, 240)],
    )
    DERIVED: ClassVar[dict[str, str]] = {'change': 'semantic_from'}
    TRANSITIONS: ClassVar[dict[str, list[int]]] = {
        'semantic_from': [0, 1, 1, 2, 2, 2, 3, 3, 4, 4],
        'semantic_to': [0, 2, 3, 1, 3, 4, 1, 2, 1, 2],
    }
    """Class at each date of the values in ``label``."""

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
        return [name for name in names if not any(part in name.lower() for part in AUGMENTED)]

    def _labels(self, files: dict[str, str]) -> dict[str, dict]:
        if 'transitions' not in files:
            return super()._labels(files)
        path = files['transitions']
        labels = {name: dict(path=path, table=table) for name, table in self.TRANSITIONS.items()}
        return labels | {name: dict(of=base) for name, base in self.DERIVED.items()}

    def _label_keys(self) -> list[str]:
        return [*super()._label_keys(), 'transitions']

    def _other_keys(self) -> tuple[str, ...]:
        return (*super()._other_keys(), 'transitions')

"""Scene classification datasets: one folder per class, one split file per subset."""

from __future__ import annotations

from collections import Counter
from pathlib import PurePosixPath
from typing import Any

from mmengine.fileio import get_file_backend, list_from_file
from mmpretrain.datasets import BaseDataset

from mmdynamicvis.registry import DATASETS


@DATASETS.register_module()
class SceneDataset(BaseDataset):
    """Images in class folders, selected by a split file.

    A split file has one image per line, as a path below the image folder whose last folder is the
    class, optionally followed by the class index::

        Airport/airport_12.jpg
        Beach/beach_7.jpg 3

    Blank lines are skipped. All lines are checked when the file is read, so that mistakes are
    reported before training. For datasets without split files, or with labels that are not folder
    names, use mmpretrain's ``CustomDataset``.

    Args:
        ann_file: Split file, relative to ``data_root``.
        data_root: Folder of the dataset.
        data_prefix: Folder of the class folders, relative to ``data_root``.
        classes: Class names in the order of their indices, or a file with one name per line; by
            default those of the dataset class.
        **kwargs: Further arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The split file or an image that it names does not exist.
        ValueError: A line names an unknown class or an index that contradicts its folder, there
            are no class names or one is repeated, or the split file is empty.
    """

    def __init__(
        self, ann_file: str, data_root: str = '', data_prefix: str | dict = '', **kwargs: Any
    ) -> None:
        super().__init__(ann_file=ann_file, data_root=data_root, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Read and check the split file.

        Returns:
            One dict per image: ``img_path`` and ``gt_label`` (class index).
        """
        if not self.CLASSES:
            raise ValueError(
                f'{type(self).__name__} has no class names: give classes=(...) or a file of names'
            )
        twice = [name for name, count in Counter(self.CLASSES).items() if count > 1]
        if twice:
            raise ValueError(f'{type(self).__name__} has {", ".join(twice)} twice in its classes')
        files = get_file_backend(self.ann_file, enable_singleton=True)
        if not files.isfile(self.ann_file):
            raise FileNotFoundError(
                f'split file {self.ann_file} does not exist. Check data_root, or make the split '
                'with tools/prepare_data/split_classification.py'
            )
        lines = enumerate(list_from_file(self.ann_file, encoding='utf-8-sig'), start=1)
        data_list = [self._parse_line(line, number) for number, line in lines if line.strip()]
        if not data_list:
            raise ValueError(f'split file {self.ann_file} names no image: the dataset is empty')
        return data_list

    def _parse_line(self, line: str, number: int) -> dict:
        where = f'{self.ann_file}, line {number}'
        name, index = line.strip(), None
        head, _, tail = name.rpartition(' ')
        if tail.isdecimal() and head:
            name, index = head.rstrip(), int(tail)

        folder = PurePosixPath(name).parent.name
        label = self.class_to_idx.get(folder)
        if label is None:
            raise ValueError(
                f'{where}: {name} is in folder {folder!r}, which is no class of '
                f'{type(self).__name__} ({", ".join(self.CLASSES)})'
            )
        if index is not None and index != label:
            raise ValueError(
                f'{where}: {name} has class index {index}, but folder {folder!r} is class {label}'
            )
        images = get_file_backend(self.img_prefix, enable_singleton=True)
        path = images.join_path(self.img_prefix, name)
        if not images.isfile(path):
            raise FileNotFoundError(f'{where}: image {path} does not exist')
        return dict(img_path=path, gt_label=label)


@DATASETS.register_module()
class UCMerced(SceneDataset):
    """UC Merced Land Use: 21 classes, 100 images each, 256 x 256 px, 0.3 m/px.

    Published layout: ``Images/<class>/<class>NN.tif`` with NN from 00 to 99. The dataset has no
    official split; the DynamicVis paper trains on 70% of each class and tests on the rest.
    """

    METAINFO = {
        'classes': (
            'agricultural',
            'airplane',
            'baseballdiamond',
            'beach',
            'buildings',
            'chaparral',
            'denseresidential',
            'forest',
            'freeway',
            'golfcourse',
            'harbor',
            'intersection',
            'mediumresidential',
            'mobilehomepark',
            'overpass',
            'parkinglot',
            'river',
            'runway',
            'sparseresidential',
            'storagetanks',
            'tenniscourt',
        )
    }

    def __init__(self, ann_file: str, data_prefix: str | dict = 'Images', **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, data_prefix=data_prefix, **kwargs)


@DATASETS.register_module()
class AID(SceneDataset):
    """AID, the Aerial Image Dataset: 30 classes, 10000 images, 600 x 600 px, 0.5 to 8 m/px.

    Published layout: ``<Class>/<class>_N.jpg``. The dataset has no official split; the DynamicVis
    paper trains on half of each class and tests on the rest.
    """

    METAINFO = {
        'classes': (
            'Airport',
            'BareLand',
            'BaseballField',
            'Beach',
            'Bridge',
            'Center',
            'Church',
            'Commercial',
            'DenseResidential',
            'Desert',
            'Farmland',
            'Forest',
            'Industrial',
            'Meadow',
            'MediumResidential',
            'Mountain',
            'Park',
            'Parking',
            'Playground',
            'Pond',
            'Port',
            'RailwayStation',
            'Resort',
            'River',
            'School',
            'SparseResidential',
            'Square',
            'Stadium',
            'StorageTanks',
            'Viaduct',
        )
    }


@DATASETS.register_module()
class EuroSAT(SceneDataset):
    """EuroSAT, RGB version (arXiv 1709.00029): 10 classes, 27000 Sentinel-2 patches, 64 x 64 px."""

    METAINFO = {
        'classes': (
            'AnnualCrop',
            'Forest',
            'HerbaceousVegetation',
            'Highway',
            'Industrial',
            'Pasture',
            'PermanentCrop',
            'Residential',
            'River',
            'SeaLake',
        ),
        # for maps of scenes
        'palette': (
            (230, 190, 60),
            (20, 90, 40),
            (150, 200, 90),
            (60, 60, 60),
            (200, 60, 160),
            (190, 230, 140),
            (180, 120, 50),
            (220, 50, 40),
            (90, 160, 230),
            (20, 60, 150),
        ),
    }

"""Retrieval datasets based on mmpretrain."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

from mmengine.dataset import ConcatDataset
from mmpretrain.datasets import BaseDataset

from mmdynamicvis.registry import DATASETS
from mmdynamicvis.retrieval.bigearthnet_classes import CLASSES_19, CLASSES_43, TO_19


@DATASETS.register_module()
class QueriesAndDatabase(ConcatDataset):
    """Concatenates two datasets and adds the ``role`` 'query' or 'database' to their samples.

    Args:
        queries: Config of the dataset of queries.
        database: Config of the dataset to search.
    """

    def __init__(self, queries: dict, database: dict) -> None:
        super().__init__([queries, database], ignore_keys=['classes'])

    def __getitem__(self, index: int) -> dict:
        """Return the sample of the dataset, with the role in the metainfo of its data sample."""
        item = super().__getitem__(index)
        role = 'query' if index % len(self) < len(self.datasets[0]) else 'database'
        item['data_samples'].set_field(role, 'role', field_type='metainfo')
        return item


class _Tables(BaseDataset):
    """Base class of datasets whose samples are listed in a CSV file."""

    def __init__(self, ann_file: str, data_root: str = '', **kwargs: Any) -> None:
        super().__init__(ann_file=ann_file, data_root=data_root, **kwargs)

    def _rows(self) -> list[list[str]]:
        path = Path(self.ann_file)
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist; check data_root and ann_file')
        with path.open(newline='', encoding='utf-8') as file:
            rows = [row for row in csv.reader(file) if row]
        if not rows:
            raise ValueError(f'{path} names no image')
        return rows


@DATASETS.register_module()
class BigEarthNet(_Tables):
    """BigEarthNet (Sentinel-2, version 1.0): patches of 120 px at 10 m, several classes each.

    Published layout: ``BigEarthNet-v1.0/<patch>/<patch>_B04.tif`` etc., with
    ``<patch>_labels_metadata.json``; split files (train.csv, val.csv, test.csv) have the name of a
    patch in their first column. Load the bands with ``LoadBandFiles``.

    Args:
        ann_file: Split file.
        num_classes: 43 (original classes) or 19 (arXiv 2001.06372); in the latter case, patches
            without any of the 19 classes are skipped.
        data_prefix: Folder of the patches.
        **kwargs: Further arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: A file is missing; the message names it.
        ValueError: ``num_classes`` or a label is unknown, or the split file is empty.
    """

    def __init__(
        self,
        ann_file: str,
        num_classes: int = 43,
        data_prefix: str | dict = 'BigEarthNet-v1.0',
        **kwargs: Any,
    ) -> None:
        if num_classes not in (43, 19):
            raise ValueError(f'num_classes is {num_classes}; choose 43 or 19')
        self.num_classes = num_classes
        classes = CLASSES_43 if num_classes == 43 else CLASSES_19
        super().__init__(ann_file, data_prefix=data_prefix, classes=classes, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one dict per patch: ``img_path`` (its folder) and ``gt_label`` (class indices)."""
        samples = []
        for patch, *_ in self._rows():
            folder = Path(self.img_prefix) / patch
            labels = self._labels(folder / f'{patch}_labels_metadata.json')
            if labels:
                samples.append(dict(img_path=str(folder), gt_label=labels))
        return samples

    def _labels(self, path: Path) -> list[int]:
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist, which {self.ann_file} asks for')
        names = json.loads(path.read_text(encoding='utf-8'))['labels']
        if unknown := set(names) - set(CLASSES_43):
            raise ValueError(
                f'{path} has labels {sorted(unknown)}, which BigEarthNet does not have'
            )
        if self.num_classes == 19:
            names = {TO_19[name] for name in names if name in TO_19}
        return sorted(self.class_to_idx[name] for name in names)


@DATASETS.register_module()
class ForestNet(_Tables):
    """ForestNet (arXiv 2011.05479): drivers of deforestation, Landsat 8 images of 332 px at 15 m.

    Published layout: train.csv, val.csv and test.csv with ``label``, ``merged_label`` and
    ``example_path``, and ``<example_path>/images/visible/composite.png``.

    Args:
        ann_file: Split file.
        num_classes: 12 (original labels) or 4 (merged labels).
        **kwargs: Further arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The split file is missing.
        ValueError: ``num_classes``, a column or a label is unknown, or the split file is empty.
    """

    LABELS = {
        12: (
            'Oil palm plantation',
            'Timber plantation',
            'Other large-scale plantations',
            'Grassland shrubland',
            'Small-scale agriculture',
            'Small-scale mixed plantation',
            'Small-scale oil palm plantation',
            'Mining',
            'Fish pond',
            'Logging',
            'Secondary forest',
            'Other',
        ),
        4: ('Plantation', 'Grassland shrubland', 'Smallholder agriculture', 'Other'),
    }

    def __init__(self, ann_file: str, num_classes: int = 12, **kwargs: Any) -> None:
        if num_classes not in self.LABELS:
            raise ValueError(f'num_classes is {num_classes}; choose 12 or 4')
        self.column = 'label' if num_classes == 12 else 'merged_label'
        super().__init__(ann_file, classes=self.LABELS[num_classes], **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one dict per image: ``img_path`` and ``gt_label`` (a class index)."""
        header, *rows = self._rows()
        if missing := {self.column, 'example_path'} - set(header):
            raise ValueError(f'{self.ann_file} has no column {sorted(missing)}, but {header}')
        samples = []
        for number, row in enumerate(rows, start=2):
            sample = dict(zip(header, row, strict=True))
            label = sample[self.column]
            if label not in self.class_to_idx:
                raise ValueError(
                    f'{self.ann_file}, line {number}: {label!r} is none of {self.CLASSES}'
                )
            path = Path(self.data_root, sample['example_path'], 'images/visible/composite.png')
            samples.append(dict(img_path=str(path), gt_label=self.class_to_idx[label]))
        return samples

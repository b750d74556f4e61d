"""Classification tasks of GEO-Bench (arXiv 2306.03831), version 1. Reading images requires h5py."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from mmcv.transforms import BaseTransform
from mmpretrain.datasets import BaseDataset

from mmdynamicvis.band_names import spelling
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import DATASETS, TRANSFORMS

LABELS = 'label_map.json'
SUBSETS = ('train', 'valid', 'test')


@DATASETS.register_module()
class GEOBench(BaseDataset):
    """A task with one label per image, as GEO-Bench's download has it.

    Published layout: ``NAME.hdf5`` per sample, ``label_map.json`` (class index -> names of
    samples), and ``PARTITION_partition.json`` (train, valid and test -> names of samples). Class
    names and the labels in the samples are pickles, which are never read: a pickle can run code.
    So classes are called by their indices unless ``classes`` names them.

    Args:
        data_root: Folder of the task, e.g. ``classification_v1.0/m-eurosat``.
        subset: 'train', 'valid' or 'test'.
        partition: 'default', or e.g. '0.10x_train' for a tenth of the training samples.
        classes: Class names in the order of their indices.
        **kwargs: Further arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: A file of the layout is missing.
        ValueError: The subset is unknown or empty, a file has other content, a sample has no label
            or several, or the number of ``classes`` is wrong.
    """

    def __init__(
        self,
        data_root: str,
        subset: str = 'train',
        partition: str = 'default',
        classes: Sequence[str] | None = None,
        **kwargs: Any,
    ) -> None:
        if subset not in SUBSETS:
            raise ValueError(f'subset is {subset!r}; give one of {", ".join(map(repr, SUBSETS))}')
        self.subset = subset
        self.folder = Path(data_root)
        self.partition_file = self.folder / f'{partition}_partition.json'
        self.samples = _read(self.folder / LABELS)
        indices = sorted(self.samples, key=lambda key: (len(key), key))
        if indices != [str(i) for i in range(len(indices))]:
            raise ValueError(
                f'{self.folder / LABELS} has the labels {shorten(indices)}, not indices from 0 on: '
                'the task is no classification with one label per image'
            )
        names = list(classes or indices)
        if len(names) != len(indices):
            raise ValueError(
                f'classes has {len(names)} names, but {self.folder / LABELS} {len(indices)} labels'
            )
        super().__init__(ann_file='', data_root=data_root, classes=names, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return ``img_path`` and ``gt_label`` (class index) of each sample, after checks."""
        labels: dict[str, int] = {}
        for index, names in self.samples.items():
            for name in names:
                if labels.setdefault(name, int(index)) != int(index):
                    raise ValueError(
                        f'{self.folder / LABELS}: {name} has the labels {labels[name]} and '
                        f'{index}; tasks with several labels per image are not supported'
                    )
        subsets = _read(self.partition_file)
        names = subsets.get(self.subset)
        if not names:
            raise ValueError(f'{self.partition_file} has no sample in {self.subset!r}')
        if unlabeled := [name for name in names if name not in labels]:
            raise ValueError(
                f'{self.folder / LABELS} has no label of {shorten(unlabeled)}, which '
                f'{self.partition_file.name} lists'
            )
        paths = {name: self.folder / f'{name}.hdf5' for name in names}
        if missing := [str(path) for path in paths.values() if not path.is_file()]:
            raise FileNotFoundError(
                f'{self.partition_file} lists samples that do not exist: {shorten(missing)}'
            )
        return [dict(img_path=str(paths[name]), gt_label=labels[name]) for name in names]


@TRANSFORMS.register_module()
class LoadGEOBench(BaseTransform):
    """Load bands of a sample of GEO-Bench, one date.

    Args:
        bands: Names as GEO-Bench writes them, e.g. '04 - Red', in the order of the network's
            channels. In the order blue, green, red the image is as mmcv loads photographs.
        white: If given, 0 to ``white`` become 0 to 255, rounded and clipped: for networks trained
            on 8-bit images.

    Raises:
        OSError: The file is missing or damaged.
        ValueError: ``white`` is not positive, or the sample lacks a band, has it at several dates
            or has bands of different sizes; the message lists what there is.
    """

    def __init__(self, bands: Sequence[str], white: float | None = None) -> None:
        if isinstance(bands, str) or not bands:
            raise ValueError(f'bands is {bands!r}; give a list of names')
        if white is not None and not white > 0:
            raise ValueError(f'white is {white!r}; give the number that is to become 255')
        self.bands = tuple(bands)
        self.white = white

    def transform(self, results: dict) -> dict:
        """Add ``img``, (H, W, bands) float32, or uint8 with ``white``; its shape twice."""
        path = results['img_path']
        try:
            with h5py.File(path) as file:
                arrays = [file[_find(path, band, list(file))][()] for band in self.bands]
        except OSError as error:
            raise OSError(f'cannot load sample {path} ({error}). Download it again') from error
        if len({array.shape for array in arrays}) > 1 or arrays[0].ndim != 2:
            shapes = {band: a.shape for band, a in zip(self.bands, arrays, strict=True)}
            raise ValueError(f'{path} has bands of the shapes {shapes}, not of one size')
        image = np.stack(arrays, -1).astype(np.float32)
        if self.white is not None:
            image = np.clip(np.rint(image * (255 / self.white)), 0, 255).astype(np.uint8)
        results['img'] = image
        results['img_shape'] = results['ori_shape'] = image.shape[:2]
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}(bands={self.bands}, white={self.white})'


def _find(path: str, band: str, keys: list[str]) -> str:
    """Return the array of a band; '04 - Red_2018-07-01' is band '04 - Red' at a date."""
    found = [key for key in keys if spelling(band) in (spelling(key), spelling(key.split('_')[0]))]
    if len(found) != 1:
        why = f'band {band!r} at several dates' if found else f'no band {band!r}'
        raise ValueError(f'{path} has {why}; it has {shorten(keys)}')
    return found[0]


def _read(path: Path) -> dict[str, list[str]]:
    """Return the content of a JSON file that maps texts to lists of texts."""
    if not path.is_file():
        raise FileNotFoundError(f'{path} does not exist: data_root is no task of GEO-Bench')
    content = json.loads(path.read_text())
    is_map = isinstance(content, dict) and all(
        isinstance(names, list) and all(isinstance(name, str) for name in names)
        for names in content.values()
    )
    if not is_map:
        raise ValueError(f'{path} does not map names to lists of samples')
    return content

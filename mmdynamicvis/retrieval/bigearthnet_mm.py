"""BigEarthNet with Sentinel-1 and Sentinel-2, versions 1 and 2."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmdynamicvis.data.problems import raise_problems
from mmdynamicvis.registry import DATASETS
from mmdynamicvis.retrieval.bigearthnet_classes import CLASSES_19
from mmdynamicvis.retrieval.datasets import BigEarthNet


class _Pairs(BigEarthNet):
    """Base class of both versions: folders of patches of two sensors, with several classes.

    Args:
        optional: Modalities ('sentinel1', 'sentinel2') that samples may lack.
        **kwargs: Arguments of :class:`BigEarthNet`.
    """

    def __init__(self, ann_file: str, optional: Sequence[str] = (), **kwargs: Any) -> None:
        if unknown := set(optional) - {'sentinel1', 'sentinel2'}:
            raise ValueError(f"optional has {sorted(unknown)}; there are 'sentinel1', 'sentinel2'")
        self.optional = tuple(optional)
        super().__init__(ann_file, **kwargs)

    def _samples(self, rows: list[tuple[dict[str, Path], list[int]]]) -> list[dict]:
        """Return the samples of (folders per modality, class indices); check the folders."""
        samples, problems = [], []
        for folders, labels in rows:
            there = {name: str(folder) for name, folder in folders.items() if folder.is_dir()}
            lacking = [name for name in folders if name not in there]
            problems += [
                f'{folders[name]} does not exist' for name in lacking if name not in self.optional
            ]
            if not there and set(folders) <= set(self.optional):
                problems.append(f'neither of {", ".join(map(str, folders.values()))} exists')
            samples.append(
                dict(modalities=there, img_path=str(folders['sentinel2']), gt_label=labels)
            )
        fix = 'Check data_root and data_prefix, or name sensors that samples may lack as optional'
        raise_problems(self.ann_file, problems, fix)
        return samples


@DATASETS.register_module()
class BigEarthNetMM(_Pairs):
    """BigEarthNet-MM, version 1 (arXiv 2105.07921): 590,326 pairs of Sentinel-1 and 2, 120 px.

    Published layout (https://bigearth.net): ``BigEarthNet-v1.0/<patch>/<patch>_B04.tif`` etc. with
    ``<patch>_labels_metadata.json``, and ``BigEarthNet-S1-v1.0/<patch>/<patch>_VV.tif`` etc. The
    split files (https://git.tu-berlin.de/rsim/BigEarthNet-MM_19-classes_models) have the name of
    the Sentinel-2 patch in their first column and that of Sentinel-1 in the second. Load the
    modalities ``sentinel2`` and ``sentinel1`` by ``LoadBandFiles`` in ``LoadModalities``.

    Args:
        ann_file: Split file.
        data_prefix: Folders of the patches of each sensor.
        num_classes: 19 or 43 as in :class:`BigEarthNet`, whose other arguments are these.
        optional: Modalities that samples may lack. Labels come from the Sentinel-2 folder, so that
            this can only be 'sentinel1'.
        **kwargs: Further arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The split file or a label file is missing.
        ValueError: Folders are missing, a line has one name, or see :class:`BigEarthNet`.
    """

    def __init__(
        self,
        ann_file: str,
        data_prefix: dict = dict(sentinel2='BigEarthNet-v1.0', sentinel1='BigEarthNet-S1-v1.0'),
        num_classes: int = 19,
        **kwargs: Any,
    ) -> None:
        super().__init__(ann_file, data_prefix=data_prefix, num_classes=num_classes, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one dict per pair: ``modalities``, ``img_path`` and ``gt_label``."""
        rows = []
        for number, row in enumerate(self._rows(), start=1):
            if len(row) < 2:
                raise ValueError(
                    f'{self.ann_file}, line {number}: {row} has one name; give the patch of '
                    'Sentinel-2 and that of Sentinel-1'
                )
            folders = {
                name: Path(self.data_prefix[name], patch.strip())
                for name, patch in zip(('sentinel2', 'sentinel1'), row, strict=False)
            }
            optical = folders['sentinel2']
            if labels := self._labels(optical / f'{optical.name}_labels_metadata.json'):
                rows.append((folders, labels))
        return self._samples(rows)


@DATASETS.register_module()
class ReBEN(_Pairs):
    """reBEN, version 2 of BigEarthNet (arXiv 2407.03653): 549,488 pairs, 120 px, 19 classes.

    Published layout (https://zenodo.org/records/10891137), with the modalities ``sentinel2`` and
    ``sentinel1``, which ``LoadBandFiles`` loads in ``LoadModalities``::

        BigEarthNet-S2/<product and tile>/<patch>/<patch>_B04.tif
        BigEarthNet-S1/<product>/<patch>/<patch>_VV.tif
        metadata.parquet   columns patch_id, s1_name, labels, split

    Args:
        split: 'train', 'validation' or 'test'; None for all.
        ann_file: The file of metadata. Requires pyarrow.
        data_prefix: Folders of each sensor.
        optional: Modalities that samples may lack.
        **kwargs: Further arguments of mmpretrain's ``BaseDataset``.

    Raises:
        FileNotFoundError: The file of metadata does not exist.
        ImportError: pyarrow is not installed.
        ValueError: A column or folders are missing, a label is unknown, or the split is empty.
    """

    def __init__(
        self,
        split: str | None = None,
        ann_file: str = 'metadata.parquet',
        data_prefix: dict = dict(sentinel2='BigEarthNet-S2', sentinel1='BigEarthNet-S1'),
        **kwargs: Any,
    ) -> None:
        self.split = split
        super().__init__(ann_file, data_prefix=data_prefix, num_classes=19, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one dict per pair: ``modalities``, ``img_path`` and ``gt_label``."""
        rows = []
        for row in self._metadata():
            if unknown := set(row['labels']) - set(CLASSES_19):
                raise ValueError(
                    f'{self.ann_file}: {row["patch_id"]} has labels {sorted(unknown)}, which '
                    'BigEarthNet does not have'
                )
            # the names of products end before row and column, and for Sentinel-1 before the tile
            folders = {
                name: Path(self.data_prefix[name], patch.rsplit('_', parts)[0], patch)
                for name, patch, parts in (
                    ('sentinel2', row['patch_id'], 2),
                    ('sentinel1', row['s1_name'], 3),
                )
            }
            rows.append((folders, sorted(self.class_to_idx[name] for name in row['labels'])))
        return self._samples(rows)

    def _metadata(self) -> list[dict]:
        path = Path(self.ann_file)
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist; check data_root and ann_file')
        try:
            from pyarrow import parquet
        except ModuleNotFoundError as error:
            raise ImportError(f'{path} needs pyarrow: pip install pyarrow') from error
        columns = ['patch_id', 's1_name', 'labels', 'split']
        if lacking := set(columns) - set(parquet.read_schema(path).names):
            raise ValueError(f'{path} has no column {sorted(lacking)}: is it the one of reBEN?')
        table = parquet.read_table(path, columns=columns).to_pylist()
        rows = [row for row in table if self.split in (None, row['split'])]
        if not rows:
            splits = sorted({row['split'] for row in table})
            raise ValueError(f'{path} has no patch of the split {self.split!r}, but of {splits}')
        return rows

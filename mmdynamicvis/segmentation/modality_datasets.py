"""Datasets with images of several modalities and a label map per sample."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from glob import escape
from pathlib import Path
from typing import Any

from mmseg.datasets import BaseSegDataset

from mmdynamicvis.data.image_files import find_names, paths_of
from mmdynamicvis.data.problems import raise_problems
from mmdynamicvis.registry import DATASETS

LABELS = 'seg_map_path'


@DATASETS.register_module()
class ModalitySegDataset(BaseSegDataset):
    """One folder per modality and one of label maps; the files of a sample share their name.

    Load the samples with ``LoadModalities`` and ``LoadLabelMap``.

    Args:
        data_prefix: Modality -> its folder, and ``seg_map_path``, the folder of label maps, if
            there are any. The order of the modalities is kept.
        suffixes: Modality or ``seg_map_path`` -> what follows the name of a sample in its file
            names; '.tif' by default. A suffix with ``*`` stands for the dates of a sample, in the
            order of their names: ``'/*.tif'`` for a folder per sample.
        optional: Modalities that samples may lack; of those with ``*``, all dates. The others must
            be there for all samples.
        primary: Modality whose file is the ``img_path`` of samples that have it, by which hosts
            name and draw them. It is the first by name otherwise, because configs that mmengine
            writes have their keys sorted.
        ann_file: Text file with the name of a sample per line; by default, samples are all names
            found in the folders.
        **kwargs: Further arguments of mmseg's ``BaseSegDataset``.

    Raises:
        FileNotFoundError: A folder or ``ann_file`` does not exist.
        ValueError: There are no samples, files are missing or a sample has no image at all; the
            message names what is missing. Or ``suffixes``, ``optional`` or ``primary`` names no
            modality.
    """

    def __init__(
        self,
        data_prefix: Mapping[str, str],
        suffixes: Mapping[str, str] | None = None,
        optional: Sequence[str] = (),
        primary: str | None = None,
        ann_file: str = '',
        **kwargs: Any,
    ) -> None:
        self.modalities = sorted(set(data_prefix) - {LABELS})
        wanted = [] if primary is None else [primary]
        arguments = dict(suffixes=suffixes or {}, optional=optional, primary=wanted)
        for argument, names in arguments.items():
            known = [*self.modalities, *([LABELS] if argument == 'suffixes' else [])]
            if unknown := set(names) - set(known):
                raise ValueError(f'{argument} has {sorted(unknown)}, which are none of {known}')
        self.suffixes = {name: (suffixes or {}).get(name, '.tif') for name in data_prefix}
        if '*' in self.suffixes.get(LABELS, ''):
            raise ValueError(
                f'the suffix of {LABELS} is {self.suffixes[LABELS]!r}: a sample has one label map'
            )
        self.optional, self.primary = tuple(optional), primary
        super().__init__(ann_file=ann_file, data_prefix=dict(data_prefix), **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one dict per sample: ``modalities``, ``img_path`` and ``seg_map_path``.

        ``modalities`` maps each modality that the sample has to its file, or to a list of files.
        """
        source = self.ann_file or ', '.join(self.data_prefix.values())
        names = self._names()
        if not names:
            raise ValueError(
                f'{source} has no samples. Check data_root, data_prefix and suffixes '
                f'({self.suffixes})'
            )
        common = dict(label_map=self.label_map, reduce_zero_label=self.reduce_zero_label)
        samples, problems = [], []
        for name, paths in zip(
            names, paths_of(names, self.data_prefix, self.suffixes), strict=True
        ):
            files = {key: self._files(key, name, path) for key, path in paths.items()}
            missing = [key for key, found in files.items() if not found]
            problems += [
                f'{paths[key]} does not exist' for key in missing if key not in self.optional
            ]
            modalities = {key: files[key] for key in self.modalities if files[key]}
            if not modalities and set(self.modalities) <= set(self.optional):
                problems.append(f'{name} has no image of any modality')
            sample = dict(modalities=modalities, **common, seg_fields=[])
            first = modalities.get(self.primary) or next(iter(modalities.values()), '')
            sample['img_path'] = first if isinstance(first, str) else first[0]
            if LABELS in files:
                sample[LABELS] = files[LABELS]
            samples.append(sample)
        fix = 'Check data_prefix and suffixes, or name modalities that samples may lack as optional'
        raise_problems(source, problems, fix)
        return samples

    def _files(self, key: str, name: str, path: str) -> str | list[str]:
        """Return the file of a sample, or its files if they are dates; empty if there are none."""
        suffix = self.suffixes[key]
        if '*' in suffix:
            return sorted(map(str, Path(self.data_prefix[key]).glob(escape(name) + suffix)))
        return path if Path(path).exists() else ''

    def _names(self) -> list[str]:
        if self.ann_file:
            return self._listed(Path(self.ann_file))
        found = {
            name.removesuffix(self.suffixes[key])
            for key, folder in self.data_prefix.items()
            if '*' not in self.suffixes[key]
            for name in find_names(folder, self.suffixes[key])
        }
        return sorted(found)

    def _listed(self, path: Path) -> list[str]:
        if not path.is_file():
            raise FileNotFoundError(f'{path} does not exist; check data_root and ann_file')
        lines = path.read_text(encoding='utf-8').splitlines()
        return [line.strip() for line in lines if line.strip()]


@DATASETS.register_module()
class TerraMeshLandCover(ModalitySegDataset):
    """Tiles of TerraMesh, the data of TerraMind, with ESRI's land cover as labels.

    264 px at 10 m in the data set, 224 px in TerraMind's examples: ``<MODALITY>/<NAME>.tif`` with
    the folders S1GRD, S1RTC, S2L1C, S2L2A, DEM, NDVI and LULC, in which 0 means no data.
    https://huggingface.co/datasets/ibm-esa-geospatial/TerraMesh stores them as Zarr archives: write
    GeoTIFFs first. Examples: https://github.com/IBM/terramind.
    """

    METAINFO = {
        'classes': (
            'water',
            'trees',
            'flooded vegetation',
            'crops',
            'built area',
            'bare ground',
            'snow or ice',
            'clouds',
            'rangeland',
        ),
        'palette': [
            (26, 91, 171),
            (53, 130, 33),
            (135, 209, 158),
            (255, 219, 92),
            (237, 2, 42),
            (237, 233, 228),
            (242, 250, 255),
            (200, 200, 200),
            (198, 173, 141),
        ],
    }

    def __init__(
        self,
        data_prefix: Mapping[str, str] = dict(
            sentinel2='S2L2A', sentinel1='S1RTC', dem='DEM', seg_map_path='LULC'
        ),
        reduce_zero_label: bool = True,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault('primary', 'sentinel2' if 'sentinel2' in data_prefix else None)
        super().__init__(data_prefix=data_prefix, reduce_zero_label=reduce_zero_label, **kwargs)


@DATASETS.register_module()
class Sen1Floods11(ModalitySegDataset):
    """Sen1Floods11: 446 labeled chips of 11 floods, Sentinel-1 and 2, 512 px at 10 m.

    Published layout (https://github.com/cloudtostreet/Sen1Floods11), with ``data_root`` the folder
    v1.1: ``data/flood_events/HandLabeled/{S1Hand,S2Hand,LabelHand}/<NAME>_<FOLDER>.tif`` and
    ``splits/flood_handlabeled/flood_{train,valid,test,bolivia}_data.csv``, whose first column are
    the files of Sentinel-1. Sentinel-1 is VV and VH in dB, Sentinel-2 13 bands of level 1C.

    Files are in degrees: declare ``gsd`` of 10 m in ``LoadModalities``. Labels are 1 for water, 0
    for none and -1 for no label: ``LoadLabelMap(no_label=(-1,))``.
    """

    METAINFO = {'classes': ('no water', 'water'), 'palette': [(0, 0, 0), (65, 155, 223)]}
    SUFFIXES = dict(sentinel1='_S1Hand.tif', sentinel2='_S2Hand.tif', seg_map_path='_LabelHand.tif')

    def __init__(
        self,
        data_prefix: Mapping[str, str] = dict(
            sentinel1='data/flood_events/HandLabeled/S1Hand',
            sentinel2='data/flood_events/HandLabeled/S2Hand',
            seg_map_path='data/flood_events/HandLabeled/LabelHand',
        ),
        suffixes: Mapping[str, str] = SUFFIXES,
        **kwargs: Any,
    ) -> None:
        suffixes = {key: suffix for key, suffix in suffixes.items() if key in data_prefix}
        super().__init__(data_prefix=data_prefix, suffixes=suffixes, **kwargs)

    def _listed(self, path: Path) -> list[str]:
        """Read a published list of files, or one of names."""
        rows = [next(csv.reader([line])) for line in super()._listed(path)]
        return [row[0].strip().removesuffix(self.SUFFIXES['sentinel1']) for row in rows]


@DATASETS.register_module()
class BRIGHT(ModalitySegDataset):
    """BRIGHT: optical images before a disaster, SAR after it, and the damage of buildings.

    Published layout (https://github.com/ChenHongruixuan/BRIGHT, https://arxiv.org/abs/2501.06019),
    1024 px at 0.3 to 1 m: ``pre-event/NAME_pre_disaster.tif`` (R, G, B),
    ``post-event/NAME_post_disaster.tif`` (one band) and ``target/NAME_building_damage.tif``, 0 for
    background, 1 for intact, 2 for damaged and 3 for destroyed buildings. ``ann_file`` is one of
    the published lists of names, such as ``train_set.txt``.

    Load labels by ``LoadPairLabels``: ``damage`` from the target, and ``location``, 1 where it has
    a building. The optical image is the first date, the SAR image the second:
    ``MultiTaskSiamese(dates=dict(optical=[0], sar=[1]))``.
    """

    LOCATION = {'classes': ('background', 'building'), 'palette': [(0, 0, 0), (255, 255, 255)]}
    DAMAGE = {
        'classes': ('background', 'intact', 'damaged', 'destroyed'),
        'palette': [(0, 0, 0), (70, 172, 0), (253, 120, 0), (200, 0, 40)],
    }
    METAINFO = LOCATION | {'maps': dict(location=LOCATION, damage=DAMAGE)}
    SUFFIXES = dict(
        optical='_pre_disaster.tif',
        sar='_post_disaster.tif',
        seg_map_path='_building_damage.tif',
    )

    def __init__(
        self,
        data_prefix: Mapping[str, str] = dict(
            optical='pre-event', sar='post-event', seg_map_path='target'
        ),
        suffixes: Mapping[str, str] = SUFFIXES,
        primary: str = 'optical',
        **kwargs: Any,
    ) -> None:
        suffixes = {key: suffix for key, suffix in suffixes.items() if key in data_prefix}
        super().__init__(data_prefix=data_prefix, suffixes=suffixes, primary=primary, **kwargs)

    def load_data_list(self) -> list[dict]:
        """Return one dict per sample: ``modalities``, ``img_path`` and ``labels``."""
        samples = super().load_data_list()
        palette = self._metainfo['maps']['damage']['palette']
        for sample in samples:
            if path := sample.pop(LABELS, None):
                damage = dict(path=path, palette=palette)
                sample['labels'] = dict(damage=damage, location=dict(of=('damage',)))
        return samples

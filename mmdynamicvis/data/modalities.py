"""Loading and packing of samples with images of several modalities, such as SAR and optical."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmcv.transforms import BaseTransform
from torch import Tensor

from mmdynamicvis.data.grids import Place, check_places, loaded_place
from mmdynamicvis.registry import TRANSFORMS

SAME_GSD = 0.01
"""Largest relative difference of ground sampling distances that are taken to be the same."""
_OWN_UNITS = ('reflectance', 'linear', 'dB', 'uint8')
"""Units of loaders that say more than 'stored', the numbers in the file."""


class Reading(NamedTuple):
    """How the images of a modality are to be understood."""

    gsd: float
    """Ground sampling distance in meters per pixel."""
    unit: str
    """Unit of the values, as of ``LoadGeoTIFF``; 'stored' for the numbers in the file."""
    bands: tuple[str, ...] | None = None
    """Names of the channels, if the loader names them."""


@dataclass(frozen=True)
class ModalitySample:
    """The images of one sample as ``PackModalities`` returns them.

    A class of its own, because the hosts' collation would need every modality in every sample.
    """

    images: dict[str, list[Tensor]]
    """Modality -> its dates, each (bands, H, W) float32; NaN where there are no data."""
    readings: dict[str, Reading]


@TRANSFORMS.register_module()
class LoadModalities(BaseTransform):
    """Load the images of all modalities of a sample, each by a loader of its own.

    All images must cover one footprint, by reference system and transform if the files have them;
    nothing is resampled. The ground sampling distance is that of the transform, in meters. It must
    be declared for rasters without one, in degrees, or in Mercator projections, whose meters are
    not those on the ground.

    Args:
        loaders: Modality -> transform that loads ``results['img_path']``, such as ``LoadGeoTIFF``,
            ``LoadBandFiles`` or ``LoadIntactImage``.
        gsd: Modality -> declared ground sampling distance in meters per pixel.
        units: Modality -> unit of its values, where the loader knows none but 'stored', such as
            'dB' for ``LoadBandFiles`` on files in dB.

    Raises:
        ValueError: A declaration is of an unknown modality, not positive, or contradicts loader or
            file; a sample has a modality without a loader, or no image; pixels are not square;
            a ground sampling distance is missing; the dates of a modality differ in size or in
            ground sampling distance; or images do not cover one footprint. Messages name the files.
    """

    def __init__(
        self,
        loaders: Mapping[str, dict],
        gsd: Mapping[str, float] | None = None,
        units: Mapping[str, str] | None = None,
    ) -> None:
        self.loaders = {name: TRANSFORMS.build(loader) for name, loader in loaders.items()}
        self.gsd, self.units = dict(gsd or {}), dict(units or {})
        for argument in ('gsd', 'units'):
            if unknown := set(getattr(self, argument)) - set(self.loaders):
                raise ValueError(
                    f'{argument} has {sorted(unknown)}, the loaders are of {list(self.loaders)}'
                )
        for name, declared in self.gsd.items():
            if not (declared > 0 and math.isfinite(declared)):
                raise ValueError(f'gsd of {name} is {declared}; give meters per pixel')
        for name, declared in self.units.items():
            own = getattr(self.loaders[name], 'unit', None)
            if own in _OWN_UNITS and own != declared:
                raise ValueError(
                    f'units declares {declared!r} for {name}, but its loader returns {own!r}'
                )

    def transform(self, results: dict) -> dict:
        """Load the files in ``results['modalities']``.

        ``results['modalities']`` maps a modality to a path, to a list of paths (its dates), or to
        None; a modality or a date that is None or left out is absent. The following keys are added.

        ====================  =====================================================================
        key                   value
        ====================  =====================================================================
        images                modality -> list of dates, each (H, W, bands) float32, NaN at nodata
        readings              modality -> :class:`Reading`
        places                the :class:`~mmdynamicvis.data.grids.Place` of each image, until a
                              transform moves pixels
        img_shape, ori_shape  (height, width) of the finest image, until a label map is loaded
        img_path              file of the first image, unless there is one already
        ====================  =====================================================================
        """
        files = results['modalities']
        if unknown := set(files) - set(self.loaders):
            raise ValueError(
                f'a sample has the modalities {sorted(unknown)}, the loaders are of '
                f'{list(self.loaders)}: {files}'
            )
        images, readings, places = {}, {}, []
        for name in self.loaders:
            loaded = [self._load(name, path, results) for path in _dates(files.get(name))]
            if not loaded:
                continue
            images[name] = [image for image, _, _ in loaded]
            _check_dates(name, loaded)
            readings[name] = self.reading(name, loaded[0][2])
            for _, place, gsd in loaded:
                if places:
                    check_footprints(*places[0], place, gsd)
                places.append((place, gsd))
        if not images:
            raise ValueError(f'a sample has no image of any modality: {files}')
        finest = min(readings, key=lambda name: readings[name].gsd)
        results.update(images=images, readings=readings, places=[place for place, _ in places])
        results['img_shape'] = results['ori_shape'] = images[finest][0].shape[:2]
        results.setdefault('img_path', places[0][0].name)
        return results

    def reading(self, name: str, gsd: float) -> Reading:
        """Return how images of a modality with a ground sampling distance are to be understood."""
        return Reading(gsd, self._unit(name), self._bands(name))

    def _load(self, name: str, path: str, results: dict) -> tuple[np.ndarray, Place, float]:
        """Return an image, (H, W, bands) float32, its place and its ground sampling distance."""
        loaded = self.loaders[name](dict(results, img_path=str(path)))
        image = np.array(loaded['img'], dtype=np.float32)
        image = image[..., None] if image.ndim == 2 else image
        if loaded.get('nodata') is not None:
            image[loaded['nodata']] = np.nan
        place = _with_system(loaded_place(loaded))
        return image, place, self.distance(name, place)

    def distance(self, name: str, place: Place) -> float:
        """Return the ground sampling distance of an image of a modality, in meters per pixel.

        Raises:
            ValueError: It is missing or contradicts the declared one, or pixels are not square.
        """
        declared, own = self.gsd.get(name), ground_sampling_distance(place)
        if declared is None and own is None:
            raise ValueError(
                f'{place.name} does not tell the meters per pixel of {name} (reference system '
                f'{place.crs}). Declare them, as LoadModalities(gsd=dict({name}=10.0))'
            )
        if declared is None or own is None:
            return own if declared is None else declared
        if not _same(declared, own):
            raise ValueError(
                f'{place.name} has {own:g} m per pixel, but gsd declares {declared:g} for {name}'
            )
        return declared

    def _unit(self, name: str) -> str:
        return self.units.get(name) or getattr(self.loaders[name], 'unit', None) or 'stored'

    def _bands(self, name: str) -> tuple[str, ...] | None:
        bands = getattr(self.loaders[name], 'bands', None) or ()
        named = bool(bands) and all(isinstance(band, str) for band in bands)
        return tuple(bands) if named else None

    def __repr__(self) -> str:
        return f'{type(self).__name__}(loaders={self.loaders}, gsd={self.gsd}, units={self.units})'


def _dates(paths: Any) -> Iterable[Any]:
    listed = [paths] if paths is None or isinstance(paths, (str, Path)) else paths
    return [path for path in listed if path is not None]


def _same(first: float, other: float) -> bool:
    return math.isclose(first, other, rel_tol=SAME_GSD)


def _with_system(place: Place) -> Place:
    """Return a place whose reference system is an object, equal for all spellings of it."""
    if place.crs is None:
        return place
    from rasterio.crs import CRS

    return place._replace(crs=CRS.from_user_input(place.crs))


def _check_dates(name: str, loaded: Sequence[tuple[np.ndarray, Place, float]]) -> None:
    (first, place, gsd), *others = loaded
    for image, other, distance in others:
        if image.shape != first.shape or not _same(gsd, distance):
            raise ValueError(
                f'the dates of {name} differ: {place.name} is of {first.shape} (rows, columns, '
                f'bands) at {gsd:g} m, {other.name} of {image.shape} at {distance:g} m. Bring '
                'them to one grid, or make modalities of them'
            )


def ground_sampling_distance(place: Place) -> float | None:
    """Return meters per pixel by a raster's transform; None if that does not tell.

    Raises:
        ValueError: Its pixels are not square.
    """
    if place.transform is None or place.crs is None or not place.crs.is_projected:
        return None
    if re.search(r'(PROJECTION|METHOD)\["(Mercator|Popular)', place.crs.to_wkt()):
        return None
    a, b, _, d, e, *_ = place.transform
    unit = place.crs.linear_units_factor[1]
    width, height = math.hypot(a, d) * unit, math.hypot(b, e) * unit
    if not _same(width, height):
        raise ValueError(
            f'{place.name} has pixels of {width:g} x {height:g} m. Resample it to square pixels, '
            'with gdalwarp -tr for example'
        )
    return width


def check_footprints(first: Place, first_gsd: float, other: Place, other_gsd: float) -> None:
    """Refuse images that do not cover one footprint.

    Raises:
        ValueError: Their places differ, see :func:`mmdynamicvis.data.grids.check_places`, or their
            sizes in meters, by more than half a pixel of the coarser one. The message names both.
    """
    check_places(first, other)
    extents = [
        [length * gsd for length in place.shape]
        for place, gsd in ((first, first_gsd), (other, other_gsd))
    ]
    if max(abs(a - b) for a, b in zip(*extents, strict=True)) > max(first_gsd, other_gsd) / 2:
        sizes = [
            f'{place.name} covers {height:g} x {width:g} m (at {gsd:g} m per pixel)'
            for place, gsd, (height, width) in zip(
                (first, other), (first_gsd, other_gsd), extents, strict=True
            )
        ]
        raise ValueError(
            f'{sizes[0]}, {sizes[1]}: the images of a sample must cover one footprint. Cut them to '
            'the same, or correct gsd'
        )


def with_data(images: Mapping[str, Sequence[np.ndarray]], shape: tuple[int, int]) -> np.ndarray:
    """Return where any image of a footprint has data in all bands.

    Args:
        images: Modality -> dates, each (H, W, bands), NaN where there are no data.
        shape: (height, width) of the grid of the result, which takes the nearest pixel of each
            image.

    Returns:
        (height, width) bool.
    """
    found = np.zeros(shape, dtype=bool)
    for date in (date for dates in images.values() for date in dates):
        rows, columns = (
            ((np.arange(length) + 0.5) * own / length).astype(int)
            for length, own in zip(shape, date.shape, strict=False)
        )
        found |= np.isfinite(date).all(-1)[rows][:, columns]
    return found


@TRANSFORMS.register_module()
class PackModalities(BaseTransform):
    """Pack the images of all modalities, and the annotations as the host does.

    Samples with ``gt_label`` or ``gt_score`` are packed for mmpretrain (``DataSample``), those with
    ``gt_seg_map`` or ``seg_fields``, which mmseg's datasets provide, for mmseg (``SegDataSample``).

    Args:
        packer: Transform of a host that packs annotations; by default one of the two above.

    Raises:
        ValueError: There are no images of modalities, or what is in the results does not tell the
            host.
    """

    def __init__(self, packer: dict | None = None) -> None:
        self.packer = packer
        self._built: dict[str, BaseTransform] = {}

    def transform(self, results: dict) -> dict:
        """Return ``inputs``, a :class:`ModalitySample`, and the ``data_samples`` of the host."""
        if 'images' not in results:
            raise ValueError('there are no images of modalities: begin with LoadModalities')
        annotations = {key: value for key, value in results.items() if key != 'img'}
        packed = self._packer_of(results)(annotations)
        images = {
            name: [
                torch.from_numpy(np.ascontiguousarray(date.transpose(2, 0, 1))) for date in dates
            ]
            for name, dates in results['images'].items()
        }
        packed['inputs'] = ModalitySample(images, results['readings'])
        return packed

    def _packer_of(self, results: dict) -> BaseTransform:
        config = self.packer
        if config is None and {'gt_label', 'gt_score'} & set(results):
            config = dict(type='mmpretrain.PackInputs')
        elif config is None and {'gt_seg_map', 'seg_fields'} & set(results):
            config = dict(type='mmseg.PackSegInputs')
        elif config is None:
            raise ValueError(
                'a sample has neither a class nor a label map. Say what packs it, as packer=dict('
                "type='mmpretrain.PackInputs') or 'mmseg.PackSegInputs'"
            )
        key = str(config['type'])
        if key not in self._built:
            self._built[key] = TRANSFORMS.build(config)
        return self._built[key]

    def __repr__(self) -> str:
        return f'{type(self).__name__}(packer={self.packer})'

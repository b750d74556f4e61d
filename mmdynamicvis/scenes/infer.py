"""Inference on a raster with a config and a checkpoint."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from mmengine.config import Config

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.data.sensors import PHYSICAL
from mmdynamicvis.fileio import refuse_to_overwrite
from mmdynamicvis.scenes.dense import segment_maps, segment_scene
from mmdynamicvis.scenes.modalities import ModalityScene
from mmdynamicvis.scenes.models import SceneModel
from mmdynamicvis.scenes.objects import detect_scene
from mmdynamicvis.scenes.reading import Scene
from mmdynamicvis.scenes.tiles import DEFAULT_PACE, Pace

Rasters = str | Path | Sequence[str | Path]
"""A raster, or rasters of several dates."""
T = TypeVar('T')
OfSensors = T | Mapping[str, T]
"""An argument of the raster, or modality -> that of its raster."""


def infer_scene(
    scene: Rasters | Mapping[str, Rasters],
    output: str | Path,
    config: str | Path | Config | SceneModel,
    checkpoint: str | Path | None = None,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    bands: OfSensors[Sequence[int | str]] | None = None,
    sensor: OfSensors[str] | None = None,
    nodata: OfSensors[float] | None = None,
    alpha: OfSensors[Literal['mask', 'band']] | None = None,
    grid: str | None = None,
    resample: Sequence[str] = (),
    scaling: tuple[float, float] | None = None,
    probabilities: bool = False,
    cog: bool = False,
    min_score: float = 0.3,
    min_agreement: float = 0.5,
    device: str | None = None,
    pace: Pace = DEFAULT_PACE,
) -> Path | list[Path] | None:
    """Run a model on a scene of any size, tile by tile.

    Memory depends on the size of a tile, not on that of the scene. A run that was killed continues
    when it is started again: results of finished tiles are kept in ``OUTPUT.work`` until the
    output is complete.

    Args:
        scene: GeoTIFF or another raster, a path or a URL (http, https, s3); for change detection
            the rasters of the two dates. For models of several modalities: modality -> its raster,
            or its dates, all of one footprint. Modalities may be missing.
        output: File to write: .tif for classes, .gpkg or .geojson for objects. A model with several
            maps, such as change and the land cover of both dates, writes ``OUTPUT_NAME.tif`` of
            each for ``OUTPUT.tif``.
        config: Config of mmseg or open-cd for classes of pixels, of mmpretrain for classes of
            windows, of mmdet or mmrotate for objects; or the name of a model in the metafiles. A
            loaded :class:`SceneModel` serves for several scenes.
        checkpoint: Weights of the config's model, by default those of its name in the
            :mod:`~mmdynamicvis.zoo`.
        tile: Side of the windows in pixels; by default the input size of the model in the config's
            test. Windows of several modalities begin and end between pixels of all rasters; the
            defaults of ``tile`` and ``overlap`` are rounded accordingly.
        overlap: Number of pixels shared by neighboring windows; by default a quarter of ``tile``.
        bands: Bands of the raster in the order of the model's channels, names or numbers counted
            from 1. By default those of the config's ``LoadGeoTIFF``; if the config loads image
            files, blue, green and red.
        sensor: Sensor of the raster, by default that of the config's ``LoadGeoTIFF``: it finds
            bands by their other names and converts to the config's unit; see ``LoadGeoTIFF``.
        nodata: Value of nodata pixels, for rasters that do not state one.
        alpha: How to interpret a band that the raster calls alpha, if that is ambiguous: 'mask' or
            'band', see ``LoadGeoTIFF``. Of several modalities, ``bands``, ``sensor``, ``nodata``
            and ``alpha`` are given as modality -> value.
        grid: Modality on whose grid the output is, and in whose pixels ``tile`` and ``overlap``
            are; by default the primary one of the backbone, or if that is missing, the finest.
        resample: Modalities whose rasters GDAL resamples to this grid, because they are in another
            reference system or on another grid; see :class:`ModalityScene`. Other rasters are read
            as they are.
        scaling: (low, high): the values that map to 0 and 255, to run models for 8-bit images on
            16-bit rasters.
        probabilities: Write one float32 band of probabilities per class instead of the class map.
        cog: Write a cloud-optimized GeoTIFF.
        min_score: Objects with a lower score are dropped.
        min_agreement: Overlap from which objects of two tiles count as the same, see
            :func:`mmdynamicvis.scenes.merging.merge`.
        device: Device of the model; by default an accelerator if there is one.
        pace: Batch size, readers, and when to stop.

    Returns:
        The output, or the list of them if the model has several maps; None if ``pace`` ended the
        run before they were complete.

    Raises:
        OSError: A file is missing, damaged or not a raster, or the output cannot be written.
        ValueError: The arguments do not match each other or the model; the message says what is
            wrong and how to fix it.
    """
    if not 0 <= min_score <= 1:
        raise ValueError(f'min_score is {min_score}; scores are from 0 to 1')
    output = Path(output)
    by_sensor = scene.values() if isinstance(scene, Mapping) else [scene]
    rasters = [
        file for own in by_sensor for file in ([own] if isinstance(own, (str, Path)) else own)
    ]
    files = [path for path in (config, checkpoint) if isinstance(path, (str, Path))]
    refuse_to_overwrite([output], [*rasters, *files])
    loaded = isinstance(config, SceneModel)
    model = config if loaded else SceneModel(config, checkpoint, device)
    if model.finds == 'objects' and (probabilities or cog):
        raise ValueError(
            f'the model of {model.cfg.filename} finds objects: probabilities and cog are for '
            'classes of pixels'
        )
    arguments = dict(bands=bands, sensor=sensor, nodata=nodata, alpha=alpha)
    if isinstance(scene, Mapping) or model.modalities:
        if scaling is not None:
            raise ValueError(f'scaling is {scaling}: it is for models of one sensor')
        source = _open_modalities(scene, model, arguments, grid, resample)
    elif grid is not None or resample:
        raise ValueError(
            f'grid and resample are for models of several modalities; {model.cfg.filename} has one'
        )
    else:
        source = _open(scene, model, arguments, scaling)
    with source as opened:
        tile = _aligned(_usual_tile(model, opened), opened) if tile is None else tile
        model.warn_of_seams(tile)
        options = dict(
            tile=tile,
            overlap=_aligned(tile // 4, opened, tile) if overlap is None else overlap,
            settings=model.settings,
            pace=pace,
        )
        if model.finds == 'objects':
            options.update(kind=model.shapes, min_score=min_score, min_agreement=min_agreement)
            return detect_scene(opened, model.objects, output, model.classes, **options)
        options.update(probabilities=probabilities, cog=cog)
        if model.maps:
            return segment_maps(opened, model.logits, output, model.maps, **options)
        options.update(palette=model.metainfo.get('palette'))
        return segment_scene(opened, model.logits, output, model.classes, **options)


def _open(
    scene: Rasters,
    model: SceneModel,
    arguments: Mapping[str, Any],
    scaling: tuple[float, float] | None,
) -> Scene:
    """Open the rasters of a model of one sensor."""
    reading = model.reading()
    if scaling is not None:
        if reading.get('unit') in PHYSICAL:
            raise ValueError(
                f'scaling is {tuple(scaling)}, for models of 8-bit images, but '
                f'{model.cfg.filename} reads {reading["unit"]}: leave it out'
            )
        reading.update(dtype=None, unit='stored')
    opened = Scene(scene, LoadGeoTIFF(**_overridden(reading, arguments)), scaling)
    if len(opened.paths) != model.dates:
        raise ValueError(
            f'the model of {model.cfg.filename} takes {model.dates} rasters at once, and '
            f'{len(opened.paths)} are given: {", ".join(opened.paths)}'
        )
    model.check_bands(opened.bands)
    return opened


def _open_modalities(
    scene: Rasters | Mapping[str, Rasters],
    model: SceneModel,
    arguments: Mapping[str, Any],
    grid: str | None,
    resample: Sequence[str],
) -> ModalityScene:
    """Open the rasters of a model of several modalities."""
    known = model.modalities
    if not isinstance(scene, Mapping) or not scene or set(scene) - set(known):
        takes = f'rasters of {", ".join(known)}' if known else 'rasters of one sensor'
        given = f'of {sorted(scene)}' if isinstance(scene, Mapping) else 'without a modality'
        raise ValueError(
            f'the model of {model.cfg.filename} takes {takes}, and rasters {given} are given'
        )
    readings = {}
    for argument, values in arguments.items():
        if values is not None and not isinstance(values, Mapping):
            raise ValueError(
                f'{argument} is {values!r}; for several modalities, say of which it is, as '
                f'{argument}=dict({known[0]}={values!r})'
            )
        if unknown := sorted(set(values or {}) - set(scene)):
            raise ValueError(f'{argument} is of {unknown}, and the rasters are of {sorted(scene)}')
    for name in scene:
        own = {argument: (values or {}).get(name) for argument, values in arguments.items()}
        readings[name] = _overridden(model.reading(name), own)
    loader = model.modality_loader(readings)
    if grid is None and known[0] in scene:
        grid = known[0]
    if grid is None:
        grid = min(scene, key=lambda name: (model.gsd(name) or math.inf, name))
    return ModalityScene(scene, loader, grid, resample)


def _overridden(reading: Mapping[str, Any], arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of ``LoadGeoTIFF`` with those that a user gives."""
    given = {name: value for name, value in arguments.items() if value is not None}
    reading = {**reading, **given}
    if 'bands' in given:
        reading['bands'] = list(given['bands'])
    if 'bands' in given or 'sensor' in given:  # a config without a unit means stored numbers
        reading['unit'] = reading.get('unit') or 'stored'
    return reading


def _usual_tile(model: SceneModel, scene: Scene | ModalityScene) -> int:
    """Return the side of the model's input in the config's test, in pixels of the scene."""
    usual = model.gsd(model.modalities[0]) if isinstance(scene, ModalityScene) else None
    if usual is None:
        return model.tile
    return max(round(model.tile * usual / scene.readings[scene.grid].gsd), 1)


def _aligned(pixels: int, scene: Scene | ModalityScene, tile: int | None = None) -> int:
    """Return the next smaller multiple of a scene's step along sides longer than a tile.

    Pixels smaller than the step are returned unchanged; :class:`Grid` then says what to do.
    """
    tile = pixels if tile is None else tile
    sides = zip((scene.height, scene.width), scene.step, strict=True)
    step = math.lcm(*(step for length, step in sides if length > tile))
    return pixels // step * step or pixels

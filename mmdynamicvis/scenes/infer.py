"""Inference on a raster with a config and a checkpoint."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mmengine.config import Config

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.data.sensors import PHYSICAL
from mmdynamicvis.fileio import refuse_to_overwrite
from mmdynamicvis.scenes.dense import segment_scene
from mmdynamicvis.scenes.models import SceneModel
from mmdynamicvis.scenes.objects import detect_scene
from mmdynamicvis.scenes.reading import Scene
from mmdynamicvis.scenes.tiles import DEFAULT_PACE, Pace


def infer_scene(
    scene: str | Path | Sequence[str | Path],
    output: str | Path,
    config: str | Path | Config | SceneModel,
    checkpoint: str | Path | None = None,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    bands: Sequence[int | str] | None = None,
    sensor: str | None = None,
    nodata: float | None = None,
    alpha: Literal['mask', 'band'] | None = None,
    scaling: tuple[float, float] | None = None,
    probabilities: bool = False,
    cog: bool = False,
    min_score: float = 0.3,
    min_agreement: float = 0.5,
    device: str | None = None,
    pace: Pace = DEFAULT_PACE,
) -> Path | None:
    """Run a model on a scene of any size, tile by tile.

    Memory depends on the size of a tile, not on that of the scene. A run that was killed continues
    when it is started again: results of finished tiles are kept in ``OUTPUT.work`` until the
    output is complete.

    Args:
        scene: GeoTIFF or another raster, a path or a URL (http, https, s3); for change detection
            the rasters of the two dates.
        output: File to write: .tif for classes, .gpkg or .geojson for objects.
        config: Config of mmseg or open-cd for classes of pixels, of mmpretrain for classes of
            windows, of mmdet or mmrotate for objects; or the name of a model in the metafiles. A
            loaded :class:`SceneModel` serves for several scenes.
        checkpoint: Weights of the config's model, by default those of its name in the
            :mod:`~mmdynamicvis.zoo`.
        tile: Side of the windows in pixels; by default the input size of the model in the config's
            test.
        overlap: Number of pixels shared by neighboring windows; by default a quarter of ``tile``.
        bands: Bands of the raster in the order of the model's channels, names or numbers counted
            from 1. By default those of the config's ``LoadGeoTIFF``; if the config loads image
            files, blue, green and red.
        sensor: Sensor of the raster, by default that of the config's ``LoadGeoTIFF``: it finds
            bands by their other names and converts to the config's unit; see ``LoadGeoTIFF``.
        nodata: Value of nodata pixels, for rasters that do not state one.
        alpha: How to interpret a band that the raster calls alpha, if that is ambiguous: 'mask' or
            'band', see ``LoadGeoTIFF``.
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
        The output, or None if ``pace.max_tiles`` ended the run before it was complete.

    Raises:
        OSError: A file is missing, damaged or not a raster, or the output cannot be written.
        ValueError: The arguments do not match each other or the model; the message says what is
            wrong and how to fix it.
    """
    if not 0 <= min_score <= 1:
        raise ValueError(f'min_score is {min_score}; scores are from 0 to 1')
    output = Path(output)
    rasters = [scene] if isinstance(scene, (str, Path)) else scene
    files = [path for path in (config, checkpoint) if isinstance(path, (str, Path))]
    refuse_to_overwrite([output], [*rasters, *files])
    loaded = isinstance(config, SceneModel)
    model = config if loaded else SceneModel(config, checkpoint, device)
    if model.finds == 'objects' and (probabilities or cog):
        raise ValueError(
            f'the model of {model.cfg.filename} finds objects: probabilities and cog are for '
            'classes of pixels'
        )
    tile = model.tile if tile is None else tile
    model.warn_of_seams(tile)
    options = dict(
        tile=tile,
        overlap=tile // 4 if overlap is None else overlap,
        settings=model.settings(),
        pace=pace,
    )
    reading = model.reading()
    if scaling is not None:
        if reading.get('unit') in PHYSICAL:
            raise ValueError(
                f'scaling is {tuple(scaling)}, for models of 8-bit images, but '
                f'{model.cfg.filename} reads {reading["unit"]}: leave it out'
            )
        reading.update(dtype=None, unit='stored')
    if bands is not None:
        reading['bands'] = list(bands)
    if sensor is not None:
        reading['sensor'] = sensor
    if bands is not None or sensor is not None:  # a config without a unit means stored numbers
        reading['unit'] = reading.get('unit') or 'stored'
    if nodata is not None:
        reading['nodata'] = nodata
    if alpha is not None:
        reading['alpha'] = alpha
    with Scene(scene, LoadGeoTIFF(**reading), scaling) as opened:
        if len(opened.paths) != model.dates:
            raise ValueError(
                f'the model of {model.cfg.filename} takes {model.dates} rasters at once, and '
                f'{len(opened.paths)} are given: {", ".join(opened.paths)}'
            )
        model.check_bands(opened.bands)
        if model.finds == 'objects':
            options.update(kind=model.shapes, min_score=min_score, min_agreement=min_agreement)
            return detect_scene(opened, model.objects, output, model.classes, **options)
        options.update(palette=model.metainfo.get('palette'), probabilities=probabilities, cog=cog)
        return segment_scene(opened, model.logits, output, model.classes, **options)

"""From a raster, a config and a checkpoint to a file of predictions."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from mmengine.config import Config

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.fileio import refuse_to_overwrite
from mmdynamicvis.scenes.dense import segment_scene
from mmdynamicvis.scenes.models import SceneModel
from mmdynamicvis.scenes.objects import detect_scene
from mmdynamicvis.scenes.reading import Scene
from mmdynamicvis.scenes.tiles import DEFAULT_PACE, Pace


def infer_scene(
    scene: str | Path | Sequence[str | Path],
    output: str | Path,
    config: str | Path | Config,
    checkpoint: str | Path,
    *,
    tile: int | None = None,
    overlap: int | None = None,
    bands: Sequence[int] | None = None,
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
    """Predict a scene of any size in tiles.

    Memory is bounded by the tile and not by the scene. A run that was killed continues where it
    was when it is started again; its finished tiles are in ``OUTPUT.work`` until the output is
    complete.

    Args:
        scene: GeoTIFF or another raster; for change detection the rasters of the two dates.
        output: File to write: .tif for classes of pixels, .gpkg or .geojson for objects.
        config: Config of mmseg or open-cd for classes of pixels, of mmdet or mmrotate for objects.
        checkpoint: Weights of its model.
        tile: Side of the windows in pixels; by default that of what the model sees at once in the
            config's test.
        overlap: Pixels that neighboring windows share, a quarter of ``tile`` by default.
        bands: Bands that the model takes, in its order and counted from 1. By default those of the
            config's ``LoadGeoTIFF``; where the config loads images from files, those that the
            raster calls blue, green and red, and 3, 2, 1 if it does not.
        nodata: Number of pixels without data, where the raster does not say.
        alpha: What a band is that the raster calls alpha, where it is not clear: 'mask' or 'band',
            see ``LoadGeoTIFF``.
        scaling: (low, high), the numbers that become 0 and 255: for models of 8-bit images on
            rasters of 16 bits.
        probabilities: Write a float32 band of probabilities per class, instead of the classes.
        cog: Write a cloud-optimised GeoTIFF.
        min_score: Objects of a lower score are left out.
        min_agreement: Share of their area from which on objects of two tiles are one.
        device: Where the model runs; an accelerator by default, if there is one.
        pace: Batch size, readers, and where to stop.

    Returns:
        The output; None if ``pace.max_tiles`` ended the run before.

    Raises:
        OSError: A file is missing, damaged or no raster, or the output cannot be written.
        ValueError: What is given does not fit together; the message says what and how to mend it.
    """
    if not 0 <= min_score <= 1:
        raise ValueError(f'min_score is {min_score}; scores are from 0 to 1')
    output = Path(output)
    rasters = [scene] if isinstance(scene, (str, Path)) else scene
    files = [path for path in (config, checkpoint) if isinstance(path, (str, Path))]
    refuse_to_overwrite([output], [*rasters, *files])
    model = SceneModel(config, checkpoint, device)
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
        reading['dtype'] = None
    if bands is not None:
        reading['bands'] = list(bands)
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

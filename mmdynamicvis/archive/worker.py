"""A process of the cluster that holds a model and runs it on scenes."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyogrio
import rasterio
import shapely
import torch
from rasterio.transform import GCPTransformer, RPCTransformer
from rasterio.warp import transform as transform_points

from mmdynamicvis.scenes.grid import Grid
from mmdynamicvis.scenes.infer import infer_scene
from mmdynamicvis.scenes.models import SceneModel
from mmdynamicvis.scenes.remote import open_raster
from mmdynamicvis.scenes.tiles import Pace
from mmdynamicvis.scenes.work_folder import remove_left

WAITS = 30
"""Seconds to wait for the end of another process that works on the same scene."""
EDGE = 20
"""Parts of a side of a scene whose ends are projected, because straight lines become curves."""


class SceneWorker:
    """Holds a model, and runs it on one scene after another.

    Args:
        config: See :func:`mmdynamicvis.scenes.infer_scene`, also for the other arguments.
        checkpoint: Weights.
        device: Device of the model.
        threads: CPU threads of torch.
        options: Other arguments of ``infer_scene``.
    """

    def __init__(
        self,
        config: Any,
        checkpoint: str | Path | None,
        device: str | None,
        threads: int,
        pace: Pace,
        options: dict[str, Any],
    ) -> None:
        torch.set_num_threads(threads)
        self._arguments = (config, checkpoint, device)
        self._options = dict(options, pace=pace)

    @cached_property
    def _model(self) -> SceneModel:
        # not by the constructor, whose errors Ray reports as the death of the worker
        return SceneModel(*self._arguments)

    def describe(self) -> dict[str, Any]:
        """Return what the model finds, its kind of shapes, classes, maps, window and settings."""
        model = self._model
        objects = model.finds == 'objects'
        return dict(
            objects=objects,
            kind=model.shapes if objects else None,
            classes=model.classes,
            maps=[part.name for part in model.maps],
            tile=model.tile,
            settings=model.settings(),
            pid=os.getpid(),
        )

    def survey(self, sources: Sequence[str]) -> list[dict[str, Any]]:
        """Return size, bands and footprint of scenes, or the reason why there are none."""
        return [_survey(source) for source in sources]

    def infer(self, source: str, output: Path) -> dict[str, Any]:
        """Write the output of a scene; return status, reason, warnings, seconds and counts.

        A run that was killed is continued. An error is returned, not raised.
        """
        begin = time.monotonic()
        paths = source.split('\t')
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            warnings.filterwarnings('ignore', category=DeprecationWarning)
            warnings.filterwarnings('ignore', category=FutureWarning)
            try:
                self._infer(paths if len(paths) > 1 else paths[0], output)
                found = dict(status='done', reason='', **self._counts(output))
            except Exception as error:  # recorded, so that it stops no other scene
                found = dict(status='failed', reason=f'{type(error).__name__}: {error}')
        said = dict.fromkeys(str(warning.message) for warning in caught)
        return dict(found, warnings='\n'.join(said), seconds=time.monotonic() - begin)

    def _infer(self, scene: str | list[str], output: Path) -> None:
        for left in reversed(range(WAITS)):
            try:
                if output.exists():  # finished by a worker that died right afterward
                    remove_left(output.with_name(f'{output.name}.work'))
                    return
                infer_scene(scene, output, self._model, **self._options)
                return
            except BlockingIOError:  # a worker of a run that was killed is about to end
                if not left:
                    raise
                time.sleep(1)

    def _counts(self, output: Path) -> dict[str, int]:
        if self._model.finds != 'objects':
            return {}
        return dict(objects=int(pyogrio.read_info(output)['features']))


def windows(height: int, width: int, tile: int, overlap: int) -> int:
    """Return the number of windows of a scene."""
    return len(Grid(height, width, tile, overlap))


def _survey(source: str) -> dict[str, Any]:
    path = source.split('\t')[0]
    try:
        with warnings.catch_warnings():
            warnings.simplefilter('ignore', rasterio.errors.NotGeoreferencedWarning)
            with open_raster(path) as file:
                found = dict(height=file.height, width=file.width, bands=file.count)
                found['transform'] = ' '.join(map(repr, file.transform[:6]))
                geometry = _footprint(file)
    except OSError as error:
        return dict(status='failed', reason=str(error))
    if geometry is None:
        return dict(
            found,
            status='failed',
            reason='it has no reference system, so that it has no place in the index: give it one '
            '(gdal_edit.py -a_srs), or run infer_scene',
        )
    return dict(found, geometry=geometry)


def _footprint(file: rasterio.DatasetReader) -> shapely.Polygon | None:
    """Return the outline of a raster in longitude and latitude; None if it has no place."""
    steps = np.linspace(0, 1, EDGE + 1)[:-1]
    columns = np.concatenate([steps, np.ones(EDGE), 1 - steps, np.zeros(EDGE)]) * file.width
    rows = np.concatenate([np.zeros(EDGE), steps, np.ones(EDGE), 1 - steps]) * file.height
    gcps, gcp_crs = file.gcps
    if file.crs is not None:
        (x, y), crs = file.transform * (columns, rows), file.crs
    elif gcps and gcp_crs is not None:
        with GCPTransformer(gcps) as points:
            (x, y), crs = points.xy(rows, columns, offset='ul'), gcp_crs
    elif file.rpcs is not None:
        with RPCTransformer(file.rpcs, rpc_height=file.rpcs.height_off) as points:
            (x, y), crs = points.xy(rows, columns, offset='ul'), 'EPSG:4326'
    else:
        return None
    x, y = transform_points(crs, 'EPSG:4326', x, y)
    return shapely.Polygon(np.stack([x, y], 1))


def state_of(source: str) -> str:
    """Return sizes and times of modification of a scene's files; empty for remote ones."""
    files = [Path(path) for path in source.split('\t')]
    states = [file.stat() for file in files if file.is_file()]
    return ' '.join(f'{state.st_size}:{state.st_mtime_ns}' for state in states)

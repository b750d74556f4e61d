"""A process of the cluster that holds a model and runs it on scenes."""

from __future__ import annotations

import os
import time
import warnings
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pyogrio
import torch

from mmdynamicvis.archive.pool import Worker
from mmdynamicvis.archive.survey import survey
from mmdynamicvis.scenes.dense import map_paths
from mmdynamicvis.scenes.grid import Grid
from mmdynamicvis.scenes.infer import infer_scene
from mmdynamicvis.scenes.models import SceneModel
from mmdynamicvis.scenes.tiles import Pace
from mmdynamicvis.scenes.work_folder import remove_left

WAITS = 30
"""Seconds to wait for the end of another process that works on the same scene."""


class SceneWorker(Worker):
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
        self._options, self._pace = options, pace

    @cached_property
    def _model(self) -> SceneModel:
        # not by the constructor, whose errors Ray reports as the death of the worker
        return SceneModel(*self._arguments)

    @property
    def _maps(self) -> list[str]:
        return [part.name for part in self._model.maps]

    def describe(self) -> dict[str, Any]:
        """Return what the model finds, its kind of shapes, classes, maps, window and settings."""
        model = self._model
        objects = model.finds == 'objects'
        return dict(
            objects=objects,
            kind=model.shapes if objects else None,
            classes=model.classes,
            maps=self._maps,
            tile=model.tile,
            settings=model.settings,
            pid=os.getpid(),
        )

    def survey(self, sources: Sequence[str]) -> list[dict[str, Any]]:
        """Return size, bands, place and date of scenes, or the reason why there are none."""
        return survey(sources)

    def infer(
        self, source: str, output: Path, part: tuple[int, int] | None = None
    ) -> dict[str, Any]:
        """Write the output of a scene; return status, reason, warnings, seconds and counts.

        A run that was killed is continued. An error is returned, not raised.

        Args:
            source: Path or URL, or those of all dates, separated by tabs.
            output: File to write.
            part: Predict only this part of the windows, see :class:`mmdynamicvis.scenes.Pace`.
        """
        begin = time.monotonic()
        paths = source.split('\t')
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter('always')
            warnings.filterwarnings('ignore', category=DeprecationWarning)
            warnings.filterwarnings('ignore', category=FutureWarning)
            try:
                outputs = map_paths(output, self._maps)
                begin = time.monotonic()  # the model is loaded, which is no time of a scene
                scene = paths if len(paths) > 1 else paths[0]
                self._infer(scene, output, outputs, replace(self._pace, part=part))
                counts = {} if part else self._counts(output)
                found = dict(status='done', reason='', **counts)
            except Exception as error:  # recorded, so that it stops no other scene
                found = dict(status='failed', reason=f'{type(error).__name__}: {error}')
        said = dict.fromkeys(str(warning.message) for warning in caught)
        return dict(found, warnings='\n'.join(said), seconds=time.monotonic() - begin)

    def _infer(
        self, scene: str | list[str], output: Path, outputs: Sequence[Path], pace: Pace
    ) -> None:
        for left in reversed(range(WAITS)):
            try:
                # finished by a worker that died right afterward
                if all(path.exists() for path in outputs):
                    remove_left(output.with_name(f'{output.name}.work'))
                    return
                infer_scene(scene, output, self._model, pace=pace, **self._options)
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

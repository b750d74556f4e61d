"""Visualization of predictions on images with any number of bands."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmengine.runner import Runner
from mmseg.engine import SegVisualizationHook
from mmseg.structures import SegDataSample

from mmdynamicvis.registry import HOOKS, TRANSFORMS
from mmdynamicvis.visualization.pictures import as_picture


@HOOKS.register_module()
class BandsVisualizationHook(SegVisualizationHook):
    """mmseg's ``SegVisualizationHook`` for GeoTIFFs with any number of bands.

    The host's hook reads only images of one or three bands. Three bands are shown, stretched by
    ``as_picture``; nodata pixels are black. For image pairs, the first date is shown.

    Args:
        bands: Bands to show as red, green and blue, names or numbers counted from 1.
        sensor: Sensor that has bands of these names, as in ``LoadGeoTIFF``.
        **kwargs: Arguments of mmseg's class.

    Raises:
        ValueError: There are not three bands.
    """

    def __init__(
        self, bands: Sequence[int | str] = (1, 2, 3), sensor: str | None = None, **kwargs: Any
    ) -> None:
        if len(bands) != 3:
            raise ValueError(f'bands is {bands}; give three, for red, green and blue')
        super().__init__(**kwargs)
        self.tested = 0
        # the loader of the model has already decided how to interpret an alpha band
        options = dict(bands=list(bands), sensor=sensor, unit='stored', alpha='band')
        self.load = TRANSFORMS.build(dict(type='mmdynamicvis.LoadGeoTIFF', **options))

    def after_val_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Draw the first sample of the batch, every ``interval`` batches."""
        step = runner.iter + batch_idx
        if self.draw and step % self.interval == 0:
            self._draw('val', outputs[0], step)

    def after_test_iter(
        self, runner: Runner, batch_idx: int, data_batch: dict, outputs: Sequence[SegDataSample]
    ) -> None:
        """Draw every sample."""
        if self.draw:
            for sample in outputs:
                self.tested += 1
                self._draw('test', sample, self.tested)

    def _draw(self, split: str, sample: SegDataSample, step: int) -> None:
        loaded = self.load(dict(img_path=sample.img_path))
        picture = as_picture(loaded['img'].transpose(2, 0, 1))
        picture[loaded['nodata']] = 0
        self._visualizer.add_datasample(
            f'{split}_{Path(sample.img_path).name}',
            picture,
            data_sample=sample,
            show=self.show,
            wait_time=self.wait_time,
            step=step,
        )

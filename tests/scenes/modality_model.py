"""A small segmentor of three sensors with random weights, and rasters for it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from rasters import write_raster

from mmdynamicvis.models.weights import save_weights

CONFIG = 'segmentation/upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px.py'
WIDTHS = (8, 12, 16, 20)
FOLDERS = dict(sentinel2='S2L2A', sentinel1='S1RTC', dem='DEM')


class ModalityModel:
    """The model of the land cover config, small, and its checkpoint.

    ``sentinel2`` replaces its sensors by bands of Sentinel-2, by the name of a modality that ends
    with their meters.
    """

    def __init__(
        self, configs: Path, folder: Path, sentinel2: dict | None = None, **gsd: float
    ) -> None:
        self.cfg = Config.fromfile(configs / CONFIG)
        model = self.cfg.model
        if sentinel2 is not None:
            self._replace_sensors(sentinel2)
        model.backbone.update(arch=dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1)), img_size=48)
        for name, meters in gsd.items():
            model.backbone.modalities[name].gsd = meters
        model.neck.update(in_channels=WIDTHS, out_channels=8)
        model.decode_head.update(in_channels=[8] * 4, channels=8)
        model.auxiliary_head.update(in_channels=8, channels=8)
        init_default_scope(self.cfg.default_scope)
        torch.manual_seed(0)
        self.model = MODELS.build(dict(model, data_preprocessor=self.cfg.data_preprocessor)).eval()
        self.checkpoint = folder / 'random.safetensors'
        save_weights(self.model.state_dict(), self.checkpoint)

    def _replace_sensors(self, bands: dict[str, tuple[str, ...]]) -> None:
        gsd = {name: float(name.rpartition('_')[2]) for name in bands}
        backbone = self.cfg.model.backbone
        backbone.primary = next(iter(bands))
        backbone.modalities = {
            name: dict(bands=own, gsd=gsd[name], unit='stored') for name, own in bands.items()
        }
        self.cfg.model.neck.modalities = tuple(bands)
        self.cfg.data_preprocessor.modalities = {
            name: dict(unit='stored', mean=[1500.0] * len(own), std=[900.0] * len(own))
            for name, own in bands.items()
        }
        load = self.cfg.test_pipeline[0]
        load.gsd = gsd
        load.loaders = {
            name: dict(
                type='mmdynamicvis.LoadGeoTIFF', bands=tuple(range(1, len(own) + 1)), unit='stored'
            )
            for name, own in bands.items()
        }
        self.cfg.test_dataloader.dataset.pipeline = self.cfg.test_pipeline

    @torch.no_grad()
    def on_files(self, modalities: dict, shape: tuple[int, int] | None = None) -> np.ndarray:
        """Return the logits of a sample by the config's own pipeline, and of a shape if given."""
        load, *_, pack = self.cfg.test_pipeline
        sample = Compose([load])(dict(modalities=modalities, seg_fields=[]))
        if shape is not None:
            sample.update(img_shape=shape, ori_shape=shape)
        packed = Compose([pack])(sample)
        return self.model.test_step(pseudo_collate([packed]))[0].seg_logits.data.numpy()


def probabilities(logits_KHW: np.ndarray) -> np.ndarray:
    scores = np.exp(logits_KHW - logits_KHW.max(0))
    return scores / scores.sum(0)


def write_tile(folder: Path, size: int = 48, **gsd: float) -> dict[str, str]:
    """Write the rasters of a footprint of ``size`` pixels of 10 m."""
    rng = np.random.default_rng(0)
    gsd = {**dict(sentinel2=10.0, sentinel1=10.0, dem=10.0), **gsd}
    sides = {name: round(size * 10 / meters) for name, meters in gsd.items()}
    images = dict(
        sentinel2=rng.integers(1, 8000, (12, *[sides['sentinel2']] * 2), dtype=np.int16),
        sentinel1=rng.normal(-12, 4, (2, *[sides['sentinel1']] * 2)).astype(np.float32),
        dem=rng.integers(0, 900, (1, *[sides['dem']] * 2), dtype=np.int16),
    )
    return {
        name: write_raster(folder / f'{name}.tif', image, gsd[name])
        for name, image in images.items()
    }

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
    """The model of the land cover config, small, and its checkpoint."""

    def __init__(self, configs: Path, folder: Path, **gsd: float) -> None:
        self.cfg = Config.fromfile(configs / CONFIG)
        model = self.cfg.model
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

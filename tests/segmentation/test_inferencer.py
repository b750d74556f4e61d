"""mmseg's own inferencer with our configs, as their README says."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope
from mmseg.apis import MMSegInferencer
from PIL import Image

from mmdynamicvis.data.geotiff import LoadGeoTIFF
from mmdynamicvis.segmentation import WHUSegDataset

from .makers import SIZE, write_bands, write_whu_building
from .small_model import load


@pytest.fixture
def inferencer(checkout, tmp_path):
    """Return the inferencer of a config with random weights, its pipeline as the README has it."""

    def build(name: str, pipeline: list[dict] | None = None) -> MMSegInferencer:
        cfg = load(checkout / 'configs/segmentation' / name, tmp_path, tmp_path / 'work')
        init_default_scope('mmseg')
        weights = MODELS.build(cfg.model).state_dict()
        content = dict(state_dict=weights, meta=dict(dataset_meta=WHUSegDataset.METAINFO))
        torch.save(content, tmp_path / 'random.pth')
        cfg.model.data_preprocessor = cfg.data_preprocessor
        if pipeline is None:
            cfg.test_dataloader.dataset.pipeline[0] = dict(type='LoadImageFromFile')
        else:
            cfg.test_dataloader.dataset.pipeline = pipeline
        return MMSegInferencer(cfg, str(tmp_path / 'random.pth'), device='cpu')

    return build


def test_image_files(inferencer, tmp_path):
    write_whu_building(tmp_path)
    predict = inferencer('upernet_dynamicvis-base_1xb8-200e_whu-building-512px.py')
    result = predict(str(tmp_path / 'val/image/0.tif'), out_dir=str(tmp_path / 'out'))
    mask = np.array(Image.open(tmp_path / 'out/pred/00000000_pred.png'))
    assert (mask == result['predictions']).all()
    assert mask.shape == (SIZE, SIZE)
    assert Image.open(tmp_path / 'out/vis/0.tif').size == (SIZE, SIZE)


def test_arrays_of_thirteen_bands(inferencer, tmp_path):
    write_bands(tmp_path, 13, 'uint16', images=1)
    pipeline = [dict(type='LoadImageFromFile'), dict(type='PackSegInputs')]
    name = 'upernet_dynamicvis-base_1xb8-200e-scratch_sentinel2-256px.py'
    predict = inferencer(name, pipeline)
    image = LoadGeoTIFF()(dict(img_path=str(tmp_path / 'val/images/0.tif')))['img']
    mask = predict(image)['predictions']
    assert mask.shape == (SIZE, SIZE)
    assert set(np.unique(mask)) <= {0, 1}

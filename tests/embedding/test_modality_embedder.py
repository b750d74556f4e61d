"""Embeddings of several sensors: those of the model that a config's Runner trains and tests."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from rasters import write_raster

from mmdynamicvis.embedding import Embedder, ModalityEmbedder
from mmdynamicvis.embedding.image_index import make_embedder, settings_of
from mmdynamicvis.models.weights import save_weights

CONFIGS = Path(__file__).resolve().parents[2] / 'configs'
LAND_COVER = 'segmentation/upernet_multimodal-dynamicvis-tiny_1xb8-50e_terramind-lulc-224px.py'
PATCHES = 'classification/multimodal-dynamicvis-tiny_1xb64-10e_bigearthnet-120px.py'
PRETRAINING = 'pretraining/modality_multimodal-dynamicvis-tiny_1xb8-50e_terramesh-224px.py'
WIDTHS = (8, 12, 16, 20)
FOLDERS = dict(sentinel2='S2L2A', sentinel1='S1RTC', dem='DEM')


def small(name: str) -> Config:
    cfg = Config.fromfile(CONFIGS / name)
    cfg.model.backbone.update(arch=dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1)))
    neck = cfg.model.neck[0] if isinstance(cfg.model.neck, list) else cfg.model.neck
    neck.update(in_channels=WIDTHS[-len(neck.in_channels) :], out_channels=8)
    if 'decode_head' in cfg.model:
        cfg.model.decode_head.update(in_channels=[8] * 4, channels=8)
        cfg.model.auxiliary_head.update(in_channels=8, channels=8)
    elif 'head' in cfg.model:
        cfg.model.head.in_channels = 8
    return cfg


def build(cfg: Config, folder: Path):
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor)).eval()
    save_weights(model.state_dict(), folder / 'weights.safetensors')
    return model, folder / 'weights.safetensors'


@pytest.fixture(scope='module')
def land_cover(tmp_path_factory):
    cfg = small(LAND_COVER)
    return cfg, *build(cfg, tmp_path_factory.mktemp('land_cover'))


def tile(folder: Path, size: int, seed: int = 0) -> dict[str, str]:
    rng = np.random.default_rng(seed)
    images = dict(
        sentinel2=rng.integers(1, 8000, (12, size, size), dtype=np.int16),
        sentinel1=rng.normal(-12, 4, (2, size, size)).astype(np.float32),
        dem=rng.integers(0, 900, (1, size, size), dtype=np.int16),
    )
    return {
        name: write_raster(folder / f'{seed}_{size}_{name}.tif', image)
        for name, image in images.items()
    }


def by_the_model(cfg: Config, model, sample: dict) -> tuple[torch.Tensor, ...]:
    load, *_, pack = cfg.train_pipeline
    packed = Compose([load, pack])(dict(modalities=sample, seg_fields=[]))
    with torch.no_grad():
        batch = model.data_preprocessor(pseudo_collate([packed]))['inputs']
        return model.neck(model.backbone(batch))


def test_embeds_what_the_model_sees(land_cover, tmp_path):
    """Of places with other sizes and sensors each, in the order given."""
    cfg, model, weights = land_cover
    embedder = ModalityEmbedder(cfg, weights, device='cpu', batch_size=2)
    first, second, large = tile(tmp_path, 32), tile(tmp_path, 32, 1), tile(tmp_path, 48, 2)
    samples = [first, second, dict(dem=first['dem']), large, dict(first, dem=None), first]
    samples.append(dict(first, sentinel1=[first['sentinel1'], second['sentinel1']]))
    vectors = embedder(samples)
    assert vectors.shape == (7, 8) and vectors.dtype == torch.float32
    for sample, vector in zip(samples, vectors, strict=True):
        expected = by_the_model(cfg, model, sample)
        torch.testing.assert_close(vector, expected[-1][0].mean((1, 2)), rtol=1e-5, atol=1e-5)
    assert len({tuple(vector.tolist()) for vector in vectors.round(decimals=4)}) == 6
    for level, expected in zip(embedder.maps(large), by_the_model(cfg, model, large), strict=True):
        torch.testing.assert_close(level, expected[0], rtol=1e-5, atol=1e-5)
    assert embedder([]).shape == (0, 8)


def test_arrays_are_as_files_in_the_units_of_the_config(land_cover, tmp_path):
    cfg, _, weights = land_cover
    embedder = ModalityEmbedder(cfg, weights, device='cpu')
    files = tile(tmp_path, 64)
    images = {}
    for name, path in files.items():
        with rasterio.open(path) as file:
            images[name] = file.read().astype(np.float32)
    images['sentinel2'] *= np.float32(1e-4)
    arrays = {name: image.transpose(1, 2, 0) for name, image in images.items()}
    tensors = {name: torch.from_numpy(image) for name, image in images.items()}
    expected = embedder([files])
    torch.testing.assert_close(embedder([arrays]), expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(embedder([tensors]), expected, rtol=1e-5, atol=1e-5)
    coarse = {**arrays, 'dem': arrays['dem'][::2, ::2]}
    with pytest.raises(ValueError, match='one footprint'):
        embedder([coarse])
    of_20_m = ModalityEmbedder(cfg, weights, device='cpu', gsd=dict(dem=20.0))
    assert of_20_m([coarse]).isfinite().all()


def test_parts_of_a_classifier_and_of_a_pretraining(tmp_path):
    """A list of necks; and a file with backbone and neck alone."""
    for name in (PATCHES, PRETRAINING):
        cfg = small(name)
        model, weights = build(cfg, tmp_path)
        kept = {
            key: value
            for key, value in model.state_dict().items()
            if key.startswith(('backbone.', 'neck.'))
        }
        save_weights(kept, tmp_path / 'parts.safetensors')
        whole = ModalityEmbedder(cfg, weights, device='cpu')
        parts = ModalityEmbedder(cfg, tmp_path / 'parts.safetensors', device='cpu')
        sample = dict(sentinel2=torch.rand(len(cfg.s2_bands), 32, 32))
        assert whole([sample]).abs().max() > 0
        torch.testing.assert_close(whole([sample]), parts([sample]), rtol=0, atol=0)


def test_what_is_refused(land_cover, tmp_path):
    cfg, model, weights = land_cover
    files = tile(tmp_path, 32)
    embedder = ModalityEmbedder(cfg, weights, device='cpu')
    with pytest.raises(TypeError, match='give a list'):
        embedder(files)
    for sample, message in (
        (dict(lidar=files['dem']), r"modalities \['lidar'\]"),
        ({}, 'no image of any modality'),
        (dict(files, dem=np.zeros((32, 32, 1))), 'files and arrays'),
        (dict(sentinel1=torch.zeros(3, 32, 32)), 'sentinel1 have 3 bands'),
        (dict(dem=[torch.zeros(1, 32, 32), torch.zeros(1, 16, 16)]), 'dates of dem differ'),
        (dict(files, dem=write_raster(tmp_path / 'half.tif', np.ones((16, 16)))), r'half\.tif'),
    ):
        with pytest.raises(ValueError, match=message):
            embedder([sample])
    embedder.model['neck'].projections[-1].bias.data[0] = torch.nan
    with pytest.raises(ValueError, match='sample 0 is NaN'):
        embedder([files])
    with pytest.raises(ValueError, match='gsd is of'):
        ModalityEmbedder(cfg, weights, gsd=dict(lidar=1.0))
    with pytest.raises(ValueError, match='meters per pixel'):
        ModalityEmbedder(cfg, weights, gsd=dict(dem=0.0))
    with pytest.raises(ValueError, match='there are no weights'):
        ModalityEmbedder(cfg)
    other = copy.deepcopy(cfg)
    other.model.neck = dict(type='FPN')
    with pytest.raises(ValueError, match=r'the neck of .* is FPN, not ModalityNeck'):
        ModalityEmbedder(other, weights)
    wrong = {key: value for key, value in model.state_dict().items() if 'tokenizers.dem' not in key}
    save_weights(wrong, tmp_path / 'wrong.safetensors')
    with pytest.raises(ValueError, match=r'tokenizers\.dem.* is missing'):
        ModalityEmbedder(cfg, tmp_path / 'wrong.safetensors')
    # an index, and Embedder, are for one sensor
    cfg.dump(tmp_path / 'config.py')
    with pytest.raises(ValueError, match=r'ModalityEmbedder\. Image indices'):
        Embedder(tmp_path / 'config.py')
    with pytest.raises(ValueError, match=r'ModalityEmbedder\. Image indices'):
        make_embedder(settings_of(tmp_path / 'config.py', weights))

"""Vectors of images, of their places and of regions."""

from __future__ import annotations

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmengine.model import ImgDataPreprocessor
from PIL import Image
from rasterio.transform import from_origin

from mmdynamicvis import DynamicVis
from mmdynamicvis.embedding import Embedder
from mmdynamicvis.embedding import embedder as embedder_module
from mmdynamicvis.models.state_dict_map import convert_layout
from mmdynamicvis.models.weights import save_weights

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 2, 1))


def random_backbone(**options) -> DynamicVis:
    torch.manual_seed(0)
    model = DynamicVis(ARCH, **options).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.05)
    return model


def random_image(height: int, width: int, bands: int = 3) -> np.ndarray:
    rng = np.random.default_rng(height * width)
    return rng.integers(0, 256, (height, width, bands), dtype=np.uint8)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """A whole model's file whose backbone has a position embedding of 48 x 64 pixels."""
    weights = random_backbone(img_size=(48, 64), scan_mode='gate').state_dict()
    path = tmp_path / 'model.safetensors'
    head = {'head.fc.weight': torch.rand(2, 20)}
    save_weights({**{f'backbone.{n}': t for n, t in weights.items()}, **head}, path)
    return path


@pytest.fixture
def embedder(checkpoint: Path) -> Embedder:
    return Embedder(checkpoint, device='cpu', batch_size=2)


def test_the_checkpoint_tells_the_backbone(embedder: Embedder) -> None:
    image = random_image(48, 64)
    expected = random_backbone(img_size=(48, 64), scan_mode='gate')
    mean, std = (np.float32(v) for v in ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)))
    pixels = torch.from_numpy((image - mean) / std).movedim(-1, 0)
    with torch.no_grad():
        last = expected(pixels[None].float())[-1]
    torch.testing.assert_close(embedder([image]), last.mean((2, 3)), rtol=1e-4, atol=1e-5)


def test_published_names_give_the_same(embedder: Embedder, tmp_path: Path) -> None:
    weights = random_backbone(img_size=(64, 64), published=True).state_dict()
    save_weights(weights, tmp_path / 'ours.safetensors')
    save_weights(convert_layout(weights, 'published'), tmp_path / 'published.pth')
    image = random_image(64, 96)
    ours, published = (
        Embedder(tmp_path / name, device='cpu')([image])
        for name in ('ours.safetensors', 'published.pth')
    )
    assert torch.equal(ours, published)


def test_files_arrays_and_tensors_are_one(embedder: Embedder, tmp_path: Path) -> None:
    image = random_image(40, 70)
    cv2.imwrite(str(tmp_path / 'image.png'), image[..., ::-1])
    tensor = torch.from_numpy(image).movedim(-1, 0)
    vectors = embedder([str(tmp_path / 'image.png'), tmp_path / 'image.png', image, tensor])
    assert vectors.shape == (4, 20)
    # a convolution may round by an image's place in the batch
    torch.testing.assert_close(vectors, vectors[:1].expand(4, 20), rtol=1e-5, atol=1e-6)


def test_batches_keep_the_order_of_images_of_any_size(embedder: Embedder) -> None:
    sizes = [(40, 70), (40, 70), (40, 70), (64, 33), (40, 70)]
    images = [random_image(*size) + np.uint8(i) for i, size in enumerate(sizes)]
    together = embedder(images)
    single = torch.cat([embedder([image]) for image in images])
    torch.testing.assert_close(together, single, rtol=1e-4, atol=1e-5)
    assert len(together.unique(dim=0)) == len(images)
    assert embedder([]).shape == (0, 20)


def test_images_are_resized_on_demand(checkpoint: Path) -> None:
    embedder = Embedder(checkpoint, device='cpu', size=(64, 64))
    assert [tuple(level.shape) for level in embedder.maps(random_image(40, 70))] == [
        (8, 16, 16), (12, 8, 8), (16, 4, 4), (20, 2, 2)
    ]  # fmt: skip


def test_maps_have_the_strides_of_the_stages(embedder: Embedder) -> None:
    shapes = [tuple(level.shape) for level in embedder.maps(random_image(66, 100))]
    assert shapes == [(8, 17, 25), (12, 9, 13), (16, 5, 7), (20, 3, 4)]


def test_a_region_is_what_lies_in_it(embedder: Embedder) -> None:
    image = random_image(64, 96)
    boxes = [[0, 0, 96, 64], [32, 0, 64, 32], [32, 0, 64, 32.5]]
    regions = embedder.regions(image, boxes)
    assert regions.shape == (3, 8 + 12 + 16 + 20)
    # of a map with one place per 32 pixels, the box is exactly one place
    last = embedder.maps(image)[-1]
    torch.testing.assert_close(regions[1, -20:], last[:, 0, 1], rtol=0.2, atol=0.2)
    torch.testing.assert_close(regions[1], regions[2], rtol=0.1, atol=0.1)
    assert not torch.allclose(regions[0], regions[1], atol=1e-3)
    assert embedder.regions(image, []).shape == (0, 56)


def test_a_config_gives_backbone_and_normalization(checkpoint: Path, tmp_path: Path) -> None:
    backbone = dict(type='mmdynamicvis.DynamicVis', arch=ARCH, img_size=(48, 64), scan_mode='gate')
    image = random_image(48, 64)
    init_cfg = dict(type='Pretrained', checkpoint=str(checkpoint), prefix='backbone.')
    for turned in (True, False):
        preprocessor = dict(mean=[10.0, 20, 30], std=[2.0, 3, 4], bgr_to_rgb=turned)
        cfg = Config(
            dict(
                model=dict(backbone=dict(backbone, init_cfg=init_cfg)),
                data_preprocessor=preprocessor,
            )
        )
        # hosts load B, G, R
        loaded = torch.from_numpy(image[..., ::-1].copy()).movedim(-1, 0)
        inputs = ImgDataPreprocessor(**preprocessor)(dict(inputs=[loaded]))['inputs']
        model = DynamicVis.from_checkpoint(checkpoint, img_size=(48, 64), scan_mode='gate').eval()
        with torch.inference_mode():
            expected = model(inputs)[-1].mean((2, 3))
        path = tmp_path / f'config_{turned}.py'
        cfg.dump(path)
        for embedder in (
            Embedder(path, device='cpu'),
            Embedder(cfg, checkpoint=checkpoint, device='cpu'),
        ):
            torch.testing.assert_close(embedder([image]), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize('turned', [True, False])
@pytest.mark.parametrize(
    'loader',
    [
        dict(type='mmdynamicvis.LoadGeoTIFF', bands=[3, 2, 1]),
        dict(type='mmdynamicvis.LoadBandFiles', bands=['B8A', 'B11', 'B12'], scaling=(0, 4000)),
    ],
)
def test_bands_are_in_the_order_of_the_loader(checkpoint: Path, loader: dict, turned: bool) -> None:
    preprocessor = dict(mean=[10.0, 20, 30], std=[2.0, 3, 4], bgr_to_rgb=turned)
    backbone = dict(type='DynamicVis', arch=ARCH, img_size=(48, 64), scan_mode='gate')
    cfg = Config(
        dict(
            model=dict(backbone=backbone),
            data_preprocessor=preprocessor,
            test_dataloader=dict(dataset=dict(type='Any', pipeline=[loader])),
        )
    )
    bands = torch.from_numpy(random_image(48, 64)).movedim(-1, 0).float()
    embedder = Embedder(cfg, checkpoint=checkpoint, device='cpu')
    inputs = ImgDataPreprocessor(**preprocessor)(dict(inputs=[bands]))['inputs']
    with torch.inference_mode():
        expected = embedder.model(inputs)[-1].mean((2, 3))
    torch.testing.assert_close(embedder([bands]), expected, rtol=1e-4, atol=1e-5)


def test_a_change_detector_gives_the_normalization_of_one_date(checkpoint: Path) -> None:
    mean, std = [10.0, 20, 30], [2.0, 3, 4]
    cfg = Config(
        dict(
            model=dict(backbone=dict(type='DynamicVis', arch=ARCH, img_size=(48, 64))),
            data_preprocessor=dict(mean=mean * 2, std=std * 2, bgr_to_rgb=True),
            test_dataloader=dict(
                dataset=dict(type='Any', pipeline=[dict(type='MultiImgLoadImageFromFile')])
            ),
        )
    )
    options = dict(scan_mode='gate', device='cpu')
    embedder = Embedder(cfg, checkpoint=checkpoint, **options)
    image = random_image(48, 64)
    expected = Embedder(checkpoint, mean=mean, std=std, **options)([image])
    assert torch.equal(embedder([image]), expected)


def test_bands_of_a_raster(tmp_path: Path) -> None:
    rasterio = pytest.importorskip('rasterio')
    image = random_image(48, 64, bands=6).astype(np.uint16) * 40
    with rasterio.open(
        tmp_path / 'scene.tif', 'w', driver='GTiff', height=48, width=64, count=6, dtype='uint16'
    ) as file:
        file.write(image.transpose(2, 0, 1))
    save_weights(random_backbone(in_channels=4).state_dict(), tmp_path / 'four.safetensors')
    options = dict(mean=[5000.0] * 4, std=[3000.0] * 4, device='cpu')
    embedder = Embedder(tmp_path / 'four.safetensors', bands=(4, 3, 2, 6), **options)
    chosen = image[..., [3, 2, 1, 5]]
    assert torch.equal(embedder([tmp_path / 'scene.tif']), embedder([chosen.astype(np.float32)]))
    with pytest.raises(ValueError, match=r'scene.tif has 6 bands, the backbone takes 4.*bands='):
        Embedder(tmp_path / 'four.safetensors', **options)([tmp_path / 'scene.tif'])
    with pytest.raises(ValueError, match='takes 4 bands, but mean has 3 values'):
        Embedder(tmp_path / 'four.safetensors', device='cpu')


def write_raster(path: Path, image: np.ndarray, names: tuple[str, ...] = ()) -> Path:
    height, width, bands = image.shape
    profile = dict(driver='GTiff', height=height, width=width, count=bands, dtype=image.dtype)
    with rasterio.open(path, 'w', **profile) as file:
        file.write(image.transpose(2, 0, 1))
        for band, name in enumerate(names, 1):
            file.set_band_description(band, name)
    return path


def test_bands_by_name_in_the_unit_of_a_config(tmp_path: Path) -> None:
    image = random_image(48, 64, bands=12).astype(np.uint16) * 30
    path = write_raster(tmp_path / 'scene.tif', image)
    reading = dict(bands=['nir', 'red'], sensor='sentinel2', unit='reflectance')
    step = dict(type='mmdynamicvis.LoadGeoTIFF', **reading)
    dataset = dict(type='Any', pipeline=[step])
    backbone = dict(type='mmdynamicvis.DynamicVis', arch=ARCH, img_size=64, bands=['nir', 'red'])
    cfg = Config(
        dict(
            model=dict(backbone=backbone),
            data_preprocessor=dict(mean=[0.3, 0.2], std=[0.2, 0.2]),
            test_dataloader=dict(dataset=dataset),
        )
    )
    weights = tmp_path / 'two.safetensors'
    save_weights(random_backbone(img_size=64, bands=('nir', 'red')).state_dict(), weights)
    embedder = Embedder(cfg, checkpoint=weights, device='cpu')
    values = (image[..., [7, 3]] - 1000.0) / 1e4
    expected = embedder([values.astype(np.float32)])
    torch.testing.assert_close(embedder([path]), expected, rtol=1e-4, atol=1e-5)
    # what a model that is given by its weights alone needs
    units = dict(mean=[0.3, 0.2], std=[0.2, 0.2], device='cpu')
    named = Embedder(weights, **reading, **units)
    assert torch.equal(named([path]), embedder([path]))
    with pytest.raises(ValueError, match=r"unit is 'dB'; .* 'reflectance', 'uint8', 'stored'"):
        Embedder(weights, **dict(reading, unit='dB'), **units)
    with pytest.raises(RuntimeError, match=r'projection\.weight of band swir16'):
        wider = dict(backbone, bands=['nir', 'red', 'swir16'])
        three = dict(mean=[0.3] * 3, std=[0.2] * 3)
        wide = Config(dict(cfg, model=dict(backbone=wider), data_preprocessor=three))
        Embedder(wide, checkpoint=weights, device='cpu')


def test_a_model_card_names_the_bands(tmp_path: Path) -> None:
    image = random_image(64, 64, bands=4)
    path = write_raster(tmp_path / 'scene.tif', image, ('B02', 'B03', 'B04', 'B08'))
    name = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'
    embedder = Embedder(name, sensor='sentinel2', device='cpu')
    assert torch.equal(embedder([path]), embedder([image[..., [2, 1, 0]]]))
    with pytest.raises(ValueError, match=r"scene\.tif has no band 'red'; its bands are 1: B02"):
        Embedder(name, device='cpu')([path])


def test_other_units_than_those_of_the_mean_are_refused(embedder: Embedder, tmp_path: Path) -> None:
    rasterio = pytest.importorskip('rasterio')
    image = random_image(48, 64).astype(np.uint16) * 40
    path = tmp_path / 'scene.tif'
    profile = dict(driver='GTiff', height=48, width=64, count=3, dtype='uint16')
    with rasterio.open(path, 'w', **profile) as file:
        file.write(image.transpose(2, 0, 1))
    with pytest.raises(ValueError, match=r'scene\.tif has dtype uint16, not uint8'):
        embedder([path])
    for array in (image, torch.from_numpy(image.transpose(2, 0, 1).astype(np.float32))):
        with pytest.raises(
            ValueError, match='values up to 10200, but the mean is that of 8-bit images'
        ):
            embedder([array])
    units = dict(mean=[5000.0] * 3, std=[3000.0] * 3)
    assert Embedder(arch='tiny', device='cpu', **units)([path]).shape == (1, 384)


def test_a_folder_with_its_names(embedder: Embedder, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / 'archive'
    (folder / 'b').mkdir(parents=True)
    for name in ('z.png', 'b/a.jpg', 'b/c.png'):
        cv2.imwrite(str(folder / name), random_image(40, 40))
    (folder / 'notes.txt').write_text('no image')
    (folder / 'damaged.png').write_bytes(b'no image')
    said = []
    monkeypatch.setattr(embedder_module, 'print_log', lambda text, *args: said.append(text))
    embeddings = embedder.folder(folder)
    (text,) = said
    assert text.startswith(f'left out {folder / "damaged.png"}: cannot load image')
    assert embeddings.names == ['b/a.jpg', 'b/c.png', 'z.png']
    assert torch.equal(embeddings.vectors, embedder([folder / n for n in embeddings.names]))
    (tmp_path / 'empty').mkdir()
    with pytest.raises(FileNotFoundError, match='has no images'):
        embedder.folder(tmp_path / 'empty')


def write_unfit_images(folder: Path) -> dict[str, str]:
    """Write a good image among unfit ones; return what is wrong by file name."""
    rasterio = pytest.importorskip('rasterio')
    Image.fromarray(random_image(64, 80)).save(folder / 'good.png')
    Image.fromarray(random_image(16, 80)).save(folder / 'thin.png')
    Image.fromarray(random_image(640, 640)).save(folder / 'short.jpg')
    content = (folder / 'short.jpg').read_bytes()
    (folder / 'short.jpg').write_bytes(content[: len(content) // 2])
    (folder / 'text.png').write_text('no image')
    for name, bands, value in (('bands.tif', 4, 1), ('huge.tif', 3, -3.4e38)):
        options = dict(driver='GTiff', count=bands, height=64, width=64, dtype='float32')
        with rasterio.open(folder / name, 'w', **options) as file:
            file.write(np.full((bands, 64, 64), value, np.float32))
    return {
        'bands.tif': 'has 4 bands, the backbone takes 3',
        'huge.tif': 'is NaN or infinite',
        'short.jpg': 'cannot load image',
        'text.png': 'cannot load image',
        'thin.png': 'has 80 x 16 pixels, but the backbone needs at least 32',
    }


@pytest.mark.parametrize('batch_size', [1, 16])
def test_images_that_do_not_fit_are_named_and_left_out(
    checkpoint: Path, tmp_path: Path, monkeypatch, batch_size: int
) -> None:
    wrong = write_unfit_images(tmp_path)
    # of any units, since some are floats
    units = dict(mean=[100] * 3, std=[50] * 3)
    embedder, said = Embedder(checkpoint, device='cpu', batch_size=batch_size, **units), []
    monkeypatch.setattr(embedder_module, 'print_log', lambda text, *args: said.append(text))
    embeddings = embedder.folder(tmp_path)
    assert embeddings.names == ['good.png']
    assert torch.equal(embeddings.vectors, embedder([tmp_path / 'good.png']))
    for text, (name, message) in zip(said, wrong.items(), strict=True):
        assert text.startswith(f'left out {tmp_path / name}: ') and message in text
        with pytest.raises((OSError, ValueError), match=message) as error:
            embedder([tmp_path / 'good.png', tmp_path / name])
        assert str(tmp_path / name) in str(error.value)


def test_what_a_machine_cannot_hold_is_left_out(embedder: Embedder, tmp_path: Path) -> None:
    for name, side in (('a.png', 40), ('b.png', 72), ('c.png', 40)):
        Image.fromarray(random_image(side, side)).save(tmp_path / name)

    def refuse_large(module, inputs) -> None:
        if inputs[0].shape[2] > 64:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    embedder.model.register_forward_pre_hook(refuse_large)
    assert embedder.folder(tmp_path).names == ['a.png', 'c.png']


def test_small_images_can_be_resized(checkpoint: Path) -> None:
    assert Embedder(checkpoint, device='cpu', size=(32, 64))([random_image(8, 9)]).shape == (1, 20)
    with pytest.raises(ValueError, match='needs 32 pixels'):
        Embedder(checkpoint, device='cpu', size=(16, 64))


def test_weights_that_do_not_fit_are_refused(checkpoint: Path, tmp_path: Path) -> None:
    save_weights({'fc.weight': torch.rand(2, 2)}, tmp_path / 'head.safetensors')
    with pytest.raises(ValueError, match=r"head.safetensors has no DynamicVis backbone.*'fc'"):
        Embedder(tmp_path / 'head.safetensors')
    with pytest.raises(RuntimeError, match='another shape'):
        Embedder(checkpoint, arch='tiny')
    weights = random_backbone().state_dict()
    del weights['stages.2.norm.weight']
    save_weights(weights, tmp_path / 'part.safetensors')
    with pytest.raises(RuntimeError, match=r'stages\.2\.norm\.weight'):
        Embedder(tmp_path / 'part.safetensors')
    with pytest.raises(ValueError, match='both'):
        Embedder(checkpoint, checkpoint=checkpoint)
    with pytest.raises(ValueError, match='no backbone'):
        Embedder(Config(dict(model=dict(type='A', backbone=dict(type='ResNet')))))


@pytest.mark.parametrize('shape', [(3,), (2, 3, 32, 32)])
def test_what_is_no_image_is_refused(embedder: Embedder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match='an image has shape'):
        embedder([torch.zeros(shape)])


def test_boxes_of_another_shape_are_refused(embedder: Embedder) -> None:
    with pytest.raises(ValueError, match=r'need \(R, 4\)'):
        embedder.regions(random_image(64, 64), [[1, 2, 3]])


@pytest.mark.parametrize('box', [(9, 9, 9, 20), (40, 0, 10, 30), (64, 0, 80, 9), (math.nan,) * 4])
def test_boxes_without_area_in_the_image_are_refused(embedder: Embedder, box) -> None:
    with pytest.raises(ValueError, match=r'box 1 is .*in the image of 64 x 48 pixels'):
        embedder.regions(random_image(48, 64), [(0, 0, 9, 9), box])


def test_boxes_are_cut_off_at_the_image(embedder: Embedder) -> None:
    image = random_image(48, 64)
    inside, beyond = embedder.regions(image, [(32, 0, 64, 48), (32, -99, 999, 48)])
    assert torch.equal(inside, beyond)


def test_images_that_become_no_numbers_are_named(checkpoint: Path, tmp_path: Path) -> None:
    """A raster with a fill that its file does not tell: one such pixel is enough."""
    embedder = Embedder(checkpoint, device='cpu', mean=[100] * 3, std=[50] * 3)
    good, bad = (np.full((3, 64, 64), 100, np.float32) for _ in range(2))
    bad[:, 3, 4] = np.finfo(np.float32).min
    profile = dict(driver='GTiff', count=3, height=64, width=64, dtype='float32', crs='EPSG:32633')
    for name, image in dict(a=good, b=bad, c=good).items():
        place = dict(transform=from_origin(5e5, 53e5, 10, 10))
        with rasterio.open(tmp_path / f'{name}.tif', 'w', **profile, **place) as file:
            file.write(image)
    paths = [tmp_path / f'{name}.tif' for name in 'abc']
    message = r'the vector of .*b\.tif is NaN or infinite'
    with pytest.raises(ValueError, match=message):
        embedder(paths)
    with pytest.raises(ValueError, match='the vector of an image is NaN or infinite'):
        embedder([good.transpose(1, 2, 0), bad.transpose(1, 2, 0)])
    for ask in (embedder.maps, embedder.selections):
        with pytest.raises(ValueError, match=message):
            ask(paths[1])
    with pytest.raises(ValueError, match='is NaN or infinite'):
        embedder.regions(paths[1], [[0, 0, 9, 9]])
    found = embedder.files(paths, ['a', 'b', 'c'])
    assert found.names == ['a', 'c']
    torch.testing.assert_close(found.vectors, embedder([paths[0], paths[2]]))


def test_a_device_that_is_not_there(checkpoint: Path) -> None:
    for device in ('cuda:99', 'gpu'):
        with pytest.raises(ValueError, match=rf"device '{device}' cannot be used on this machine"):
            Embedder(checkpoint, device=device)


def test_a_file_is_no_list(embedder: Embedder) -> None:
    with pytest.raises(TypeError, match=r"give a list, \['a.png'\]"):
        embedder('a.png')

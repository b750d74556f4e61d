"""Models of the hosts on rasters: as on images, where the scene is one tile."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys

import geopandas
import numpy as np
import pytest
import rasterio
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from rasterio.enums import ColorInterp
from torch import nn

from mmdynamicvis.inference import load_inferencer
from mmdynamicvis.models.weights import save_weights
from mmdynamicvis.scenes import Pace, SceneModel, infer_scene, models

from .scenes import PLACE, noise, write

SMALL = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))
ROADS = 'segmentation/upernet_dynamicvis-tiny_1xb8-200e-scratch_whu-building-512px.py'
CHANGE = 'change_detection/siamese_dynamicvis-tiny_1xb8-200e-scratch_whu-cd-256px.py'
BOXES = 'detection/faster-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py'
MASKS = 'instance_segmentation/mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px.py'
ROTATED = 'rotated_detection/oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px.py'
SHIPPED = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'
QUIET = Pace(progress=False)


class Trained:
    """A small model of a config with random weights, and its checkpoint."""

    def __init__(self, path, folder, **decode_head):
        self.cfg = Config.fromfile(path)
        model = self.cfg.model
        if decode_head:
            model.decode_head.update(decode_head)
        model.backbone.update(arch=SMALL, img_size=64, init_cfg=None)
        fpn = model.neck.get('fpn', model.neck)
        fpn.in_channels = list(SMALL['embed_dims'])
        if 'auxiliary_head' in model:
            fpn.out_channels = 16
            model.decode_head.update(in_channels=[16] * 4, channels=8)
            model.auxiliary_head.update(in_channels=16, channels=8)
        if 'rcnn' in model.get('test_cfg', {}):
            model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=12)
        init_default_scope(self.cfg.default_scope)
        torch.manual_seed(0)
        self.model = MODELS.build(dict(model, data_preprocessor=self.cfg.data_preprocessor)).eval()
        self.checkpoint = folder / 'random.safetensors'
        save_weights(self.model.state_dict(), self.checkpoint)
        self.pipeline = [
            step
            for step in self.cfg.test_pipeline
            if 'LoadAnnotations' not in step['type'] and 'IgnoreNodata' not in step['type']
        ]

    @torch.no_grad()
    def on_images(self, **paths):
        """Return what the model says about image files, by the config's own pipeline."""
        sample = Compose(self.pipeline)(dict(paths, img_id=0))
        return self.model.test_step(pseudo_collate([sample]))[0]


def image_and_raster(folder, name, size=(200, 256)):
    """Write the same pixels as PNG and as GeoTIFF."""
    pixels = np.kron(noise(*(length // 8 for length in size)), np.ones((1, 8, 8), np.uint8))
    Image.fromarray(pixels.transpose(1, 2, 0)).save(folder / f'{name}.png')
    return str(folder / f'{name}.png'), write(folder / f'{name}.tif', pixels)


def classes_of(path):
    with rasterio.open(path) as file:
        return file.read(1)


def test_roads(tmp_path, checkout):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    image, raster = image_and_raster(tmp_path, 'a')
    expected = trained.on_images(img_path=image).pred_sem_seg.data[0].numpy()
    output = tmp_path / 'roads.tif'
    arguments = (raster, output, trained.cfg, trained.checkpoint)
    assert infer_scene(*arguments, tile=256, pace=QUIET) == output
    assert 0 < expected.mean() < 1
    assert (classes_of(output) == expected).all()


def test_one_channel_with_a_threshold(tmp_path, checkout):
    head = dict(out_channels=1, threshold=0.4)
    head['loss_decode'] = dict(type='CrossEntropyLoss', use_sigmoid=True)
    trained = Trained(checkout / 'configs' / ROADS, tmp_path, **head)
    image, raster = image_and_raster(tmp_path, 'a')
    expected = trained.on_images(img_path=image)
    arguments = (trained.cfg, trained.checkpoint)
    infer_scene(raster, tmp_path / 'out.tif', *arguments, tile=256, pace=QUIET)
    near = np.abs(expected.seg_logits.data[0].numpy() - 0.4) < 1e-5
    assert (
        (classes_of(tmp_path / 'out.tif') == expected.pred_sem_seg.data[0].numpy()) | near
    ).all()


def test_sixteen_bits_scaled_to_eight(tmp_path, checkout):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    _, raster = image_and_raster(tmp_path, 'a')
    with rasterio.open(raster) as file:
        deep = write(tmp_path / 'deep.tif', file.read().astype(np.uint16) * 40 + 1000)
    arguments = (trained.cfg, trained.checkpoint)
    with pytest.raises(ValueError, match=r'deep\.tif has dtype uint16, not uint8'):
        infer_scene(deep, tmp_path / 'deep_roads.tif', *arguments, pace=QUIET)
    scaling = (1000, 1000 + 255 * 40)
    infer_scene(deep, tmp_path / 'deep_roads.tif', *arguments, scaling=scaling, pace=QUIET)
    infer_scene(raster, tmp_path / 'roads.tif', *arguments, pace=QUIET)
    assert (classes_of(tmp_path / 'deep_roads.tif') == classes_of(tmp_path / 'roads.tif')).all()


@pytest.mark.parametrize('config', [ROADS, BOXES])
def test_another_number_of_bands(tmp_path, checkout, config):
    trained = Trained(checkout / 'configs' / config, tmp_path)
    _, raster = image_and_raster(tmp_path, 'a')
    output = tmp_path / ('out.tif' if config == ROADS else 'out.gpkg')
    with pytest.raises(ValueError, match=r'means of 3 bands, and 2 are read: .* bands=\.\.\.'):
        infer_scene(raster, output, trained.cfg, trained.checkpoint, bands=[1, 2], pace=QUIET)
    assert not list(tmp_path.glob('out*'))


def test_change_of_two_dates(tmp_path, checkout):
    trained = Trained(checkout / 'configs' / CHANGE, tmp_path)
    first, second = (image_and_raster(tmp_path, name) for name in 'ab')
    pixels = np.asarray(Image.open(first[0]))[::-1].copy()
    Image.fromarray(pixels).save(second[0])
    write(second[1], pixels.transpose(2, 0, 1))
    expected = trained.on_images(img_path=first[0], img_path2=second[0]).pred_sem_seg.data[0]
    output = tmp_path / 'change.tif'
    arguments = (output, trained.cfg, trained.checkpoint)
    infer_scene([first[1], second[1]], *arguments, pace=QUIET)
    assert (classes_of(output) == expected.numpy()).all()
    with pytest.raises(ValueError, match='takes 2 rasters at once, and 1 are given'):
        infer_scene(first[1], tmp_path / 'other.tif', *arguments[1:], pace=QUIET)


@pytest.mark.parametrize('config', [BOXES, MASKS, ROTATED])
def test_objects(tmp_path, checkout, config):
    if config == ROTATED:
        pytest.importorskip('mmrotate')
    trained = Trained(checkout / 'configs' / config, tmp_path)
    image, raster = image_and_raster(tmp_path, 'a')
    found = trained.on_images(img_path=image).pred_instances
    output = tmp_path / 'objects.gpkg'
    infer_scene(raster, output, trained.cfg, trained.checkpoint, min_score=0, pace=QUIET)
    frame = geopandas.read_file(output)
    assert frame.crs == PLACE['crs']
    assert set(frame.label) <= set(_classes(trained))
    if 'masks' in found:
        found = found[found.masks.flatten(1).any(1)]
        areas = found.masks.flatten(1).sum(1).numpy()
    else:
        boxes = getattr(found.bboxes, 'tensor', found.bboxes).numpy()
        sides = boxes[:, 2:4] if boxes.shape[1] == 5 else boxes[:, 2:] - boxes[:, :2]
        areas = sides.prod(1)
    assert len(areas) > 3
    # pixels of half a meter
    np.testing.assert_allclose(frame.area, areas / 4, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(frame.score, found.scores.numpy(), rtol=1e-6)
    left, bottom, right, top = frame.total_bounds
    assert left < 600000 + 128 and right > 600000 and bottom < 5300000 and top > 5300000 - 100


def _classes(trained):
    from mmdynamicvis.registry import DATASETS

    return DATASETS.get(trained.cfg.test_dataloader.dataset.type).METAINFO['classes']


def test_a_checkpoint_of_another_task(tmp_path, checkout):
    (tmp_path / 'boxes').mkdir()
    roads = Trained(checkout / 'configs' / ROADS, tmp_path)
    boxes = Trained(checkout / 'configs' / BOXES, tmp_path / 'boxes')
    _, raster = image_and_raster(tmp_path, 'a')
    with pytest.raises(ValueError, match=r'random\.safetensors is not of the model of .*whu'):
        infer_scene(raster, tmp_path / 'out.tif', roads.cfg, boxes.checkpoint, pace=QUIET)


def test_checkpoints_that_are_no_or_half_a_model(tmp_path, checkout):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    weights = trained.model.state_dict()
    wide = weights['decode_head.conv_seg.weight']
    cases = {
        'decode_head.conv_seg.weight is missing': [name for name in weights if 'conv_seg' in name],
        'size mismatch for decode_head.conv_seg.weight': [],
    }
    for message, dropped in cases.items():
        part = {name: weight for name, weight in weights.items() if name not in dropped}
        if not dropped:
            part['decode_head.conv_seg.weight'] = wide.repeat(3, 1, 1, 1)
        save_weights(part, tmp_path / 'part.safetensors')
        with pytest.raises(ValueError, match=message):
            SceneModel(trained.cfg, tmp_path / 'part.safetensors', 'cpu')
    with pytest.raises(FileNotFoundError, match=r'checkpoint none\.pth does not exist'):
        SceneModel(trained.cfg, 'none.pth', 'cpu')


def test_configs_of_other_tasks(tmp_path):
    cfg = Config(dict(default_scope='mmagic', model={}))
    with pytest.raises(ValueError, match="default_scope 'mmagic': scenes are for models of"):
        infer_scene(tmp_path / 'a.tif', tmp_path / 'out.tif', cfg, tmp_path / 'none.pth')
    backbone = dict(type='mmdynamicvis.DynamicVis', arch=SMALL, img_size=64)
    heads = {
        'MultiLabelLinearClsHead': dict(type='MultiLabelLinearClsHead', num_classes=2),
        'NoneType': None,
    }
    for name, head in heads.items():
        head = head and dict(head, in_channels=20)
        model = dict(type='ImageClassifier', backbone=backbone, head=head)
        dataset = dict(type='CustomDataset', pipeline=[dict(type='LoadImageFromFile')])
        loader = dict(dataset=dataset)
        cfg = Config(dict(default_scope='mmpretrain', model=model, test_dataloader=loader))
        init_default_scope('mmpretrain')
        save_weights(MODELS.build(cfg.model).state_dict(), tmp_path / 'random.safetensors')
        with pytest.raises(ValueError, match=f'is ImageClassifier with {name}: of mmpretrain,'):
            SceneModel(cfg, tmp_path / 'random.safetensors', 'cpu')


def test_windows_have_the_classes_of_a_shipped_classifier(tmp_path):
    name = SHIPPED
    image, raster = image_and_raster(tmp_path, 'a', (64, 64))
    (expected,) = load_inferencer(name, device='cpu')(image)
    output = tmp_path / 'out.tif'
    infer_scene(raster, output, name, device='cpu', probabilities=True, pace=QUIET)
    with rasterio.open(output) as file:
        scores = file.read()
        assert file.descriptions[expected['pred_label']] == expected['pred_class']
    assert np.ptp(scores, (1, 2)).max() < 1e-6
    np.testing.assert_allclose(scores[:, 0, 0], expected['pred_scores'], atol=1e-5)
    _, wide = image_and_raster(tmp_path, 'b', (64, 160))
    infer_scene(wide, tmp_path / 'map.tif', name, device='cpu', pace=QUIET)
    with rasterio.open(tmp_path / 'map.tif') as file:
        assert file.shape == (64, 160)
        assert file.colormap(1)[1] == (20, 90, 40, 255)


@pytest.mark.parametrize('min_score', [-0.1, 30, np.nan])
def test_scores_that_nothing_has(tmp_path, min_score):
    with pytest.raises(ValueError, match=r'min_score is .*; scores are from 0 to 1'):
        infer_scene('a.tif', tmp_path / 'out.gpkg', 'a.py', 'a.pth', min_score=min_score)


@pytest.mark.parametrize(
    ('output', 'message'), [('out.png', r'written to \*\.tif'), ('out.gpkg', r'written to \*\.tif')]
)
def test_outputs_of_another_kind(tmp_path, checkout, output, message):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    _, raster = image_and_raster(tmp_path, 'a')
    with pytest.raises(ValueError, match=message):
        infer_scene(raster, tmp_path / output, trained.cfg, trained.checkpoint, pace=QUIET)
    assert not (tmp_path / f'{output}.work').exists()


def test_nothing_is_overwritten(tmp_path, checkout):
    output = tmp_path / 'out.tif'
    output.write_text('mine')
    config = checkout / 'configs' / ROADS
    with pytest.raises(FileExistsError, match=r'out\.tif exists; remove it'):
        infer_scene('a.tif', output, config, 'none.pth')
    with pytest.raises(ValueError, match=r'out\.tif would be written over .*out\.tif, which is'):
        infer_scene(output, output, config, 'none.pth')
    with pytest.raises(ValueError, match=r'out\.tif would be written over .*out\.tif, which is'):
        infer_scene('a.tif', output, config, output)
    assert output.read_text() == 'mine'


def test_config_and_checkpoint_that_changed_places(tmp_path, checkout):
    checkpoint = tmp_path / 'epoch_12.pth'
    checkpoint.write_bytes(b'weights')
    arguments = ('a.tif', tmp_path / 'out.tif', checkpoint, checkout / 'configs' / ROADS)
    with pytest.raises(
        ValueError, match=r'epoch_12\.pth is no config file .* in the wrong order\?'
    ):
        infer_scene(*arguments)
    with pytest.raises(FileNotFoundError, match=r'none\.py is neither a config file nor'):
        infer_scene(*arguments[:2], tmp_path / 'none.py', checkpoint)


def test_a_device_that_is_not_there(tmp_path, checkout):
    arguments = ('a.tif', tmp_path / 'out.tif', checkout / 'configs' / ROADS, 'none.pth')
    with pytest.raises(ValueError, match=r"device 'cuda:99' cannot be used .*: use '"):
        infer_scene(*arguments, device='cuda:99')


def test_colors_and_alpha_as_the_raster_says(tmp_path, checkout):
    """A stack of blue, green, red and near infrared that is called alpha."""
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    arguments = (trained.cfg, trained.checkpoint)
    _, raster = image_and_raster(tmp_path, 'a')
    with rasterio.open(raster) as file:
        pixels = file.read()
    stack = write(tmp_path / 'stack.tif', np.concatenate([pixels[::-1], pixels[:1] // 9]))
    kinds = (ColorInterp.blue, ColorInterp.green, ColorInterp.red, ColorInterp.alpha)
    with rasterio.open(stack, 'r+') as file:
        file.colorinterp = kinds
    with pytest.raises(ValueError, match=r"stack\.tif calls band 4 alpha, .*alpha='band'"):
        infer_scene(stack, tmp_path / 'stack_roads.tif', *arguments, pace=QUIET)
    infer_scene(stack, tmp_path / 'stack_roads.tif', *arguments, alpha='band', pace=QUIET)
    infer_scene(raster, tmp_path / 'roads.tif', *arguments, pace=QUIET)
    assert (classes_of(tmp_path / 'stack_roads.tif') == classes_of(tmp_path / 'roads.tif')).all()


def test_a_raster_of_one_band(tmp_path, checkout):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    path = write(tmp_path / 'gray.tif', noise(64, 64, bands=1))
    arguments = (path, tmp_path / 'out.tif', trained.cfg, trained.checkpoint)
    with pytest.raises(ValueError, match=r"gray\.tif has no band 'blue'; its bands are 1: no name"):
        infer_scene(*arguments, pace=QUIET)
    with pytest.raises(ValueError, match=r'gray\.tif has 1 band, .*, \[1, 1, 1\] for example'):
        infer_scene(*arguments, bands=[3, 2, 1], pace=QUIET)


def test_bands_by_name_and_in_units(tmp_path, checkout):
    """A model of reflectance, on files of two baselines; a model of images, on the same file."""
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    arguments = (trained.cfg, trained.checkpoint)
    numbers = np.kron(noise(25, 32, bands=12, dtype='uint16'), np.ones((1, 8, 8), np.uint16)) * 40
    reflectance = write(tmp_path / 'values.tif', numbers[[1, 2, 3]].astype(np.float32) / 1e4)
    new, old = write(tmp_path / 'new.tif', numbers + 1000), write(tmp_path / 'old.tif', numbers)
    colors = write(tmp_path / 'colors.tif', numbers[[3, 2, 1]] + 1000)

    def run(scene, **options):
        output = tmp_path / f'{len(list(tmp_path.iterdir()))}.tif'
        infer_scene(scene, output, *arguments, tile=256, pace=QUIET, **options)
        return classes_of(output)

    scaling = dict(scaling=(1000, 9000))
    expected = run(colors, **scaling)
    assert (run(new, sensor='sentinel2', **scaling) == expected).all()
    assert (run(new, sensor='sentinel2', bands=('B02', 'B03', 'B04'), **scaling) == expected).all()
    with pytest.raises(ValueError, match=r"new\.tif has no band 'blue'; its bands are 1: no name"):
        run(new, **scaling)

    trained.cfg.data_preprocessor.update(mean=[0.4] * 3, std=[0.1] * 3)
    steps = trained.cfg.test_dataloader.dataset.pipeline
    steps[0] = dict(type='mmdynamicvis.LoadGeoTIFF', bands=[1, 2, 3])
    expected = run(reflectance)
    assert 0 < expected.mean() < 1
    reading = dict(bands=('blue', 'green', 'red'), sensor='sentinel2', unit='reflectance')
    steps[0] = dict(type='mmdynamicvis.LoadGeoTIFF', **reading)
    assert (run(new) == expected).all()
    assert (run(old, sensor='sentinel2_no_offset') == expected).all()
    with pytest.raises(ValueError, match=r'scaling is \(1000, 9000\), .* reads reflectance'):
        run(new, **scaling)


def test_windows_of_which_a_detector_makes_no_numbers(tmp_path, checkout):
    """It would find nothing in them, and nobody would know."""
    trained = Trained(checkout / 'configs' / BOXES, tmp_path)
    loader = dict(type='mmdynamicvis.LoadGeoTIFF', bands=[3, 2, 1])
    trained.cfg.test_dataloader.dataset.pipeline[0] = loader
    image = noise(200, 256).astype(np.float32)
    fill = float(np.finfo(np.float32).min)
    image[:, 150:152, 40] = fill
    path, output = write(tmp_path / 'a.tif', image), tmp_path / 'out.gpkg'
    arguments = (path, output, trained.cfg, trained.checkpoint)
    options = dict(tile=128, overlap=32, pace=QUIET)
    with pytest.raises(ValueError, match=r'a\.tif, rows 72 to 200, columns 0 to 128: the features'):
        infer_scene(*arguments, **options)
    shutil.rmtree(tmp_path / 'out.gpkg.work')
    assert infer_scene(*arguments, **options, nodata=fill) == output


def test_weights_that_are_no_numbers(tmp_path, checkout):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    weights = trained.model.state_dict()
    weights['decode_head.conv_seg.weight'][0, 0] = np.nan
    save_weights(weights, tmp_path / 'diverged.safetensors')
    message = r'diverged\.safetensors has weights that are NaN.*: decode_head\.conv_seg'
    with pytest.raises(ValueError, match=message):
        SceneModel(trained.cfg, tmp_path / 'diverged.safetensors', 'cpu')


@pytest.mark.parametrize(
    'name',
    ['backbone.stages.0.norm.weight', 'neck.fpn_convs.0.conv.weight', 'rpn_head.rpn_reg.weight'],
)
@pytest.mark.parametrize('nested', [False, True])
def test_layers_that_make_no_numbers(tmp_path, checkout, monkeypatch, name, nested):
    """A detector's NMS drops boxes and scores that are NaN."""
    trained = Trained(checkout / 'configs' / BOXES, tmp_path)
    trained.model.get_parameter(name).data.fill_(1e38).mul_(1e38)
    whole = nn.Module()
    whole.detector, whole.test_step = trained.model, trained.model.test_step
    monkeypatch.setattr(models, 'load_model', lambda *_: whole if nested else trained.model)
    model = SceneModel(trained.cfg, trained.checkpoint, 'cpu')
    with pytest.raises(ValueError, match='features of the model are not finite'):
        model([[noise(64, 64).transpose(1, 2, 0)]])


def test_a_pure_python_config(tmp_path, checkout):
    """It has classes in place of names, and no default_scope."""
    trained = Trained(checkout / 'configs' / CHANGE, tmp_path)
    cfg, path = trained.cfg, tmp_path / 'pure.py'
    path.write_text(
        'from mmdynamicvis.change_detection import (\n'
        '    ChangeDataset, LoadPair, SiameseEncoderDecoder)\n'
        f'model = {cfg.model.to_dict()!r}\n'
        f'data_preprocessor = {cfg.data_preprocessor.to_dict()!r}\n'
        f'test_dataloader = {cfg.test_dataloader.to_dict()!r}\n'
        'model.update(type=SiameseEncoderDecoder)\n'
        "test_dataloader['dataset'].update(type=ChangeDataset)\n"
        "test_dataloader['dataset']['pipeline'][0].update(type=LoadPair)\n"
    )
    (_, before), (_, after) = (image_and_raster(tmp_path, name) for name in 'ab')
    found = []
    for config in (cfg, path):
        output = tmp_path / f'{len(found)}.tif'
        infer_scene([before, after], output, config, trained.checkpoint, device='cpu', pace=QUIET)
        found.append(classes_of(output))
    assert (found[0] == found[1]).all()


@pytest.mark.exhaustive
def test_the_command(tmp_path, checkout):
    trained = Trained(checkout / 'configs' / ROADS, tmp_path)
    trained.cfg.dump(tmp_path / 'config.py')
    _, raster = image_and_raster(tmp_path, 'a')
    command = [sys.executable, checkout / 'tools/infer_scene.py', raster, tmp_path / 'out.tif']
    command += [tmp_path / 'config.py', trained.checkpoint, '--tile', '128']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == f'wrote {tmp_path / "out.tif"}'
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith('error: ')
    assert 'out.tif exists' in done.stderr


@pytest.mark.parametrize(
    ('given', 'expected'),
    [
        ('a.tif out.tif c.py w.pth', (['a.tif'], 'out.tif', 'c.py', 'w.pth')),
        ('a.tif b.tif out.tif c.py w.pth', (['a.tif', 'b.tif'], 'out.tif', 'c.py', 'w.pth')),
        (f'a.tif out.tif {SHIPPED}', (['a.tif'], 'out.tif', SHIPPED, None)),
        ('out.tif c.py w.pth', None),
        (f'a.tif {SHIPPED}', None),
        ('a.tif', None),
    ],
)
def test_files_of_the_command(checkout, monkeypatch, capsys, given, expected):
    tool = runpy.run_path(str(checkout / 'tools/infer_scene.py'))
    monkeypatch.setattr('sys.argv', ['infer_scene.py', *given.split(), '--tile', '64'])
    if expected is None:
        with pytest.raises(SystemExit):
            tool['parse_args']()
        assert (
            'give SCENE OUTPUT CONFIG CHECKPOINT, or SCENE OUTPUT NAME' in capsys.readouterr().err
        )
    else:
        args = tool['parse_args']()
        assert (args.scene, args.output, args.config, args.checkpoint) == expected


@pytest.mark.shared_data
def test_four_bands_of_a_real_scene(tmp_path, checkout, shared_data):
    name = 'segmentation/upernet_dynamicvis-base_1xb8-200e-scratch_naip-512px.py'
    trained = Trained(checkout / 'configs' / name, tmp_path)
    scene = shared_data / 'large_scenes/naip/m_4709963_se_14_1_20180716.tif'
    expected = trained.on_images(img_path=str(scene)).pred_sem_seg.data[0].numpy()
    output = tmp_path / 'out.tif'
    infer_scene(scene, output, trained.cfg, trained.checkpoint, tile=1024, pace=QUIET)
    with rasterio.open(output) as file, rasterio.open(scene) as raster:
        assert (file.crs, file.bounds) == (raster.crs, raster.bounds)
        nodata = (raster.read() == 0).all(0)
        assert (file.read(1)[~nodata] == expected[~nodata]).all()


@pytest.mark.shared_data
def test_one_band_of_sixteen_bits(tmp_path, checkout, shared_data):
    trained = Trained(checkout / 'configs' / BOXES, tmp_path)
    scene = shared_data / 'spacenet_solaris/sample_geotiff.tif'
    output = tmp_path / 'out.geojson'
    options = dict(bands=[1, 1, 1], scaling=(0, 2000), tile=512, min_score=0, pace=QUIET)
    infer_scene(scene, output, trained.cfg, trained.checkpoint, **options)
    frame = geopandas.read_file(output)
    assert frame.crs == 'EPSG:32616'
    assert len(frame) > 10
    with rasterio.open(scene) as raster:
        left, bottom, right, top = raster.bounds
    found = frame.total_bounds
    assert left <= found[0] and bottom <= found[1] and found[2] <= right and found[3] <= top


@pytest.mark.parametrize('option', ['cog', 'probabilities'])
def test_options_of_pixels_for_objects(tmp_path, checkout, option):
    trained = Trained(checkout / 'configs' / BOXES, tmp_path)
    arguments = (tmp_path / 'a.tif', tmp_path / 'out.gpkg', trained.cfg, trained.checkpoint)
    with pytest.raises(ValueError, match='finds objects: probabilities and cog are for classes'):
        infer_scene(*arguments, pace=QUIET, **{option: True})

"""Inferencers of the hosts with our configs, and what they find in files."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import BaseDataElement
from PIL import Image
from pycocotools.coco import COCO

from mmdynamicvis.inference.inferencers import find_model, load_inferencer
from mmdynamicvis.inference.prediction_files import write_coco, write_dota
from mmdynamicvis.inference.trained_model import load_model

SMALL = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))
CLASSES = ('airplane', 'ship', 'storage_tank', 'baseball_diamond', 'tennis_court')
CLASSES += ('basketball_court', 'ground_track_field', 'harbor', 'bridge', 'vehicle')
SCENES = 'dynamicvis_tiny_1xb32-10e_aid150-128px'
ROADS = 'upernet_dynamicvis-tiny_1xb8-200e-scratch_whu-building-512px'
MASKS = 'mask-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px'
ROTATED = 'oriented-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-rotated-256px'


@pytest.fixture
def image(tmp_path):
    pixels = np.kron(np.random.default_rng(0).integers(0, 255, (16, 20, 3)), np.ones((8, 8, 1)))
    path = tmp_path / 'image.png'
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return str(path)


def small(name, folder, classes):
    """Return a model's config made small, and a checkpoint of random weights."""
    cfg = Config.fromfile(find_model(name)[0])
    model = cfg.model
    model.backbone.update(arch=SMALL, img_size=64, init_cfg=None)
    if 'neck' in model and 'in_channels' in model.neck:
        model.neck.in_channels = list(SMALL['embed_dims'])
    if 'head' in model:
        model.head.in_channels = SMALL['embed_dims'][-1]
    if 'rcnn' in (model.get('test_cfg') or {}):
        model.test_cfg.rcnn.update(score_thr=0.0, max_per_img=7)
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = dict(cfg.model, data_preprocessor=cfg.data_preprocessor)
    meta = dict(dataset_meta=dict(classes=classes, palette=[(0, 0, 0)] * len(classes)))
    checkpoint = folder / 'random.pth'
    torch.save(dict(state_dict=MODELS.build(model).state_dict(), meta=meta), checkpoint)
    return cfg, checkpoint


def test_scene_classes(image, tmp_path):
    cfg, checkpoint = small(SCENES, tmp_path, [f'class {i}' for i in range(30)])
    (result,) = load_inferencer(cfg, checkpoint, 'cpu')(image)
    assert result['pred_class'].startswith('class ')
    assert result['pred_scores'].sum() == pytest.approx(1, abs=1e-5)


def test_classes_in_another_order(tmp_path):
    turned = (*CLASSES[::-1],)
    cfg, checkpoint = small(MASKS, tmp_path, turned)
    with pytest.raises(ValueError, match=r'random\.pth was trained on the classes vehicle, bridge'):
        load_inferencer(cfg, checkpoint, 'cpu')
    with pytest.raises(ValueError, match=r'has them in another order, airplane, ship'):
        load_model(cfg, checkpoint, 'cpu')
    cfg.test_dataloader.dataset.metainfo = dict(classes=turned)
    load_model(cfg, checkpoint, 'cpu')
    cfg.test_dataloader.dataset.metainfo = dict(classes=[f'other {i}' for i in range(10)])
    load_model(cfg, checkpoint, 'cpu')


def test_masks_of_classes(image, tmp_path):
    cfg, checkpoint = small(ROADS, tmp_path, ('background', 'building'))
    load_inferencer(cfg, checkpoint, 'cpu')(image, out_dir=str(tmp_path / 'out'))
    assert Image.open(tmp_path / 'out/pred/00000000_pred.png').size == (160, 128)
    assert Image.open(tmp_path / 'out/vis/image.png').size == (160, 128)


def test_coco_files(image, tmp_path):
    cfg, checkpoint = small(MASKS, tmp_path, CLASSES)
    inferencer = load_inferencer(cfg, checkpoint, 'cpu', show_progress=False)
    samples = inferencer(image, return_datasamples=True)['predictions']
    write_coco(tmp_path / 'found.json', samples, CLASSES)
    coco = COCO(tmp_path / 'found.json')
    found = samples[0].pred_instances
    assert len(coco.anns) == len(found) > 0
    assert [category['name'] for category in coco.cats.values()] == list(CLASSES)
    assert coco.imgs[0] == dict(id=0, file_name='image.png', height=128, width=160)
    for i, annotation in enumerate(coco.anns.values()):
        assert annotation['category_id'] == found.labels[i] + 1
        assert annotation['score'] == pytest.approx(float(found.scores[i]))
        assert annotation['bbox'][:2] == found.bboxes[i, :2].tolist()
        assert (coco.annToMask(annotation) == found.masks[i].numpy()).all()


def test_dota_files(image, tmp_path):
    pytest.importorskip('mmrotate')
    cfg, checkpoint = small(ROTATED, tmp_path, CLASSES)
    inferencer = load_inferencer(cfg, checkpoint, 'cpu', show_progress=False)
    samples = inferencer(image, return_datasamples=True)['predictions']
    write_dota(tmp_path / 'found', samples, CLASSES)
    files = sorted(path.name for path in (tmp_path / 'found').iterdir())
    assert files == sorted(f'Task1_{name}.txt' for name in CLASSES)
    lines = [
        line.split()
        for path in (tmp_path / 'found').iterdir()
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == len(samples[0].pred_instances) > 0
    boxes = samples[0].pred_instances.bboxes
    centers = getattr(boxes, 'tensor', boxes)[:, :2]
    for name, score, *corners in lines:
        assert name == 'image'
        assert 0 <= float(score) <= 1
        center = torch.tensor([float(number) for number in corners]).view(4, 2).mean(0)
        assert (centers - center).norm(dim=1).min() < 0.02


@pytest.mark.parametrize(
    ('write', 'paths'), [(write_coco, ['a/1.png', 'b/1.png']), (write_dota, ['1.png', '1.jpg'])]
)
def test_images_of_one_name_are_refused(tmp_path, write, paths):
    samples = [BaseDataElement(metainfo=dict(img_path=path)) for path in paths]
    with pytest.raises(ValueError, match=r'several images are called 1(\.png)?, so their'):
        write(tmp_path / 'found', samples, CLASSES)
    assert not (tmp_path / 'found').exists()


@pytest.mark.parametrize(
    ('path', 'classes'), [('my image.png', CLASSES), ('1.png', ('ship', 'car/van'))]
)
def test_names_that_dota_files_cannot_hold(tmp_path, path, classes):
    samples = [BaseDataElement(metainfo=dict(img_path=path))]
    with pytest.raises(ValueError, match=r'cannot hold the names (my image|car/van): rename'):
        write_dota(tmp_path / 'found', samples, classes)
    assert not (tmp_path / 'found').exists()


@pytest.mark.parametrize(
    ('name', 'classes'),
    [(MASKS, CLASSES), (ROADS, ('background', 'house')), (SCENES, [f'{i}' for i in range(30)])],
)
def test_images_that_a_training_refuses(tmp_path, name, classes):
    cfg, checkpoint = small(name, tmp_path, classes)
    inferencer = load_inferencer(cfg, checkpoint, 'cpu')
    Image.fromarray(np.full((128, 160), 3000, np.uint16)).save(tmp_path / 'deep.png')
    with pytest.raises(ValueError, match=r'deep\.png has more than 8 bits per band'):
        inferencer(str(tmp_path / 'deep.png'))
    (tmp_path / 'empty.png').touch()
    with pytest.raises(OSError, match=r'cannot load image .*empty\.png'):
        inferencer(str(tmp_path / 'empty.png'))


def test_files_and_their_pixels_give_the_same(image, tmp_path):
    inferencer = load_inferencer(*small(SCENES, tmp_path, [f'{i}' for i in range(30)]), 'cpu')
    pixels = np.array(Image.open(image))[..., ::-1].copy()
    by_path, by_pixels = inferencer([image, pixels], batch_size=2)
    assert (by_path['pred_scores'] == by_pixels['pred_scores']).all()


def test_a_concatenation_of_test_sets(image, tmp_path):
    cfg, checkpoint = small(ROADS, tmp_path, ('background', 'building'))
    expected = load_inferencer(cfg, checkpoint, 'cpu')(image)['predictions']
    loader = cfg.test_dataloader
    loader.dataset = dict(type='ConcatDataset', datasets=[loader.dataset, loader.dataset])
    inferencer = load_inferencer(cfg, checkpoint, 'cpu')
    assert (inferencer(image)['predictions'] == expected).all()
    assert inferencer.model.dataset_meta['classes'] == ('background', 'building')


def test_checkpoints_of_other_models(tmp_path):
    """Hosts say it in the log, and predict with what is random."""
    pytest.importorskip('mmrotate')
    (tmp_path / 'roads').mkdir()
    _, roads = small(ROADS, tmp_path / 'roads', ('background', 'building'))
    for name in (SCENES, MASKS, ROTATED):
        cfg, _ = small(name, tmp_path, CLASSES)
        with pytest.raises(ValueError, match=r'roads.random\.pth is not of the model of .*missing'):
            load_inferencer(cfg, roads, 'cpu')


def test_checkpoints_that_are_no_weights(tmp_path):
    cfg, checkpoint = small(SCENES, tmp_path, CLASSES)
    with pytest.raises(FileNotFoundError, match=r'none\.pth does not exist'):
        load_inferencer(cfg, 'none.pth', 'cpu')
    content = torch.load(checkpoint)
    torch.save(dict(content, code=tmp_path), checkpoint)
    with pytest.raises(ValueError, match='holds more than weights and was not loaded'):
        load_inferencer(cfg, checkpoint, 'cpu')


def test_models_of_several_hosts_at_once(image, tmp_path):
    pytest.importorskip('mmrotate')
    models = []
    for name in (SCENES, ROADS, ROTATED):
        (tmp_path / name).mkdir()
        models.append(small(name, tmp_path / name, [f'class {i}' for i in range(30)]))
    # the scope of each is at first that of the one before
    inferencers = [load_inferencer(*model, 'cpu') for model in models]
    scenes, roads, rotated = (inferencer(image) for inferencer in inferencers)
    assert len(rotated['predictions']) == len(scenes) == 1
    assert roads['predictions'].shape == (128, 160)


def test_names_of_the_metafiles(checkout, tmp_path):
    assert find_model(ROADS) == (checkout / f'configs/segmentation/{ROADS}.py', None)
    with pytest.raises(FileNotFoundError, match='resnet is neither a config file nor a model'):
        find_model('resnet')


def test_what_does_not_fit(checkout):
    with pytest.raises(ValueError, match=r'has no published weights: give a checkpoint'):
        load_inferencer(ROADS)
    bands = 'upernet_dynamicvis-base_1xb8-200e-scratch_naip-512px'
    with pytest.raises(ValueError, match='begins with LoadGeoTIFF; inferencers support'):
        load_inferencer(bands, 'none.pth')
    pairs = Config(dict(default_scope='opencd'))
    with pytest.raises(ValueError, match="default_scope 'opencd'; there are inferencers of"):
        load_inferencer(pairs, 'none.pth')

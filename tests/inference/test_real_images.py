"""Every task on real images: a model by its name in the metafiles, random weights in a file.

The weights come alone, without names of classes: those are the config's.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from PIL import Image
from pycocotools.coco import COCO

from mmdynamicvis.inference import load_inferencer
from mmdynamicvis.inference.inferencers import find_model
from mmdynamicvis.inference.prediction_files import write_coco, write_dota
from mmdynamicvis.models.weights import save_weights

from .test_inferencers import CLASSES, MASKS, ROTATED, SCENES

pytestmark = [pytest.mark.shared_data, pytest.mark.slow]

ROADS = 'upernet_dynamicvis-tiny_1xb4-300i_cil-roads-256px'
BOXES = 'faster-rcnn_dynamicvis-tiny_1xb4-12e_nwpu-256px'


@pytest.fixture
def load(tmp_path):
    """Return what loads an inferencer by its name, with random weights."""

    def load(name, **options):
        cfg = Config.fromfile(find_model(name)[0])
        init_default_scope(cfg.default_scope)
        torch.manual_seed(0)
        cfg.model.backbone.init_cfg = None
        model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
        save_weights(model.state_dict(), tmp_path / 'random.safetensors')
        init_default_scope('mmengine')  # as in a process that has loaded nothing
        return load_inferencer(name, tmp_path / 'random.safetensors', 'cpu', **options)

    return load


def size(path):
    with Image.open(path) as image:
        return image.size


@pytest.fixture
def objects(shared_data):
    return sorted((shared_data / 'nwpu_vhr10').rglob('*.jpg'))[0]


def test_classes_of_a_scene(load, shared_data, tmp_path):
    classes = (shared_data / 'aid150/classes.txt').read_text().split()
    name = (shared_data / 'aid150/val.txt').read_text().split()[0]
    image = shared_data / 'aid150' / name
    (result,) = load(SCENES)(str(image), show_dir=str(tmp_path / 'out'))
    assert result['pred_scores'].shape == (len(classes),)
    assert 0 <= result['pred_label'] < len(classes)
    (picture,) = (tmp_path / 'out').iterdir()
    assert size(picture) == size(image)


def test_masks_of_classes(load, shared_data, tmp_path):
    images = sorted((shared_data / 'cil_roads/images').iterdir())[:2]
    inferencer = load(ROADS)
    inferencer([str(image) for image in images], out_dir=str(tmp_path / 'out'))
    assert list(inferencer.model.dataset_meta['classes']) == ['background', 'road']
    for number, image in enumerate(images):
        with Image.open(tmp_path / f'out/pred/{number:08d}_pred.png') as mask:
            assert mask.size == size(image)
            assert set(np.unique(mask)) <= {0, 1}
        assert size(tmp_path / 'out/vis' / image.name) == size(image)


@pytest.mark.parametrize('name', [BOXES, MASKS])
def test_objects_as_coco(load, objects, tmp_path, name):
    inferencer = load(name, show_progress=False)
    out = str(tmp_path / 'out')
    result = inferencer(str(objects), out_dir=out, return_datasamples=True, pred_score_thr=0.1)
    assert size(tmp_path / 'out/vis' / objects.name) == size(objects)
    assert inferencer.model.dataset_meta['classes'] == CLASSES
    write_coco(tmp_path / 'found.json', result['predictions'], CLASSES)
    coco = COCO(tmp_path / 'found.json')
    width, height = size(objects)
    assert coco.imgs[0] == dict(id=0, file_name=objects.name, height=height, width=width)
    assert len(coco.anns) == len(result['predictions'][0].pred_instances) > 0
    for annotation in coco.anns.values():
        left, top, *sides = annotation['bbox']
        assert 0 <= left <= left + sides[0] <= width + 1e-3
        assert 0 <= top <= top + sides[1] <= height + 1e-3
        assert ('segmentation' in annotation) == (name == MASKS)
        if name == MASKS:
            assert coco.annToMask(annotation).shape == (height, width)


def test_rotated_boxes_as_dota(load, objects, tmp_path):
    inferencer = load(ROTATED, show_progress=False)
    out = str(tmp_path / 'out')
    result = inferencer(str(objects), out_dir=out, return_datasamples=True, pred_score_thr=0.1)
    assert size(tmp_path / 'out/vis' / objects.name) == size(objects)
    classes = inferencer.model.dataset_meta['classes']
    assert classes == tuple(name.replace('_', '-') for name in CLASSES)
    write_dota(tmp_path / 'found', result['predictions'], classes)
    lines = [
        line.split()
        for path in (tmp_path / 'found').iterdir()
        for line in path.read_text().splitlines()
    ]
    assert len(lines) == len(result['predictions'][0].pred_instances) > 0
    assert {(name, len(rest)) for name, *rest in lines} == {(objects.stem, 9)}

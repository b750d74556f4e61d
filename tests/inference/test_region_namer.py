from __future__ import annotations

import copy
import json

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS, init_default_scope
from PIL import Image

from mmdynamicvis.inference import RegionNamer, read_detections
from mmdynamicvis.pretraining.meta_embeddings import save_meta_embeddings

from ..pretraining.coco_makers import CLASSES, content, write_coco
from ..pretraining.text_makers import WIDTH, config, write_text


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    """Folder of images; config and weights of a model that is aligned with text, and its names."""
    folder = tmp_path_factory.mktemp('namer')
    write_coco(folder, content(n_images=3, size=48))
    text = write_text(folder / 'text.safetensors')
    cfg = config(folder, text, held_out=['b'])
    init_default_scope(cfg.default_scope)
    torch.manual_seed(0)
    model = MODELS.build(cfg.model)
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.02 * torch.randn_like(parameter))
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'trained.pth')
    return folder, cfg, folder / 'trained.pth', text


@pytest.fixture(scope='module')
def namer(made):
    _folder, cfg, checkpoint, text = made
    return RegionNamer(cfg, checkpoint, text, device='cpu')


def test_names_are_those_that_a_test_of_the_model_gives(made, namer):
    _, cfg, checkpoint, _ = made
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    model = MODELS.build(cfg.model).eval()
    model.load_state_dict(torch.load(checkpoint, weights_only=True)['state_dict'])
    for index in range(3):
        info = dataset.get_data_info(index)
        boxes = [instance['bbox'] for instance in info['instances']]
        with torch.inference_mode():
            (sample,) = model.test_step(pseudo_collate([dataset[index]]))
        found = namer(info['img_path'], boxes)
        torch.testing.assert_close(found.probabilities, sample.pred_instances.scores)
        assert found.names == [CLASSES[i] for i in sample.pred_instances.labels]
        torch.testing.assert_close(found.scores, sample.pred_instances.scores.amax(1))
        # an array has the colors in the usual order
        array = cv2.imread(info['img_path'])[..., ::-1]
        torch.testing.assert_close(namer(array, boxes).probabilities, found.probabilities)


def test_new_names_need_no_training(made, namer, tmp_path):
    folder, cfg, checkpoint, _ = made
    names = ['dam', 'a', 'barn', 'c']
    other = write_text(tmp_path / 'new.safetensors', names)
    image, boxes = folder / 'imgs/0.jpg', [[4, 4, 30, 30], [10, 6, 40, 20]]
    before = namer(image, boxes).probabilities
    new = RegionNamer(folder / 'config.py', checkpoint, other, device='cpu')
    assert new.names == names
    after = new(image, boxes).probabilities
    assert after.shape == (2, 4)
    torch.testing.assert_close(after.sum(1), torch.ones(2))
    # the same name has the same logit, whatever stands beside it
    torch.testing.assert_close(after[:, 1] / after[:, 3], before[:, 0] / before[:, 2])
    some = RegionNamer(cfg, checkpoint, other, names=['c', 'dam'], device='cpu')
    torch.testing.assert_close(
        some(image, boxes).probabilities[:, 0] / some(image, boxes).probabilities[:, 1],
        after[:, 3] / after[:, 0],
    )
    assert cfg.model.head.classes == list(CLASSES)  # the user's config is left alone


def test_boxes_are_clipped_to_the_image(made, namer):
    image = made[0] / 'imgs/1.jpg'
    cut = namer(image, [[-9, -5, 20, 80]]).probabilities
    torch.testing.assert_close(cut, namer(image, torch.tensor([[0, 0, 20, 48]])).probabilities)


def test_an_image_without_boxes(made, namer):
    found = namer(made[0] / 'imgs/1.jpg', [])
    assert found.names == []
    assert found.probabilities.shape == (0, 4)


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ([[0, 0, 9, 9], [60, 3, 80, 9]], r'box 1 is \[60.0, 3.0, 80.0, 9.0\].*of 48 x 48 pixels'),
        ([[9, 9, 3, 12]], 'box 0 is'),
        ([[0, 0, float('nan'), 9]], 'box 0 is'),
        ([[0, 0, float('inf'), 9]], 'box 0 is'),
        ([[0, 0, 9]], r'shape \(1, 3\)'),
    ],
)
def test_boxes_that_cannot_be_named(made, namer, boxes, message):
    with pytest.raises(ValueError, match=message):
        namer(made[0] / 'imgs/0.jpg', boxes)


def test_images_that_cannot_be_read(made, namer, tmp_path):
    with pytest.raises(OSError, match=r'none\.jpg'):
        namer(tmp_path / 'none.jpg', [[0, 0, 9, 9]])
    with pytest.raises(ValueError, match='need R, G, B, uint8'):
        namer(np.zeros((48, 48, 3), np.float32), [[0, 0, 9, 9]])
    turned = Image.new('RGB', (48, 48))
    exif = turned.getexif()
    exif[0x0112] = 6
    turned.save(tmp_path / 'turned.jpg', exif=exif)
    with pytest.raises(ValueError, match='EXIF orientation 6'):
        namer(tmp_path / 'turned.jpg', [[0, 0, 9, 9]])


def without_projection(made, tmp_path):
    weights = torch.load(made[2], weights_only=True)['state_dict']
    rest = {name: value for name, value in weights.items() if 'head.projection' not in name}
    torch.save(dict(state_dict=rest), tmp_path / 'rest.pth')
    return dict(checkpoint=tmp_path / 'rest.pth')


def other_head(made, tmp_path):
    cfg = copy.deepcopy(made[1])
    cfg.model.head = dict(type='mmdynamicvis.MILHead', classes=list(CLASSES), in_channels=12)
    return dict(config=cfg)


def projected(made, tmp_path):
    save_meta_embeddings(tmp_path / 'p.safetensors', torch.randn(4, WIDTH), CLASSES)
    return dict(text_embeddings=tmp_path / 'p.safetensors')


def text_of(**changes):
    return lambda made, tmp_path: dict(
        text_embeddings=write_text(tmp_path / 'other.safetensors', **changes)
    )


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda *_: dict(names=['a', 'dam']), 'no text embeddings of dam, but of a, b, c, d'),
        (lambda *_: dict(names=['a', 'a']), 'every category once'),
        (lambda *_: dict(config=Config(dict(model=dict(type='X')))), 'naming needs a TextHead'),
        (text_of(width=WIDTH - 1), f'to {WIDTH} dimensions, but'),
        (text_of(space='other'), 'another text model'),
        (without_projection, r'head\.projection\.weight is missing'),
        (other_head, 'needs a TextHead, and it has a head of type MILHead'),
        (projected, 'again with --no-projection'),
    ],
    ids=[
        'unknown name', 'name twice', 'no head', 'other width', 'other text model',
        'no projection', 'other head', 'projected',
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(made, tmp_path, change, message):
    arguments = dict(config=made[1], checkpoint=made[2], text_embeddings=made[3], device='cpu')
    arguments.update(change(made, tmp_path))
    with pytest.raises(ValueError, match=message):
        RegionNamer(**arguments)


BOXES = [
    dict(image_id=0, bbox=[4, 4, 20, 20], score=0.5),
    dict(image_id=2, bbox=[-3.0, 4, 20.5, 60], score=0.25, category_id=7),
]


def write(path, value):
    path.write_text(json.dumps(value))
    return path


def test_a_list_of_results_is_completed(tmp_path):
    images = write(tmp_path / 'images.json', content(n_images=3))
    found = read_detections(write(tmp_path / 'results.json', BOXES), images)
    assert [one['id'] for one in found['annotations']] == [1, 2]
    assert [one['score'] for one in found['annotations']] == [0.5, 0.25]
    assert [image['file_name'] for image in found['images']] == ['0.jpg', '1.jpg', '2.jpg']


def test_a_whole_file_is_read_as_it_is(tmp_path):
    whole = content(n_images=3)
    assert read_detections(write(tmp_path / 'coco.json', whole)) == whole


@pytest.mark.parametrize(
    ('boxes', 'message'),
    [
        ([], 'has no boxes'),
        ([dict(BOXES[0], image_id=9)], 'image_id 9, which no image has'),
        ([dict(BOXES[0], bbox=[70, 0, 9, 9])], r'results\.json: 1 problem'),
        ([dict(BOXES[0], bbox=[0.1, 0.1, 0.5, 0.5])], 'from 0 to 1'),
        ([dict(image_id=0)], 'bbox'),
        (['box'], 'no objects with image_id and bbox'),
    ],
)
def test_results_that_cannot_be_used(tmp_path, boxes, message):
    images = write(tmp_path / 'images.json', content(n_images=3))
    with pytest.raises(ValueError, match=message):
        read_detections(write(tmp_path / 'results.json', boxes), images)


def test_files_that_cannot_be_used(tmp_path):
    results = write(tmp_path / 'results.json', BOXES)
    images = write(tmp_path / 'images.json', content(n_images=3))
    with pytest.raises(ValueError, match='give the COCO file of its images'):
        read_detections(results)
    with pytest.raises(ValueError, match='names its images itself'):
        read_detections(images, images)
    with pytest.raises(FileNotFoundError, match=r'none\.json'):
        read_detections(results, tmp_path / 'none.json')
    results.write_text('[{')
    with pytest.raises(ValueError, match='is no JSON'):
        read_detections(results, images)

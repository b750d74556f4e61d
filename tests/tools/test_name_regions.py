from __future__ import annotations

import json
import runpy
import sys

import cv2
import pytest
import torch
from mmengine.registry import MODELS, init_default_scope

from ..pretraining.coco_makers import CLASSES, content, write_coco
from ..pretraining.text_makers import config, write_text

TOOL = 'tools/name_regions.py'
NAMES = ['dam', 'a', 'barn']


@pytest.fixture(scope='module')
def made(tmp_path_factory):
    folder = tmp_path_factory.mktemp('names')
    write_coco(folder, content(n_images=3))
    cfg = config(folder, write_text(folder / 'trained_names.safetensors'))
    init_default_scope(cfg.default_scope)
    model = MODELS.build(cfg.model)
    model.init_weights()
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'trained.pth')
    write_text(folder / 'names.safetensors', NAMES)
    return folder


@pytest.fixture
def run(made, checkout, monkeypatch, tmp_path):
    tool = runpy.run_path(str(checkout / TOOL))

    def call(*options, source=made / 'imgs', detections=made / 'annotations.json'):
        files = [made / name for name in ('names.safetensors', 'config.py', 'trained.pth')]
        command = [TOOL, source, detections, *files, '--out', tmp_path / 'named.json', *options]
        monkeypatch.setattr(sys, 'argv', [*map(str, command), '--device', 'cpu'])
        tool['main']()
        return json.loads((tmp_path / 'named.json').read_text())

    return call


def test_every_box_gets_a_name_and_keeps_the_rest(run, made, tmp_path, capsys):
    named = run('--pictures', tmp_path / 'pictures')
    before = json.loads((made / 'annotations.json').read_text())
    assert [category['name'] for category in named['categories']] == NAMES
    assert named['images'] == before['images']
    old = {one['id']: one for one in before['annotations']}
    assert len(named['annotations']) == len(old)
    for one in named['annotations']:
        assert one['bbox'] == old[one['id']]['bbox']
        assert one['image_id'] == old[one['id']]['image_id']
        assert one['detected_as'] == CLASSES[old[one['id']]['category_id'] - 1]
        assert 1 <= one['category_id'] <= 3
        assert 1 / 3 - 1e-6 <= one['name_score'] <= 1
    for name in '012':
        picture = cv2.imread(str(tmp_path / f'pictures/{name}.png'))
        assert (picture != cv2.imread(str(made / f'imgs/{name}.jpg'))).any()
    assert f'{len(old)} boxes in 3 images' in capsys.readouterr().out
    assert [file.name for file in tmp_path.glob('named*')] == ['named.json']


def test_results_of_a_detector_on_one_image(run, made, tmp_path):
    boxes = [
        dict(image_id=1, bbox=[4, 4, 20, 20], score=score, category_id=1) for score in (0.9, 0.2)
    ]
    (tmp_path / 'results.json').write_text(json.dumps(boxes))
    named = run(
        '--images', made / 'annotations.json', '--min-score', '0.3', '--names', 'barn', 'dam',
        source=made / 'imgs/1.jpg', detections=tmp_path / 'results.json',
    )  # fmt: skip
    (one,) = named['annotations']
    assert (one['score'], one['detected_as']) == (0.9, 'a')
    assert [category['name'] for category in named['categories']] == ['barn', 'dam']


def test_nothing_is_overwritten(run, made, tmp_path):
    (tmp_path / 'named.json').write_text('mine')
    with pytest.raises(FileExistsError, match='pass --force'):
        run()
    assert (tmp_path / 'named.json').read_text() == 'mine'
    assert run('--force')['annotations']
    (tmp_path / 'pictures').mkdir()
    (tmp_path / 'pictures/1.png').write_text('mine')
    (tmp_path / 'named.json').unlink()
    with pytest.raises(FileExistsError, match=r'1\.png'):
        run('--pictures', tmp_path / 'pictures')
    assert not (tmp_path / 'named.json').exists()


def test_images_that_do_not_belong_to_the_boxes(run, made, tmp_path):
    with pytest.raises(ValueError, match=r'there are boxes of 0\.jpg'):
        run(source=made / 'imgs/1.jpg')
    with pytest.raises(ValueError, match=r'0\.jpg does not exist'):
        run(source=tmp_path)
    with pytest.raises(FileNotFoundError, match='none does not exist'):
        run(source=tmp_path / 'none')
    with pytest.raises(ValueError, match='no box with a score from 2'):
        run('--min-score', '2', detections=scored(made, tmp_path))


def scored(made, tmp_path):
    coco = json.loads((made / 'annotations.json').read_text())
    for one in coco['annotations']:
        one['score'] = 0.5
    (tmp_path / 'scored.json').write_text(json.dumps(coco))
    return tmp_path / 'scored.json'

"""The commands of docs/pretraining.md in a row: raw data, shards, training, test, export, task."""

from __future__ import annotations

import json
import re
import subprocess
import sys

import pytest
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmdynamicvis.models.weights import load_weights

from .makers import write_fmow
from .regions import ARCH

CONFIG = 'configs/pretraining/mil_dynamicvis-tiny_1xb16-1e_fmow-192px.py'
TASK = 'configs/classification/dynamicvis_tiny_1xb32-10e-nwpu_aid150-128px.py'


@pytest.mark.exhaustive
def test_from_raw_to_task(tmp_path, checkout):
    def call(tool, *arguments):
        command = [sys.executable, checkout / 'tools' / tool, *arguments]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, cwd=tmp_path)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
        return done.stdout + done.stderr

    raw = write_fmow(tmp_path / 'raw', n_per_category=4, splits=('train', 'val', 'test'))
    common = ('--shards', 3, '--workers', 2)
    call('prepare_data/fmow.py', raw, 'fmow/train', '--splits', 'train', 'val', *common)
    call('prepare_data/fmow.py', raw, 'fmow/test', '--splits', 'test', *common)
    n_boxes = json.loads((tmp_path / 'fmow/test/meta.json').read_text())['source']

    cfg = Config.fromfile(checkout / CONFIG)
    cfg.model.backbone.arch = ARCH
    cfg.model.neck.in_channels = list(ARCH['embed_dims'])
    for split, loader in (('train', 'train_dataloader'), ('test', 'val_dataloader')):
        cfg[loader].dataset.shards = str(tmp_path / 'fmow' / split)
    cfg.test_dataloader = cfg.val_dataloader
    cfg.train_dataloader.batch_size = 4
    cfg.dump(tmp_path / 'config.py')
    call('train.py', 'config.py', '--work-dir', 'work')
    checkpoint = (tmp_path / 'work/last_checkpoint').read_text()
    assert checkpoint.endswith('iter_6.pth')  # 24 images, 4 at a time

    output = call('test.py', 'config.py', checkpoint, '--work-dir', 'work')
    counted = re.findall(r'^(\S+) +(\d+) +[\d.]+ +[\d.]+ +[\d.]+$', output, re.MULTILINE)
    found = {name: int(count) for name, count in counted}
    assert {k: v for k, v in found.items() if v} == {
        k: v for k, v in n_boxes['boxes_per_category'].items() if v
    }
    assert list((tmp_path / 'work').rglob('confusion_matrix*.png'))

    parts = ('backbone', 'neck', 'roi_extractor')
    call('convert_checkpoint.py', checkpoint, 'pretrained.safetensors', '--parts', *parts)
    task = Config.fromfile(checkout / TASK)
    task.model.backbone.update(arch=ARCH)
    task.model.backbone.init_cfg.checkpoint = str(tmp_path / 'pretrained.safetensors')
    task.model.head.in_channels = ARCH['embed_dims'][-1]
    init_default_scope('mmpretrain')
    model = MODELS.build(task.model)
    model.init_weights()
    weights = load_weights(tmp_path / 'pretrained.safetensors', prefix='backbone')
    loaded = model.backbone.state_dict()
    shared = weights.keys() - {'pos_embed'}  # of another size
    assert len(shared) > 30
    assert all((loaded[name] == weights[name]).all() for name in shared)

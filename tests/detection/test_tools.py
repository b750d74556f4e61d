"""A test with the command-line tool: metrics, pictures, test-time augmentation."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope

from mmdynamicvis.detection import NWPUInsSegDataset

from ..tools.detection_makers import write_coco

pytestmark = pytest.mark.exhaustive

N_IMAGES = 3


@pytest.mark.parametrize(
    ('config', 'metrics'),
    [
        ('detection/fcos', {'coco/bbox_mAP'}),
        ('instance_segmentation/mask-rcnn', {'coco/bbox_mAP', 'coco/segm_mAP'}),
    ],
)
@pytest.mark.parametrize(
    'options',
    [
        pytest.param(['--show-dir', 'seen'], id='pictures'),
        pytest.param(['--tta'], id='tta'),
    ],
)
def test_a_checkpoint_is_tested(config, metrics, options, checkout, tmp_path):
    path = checkout / f'configs/{config}_dynamicvis-tiny_1xb4-12e_nwpu-256px.py'
    cfg = Config.fromfile(path)
    init_default_scope(cfg.default_scope)
    model = MODELS.build(dict(cfg.model, data_preprocessor=cfg.data_preprocessor))
    torch.save(dict(state_dict=model.state_dict(), meta={}), tmp_path / 'random.pth')
    classes = list(NWPUInsSegDataset.METAINFO['classes'])
    write_coco(tmp_path / 'annotations/NWPU_instances_val.json', tmp_path / 'imgs', classes)
    command = [sys.executable, checkout / 'tools/test.py', path, tmp_path / 'random.pth', *options]
    command += ['--work-dir', tmp_path / 'work', '--out', tmp_path / 'metrics.json']
    command += ['--out-item', 'metrics', '--cfg-options', f'data_root={tmp_path}']
    command += ['test_dataloader.num_workers=0']
    if 'fcos' in config:  # random weights are sure of nothing
        command += ['model.test_cfg.score_thr=0.0', 'model.test_cfg.max_per_img=5']
    else:
        command += ['model.test_cfg.rcnn.score_thr=0.0', 'model.test_cfg.rcnn.max_per_img=5']
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert metrics <= json.loads((tmp_path / 'metrics.json').read_text()).keys()
    folder = 'seen' if '--show-dir' in options else 'pictures'
    pictures = [path.name for path in tmp_path.rglob(f'{folder}/*.jpg')]
    assert sorted(pictures) == [f'{i}.jpg' for i in range(N_IMAGES)]

"""From a pretraining checkpoint to a detector, part by part."""

from __future__ import annotations

import copy
import subprocess
import sys

import pytest
import torch
from mmengine.hub import get_config
from mmengine.logging import MMLogger
from safetensors.torch import load_file

from mmdynamicvis.registry import MODELS

from .regions import CONFIG, build

PARTS = ('backbone', 'neck', 'roi_extractor')


@pytest.fixture(scope='module')
def exported(tmp_path_factory, checkout):
    """What the tool makes of a checkpoint with random weights, and the model."""
    folder = tmp_path_factory.mktemp('pretrained')
    model = build()
    model.init_weights()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.05)
    torch.save(dict(state_dict=model.state_dict(), meta={}), folder / 'epoch_1.pth')
    command = [sys.executable, checkout / 'tools/convert_checkpoint.py', folder / 'epoch_1.pth']
    command += [folder / 'pretrained.safetensors', '--parts', *PARTS]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder / 'pretrained.safetensors', model


def test_one_file_has_the_parts_and_nothing_else(exported):
    path, model = exported
    weights = load_file(path)
    expected = {k: v for k, v in model.state_dict().items() if k.split('.')[0] in PARTS}
    assert weights.keys() == expected.keys()
    assert all(torch.equal(weights[name], value) for name, value in expected.items())


def test_a_detector_loads_each_part(exported, checkout, tmp_path):
    path, model = exported
    log = tmp_path / 'log'
    MMLogger.get_instance('transfer', log_file=str(log))
    parts = copy.deepcopy({part: CONFIG[part] for part in PARTS})
    for part in PARTS:
        init_cfg = dict(type='Pretrained', checkpoint=str(path), prefix=f'{part}.')
        parts[part]['init_cfg'] = init_cfg
    mask_extractor = copy.deepcopy(parts['roi_extractor'])
    mask_extractor['roi_layer']['output_size'] = 14
    cfg = get_config('mmdet::mask_rcnn/mask-rcnn_r50_fpn_1x_coco.py').model
    cfg.type = 'mmdet.MaskRCNN'
    cfg.backbone, cfg.neck = parts['backbone'], parts['neck']
    cfg.roi_head.bbox_roi_extractor = parts['roi_extractor']
    cfg.roi_head.mask_roi_extractor = mask_extractor
    channels = parts['neck']['out_channels']
    cfg.rpn_head.in_channels = channels
    cfg.roi_head.bbox_head.in_channels = cfg.roi_head.mask_head.in_channels = channels
    detector = MODELS.build(dict(cfg, _scope_='mmdet'))
    detector.init_weights()
    pairs = [
        (detector.backbone, model.backbone),
        (detector.neck, model.neck),
        (detector.roi_head.bbox_roi_extractor, model.roi_extractor),
        (detector.roi_head.mask_roi_extractor, model.roi_extractor),
    ]
    for part, source in pairs:
        loaded, expected = part.state_dict(), source.state_dict()
        assert loaded.keys() == expected.keys()
        assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    text = log.read_text()
    n_backbone = len(model.backbone.state_dict())
    assert f'loaded {n_backbone} of {n_backbone} tensors' in text
    assert 'load neck. in model from' in text
    assert text.count('load roi_extractor. in model from') == 2


def test_a_part_that_is_not_there_is_named(exported, checkout, tmp_path):
    path, _ = exported
    command = [sys.executable, checkout / 'tools/convert_checkpoint.py', path]
    command += [tmp_path / 'x.safetensors', '--parts', 'backbone', 'rpn_head']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no part 'rpn_head'" in done.stderr
    assert not (tmp_path / 'x.safetensors').exists()

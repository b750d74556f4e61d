from __future__ import annotations

import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.registry import DATASETS, MODELS

import mmdynamicvis.compat  # noqa: F401
from mmdynamicvis import export
from mmdynamicvis.compat.models import DynamicVisBackbone
from mmdynamicvis.embedding import Embedder
from mmdynamicvis.models.weights import save_weights

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))
PUBLISHED = dict(
    arch=ARCH,
    path_type='forward_reverse_mean',
    sampling_scale=dict(type='decay', val=0.1),
    global_token_cfg=dict(pos='head', num=-1),
    is_softmax_on_x=True,
    img_size=64,
    patch_sizes=[7, 3, 3, 3],
    strides=[4, 2, 2, 2],
    spatial_token_keep_ratios=[8, 4, 2, 1],
)


@pytest.fixture(autouse=True)
def scope_of_published_configs():
    """Whatever scope an earlier test has left."""
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        yield


def test_published_classifier_builds_and_learns():
    model = MODELS.build(
        dict(
            type='ImageClassifier',
            backbone=dict(
                type='mmpretrain.DynamicVisBackbone',
                frozen_stages=1,
                out_indices=(3,),
                out_type='avg_featmap',
                **PUBLISHED,
            ),
            head=dict(
                type='DynamicVisClsHead',
                num_classes=5,
                in_channels=20,
                loss=dict(type='LabelSmoothLoss', label_smooth_val=0.1, mode='original'),
            ),
        )
    )
    frozen = {name for name, p in model.backbone.named_parameters() if not p.requires_grad}
    assert frozen == {
        name
        for name, _ in model.backbone.named_parameters()
        if name.startswith('stages.0.') or name == 'pos_embed'
    }
    scores = model(torch.randn(2, 3, 64, 64))
    assert scores.shape == (2, 5)
    assert 'head.fc.weight' in model.state_dict()


@pytest.mark.parametrize(('published', 'ours'), [(-1, -1), (0, -1), (1, 0), (4, 3)])
def test_frozen_stages_are_counted_from_one(published, ours):
    model = DynamicVisBackbone(**PUBLISHED, frozen_stages=published)
    assert model.frozen_stages == ours
    assert model.c_embed_dims == ARCH['embed_dims']


@pytest.mark.parametrize(
    ('argument', 'value'),
    [
        ('path_type', 'sideways'),
        ('mamba2', True),
        ('spatial_token_keep_ratios', [0.5, 1, 1, 1]),
    ],
)
def test_unknown_values_are_named(argument, value):
    with pytest.raises(ValueError, match=argument):
        DynamicVisBackbone(**{**PUBLISHED, argument: value})


@pytest.mark.parametrize('kind', ['mmpretrain.DynamicVisBackbone', DynamicVisBackbone])
def test_embedder_and_export_take_published_configs(kind, tmp_path) -> None:
    """By name, and by class as in pure-Python configs."""
    torch.manual_seed(0)
    model = DynamicVisBackbone(**{**PUBLISHED, 'path_type': 'forward'}).eval()
    # weights do not tell these two
    arguments = {**PUBLISHED, 'path_type': 'forward', 'spatial_token_keep_ratios': [4, 0, 2, 1]}
    expected = DynamicVisBackbone(**arguments).eval()
    weights = {
        k: v for k, v in model.state_dict().items() if not k.startswith('stages.1.units.0.s')
    }
    save_weights(weights, tmp_path / 'weights.safetensors')
    expected.load_state_dict(weights)
    init_cfg = [dict(type='Pretrained', checkpoint=str(tmp_path / 'weights.safetensors'))]
    backbone = dict(type=kind, frozen_stages=1, out_indices=(3,), init_cfg=init_cfg, **arguments)
    cfg = Config(dict(model=dict(type='ImageClassifier', backbone=backbone)))
    image = torch.rand(3, 64, 96)
    embedder = Embedder(cfg, mean=[0, 0, 0], std=[1, 1, 1], device='cpu')
    with torch.no_grad():
        last = expected(image[None])[-1]
        exported = export.backbone(cfg, mean=[0, 0, 0], std=[1, 1, 1])
        maps = exported(image[None])
    torch.testing.assert_close(embedder([image]), last.mean((2, 3)))
    torch.testing.assert_close(maps[-1], last, rtol=1e-4, atol=1e-5)
    cfg.model.backbone.path_type = 'sideways'
    with pytest.raises(ValueError, match='path_type'):
        Embedder(cfg)


def test_load_balancing_loss_is_refused():
    cfg = dict(type='DynamicVisClsHead', num_classes=5, in_channels=20)
    assert MODELS.build(dict(**cfg, load_balancing_loss_cfg=dict(type='fixed', val=0)))
    with pytest.raises(ValueError, match='load_balancing_loss_cfg'):
        MODELS.build(dict(**cfg, load_balancing_loss_cfg=dict(type='fixed', val=0.1)))


def test_published_dataset(tmp_path):
    (tmp_path / 'beach').mkdir()
    (tmp_path / 'beach/beach00.tif').touch()
    (tmp_path / 'train.txt').write_text('beach/beach00.tif\n')
    cfg = dict(type='RSClsDataset', data_root=str(tmp_path), ann_file='train.txt', pipeline=[])
    dataset = DATASETS.build(dict(**cfg, data_name='UC'))
    assert dataset.get_data_info(0)['gt_label'] == 3
    with pytest.raises(ValueError, match='data_name'):
        DATASETS.build(dict(**cfg, data_name='none'))


def test_client_import_needs_no_host():
    """Where no host is installed, the published module path still serves clients."""
    code = (
        'import importlib.util as util; find = util.find_spec; '
        'hosts = ("mmpretrain", "mmseg"); '
        'util.find_spec = lambda name, *rest: None if name in hosts else find(name, *rest); '
        'from mmdynamicvis.compat.models import DynamicVisBackbone; import sys; '
        'assert "mmpretrain" not in sys.modules; print(DynamicVisBackbone.__name__)'
    )
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True)
    assert done.stdout.strip() == 'DynamicVisBackbone', done.stderr

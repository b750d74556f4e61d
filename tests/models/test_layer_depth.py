"""Depths for layer-wise learning rates, as mmpretrain's constructor asks for them."""

from __future__ import annotations

import pytest
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

from mmdynamicvis import DynamicVis


def test_depths_follow_the_forward_pass() -> None:
    model = DynamicVis(
        dict(embed_dims=(8, 12), depths=(1, 2)),
        **{
            'patch_sizes': (7, 3),
            'strides': (4, 2),
            'reduction_ratios': (0.5, 0.5),
            'img_size': 64,
        },
    )
    depths = {
        name: model.get_layer_depth(f'backbone.{name}', 'backbone.')
        for name, _ in model.named_parameters()
    }
    assert {count for _, count in depths.values()} == {5}
    expected = {
        'pos_embed': 0,
        'stages.0.merger.projection.weight': 0,
        'stages.0.units.0.mixer.D': 1,
        'stages.0.norm.weight': 1,
        'stages.1.merger.projection.weight': 2,
        'stages.1.units.0.mixer.D': 2,
        'stages.1.units.1.scorer.weight': 3,
        'stages.1.norm.bias': 3,
    }
    assert {name: depths[name][0] for name in expected} == expected
    assert model.get_layer_depth('head.fc.weight', 'backbone.') == (4, 5)


def test_learning_rates_of_mmpretrain() -> None:
    """Depth d of n layers learns with the rate times decay^(n - d - 1)."""
    pytest.importorskip('mmpretrain')
    arch = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))
    model = dict(
        type='mmpretrain.ImageClassifier',
        backbone=dict(type='mmdynamicvis.DynamicVis', arch=arch, img_size=64),
        neck=dict(type='mmpretrain.GlobalAveragePooling'),
        head=dict(type='mmpretrain.LinearClsHead', in_channels=20, num_classes=2),
    )
    init_default_scope('mmpretrain')
    model = MODELS.build(model)
    settings = dict(
        constructor='LearningRateDecayOptimWrapperConstructor',
        optimizer=dict(type='SGD', lr=1.0, weight_decay=0.1),
        paramwise_cfg=dict(layer_decay_rate=0.5),
    )
    groups = build_optim_wrapper(model, settings).optimizer.param_groups
    rates = {id(p): group['lr'] for group in groups for p in group['params']}
    expected = {
        'backbone.pos_embed': 2**-5,
        'backbone.stages.0.units.0.mixer.D': 2**-4,
        'backbone.stages.3.norm.weight': 2**-1,
        'head.fc.weight': 1,
    }
    assert {name: rates[id(model.get_parameter(name))] for name in expected} == expected

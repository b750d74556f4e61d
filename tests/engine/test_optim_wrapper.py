"""Which parameters are decayed, and at which learning rate they are trained."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from torch import nn

from mmdynamicvis import DynamicVis

CONSTRUCTOR = 'mmdynamicvis.BackboneOptimWrapperConstructor'


class Model(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        arch = dict(embed_dims=(8, 12), depths=(1, 2))
        per_stage = dict(patch_sizes=(7, 3), strides=(4, 2), reduction_ratios=(0.5, 0.5))
        self.backbone = DynamicVis(arch, **per_stage, img_size=64)
        self.head = nn.Linear(12, 2)


def settings(model: nn.Module, optim_wrapper: dict) -> dict[str, tuple[float, float]]:
    """Return the learning rate and the weight decay of each parameter."""
    optimizer = build_optim_wrapper(model, optim_wrapper).optimizer
    names = {parameter: name for name, parameter in model.named_parameters()}
    return {
        names[parameter]: (group['lr'], group['weight_decay'])
        for group in optimizer.param_groups
        for parameter in group['params']
    }


def wrapper(**more: object) -> dict:
    optimizer = dict(type='AdamW', lr=1.0, weight_decay=0.5)
    return dict(type='OptimWrapper', optimizer=optimizer, constructor=CONSTRUCTOR, **more)


def is_spared(model: nn.Module) -> Callable[[str], bool]:
    rms = {n for n, m in model.named_modules() if isinstance(m, nn.RMSNorm)}
    ends = ('pos_embed', '.A_log', '.D', '.dt_proj.bias')
    return lambda name: name.endswith(ends) or name.rpartition('.')[0] in rms


@pytest.mark.parametrize('paramwise_cfg', [None, {}, dict(norm_decay_mult=1.0)])
def test_marked_parameters_are_not_decayed(paramwise_cfg: dict | None) -> None:
    model = Model()
    spared = is_spared(model)
    found = settings(model, wrapper(paramwise_cfg=paramwise_cfg))
    assert found == {
        name: (1.0, 0.0 if spared(name) else 0.5) for name, _ in model.named_parameters()
    }
    assert sum(map(spared, found)) == 1 + 3 * 4  # of the embedding, and of three units


def test_norms_go_by_the_hosts_setting() -> None:
    found = settings(Model(), wrapper(paramwise_cfg=dict(norm_decay_mult=0.0)))
    assert found['backbone.stages.0.norm.weight'] == (1.0, 0.0)
    assert found['head.bias'] == (1.0, 0.5)


def test_learning_rates_fall_with_the_depth() -> None:
    model = Model()
    mults = dict(head=dict(lr_mult=10.0))
    paramwise_cfg = dict(layer_decay_rate=0.5, custom_keys=mults)
    found = settings(model, wrapper(paramwise_cfg=paramwise_cfg))
    expected = {
        'head.weight': (10.0, 0.5),
        'backbone.stages.1.units.1.scorer.weight': (0.5, 0.5),
        'backbone.stages.1.units.0.scorer.weight': (0.25, 0.5),
        'backbone.stages.0.units.0.mixer.D': (0.125, 0.0),
        'backbone.pos_embed': (0.0625, 0.0),
    }
    assert {name: found[name] for name in expected} == expected


def test_no_depths_in_another_backbone() -> None:
    with pytest.raises(ValueError, match=r'layer_decay_rate is 0\.5, and Linear has no backbone'):
        settings(nn.Linear(1, 1), wrapper(paramwise_cfg=dict(layer_decay_rate=0.5)))


def test_the_schedule_of_the_configs_decays_matrices_alone(checkout: Path) -> None:
    schedule = Config.fromfile(checkout / 'configs/_base_/schedules/adamw_cosine.py')
    model = Model()
    by_names = dict(pos_embed=dict(decay_mult=0.0), A_log=dict(decay_mult=0.0))
    explicit = dict(
        schedule.optim_wrapper,
        constructor='DefaultOptimWrapperConstructor',
        paramwise_cfg=dict(flat_decay_mult=0.0, custom_keys=by_names),
    )
    assert schedule.optim_wrapper.constructor == CONSTRUCTOR
    assert settings(model, schedule.optim_wrapper) == settings(model, explicit)

"""Build a config of the suite with a small backbone and take one step on made data."""

from __future__ import annotations

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

SMALL = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))


def shrink(cfg: Config) -> None:
    """Give a config's DynamicVis backbone, if it has one, a few thousand parameters, in place."""
    backbone = cfg.model.backbone
    if backbone.type != 'mmdynamicvis.DynamicVis':
        return
    backbone.update(arch=SMALL, img_size=64, init_cfg=None)
    if 'neck' in cfg.model:
        cfg.model.neck.in_channels = list(SMALL['embed_dims'])
        cfg.data_preprocessor.batch_augments = None
    else:
        cfg.model.head.in_channels = SMALL['embed_dims'][-1]


def training_step(cfg: Config, data: dict) -> dict[str, float]:
    """Build the model and optimizer of ``cfg``, take a step, and return the losses."""
    init_default_scope(cfg.default_scope)
    model = cfg.model.copy()
    model.setdefault('data_preprocessor', cfg.get('data_preprocessor'))
    model = MODELS.build(model)
    model.init_weights()
    optim_wrapper = cfg.optim_wrapper.copy()
    if optim_wrapper.type == 'AmpOptimWrapper':  # refuses to work without a GPU
        optim_wrapper.type = 'OptimWrapper'
        optim_wrapper.pop('dtype')
    optim_wrapper = build_optim_wrapper(model, optim_wrapper)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    logs = model.train_step(data, optim_wrapper)
    for name, parameter in model.named_parameters():
        changed = not torch.equal(parameter, before[name])
        # A bias before a batch norm, say, may have no gradient; what is frozen must not change.
        assert not changed or parameter.requires_grad, name
    assert any(not torch.equal(p, before[n]) for n, p in model.named_parameters())
    return {name: float(value) for name, value in logs.items()}

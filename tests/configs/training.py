"""Build a config of the suite with a small backbone and take one step on made data.

Made small, many configs become one model: of several widths, or with weights from a file. Each
distinct model is built and run once per process.
"""

from __future__ import annotations

import copy
import functools
import json
from collections.abc import Callable
from typing import Any

import torch
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import MODELS, init_default_scope

SMALL = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))


# Few proposals and queries, for images of 64 px.
FEW_PROPOSALS = dict(nms_pre=50, max_per_img=20)
FEW_REGIONS = dict(
    train_cfg=dict(rpn_proposal=FEW_PROPOSALS, rcnn=dict(sampler=dict(num=16))),
    test_cfg=dict(rpn=FEW_PROPOSALS, rcnn=dict(max_per_img=5)),
)
FEW_QUERIES = dict(num_queries=20, test_cfg=dict(max_per_img=10))


def shrink(cfg: Config) -> None:
    """Give a config's DynamicVis backbone, if it has one, a few thousand parameters, in place."""
    if 'rpn_head' in cfg.model:
        cfg.merge_from_dict(dict(model=FEW_REGIONS))
    if 'num_queries' in cfg.model:
        cfg.merge_from_dict(dict(model=FEW_QUERIES))
    backbone = cfg.model.backbone
    if backbone.type != 'mmdynamicvis.DynamicVis':
        return
    backbone.update(arch=SMALL, img_size=64, init_cfg=None)
    if 'neck' in cfg.model:
        channels = SMALL['embed_dims']
        cfg.model.neck.in_channels = [channels[i] for i in backbone.get('out_indices', range(4))]
        cfg.data_preprocessor.batch_augments = None
    else:
        cfg.model.head.in_channels = SMALL['embed_dims'][-1]


def once_per_model(run: Callable[[Config, dict], Any]) -> Callable[[Config, dict], Any]:
    """Return what ``run`` returned before if it was called with an equal model."""
    done = {}

    @functools.wraps(run)
    def wrapped(cfg: Config, data: dict) -> Any:
        parts = ('model', 'tta_model', 'data_preprocessor', 'optim_wrapper', 'default_scope')
        key = json.dumps([cfg.get(part) for part in parts], sort_keys=True, default=str)
        if key not in done:
            done[key] = run(cfg, data)
        return done[key]

    return wrapped


@once_per_model
def training_step(cfg: Config, data: dict) -> dict[str, float]:
    """Build the model and optimizer of ``cfg``, take a step, and return the losses."""
    init_default_scope(cfg.default_scope)
    model = copy.deepcopy(cfg.model)  # some hosts' models change their config
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

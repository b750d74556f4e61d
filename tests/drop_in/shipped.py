"""Every config that the hosts ship, tried with DynamicVis tiny as its backbone."""

from __future__ import annotations

import hashlib
import json
import traceback
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

from .batches import Batch, batch_options, make_batch
from .step import build, take_step
from .swaps import is_candidate, swap

HOSTS = ('mmdet', 'mmrotate', 'mmseg', 'mmpretrain', 'opencd')

SIZE = (64, 96)
"""Height and width in pixels."""
SIZES = {'mmdet/ddod': (264, 264), 'mmseg/mobilenet_v3': (800, 800)}
"""Larger where the map of stride 128 must have 3 x 3 places, and that of stride 16 49 x 49."""

# No number of these is part of an interface; all of them cost time.
_MOST = dict(nms_pre=50, max_per_img=20, num_queries=20, num_proposals=20)
_MOST_SAMPLES = 16


class Shipped(NamedTuple):
    """A config that a host ships: the host, and the path in its folder of configs."""

    host: str
    config: str

    def __str__(self) -> str:
        return f'{self.host}/{self.config}'

    @property
    def family(self) -> str:
        """The folder, one per method or dataset."""
        return f'{self.host}/{Path(self.config).parts[0]}'

    def load(self) -> Config:
        """Read the host's config as it is."""
        return Config.fromfile(_folder(self.host) / self.config)


class Trial:
    """A shipped config with DynamicVis in it, small enough for a quick step.

    With ``own`` it keeps its own backbone, to tell what fails with any.
    """

    def __init__(self, shipped: Shipped, own: bool = False) -> None:
        self.host = shipped.host
        self.own = own
        self.cfg = shipped.load()
        self.is_candidate = is_candidate(shipped.host, self.cfg)
        if not self.is_candidate:
            return
        if not own:
            swap(shipped.host, self.cfg)
        if shipped.host == 'mmpretrain':
            self.cfg.model.setdefault('data_preprocessor', self.cfg.get('data_preprocessor'))
            # heads of zeros, as ViT's, give the backbone no gradient in the first step
            self.cfg.model.head.init_cfg = dict(type='TruncNormal', layer='Linear', std=0.02)
        make_small(self.cfg.model)
        make_small(self.cfg.optim_wrapper)
        size = SIZES.get(shipped.family, SIZE)
        if own and self.host == 'mmpretrain':
            size = (224, 224)  # many of its backbones take this alone
        self.options = batch_options(self.host, self.cfg, size)

    @property
    def key(self) -> str:
        """What tells one trial from another: widths and depths of other backbones do not."""
        parts = [self.host, self.cfg.model, self.cfg.optim_wrapper, self.options]
        text = json.dumps(parts, sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()

    def batch(self) -> Batch:
        """Return made data for a training step."""
        return make_batch(self.host, self.options)

    def train(self) -> None:
        """Train a step; every weight of the backbone must get a gradient, and some must change."""
        torch.manual_seed(0)
        if self.host == 'opencd':
            import_module('mmdynamicvis.change_detection.opencd')
        import_module(f'{self.host}.models')
        with DefaultScope.overwrite_default_scope(self.cfg.default_scope):
            model = build(self.host, self.cfg)
            assert self.own or all(weight.requires_grad for weight in model.backbone.parameters())
            before = take_step(model, self.cfg.optim_wrapper, self.batch())
        after = model.backbone.named_parameters()
        # a host's small learning rate and clipped gradients may leave some weights as they were
        assert any(not torch.equal(weight, before[name]) for name, weight in after)


def _folder(host: str) -> Path:
    package = package_of(host)
    beside = package.parent / 'configs'  # a clone, as open-cd is
    return beside if host == 'opencd' else package / '.mim/configs'


def package_of(host: str) -> Path:
    """Return the folder of a host's package."""
    return Path(find_spec(host).origin).parent


def installed_hosts() -> list[str]:
    """Return the hosts that are here with their configs; open-cd is only where it was cloned."""
    found = []
    for host in HOSTS:
        spec = find_spec(host)
        if spec is not None and spec.origin is not None and _folder(host).is_dir():
            found.append(host)
    return found


def all_shipped() -> list[Shipped]:
    """Return every config of the hosts that are installed, in order."""
    return [
        Shipped(host, str(path.relative_to(_folder(host))))
        for host in installed_hosts()
        for path in sorted(_folder(host).rglob('*.py'))
        if '_base_' not in path.relative_to(_folder(host)).parts
    ]


def described(error: Exception) -> str:
    """Return what was raised, and where, in a line."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = ' '.join(f'{type(error).__name__}: {error}'.split())
    return f'{text} ({"/".join(Path(last.filename).parts[-2:])}:{last.lineno})'


def make_small(node: Any) -> None:
    """For a quick step of one process on a CPU: few queries and samples, no downloads; in place."""
    if isinstance(node, (list, tuple)):
        for value in node:
            make_small(value)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in _MOST and isinstance(value, int):
            node[key] = min(value, _MOST[key])
        elif key == 'sampler' and value and 'num' in value:
            value.num = min(value.num, _MOST_SAMPLES)
        elif key == 'crop_size' or (key == 'size' and value and 'pad_val' in node):
            node[key] = SIZE  # of what a model makes of the image itself
        elif key == 'batch_augments' or (key == 'init_cfg' and 'Pretrained' in str(value)):
            node[key] = None  # the first pad to the full size
        elif key == 'pretrained' and isinstance(value, str):
            node[key] = None  # DetectoRS' neck has a backbone of its own to load
        elif key == 'type' and value in ('SyncBN', 'MMSyncBN'):
            node[key] = 'BN'
        elif key == 'type' and value == 'AmpOptimWrapper':
            node[key] = 'OptimWrapper'
        else:
            make_small(value)
    if node.get('type') == 'OptimWrapper':
        for option in ('dtype', 'loss_scale'):
            node.pop(option, None)

"""The models to compare."""

from __future__ import annotations

import functools
import importlib
import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from measure import DTYPES
from published import LIMIT, difference, kernels, published
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mmdynamicvis import DynamicVis

PAPER = {
    'dynamicvis': {
        128: (14.50, 155.10),
        256: (14.76, 160.07),
        512: (15.70, 188.71),
        1024: (27.97, 319.25),
        2048: (97.18, 833.21),
        4096: (480.61, 2369.06),
    },
    'dense': {128: (9.44, 160.51), 2048: (220.69, 3793.85)},
    'resnet101': {2048: (67.20, 1050.65)},
    'vit_b16': {2048: (1581.18, 25253.80)},
}
"""Model -> size in pixels -> (ms, MB) of base at batch 1, from arXiv 2503.16426, tables 13, 14."""


@dataclass(frozen=True)
class Spec:
    """Picklable description of a model to measure."""

    name: str
    arch: str
    size: int
    dtype: str
    device: str
    batch: int
    training: bool
    backend: str

    def build(self) -> tuple[nn.Module, Tensor]:
        """Return the model on its device, and a batch of images."""
        torch.manual_seed(0)
        model = CONTENDERS[self.name].build(self).to(self.device, DTYPES[self.dtype])
        images = torch.randn(self.batch, 3, self.size, self.size, device=self.device)
        model.train(self.training)  # mmpretrain's train() returns None
        return model, images.to(DTYPES[self.dtype])


@dataclass(frozen=True)
class Contender:
    """How a model is built.

    Args:
        build: Function that returns the float32 model on the CPU.
        packages: Packages of which one must be installed.
        get: How to install it, for messages.
    """

    build: Callable[[Spec], nn.Module]
    packages: tuple[str, ...] = ('mmdynamicvis',)
    get: str = ''

    def unavailable(self) -> str | None:
        """Return why the model cannot be built here, or None if it can."""
        if all(importlib.util.find_spec(package) is None for package in self.packages):
            return f'not available: no module {" or ".join(self.packages)} ({self.get})'
        return None


def _dynamicvis(spec: Spec, **kwargs: Any) -> DynamicVis:
    return DynamicVis(spec.arch, backend=spec.backend, **kwargs)


def _published(spec: Spec) -> nn.Module:
    return published(_dynamicvis(spec), kernels(spec.device), spec.backend)


ZOOS = ('mmpretrain.models', 'timm')
"""Packages that provide ViT and ResNet; the first that can be imported is used."""


@functools.cache
def zoo() -> str:
    """Return the first of :data:`ZOOS` that can be imported; an installed mmpretrain may fail.

    Raises:
        ImportError: None can be imported; the message says why.
    """
    reasons = []
    for name in ZOOS:
        try:
            importlib.import_module(name)
        except Exception as error:  # dependencies of the package may raise anything
            reasons.append(f'{name}: {type(error).__name__}: {error}')
        else:
            return name
    raise ImportError('; '.join(reasons))


def _vit(spec: Spec) -> nn.Module:
    module = importlib.import_module(zoo())
    if zoo() == 'timm':
        options = dict(img_size=spec.size, num_classes=0, global_pool='')
        return module.create_model('vit_base_patch16_224', **options)
    return module.VisionTransformer('b', img_size=spec.size, patch_size=16, out_type='featmap')


def _resnet(spec: Spec) -> nn.Module:
    module = importlib.import_module(zoo())
    if zoo() == 'timm':
        return module.create_model('resnet101', features_only=True, out_indices=(1, 2, 3, 4))
    return module.ResNet(101, out_indices=(0, 1, 2, 3))


def _vim(spec: Spec) -> nn.Module:
    import models_mamba

    name = 'vim_base_patch16_224_bimambav2_final_pool_mean_abs_pos_embed_with_middle_cls_token_div2'
    return getattr(models_mamba, name)(img_size=spec.size)


def _vmamba(spec: Spec) -> nn.Module:
    import vmamba

    return vmamba.vmamba_base_s2l15()


CONTENDERS = {
    'dynamicvis': Contender(_dynamicvis),
    'dense': Contender(lambda spec: _dynamicvis(spec, reduction_ratios=None)),
    'without_reduction': Contender(lambda spec: _dynamicvis(spec, reduction_ratios=(0, 0, 0, 0))),
    'published': Contender(_published),
    'vit_b16': Contender(_vit, ('mmpretrain', 'timm'), 'pip install timm'),
    'resnet101': Contender(_resnet, ('mmpretrain', 'timm'), 'pip install timm'),
    'vim': Contender(_vim, ('models_mamba',), "folder vim of Vim's repository on PYTHONPATH"),
    'vmamba': Contender(
        _vmamba, ('vmamba',), "folder classification/models of VMamba's repository on PYTHONPATH"
    ),
}
"""``dense`` is DynamicVis without selection; ``without_reduction`` selects all tokens."""


def check(name: str, arch: str, device: str, backend: str) -> str:
    """Return a note about a model, for example which kernels it uses.

    Raises:
        ValueError: The comparison would be unfair.
    """
    if name == 'published':
        worst = difference(arch, device, backend)
        if not worst <= LIMIT:
            raise ValueError(f'its maps are off by {worst:.1e}, more than {LIMIT:.0e}')
        return f'on the kernels of {kernels(device)}; maps differ from dynamicvis by {worst:.1e}'
    if name == 'vit_b16':
        model = CONTENDERS[name].build(Spec(name, arch, 64, 'float32', 'cpu', 1, False, backend))
        if zoo() == 'timm':
            fused = [block.attn.fused_attn for block in model.blocks]
        else:
            used = [layer.attn.scaled_dot_product_attention for layer in model.layers]
            fused = [attention is scaled_dot_product_attention for attention in used]
        if not all(fused):
            raise ValueError("its attention is not torch's scaled_dot_product_attention")
        return f"of {zoo()}; its attention is torch's scaled_dot_product_attention"
    return f'of {zoo()}' if name == 'resnet101' else ''


def tensors(output: Any) -> list[Tensor]:
    """Return the tensors in a model's output."""
    if isinstance(output, Tensor):
        return [output]
    return [x for part in output for x in tensors(part)]


def forward(model: nn.Module, images: Tensor) -> Callable[[], list[Tensor]]:
    """Return a function that runs a forward pass without gradients."""

    @torch.no_grad()
    def run() -> list[Tensor]:
        return tensors(model(images))

    return run


def training_step(model: nn.Module, images: Tensor) -> Callable[[], list[Tensor]]:
    """Return a function that runs forward, backward and an AdamW step, and returns the loss."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-5)

    def run() -> list[Tensor]:
        loss = sum(x.float().square().mean() for x in tensors(model(images)))
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        return [loss.detach()]

    return run

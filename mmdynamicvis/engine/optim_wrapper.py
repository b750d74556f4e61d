"""Weight decay and learning rates by what the backbone says of its parameters."""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmdynamicvis.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor that heeds the marks and the depths of parameters.

    Parameters with the attribute ``_no_weight_decay``, as Mamba's, are not decayed, whatever
    ``paramwise_cfg`` says. In DynamicVis these are the position embedding, the scan's decay rates,
    step sizes and skip (``A_log``, ``dt_proj.bias``, ``D``) and the RMS norms, which mmengine's
    ``norm_decay_mult`` does not know. Any model of any host takes it::

        optim_wrapper = dict(constructor='mmdynamicvis.BackboneOptimWrapperConstructor', ...)

    Args:
        optim_wrapper_cfg: As mmengine's.
        paramwise_cfg: As mmengine's, and ``layer_decay_rate``: the learning rate of a parameter is
            multiplied by it once for each depth of the backbone after its own. The model needs a
            ``backbone`` with ``get_layer_depth``, as DynamicVis; what is no part of the backbone
            keeps its rate.

    Raises:
        ValueError: ``layer_decay_rate`` is given, and the model has no such backbone.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        # of an empty one mmengine would ask for no groups at all
        super().__init__(optim_wrapper_cfg, paramwise_cfg or dict(bypass_duplicate=True))

    def add_params(
        self, params: list[dict], module: nn.Module, prefix: str = '', **kwargs: Any
    ) -> None:
        """Add a group for each parameter of ``module`` to ``params``."""
        super().add_params(params, module, prefix, **kwargs)
        if prefix:
            return
        rate = self.paramwise_cfg.get('layer_decay_rate')
        backbone = getattr(module, 'backbone', None)
        if rate is not None and not hasattr(backbone, 'get_layer_depth'):
            raise ValueError(
                f'layer_decay_rate is {rate}, and {type(module).__name__} has no backbone with '
                'get_layer_depth: leave it out of paramwise_cfg'
            )
        names = {parameter: name for name, parameter in module.named_parameters()}
        for group in params:
            (parameter,) = group['params']
            if getattr(parameter, '_no_weight_decay', False):
                group['weight_decay'] = 0.0
            if rate is not None:
                depth, count = backbone.get_layer_depth(names[parameter], 'backbone.')
                group['lr'] = group.get('lr', self.base_lr) * rate ** (count - 1 - depth)

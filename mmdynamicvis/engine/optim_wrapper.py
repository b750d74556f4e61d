"""Weight decay and layer-wise learning rates based on the backbone's parameters."""

from __future__ import annotations

from typing import Any

from mmengine.optim import DefaultOptimWrapperConstructor
from torch import nn

from mmdynamicvis.registry import OPTIM_WRAPPER_CONSTRUCTORS


@OPTIM_WRAPPER_CONSTRUCTORS.register_module()
class BackboneOptimWrapperConstructor(DefaultOptimWrapperConstructor):
    """mmengine's default constructor with ``_no_weight_decay`` marks and layer-wise rate decay.

    Parameters with the attribute ``_no_weight_decay``, as in Mamba, get no weight decay, whatever
    ``paramwise_cfg`` says. In DynamicVis these are the position embedding, the scan's decay rates,
    step sizes and skip (``A_log``, ``dt_proj.bias``, ``D``) and the RMS norms, which mmengine's
    ``norm_decay_mult`` does not cover. It works with any model of any host::

        optim_wrapper = dict(constructor='mmdynamicvis.BackboneOptimWrapperConstructor', ...)

    Args:
        optim_wrapper_cfg: As in mmengine.
        paramwise_cfg: As in mmengine, plus ``layer_decay_rate``: the learning rate of a parameter
            is multiplied by it once for each deeper level of the backbone. The model needs a
            ``backbone`` with ``get_layer_depth``, such as DynamicVis; parameters outside the
            backbone keep their rate.

    Raises:
        ValueError: ``layer_decay_rate`` is given, but the model has no such backbone.
    """

    def __init__(self, optim_wrapper_cfg: dict, paramwise_cfg: dict | None = None) -> None:
        # with an empty paramwise_cfg, mmengine would not create a group per parameter
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

"""Marking of parameters that are exempt from weight decay."""

from __future__ import annotations

from torch import nn


def without_decay(parameter: nn.Parameter) -> nn.Parameter:
    """Exempt a parameter, for which zero is not a neutral value, from weight decay; return it.

    The attribute is the same as in Mamba; ``mmdynamicvis.BackboneOptimWrapperConstructor`` uses it.
    """
    parameter._no_weight_decay = True
    return parameter

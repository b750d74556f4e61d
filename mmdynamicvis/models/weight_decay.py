"""Which parameters weight decay leaves alone."""

from __future__ import annotations

from torch import nn


def without_decay(parameter: nn.Parameter) -> nn.Parameter:
    """Mark a parameter for which zero is not neutral, and return it.

    The attribute is Mamba's; ``mmdynamicvis.BackboneOptimWrapperConstructor`` reads it.
    """
    parameter._no_weight_decay = True
    return parameter

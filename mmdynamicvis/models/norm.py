"""Normalization layers from configs with mmcv's names, without requiring mmcv."""

from __future__ import annotations

from torch import nn

from mmdynamicvis.models.weight_decay import without_decay

_NORMS = {'LN': nn.LayerNorm, 'RMSNorm': nn.RMSNorm}


def build_norm(norm_cfg: dict, num_features: int) -> nn.Module:
    """Build a norm over the last dimension.

    Args:
        norm_cfg: ``type`` 'LN' or 'RMSNorm', and arguments of the torch module, such as ``eps``.
        num_features: Size of the last dimension.

    Raises:
        ValueError: The type is unknown; only norms over the channels of a token are supported.
    """
    kwargs = dict(norm_cfg)
    norm_type = kwargs.pop('type', None)
    if norm_type not in _NORMS:
        raise ValueError(f'norm_cfg has type {norm_type!r}; choose one of {sorted(_NORMS)}')
    norm = _NORMS[norm_type](num_features, **kwargs)
    if isinstance(norm, nn.RMSNorm):
        without_decay(norm.weight)
    return norm

"""Tensor functions: torch only. Every op has a float64 oracle and ordered backends."""

import torch

if not hasattr(torch.library, 'custom_op'):
    raise ImportError(f'mmdynamicvis needs torch >= 2.4; this is torch {torch.__version__}')

from mmdynamicvis.ops.causal_conv1d import causal_conv1d
from mmdynamicvis.ops.selective_scan import selective_scan
from mmdynamicvis.ops.token_select import (
    TokenSelection,
    token_select,
    token_update,
)

__all__ = [
    'TokenSelection',
    'causal_conv1d',
    'selective_scan',
    'token_select',
    'token_update',
]

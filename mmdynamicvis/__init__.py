"""DynamicVis for OpenMMLab: a remote-sensing backbone that spends its compute on likely targets.

Importing the package requires only torch and mmengine; public names are imported on first use.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmdynamicvis.version import __version__

if TYPE_CHECKING:
    from mmdynamicvis.models import DynamicVis, MultiModalDynamicVis

_LAZY_NAMES = dict.fromkeys(('DynamicVis', 'MultiModalDynamicVis'), 'mmdynamicvis.models')

__all__ = ['DynamicVis', 'MultiModalDynamicVis', '__version__']


def __getattr__(name: str) -> Any:
    if name in _LAZY_NAMES:
        return getattr(import_module(_LAZY_NAMES[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_NAMES})

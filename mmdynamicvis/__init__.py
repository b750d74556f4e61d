"""DynamicVis for OpenMMLab: a remote-sensing backbone that computes where the targets are.

Importing the package needs torch and mmengine; every public name is loaded when it is first used.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from mmdynamicvis.version import __version__

if TYPE_CHECKING:
    from mmdynamicvis.models import DynamicVis

_LAZY_NAMES = {'DynamicVis': 'mmdynamicvis.models'}

__all__ = ['DynamicVis', '__version__']


def __getattr__(name: str) -> Any:
    if name in _LAZY_NAMES:
        return getattr(import_module(_LAZY_NAMES[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')


def __dir__() -> list[str]:
    return sorted({*globals(), *_LAZY_NAMES})

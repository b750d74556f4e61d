"""What programs and tools call: vectors of images, scenes of any size, runs from a config.

Every public name is loaded when it is first used, with what it needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mmdynamicvis.apis.embedder import Embedder
    from mmdynamicvis.apis.inferencers import load_inferencer
    from mmdynamicvis.apis.scenes import infer_scene
    from mmdynamicvis.apis.vector_files import Embeddings

_LAZY_NAMES = {
    'Embedder': 'mmdynamicvis.apis.embedder',
    'Embeddings': 'mmdynamicvis.apis.vector_files',
    'infer_scene': 'mmdynamicvis.apis.scenes',
    'load_inferencer': 'mmdynamicvis.apis.inferencers',
}

__all__ = ['Embedder', 'Embeddings', 'infer_scene', 'load_inferencer']


def __getattr__(name: str) -> Any:
    if name in _LAZY_NAMES:
        return getattr(import_module(_LAZY_NAMES[name]), name)
    raise AttributeError(f'module {__name__!r} has no attribute {name!r}')

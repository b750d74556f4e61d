"""Embeddings of images and regions, dense feature maps, and files of embeddings.

Requires only torch and mmengine; ``ModalityEmbedder`` also mmcv.
"""

from typing import TYPE_CHECKING, Any

from mmdynamicvis.embedding.embedder import Embedder
from mmdynamicvis.embedding.vector_files import Embeddings

if TYPE_CHECKING:
    from mmdynamicvis.embedding.modality_embedder import ModalityEmbedder

__all__ = ['Embedder', 'Embeddings', 'ModalityEmbedder']


def __getattr__(name: str) -> Any:
    if name != 'ModalityEmbedder':
        raise AttributeError(f'module {__name__!r} has no attribute {name!r}')
    from mmdynamicvis.embedding.modality_embedder import ModalityEmbedder

    return ModalityEmbedder

"""Embeddings of images and regions, dense feature maps, and files of embeddings.

Requires only torch and mmengine.
"""

from mmdynamicvis.embedding.embedder import Embedder
from mmdynamicvis.embedding.vector_files import Embeddings

__all__ = ['Embedder', 'Embeddings']

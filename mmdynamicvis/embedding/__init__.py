"""Vectors of images, of maps and of regions, and files of them; torch and mmengine only."""

from mmdynamicvis.embedding.embedder import Embedder
from mmdynamicvis.embedding.vector_files import Embeddings

__all__ = ['Embedder', 'Embeddings']

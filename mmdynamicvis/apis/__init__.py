"""What programs and tools call: vectors of images, scenes of any size, runs from a config."""

from mmdynamicvis.apis.embedder import Embedder
from mmdynamicvis.apis.vector_files import Embeddings

__all__ = ['Embedder', 'Embeddings']

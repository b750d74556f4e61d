"""Archives of many scenes or images, processed on a Ray cluster.

Requires Ray: ``pip install 'mmdynamicvis[archive]'``.
"""

from mmdynamicvis.archive.embed import EmbeddedArchive, embed_archive
from mmdynamicvis.archive.infer import Archive, infer_archive
from mmdynamicvis.archive.ray_cluster import cluster

__all__ = ['Archive', 'EmbeddedArchive', 'cluster', 'embed_archive', 'infer_archive']

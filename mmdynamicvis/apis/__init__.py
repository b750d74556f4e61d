"""Moved to ``mmdynamicvis.embedding``, ``inference``, ``scenes``, ``export`` and ``page``."""

from mmdynamicvis.moved import moved_package

__getattr__ = moved_package(
    __name__,
    modules={
        'embedder': 'mmdynamicvis.embedding.embedder',
        'export': 'mmdynamicvis.export',
        'image_index': 'mmdynamicvis.embedding.image_index',
        'images': 'mmdynamicvis.embedding.images',
        'inferencers': 'mmdynamicvis.inference.inferencers',
        'page': 'mmdynamicvis.page',
        'prediction_files': 'mmdynamicvis.inference.prediction_files',
        'scenes': 'mmdynamicvis.scenes',
        'trained_model': 'mmdynamicvis.inference.trained_model',
        'vector_files': 'mmdynamicvis.embedding.vector_files',
    },
    names={
        'Embedder': 'mmdynamicvis.embedding',
        'Embeddings': 'mmdynamicvis.embedding',
        'infer_scene': 'mmdynamicvis.scenes',
        'load_inferencer': 'mmdynamicvis.inference',
    },
)

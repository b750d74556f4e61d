"""Moved to ``mmdynamicvis.data``."""

from mmdynamicvis.moved import moved_package

__getattr__ = moved_package(
    __name__,
    modules={
        'band_files': 'mmdynamicvis.data.bigearthnet',
        'binary_masks': 'mmdynamicvis.data.binary_masks',
        'geotiff': 'mmdynamicvis.data.geotiff',
        'loading': 'mmdynamicvis.data.loading',
    },
    names={
        'LoadAnnotationsToBinary': 'mmdynamicvis.data.binary_masks',
        'LoadIntactImage': 'mmdynamicvis.data.loading',
    },
)

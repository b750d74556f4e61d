"""Transforms that several tasks share; mmcv only. What needs rasterio is in ``geotiff``."""

from mmdynamicvis.transforms.binary_masks import LoadAnnotationsToBinary
from mmdynamicvis.transforms.loading import LoadIntactImage

__all__ = ['LoadAnnotationsToBinary', 'LoadIntactImage']

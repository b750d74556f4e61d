"""Transforms that several tasks share; mmcv only."""

from mmdynamicvis.transforms.loading import LoadIntactImage

__all__ = ['LoadIntactImage']

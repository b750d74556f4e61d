"""Horizontal detection and instance segmentation: what mmdet lacks."""

from mmdynamicvis.detection.datasets import (
    LevirShipDetDataset,
    NWPUInsSegDataset,
    SSDDInsSegDataset,
)
from mmdynamicvis.detection.random_scale_crop import RandomScaleCrop

__all__ = ['LevirShipDetDataset', 'NWPUInsSegDataset', 'RandomScaleCrop', 'SSDDInsSegDataset']

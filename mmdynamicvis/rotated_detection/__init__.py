"""Rotated detection: what mmrotate lacks."""

from mmdynamicvis.rotated_detection.datasets import DOTATextDataset, NWPURotatedDataset

__all__ = ['DOTATextDataset', 'NWPURotatedDataset']

"""Semantic segmentation: what mmseg lacks."""

from mmdynamicvis.segmentation.bands import BandsDataPreprocessor
from mmdynamicvis.segmentation.bands_visualization import BandsVisualizationHook
from mmdynamicvis.segmentation.datasets import MassachusettsRoadsSegDataset, WHUSegDataset
from mmdynamicvis.segmentation.error_map import ErrorMapHook
from mmdynamicvis.segmentation.masked_dice import MaskedDiceLoss
from mmdynamicvis.segmentation.target_metric import TargetMetric

__all__ = [
    'BandsDataPreprocessor',
    'BandsVisualizationHook',
    'ErrorMapHook',
    'MaskedDiceLoss',
    'MassachusettsRoadsSegDataset',
    'TargetMetric',
    'WHUSegDataset',
]

"""Components for semantic segmentation that mmseg lacks."""

from mmdynamicvis.segmentation.bands_visualization import BandsVisualizationHook
from mmdynamicvis.segmentation.data_preprocessor import BandsDataPreprocessor
from mmdynamicvis.segmentation.datasets import MassachusettsRoadsSegDataset, WHUSegDataset
from mmdynamicvis.segmentation.masked_dice import MaskedDiceLoss
from mmdynamicvis.segmentation.masked_lovasz import MaskedLovaszLoss
from mmdynamicvis.segmentation.modality_datasets import (
    BRIGHT,
    ModalitySegDataset,
    Sen1Floods11,
    TerraMeshLandCover,
)
from mmdynamicvis.segmentation.target_metric import TargetMetric

__all__ = [
    'BRIGHT',
    'BandsDataPreprocessor',
    'BandsVisualizationHook',
    'MaskedDiceLoss',
    'MaskedLovaszLoss',
    'MassachusettsRoadsSegDataset',
    'ModalitySegDataset',
    'Sen1Floods11',
    'TargetMetric',
    'TerraMeshLandCover',
    'WHUSegDataset',
]

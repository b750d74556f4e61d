"""Components for rotated detection that mmrotate lacks."""

from mmdynamicvis.rotated_detection.datasets import (
    DIORRotatedDataset,
    DOTATextDataset,
    HRSC2016Dataset,
    NWPURotatedDataset,
)
from mmdynamicvis.rotated_detection.oriented_rpn import Float32OrientedRPNHead
from mmdynamicvis.rotated_detection.rotated_tta import RotatedTTAModel

__all__ = [
    'DIORRotatedDataset',
    'DOTATextDataset',
    'Float32OrientedRPNHead',
    'HRSC2016Dataset',
    'NWPURotatedDataset',
    'RotatedTTAModel',
]

"""Components for detection and instance segmentation that mmdet lacks."""

from mmdynamicvis.detection.datasets import (
    LevirShipDetDataset,
    NWPUInsSegDataset,
    SSDDInsSegDataset,
)
from mmdynamicvis.detection.float32_fpn import Float32FPN
from mmdynamicvis.detection.float32_rpn import Float32RPNHead
from mmdynamicvis.detection.instance_tta import InstanceTTAModel
from mmdynamicvis.detection.multi_source import MultiSourceDetector, TagSource
from mmdynamicvis.detection.random_scale_crop import RandomScaleCrop
from mmdynamicvis.detection.sized_coco_metric import SizedCocoMetric

__all__ = [
    'Float32FPN',
    'Float32RPNHead',
    'InstanceTTAModel',
    'LevirShipDetDataset',
    'MultiSourceDetector',
    'NWPUInsSegDataset',
    'RandomScaleCrop',
    'SSDDInsSegDataset',
    'SizedCocoMetric',
    'TagSource',
]

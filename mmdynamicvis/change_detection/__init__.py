"""Change detection based on mmseg: pairs of images, a siamese segmentor and its necks.

open-cd is not required; to use it, import ``mmdynamicvis.change_detection.opencd``.
"""

from mmdynamicvis.change_detection.building_pairs import BuildingPairs
from mmdynamicvis.change_detection.change_dataset import ChangeDataset
from mmdynamicvis.change_detection.damage_datasets import XBD
from mmdynamicvis.change_detection.damage_metric import BuildingDamageMetric
from mmdynamicvis.change_detection.joint_losses import SeKLoss, SemanticConsistencyLoss
from mmdynamicvis.change_detection.labeled_pairs import SECOND, LabeledPairs, LandsatSCD
from mmdynamicvis.change_detection.multi_task import MultiTaskSiamese, MultiTaskTTAModel
from mmdynamicvis.change_detection.pair_labels import LoadPairLabels, PackLabelMaps
from mmdynamicvis.change_detection.pair_neck import PairFusion, PairNeck, UNetDecoder
from mmdynamicvis.change_detection.pair_transforms import EachDate, LoadPair
from mmdynamicvis.change_detection.semantic_change_metric import SemanticChangeMetric
from mmdynamicvis.change_detection.siamese import SiameseEncoderDecoder

__all__ = [
    'SECOND',
    'XBD',
    'BuildingDamageMetric',
    'BuildingPairs',
    'ChangeDataset',
    'EachDate',
    'LabeledPairs',
    'LandsatSCD',
    'LoadPair',
    'LoadPairLabels',
    'MultiTaskSiamese',
    'MultiTaskTTAModel',
    'PackLabelMaps',
    'PairFusion',
    'PairNeck',
    'SeKLoss',
    'SemanticChangeMetric',
    'SemanticConsistencyLoss',
    'SiameseEncoderDecoder',
    'UNetDecoder',
]

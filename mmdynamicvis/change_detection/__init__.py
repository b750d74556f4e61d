"""Change detection based on mmseg: pairs of images, a siamese segmentor and its necks.

open-cd is not required; to use it, import ``mmdynamicvis.change_detection.opencd``.
"""

from mmdynamicvis.change_detection.change_dataset import ChangeDataset
from mmdynamicvis.change_detection.pair_neck import PairFusion, PairNeck, UNetDecoder
from mmdynamicvis.change_detection.pair_transforms import EachDate, LoadPair
from mmdynamicvis.change_detection.siamese import SiameseEncoderDecoder

__all__ = [
    'ChangeDataset',
    'EachDate',
    'LoadPair',
    'PairFusion',
    'PairNeck',
    'SiameseEncoderDecoder',
    'UNetDecoder',
]

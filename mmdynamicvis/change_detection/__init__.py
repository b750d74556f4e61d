"""Change detection on mmseg: pairs of images, a siamese segmentor, its necks.

open-cd is not needed; ``mmdynamicvis.change_detection.opencd`` imports it where it is wanted.
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

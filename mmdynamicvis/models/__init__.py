"""The backbone and its parts; requires only torch and mmengine."""

from mmdynamicvis.models.dynamicvis import DynamicVis
from mmdynamicvis.models.mamba_mixer import MambaMixer
from mmdynamicvis.models.modalities import (
    ModalityImages,
    ModalityMaps,
    MultiModalBatch,
    MultiModalFeatures,
)
from mmdynamicvis.models.modality_neck import ModalityNeck
from mmdynamicvis.models.multi_modal import MultiModalDynamicVis
from mmdynamicvis.models.patch_merger import PatchMerger
from mmdynamicvis.models.stim import STIM

__all__ = [
    'STIM',
    'DynamicVis',
    'MambaMixer',
    'ModalityImages',
    'ModalityMaps',
    'ModalityNeck',
    'MultiModalBatch',
    'MultiModalDynamicVis',
    'MultiModalFeatures',
    'PatchMerger',
]

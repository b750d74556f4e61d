"""Pretraining: on regions (DynamicVis, section 3.4), and on several modalities without boxes."""

from mmdynamicvis.pretraining.mil_head import MILHead
from mmdynamicvis.pretraining.mil_nce import mil_nce_loss
from mmdynamicvis.pretraining.mil_pretrainer import MILPretrainer
from mmdynamicvis.pretraining.modality_losses import cell_info_nce, hidden_patch_loss
from mmdynamicvis.pretraining.modality_pretrainer import ModalityPretrainer
from mmdynamicvis.pretraining.text_head import TextHead

__all__ = [
    'MILHead',
    'MILPretrainer',
    'ModalityPretrainer',
    'TextHead',
    'cell_info_nce',
    'hidden_patch_loss',
    'mil_nce_loss',
]

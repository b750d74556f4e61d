"""Region-level multi-instance pretraining (DynamicVis, section 3.4)."""

from mmdynamicvis.pretraining.mil_head import MILHead
from mmdynamicvis.pretraining.mil_nce import mil_nce_loss
from mmdynamicvis.pretraining.mil_pretrainer import MILPretrainer

__all__ = ['MILHead', 'MILPretrainer', 'mil_nce_loss']

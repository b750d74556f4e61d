"""Training support for any model: exact resumption, checks, statistics of token selection."""

from mmdynamicvis.engine.exact_resume import (
    ExactResumeHook,
    ResumableInfiniteSampler,
    ResumableSampler,
)
from mmdynamicvis.engine.hooks.balanced_rates import BalancedLearningRateHook
from mmdynamicvis.engine.hooks.data_check import DataCheckHook
from mmdynamicvis.engine.hooks.last_batch import LastBatchHook
from mmdynamicvis.engine.hooks.selection_statistics import SelectionStatisticsHook
from mmdynamicvis.engine.optim_wrapper import BackboneOptimWrapperConstructor
from mmdynamicvis.engine.seeding import SeededDataset, seed_everything, seed_sample
from mmdynamicvis.engine.single_storage import single_storage_collate

__all__ = [
    'BackboneOptimWrapperConstructor',
    'BalancedLearningRateHook',
    'DataCheckHook',
    'ExactResumeHook',
    'LastBatchHook',
    'ResumableInfiniteSampler',
    'ResumableSampler',
    'SeededDataset',
    'SelectionStatisticsHook',
    'seed_everything',
    'seed_sample',
    'single_storage_collate',
]

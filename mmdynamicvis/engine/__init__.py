"""What training needs around any model: exact resumption and a watch on the selection."""

from mmdynamicvis.engine.exact_resume import ExactResumeHook, ResumableSampler
from mmdynamicvis.engine.hooks.selection_statistics import SelectionStatisticsHook
from mmdynamicvis.engine.seeding import seed_everything
from mmdynamicvis.engine.single_storage import single_storage_collate

__all__ = [
    'ExactResumeHook',
    'ResumableSampler',
    'SelectionStatisticsHook',
    'seed_everything',
    'single_storage_collate',
]

"""Scene classification: the datasets that mmpretrain lacks."""

from mmdynamicvis.classification.scene_dataset import AID, SceneDataset, UCMerced

__all__ = ['AID', 'SceneDataset', 'UCMerced']

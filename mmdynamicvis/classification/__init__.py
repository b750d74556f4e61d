"""Scene classification: the datasets that mmpretrain lacks."""

from mmdynamicvis.classification.scene_dataset import AID, EuroSAT, SceneDataset, UCMerced

__all__ = ['AID', 'EuroSAT', 'SceneDataset', 'UCMerced']

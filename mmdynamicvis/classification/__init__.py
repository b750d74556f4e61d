"""Scene classification: the datasets and the image loading that mmpretrain lacks."""

from mmdynamicvis.classification.loading import LoadIntactImage
from mmdynamicvis.classification.scene_dataset import AID, SceneDataset, UCMerced

__all__ = ['AID', 'LoadIntactImage', 'SceneDataset', 'UCMerced']

"""Procedural aerial scenes for the demo and the tests; requires only numpy and OpenCV."""

from synthetic.classification import write_classification_dataset
from synthetic.scenes import CATEGORIES, Scene, SceneObject, make_scene

__all__ = ['CATEGORIES', 'Scene', 'SceneObject', 'make_scene', 'write_classification_dataset']

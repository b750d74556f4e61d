"""Inference on rasters of any size, written as GeoTIFF or vector files.

Requires rasterio and geopandas.
"""

from mmdynamicvis.data.class_maps import ClassMap
from mmdynamicvis.scenes.dense import segment_maps, segment_scene
from mmdynamicvis.scenes.infer import infer_scene
from mmdynamicvis.scenes.modalities import ModalityScene, ModalityWindow
from mmdynamicvis.scenes.models import SceneModel
from mmdynamicvis.scenes.objects import Objects, detect_scene
from mmdynamicvis.scenes.reading import Scene
from mmdynamicvis.scenes.tiles import Pace

__all__ = [
    'ClassMap',
    'ModalityScene',
    'ModalityWindow',
    'Objects',
    'Pace',
    'Scene',
    'SceneModel',
    'detect_scene',
    'infer_scene',
    'segment_maps',
    'segment_scene',
]

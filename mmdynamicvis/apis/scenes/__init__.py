"""Scenes of any size: rasters in, GeoTIFF or vector files out. Needs rasterio and geopandas."""

from mmdynamicvis.apis.scenes.dense import segment_scene
from mmdynamicvis.apis.scenes.infer import infer_scene
from mmdynamicvis.apis.scenes.models import SceneModel
from mmdynamicvis.apis.scenes.objects import Objects, detect_scene
from mmdynamicvis.apis.scenes.reading import Scene
from mmdynamicvis.apis.scenes.tiles import Pace

__all__ = [
    'Objects',
    'Pace',
    'Scene',
    'SceneModel',
    'detect_scene',
    'infer_scene',
    'segment_scene',
]

"""Models with complete weights, the hosts' inferencers, names for regions, prediction files."""

from mmdynamicvis.inference.inferencers import load_inferencer
from mmdynamicvis.inference.pair_inferencer import PairInferencer
from mmdynamicvis.inference.prediction_files import read_detections, write_coco, write_dota
from mmdynamicvis.inference.region_namer import RegionNamer
from mmdynamicvis.inference.trained_model import load_model

__all__ = [
    'PairInferencer',
    'RegionNamer',
    'load_inferencer',
    'load_model',
    'read_detections',
    'write_coco',
    'write_dota',
]

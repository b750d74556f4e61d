"""Loading of models with complete weights, the hosts' inferencers for them, prediction files."""

from mmdynamicvis.inference.inferencers import load_inferencer
from mmdynamicvis.inference.prediction_files import write_coco, write_dota
from mmdynamicvis.inference.trained_model import load_model

__all__ = ['load_inferencer', 'load_model', 'write_coco', 'write_dota']

"""Models of a config with the weights of a checkpoint, and the hosts' own inferencers for them."""

from mmdynamicvis.inference.inferencers import load_inferencer
from mmdynamicvis.inference.prediction_files import write_coco, write_dota
from mmdynamicvis.inference.trained_model import load_model

__all__ = ['load_inferencer', 'load_model', 'write_coco', 'write_dota']

"""Checks of annotation files, before a host reads them; no host."""

from mmdynamicvis.annotations.coco import check_coco
from mmdynamicvis.annotations.dota import check_dota

__all__ = ['check_coco', 'check_dota']

"""Moved to ``mmdynamicvis.data``."""

from mmdynamicvis.moved import moved_package

__getattr__ = moved_package(
    __name__,
    modules={name: f'mmdynamicvis.data.{name}' for name in ('coco', 'dota')},
    names={'check_coco': 'mmdynamicvis.data.coco', 'check_dota': 'mmdynamicvis.data.dota'},
)

"""Moved to :mod:`mmdynamicvis.models.weights`."""

from mmdynamicvis.moved import moved_module

moved_module(__name__, 'mmdynamicvis.models.weights')

"""Change detection: importing this package imports open-cd, beside current mmcv too."""

from mmdynamicvis.change_detection.opencd import import_opencd

import_opencd()

__all__ = ['import_opencd']

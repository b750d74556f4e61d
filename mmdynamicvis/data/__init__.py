"""Reading and checking of data that several tasks share: images, rasters, COCO and DOTA files.

Import from the modules: they need different packages.
"""

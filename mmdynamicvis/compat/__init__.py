"""The published names of DynamicVis, for configs and code written for the published package.

Importing this package registers them in the hosts' registries (``custom_imports =
dict(imports=['mmdynamicvis.compat'])`` in a config). They are thin adapters from published
arguments to our components. ``mmdynamicvis.compat.models`` corresponds to the published module
``dynamicvis.models.models``.
"""

from importlib.util import find_spec

from mmdynamicvis.compat.models import DynamicVisBackbone

if find_spec('mmpretrain') is not None:
    from mmdynamicvis.compat import classification as _registered
if find_spec('mmseg') is not None:
    from mmdynamicvis.compat import change_detection as _registered
if (_spec := find_spec('opencd')) is not None and _spec.origin is not None:
    from mmdynamicvis.compat import opencd as _registered  # noqa: F401

__all__ = ['DynamicVisBackbone']

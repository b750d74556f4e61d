"""Registries of the scope ``mmdynamicvis``, children of mmengine's roots.

Any OpenMMLab project resolves ``type='mmdynamicvis.DynamicVis'`` without ``custom_imports``:
mmengine imports this module when it meets the scope, and then the ``locations`` named below.
mmengine hides an ImportError raised here, so nothing is imported but mmengine itself.
"""

from __future__ import annotations

from importlib.util import find_spec

from mmengine import registry as root


def _where_installed(locations: dict[str, str]) -> list[str]:
    """Return the locations whose host package is installed.

    A missing host must not hide the components of the others; an error inside a location, ours or
    its host's, is raised by mmengine when it imports the location.

    Args:
        locations: module that registers components -> host package that the module imports.
    """
    return [module for module, host in locations.items() if find_spec(host) is not None]


_SCOPE = 'mmdynamicvis'
_ENGINE = ['mmdynamicvis.engine']

MODELS = root.Registry(
    'model',
    parent=root.MODELS,
    scope=_SCOPE,
    locations=['mmdynamicvis.models', 'mmdynamicvis.pretraining'],
)
DATASETS = root.Registry(
    'dataset',
    parent=root.DATASETS,
    scope=_SCOPE,
    locations=[
        'mmdynamicvis.pretraining.region_stream',
        *_where_installed(
            {
                'mmdynamicvis.classification': 'mmpretrain',
                'mmdynamicvis.detection': 'mmdet',
                'mmdynamicvis.pretraining.coco_regions': 'mmdet',
                'mmdynamicvis.rotated_detection': 'mmrotate',
            }
        ),
    ],
)
DATA_SAMPLERS = root.Registry(
    'data sampler', parent=root.DATA_SAMPLERS, scope=_SCOPE, locations=_ENGINE
)
TRANSFORMS = root.Registry(
    'transform',
    parent=root.TRANSFORMS,
    scope=_SCOPE,
    locations=_where_installed(
        {'mmdynamicvis.transforms': 'mmcv', 'mmdynamicvis.detection': 'mmdet'}
    ),
)
METRICS = root.Registry(
    'metric',
    parent=root.METRICS,
    scope=_SCOPE,
    locations=[
        'mmdynamicvis.pretraining.region_metric',
        *_where_installed({'mmdynamicvis.detection': 'mmdet'}),
    ],
)
FUNCTIONS = root.Registry('function', parent=root.FUNCTIONS, scope=_SCOPE, locations=_ENGINE)
HOOKS = root.Registry('hook', parent=root.HOOKS, scope=_SCOPE, locations=_ENGINE)

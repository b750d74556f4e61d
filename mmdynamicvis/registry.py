"""Registries of the scope ``mmdynamicvis``, children of mmengine's roots.

Any OpenMMLab project resolves ``type='mmdynamicvis.DynamicVis'`` without ``custom_imports``:
mmengine imports this module when it first resolves the scope. mmengine hides an ImportError raised
here, so this module imports nothing but mmengine. Components that need no host are imported from
the ``locations``; those that need one are imported when their name is looked up, so a missing or
broken host only affects components that need it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from mmengine import registry as root

_SCOPE = 'mmdynamicvis'
_ENGINE = ['mmdynamicvis.engine']
_EXTRAS = {
    'cv2': 'pretrain',
    'h5py': 'geo',
    'matplotlib': 'pretrain',
    'mmcv': 'pretrain',
    'mmdet': 'det',
    'mmpretrain': 'pretrain',
    'mmrotate': 'rotate',
    'mmseg': 'seg',
    'opencd': 'cd',
    'rasterio': 'geo',
}
"""Package -> the extra that installs it."""


class _Registry(root.Registry):
    """A registry that imports the module of a component when the component is looked up by name.

    Args:
        root_registry: mmengine's registry, which is the parent and gives the name.
        locations: Modules that register components and need no host.
        homes: Maps each module that needs a host to the components that it registers.
    """

    def __init__(
        self,
        root_registry: root.Registry,
        locations: list[str] | None = None,
        homes: dict[str, tuple[str, ...]] | None = None,
    ) -> None:
        super().__init__(
            root_registry.name, parent=root_registry, scope=_SCOPE, locations=locations or _ENGINE
        )
        self.homes = {name: home for home, names in (homes or {}).items() for name in names}

    def get(self, key: str) -> Any:
        """Return the component of that name.

        Raises:
            ImportError: It needs a host that is not installed.
        """
        scope, name = self.split_scope_key(key)
        if scope in (None, _SCOPE) and name in self.homes:
            try:
                import_module(self.homes[name])
            except ModuleNotFoundError as error:
                if error.name not in _EXTRAS:
                    raise
                raise ImportError(
                    f'{_SCOPE}.{name} needs {error.name}, which is not installed: '
                    f"pip install '{_SCOPE}[{_EXTRAS[error.name]}]', or install it yourself"
                ) from error
        return super().get(key)


MODELS = _Registry(
    root.MODELS,
    locations=['mmdynamicvis.models', 'mmdynamicvis.pretraining', 'mmdynamicvis.retrieval'],
    homes={
        'mmdynamicvis.change_detection': (
            'MultiTaskSiamese',
            'MultiTaskTTAModel',
            'PairFusion',
            'PairNeck',
            'SeKLoss',
            'SemanticConsistencyLoss',
            'SiameseEncoderDecoder',
            'UNetDecoder',
        ),
        'mmdynamicvis.data.modality_preprocessor': ('ModalityPreprocessor',),
        'mmdynamicvis.detection': (
            'Float32FPN',
            'Float32RPNHead',
            'InstanceTTAModel',
            'MultiSourceDetector',
        ),
        'mmdynamicvis.rotated_detection': ('Float32OrientedRPNHead', 'RotatedTTAModel'),
        'mmdynamicvis.segmentation': (
            'BandsDataPreprocessor',
            'MaskedDiceLoss',
            'MaskedLovaszLoss',
        ),
    },
)
DATASETS = _Registry(
    root.DATASETS,
    locations=[*_ENGINE, 'mmdynamicvis.pretraining.region_stream'],
    homes={
        'mmdynamicvis.change_detection': (
            'SECOND',
            'XBD',
            'BuildingPairs',
            'ChangeDataset',
            'LandsatSCD',
        ),
        'mmdynamicvis.classification': ('AID', 'EuroSAT', 'SceneDataset', 'UCMerced'),
        'mmdynamicvis.classification.geo_bench': ('GEOBench',),
        'mmdynamicvis.detection': (
            'LevirShipDetDataset',
            'NWPUInsSegDataset',
            'SSDDInsSegDataset',
        ),
        'mmdynamicvis.pretraining.coco_regions': ('CocoRegions',),
        'mmdynamicvis.retrieval.bigearthnet_mm': ('BigEarthNetMM', 'ReBEN'),
        'mmdynamicvis.retrieval.datasets': ('BigEarthNet', 'ForestNet', 'QueriesAndDatabase'),
        'mmdynamicvis.rotated_detection': (
            'DIORRotatedDataset',
            'DOTATextDataset',
            'HRSC2016Dataset',
            'NWPURotatedDataset',
        ),
        'mmdynamicvis.segmentation': (
            'BRIGHT',
            'MassachusettsRoadsSegDataset',
            'ModalitySegDataset',
            'Sen1Floods11',
            'TerraMeshLandCover',
            'WHUSegDataset',
        ),
    },
)
DATA_SAMPLERS = _Registry(root.DATA_SAMPLERS)
TRANSFORMS = _Registry(
    root.TRANSFORMS,
    homes={
        'mmdynamicvis.change_detection': (
            'EachDate',
            'LoadPair',
            'LoadPairLabels',
            'PackLabelMaps',
        ),
        'mmdynamicvis.classification.geo_bench': ('LoadGEOBench',),
        'mmdynamicvis.detection': ('RandomScaleCrop', 'TagSource'),
        'mmdynamicvis.data.bigearthnet': ('LoadBandFiles',),
        'mmdynamicvis.data.binary_masks': ('LoadAnnotationsToBinary',),
        'mmdynamicvis.data.geotiff': ('IgnoreNodata', 'LoadGeoTIFF'),
        'mmdynamicvis.data.label_maps': ('LoadLabelMap',),
        'mmdynamicvis.data.loading': ('LoadIntactImage',),
        'mmdynamicvis.data.masks': ('CheckMask',),
        'mmdynamicvis.data.modalities': ('LoadModalities', 'PackModalities'),
        'mmdynamicvis.data.modality_transforms': ('RandomFlipTurn', 'RandomFootprintCrop'),
    },
)
METRICS = _Registry(
    root.METRICS,
    locations=[
        'mmdynamicvis.pretraining.region_metric',
        'mmdynamicvis.pretraining.zero_shot_metric',
        'mmdynamicvis.retrieval',
    ],
    homes={
        'mmdynamicvis.change_detection': ('BuildingDamageMetric', 'SemanticChangeMetric'),
        'mmdynamicvis.detection': ('SizedCocoMetric',),
        'mmdynamicvis.segmentation': ('TargetMetric',),
    },
)
FUNCTIONS = _Registry(root.FUNCTIONS)
OPTIM_WRAPPER_CONSTRUCTORS = _Registry(root.OPTIM_WRAPPER_CONSTRUCTORS)
HOOKS = _Registry(
    root.HOOKS,
    homes={
        'mmdynamicvis.engine.hooks.error_map': ('ErrorMapHook',),
        'mmdynamicvis.engine.hooks.selected_tokens': ('SelectedTokensHook',),
        'mmdynamicvis.segmentation': ('BandsVisualizationHook',),
    },
)

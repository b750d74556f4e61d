"""The hosts' inferencers for models of this suite."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.fileio import load

import mmdynamicvis
from mmdynamicvis import zoo
from mmdynamicvis.data.loading import LoadIntactImage
from mmdynamicvis.engine.config import (
    load_config_file,
    metainfo_of,
    preprocessor_of,
    scope_of,
    test_dataset,
    type_name,
    use_scope,
)
from mmdynamicvis.engine.device import choose_device
from mmdynamicvis.fileio import expand_home
from mmdynamicvis.inference.pair_inferencer import LOADER as PAIR_LOADER
from mmdynamicvis.inference.pair_inferencer import PairInferencer
from mmdynamicvis.inference.trained_model import load_all
from mmdynamicvis.models.weights import local_file, read_checkpoint

HOSTS = {
    'mmpretrain': (
        'mmdynamicvis.inference.image_classification',
        'IntactImageInferencer',
        'pretrained',
    ),
    'mmseg': ('mmseg.apis', 'MMSegInferencer', 'weights'),
    'mmdet': ('mmdet.apis', 'DetInferencer', 'weights'),
    'mmrotate': ('mmdet.apis', 'DetInferencer', 'weights'),
}
"""default_scope of a config -> module and class of the inferencer, and its weights argument."""
LOADERS = ('LoadImageFromFile', 'LoadIntactImage')


def load_inferencer(
    model: str | Path | Config,
    weights: str | Path | None = None,
    device: str | None = None,
    **options: Any,
) -> Any:
    """Return the inferencer of the model's host, which follows mmengine's conventions.

    Models that detect change between two images have a :class:`PairInferencer` instead. That of the
    host accepts paths, folders and arrays, and shows and saves results as its host does; see
    :mod:`mmdynamicvis.inference.prediction_files` for COCO and DOTA files. Class names are those
    of the config's dataset, else those in the checkpoint.

    Args:
        model: Config of mmpretrain, mmseg, mmdet or mmrotate that reads image files: a config, the
            path of one, or the name of a model in the metafiles of this suite.
        weights: Checkpoint; by default the weights of that name in the :mod:`~mmdynamicvis.zoo`, or
            those of the metafile. No code in the file is executed.
        device: Device of the model; by default an accelerator if there is one.
        **options: Further arguments of the host's class; none for pairs.

    Raises:
        FileNotFoundError: The config, the model of that name or the checkpoint does not exist.
        ValueError: There are no weights, or they do not fit the model; the host has no inferencer;
            the config does not read image files; or the device does not exist.
    """
    device = str(choose_device(device))
    cfg, weights = config_and_weights(model, weights)
    scope = scope_of(cfg)
    if scope not in HOSTS:
        raise ValueError(
            f'config {cfg.filename} has default_scope {scope!r}; there are inferencers of '
            f'{", ".join(HOSTS)}'
        )
    if type_name(test_dataset(cfg).pipeline[0]) == PAIR_LOADER:
        return PairInferencer(cfg, weights, device, **options)
    _read_as_the_host(cfg)
    if preprocessor := preprocessor_of(cfg):
        cfg.model.data_preprocessor = preprocessor
    module, name, argument = HOSTS[scope]
    if scope != 'mmpretrain':
        options = dict(scope=scope, **options)
    # before the host opens the file: files that hold more than weights are refused here
    checkpoint = read_checkpoint(weights)
    # otherwise the pipeline's transforms would be looked up in the scope of an earlier model
    use_scope(cfg)
    inferencer = getattr(import_module(module), name)(
        cfg, **{argument: local_file(weights)}, device=device, **options
    )
    if scope != 'mmpretrain':  # whose inferencer decodes images before the pipeline
        # otherwise images that a training refuses, such as 16-bit ones, would be read as white
        inferencer.pipeline.transforms[0].from_file = LoadIntactImage()
    # hosts silently accept partially matching weights
    load_all(inferencer.model, checkpoint, cfg)
    if scope != 'mmpretrain':  # which looks for classes in the config itself
        inferencer.model.dataset_meta.update(_names(cfg, options))
    return inferencer


def config_and_weights(
    model: str | Path | Config, weights: str | Path | None = None
) -> tuple[Config, str | Path]:
    """Return a copy of a model's config, and its weights.

    Args:
        model: A config, the path of one, or the name of a model in the metafiles.
        weights: By default those of that name in the :mod:`~mmdynamicvis.zoo`, or of the metafile.

    Raises:
        FileNotFoundError: There is no such config or model.
        ValueError: The file is not a config, or there are no weights.
    """
    if isinstance(model, Config):
        cfg, published = model.copy(), None
    else:
        path, published = find_model(model)
        cfg = load_config_file(path)
    weights = published if weights is None else weights
    if weights is None:
        raise ValueError(f'{cfg.filename} has no published weights: give a checkpoint')
    return cfg, weights


def find_model(model: str | Path) -> tuple[Path, str | None]:
    """Return the config file and the weights of a model.

    Args:
        model: Config file, or the name of a model in the metafiles.

    Returns:
        Path of the config; URL of the weights, None for a config file or a model without weights.

    Raises:
        FileNotFoundError: Neither exists.
    """
    path = Path(expand_home(model))
    if path.is_file():
        return path, None
    package = Path(mmdynamicvis.__file__).parent
    # a wheel contains the configs, an editable install has them next to the package
    root = package / '.mim' if (package / '.mim').is_dir() else package.parent
    for metafile in sorted(root.glob('configs/*/metafile.yml')):
        for entry in load(metafile)['Models']:
            if entry['Name'] == str(model):
                source = zoo.address(model)
                return root / entry['Config'], source if '://' in source else entry.get('Weights')
    raise FileNotFoundError(
        f'{model} is neither a config file nor a model in the metafiles below {root}/configs'
    )


def _read_as_the_host(cfg: Config) -> None:
    """Replace the loading transform of the test pipeline by the one inferencers need, in place."""
    dataset = test_dataset(cfg)
    first, *rest = dataset.pipeline
    if type_name(first) not in LOADERS:
        raise ValueError(
            f'the test pipeline of {cfg.filename} begins with {type_name(first)}; inferencers '
            f'support {" or ".join(LOADERS)}. For rasters of any bands: mmdynamicvis.scenes'
        )
    rest = [step for step in rest if not type_name(step).startswith('LoadAnnotations')]
    loader = dict(type='LoadImageFromFile', imdecode_backend='pillow')
    # inferencers do not look into wrapped datasets
    cfg.test_dataloader.dataset = ConfigDict(dataset, pipeline=[loader, *rest])


def _names(cfg: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config's class names and palette unless an option of the host replaces them.

    For checkpoints without metadata, mmdet assumes the classes of COCO, and mmseg Cityscapes.
    """
    metainfo = metainfo_of(cfg, test_dataset(cfg))
    keys = {'classes', 'palette'} - set(options)
    return {key: metainfo[key] for key in keys if metainfo.get(key)}

"""The hosts' own inferencers, for models of this suite."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.fileio import load

import mmdynamicvis
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
from mmdynamicvis.inference.trained_model import load_all
from mmdynamicvis.models.weights import load_weights

HOSTS = {
    'mmpretrain': ('mmpretrain.apis', 'ImageClassificationInferencer', 'pretrained'),
    'mmseg': ('mmseg.apis', 'MMSegInferencer', 'weights'),
    'mmdet': ('mmdet.apis', 'DetInferencer', 'weights'),
    'mmrotate': ('mmdet.apis', 'DetInferencer', 'weights'),
}
"""default_scope of a config -> module and name of the inferencer, and its argument of weights."""
LOADERS = ('LoadImageFromFile', 'LoadIntactImage')


def load_inferencer(
    model: str | Path | Config,
    weights: str | Path | None = None,
    device: str | None = None,
    **options: Any,
) -> Any:
    """Return the inferencer of the model's host, by mmengine's conventions.

    It takes paths, folders and arrays, and shows and saves as its host does; see
    :mod:`mmdynamicvis.inference.prediction_files` for COCO and DOTA files. Classes have the
    names that the config's dataset gives them, else those in the checkpoint.

    Args:
        model: Config of mmpretrain, mmseg, mmdet or mmrotate that reads image files: a file, or the
            name of a model in the metafiles of this suite.
        weights: Checkpoint; that of the metafile by default, if it has one. Nothing in the file is
            executed.
        device: Where the model runs; an accelerator by default, if there is one.
        **options: Further arguments of the host's class.

    Raises:
        FileNotFoundError: There is no such config, nor a model of that name, or no such checkpoint.
        ValueError: There are no weights, or they are of another model; the host has no inferencer,
            the config does not read image files, or there is no such device.
    """
    device = str(choose_device(device))
    if isinstance(model, Config):
        cfg = model.copy()
    else:
        path, published = find_model(model)
        cfg = load_config_file(path)
        weights = published if weights is None else weights
    if weights is None:
        raise ValueError(f'{cfg.filename} has no published weights: give a checkpoint as weights')
    scope = scope_of(cfg)
    if scope not in HOSTS:
        raise ValueError(
            f'config {cfg.filename} has default_scope {scope!r}; there are inferencers of '
            f'{", ".join(HOSTS)}'
        )
    _read_as_the_host(cfg)
    if preprocessor := preprocessor_of(cfg):
        cfg.model.data_preprocessor = preprocessor
    module, name, argument = HOSTS[scope]
    if scope != 'mmpretrain':
        options = dict(scope=scope, **options)
    # before the host opens the file: what holds more than weights is refused
    content = load_weights(weights)
    # that of a model before would be asked for the steps of the pipeline
    use_scope(cfg)
    inferencer = getattr(import_module(module), name)(
        cfg, **{argument: expand_home(weights)}, device=device, **options
    )
    if scope != 'mmpretrain':  # which decodes by itself
        # what a training refuses, as of 16 bits, would be white
        inferencer.pipeline.transforms[0].from_file = LoadIntactImage()
    # hosts go on with what fits
    load_all(inferencer.model, content, weights, cfg)
    if scope != 'mmpretrain':  # which looks for classes in the config itself
        inferencer.model.dataset_meta.update(_names(cfg, options))
    return inferencer


def find_model(model: str | Path) -> tuple[Path, str | None]:
    """Return config and weights of a config file or of a name in the metafiles.

    Raises:
        FileNotFoundError: There is neither.
    """
    path = Path(expand_home(model))
    if path.is_file():
        return path, None
    package = Path(mmdynamicvis.__file__).parent
    # a wheel brings the configs along, an editable install has them beside the package
    root = package / '.mim' if (package / '.mim').is_dir() else package.parent
    for metafile in sorted(root.glob('configs/*/metafile.yml')):
        for entry in load(metafile)['Models']:
            if entry['Name'] == str(model):
                return root / entry['Config'], entry.get('Weights')
    raise FileNotFoundError(
        f'{model} is neither a config file nor a model in the metafiles below {root}/configs'
    )


def _read_as_the_host(cfg: Config) -> None:
    """Give the test pipeline the loading transform that inferencers look for, in place."""
    dataset = test_dataset(cfg)
    first, *rest = dataset.pipeline
    if type_name(first) not in LOADERS:
        raise ValueError(
            f'the test pipeline of {cfg.filename} begins with {type_name(first)}; inferencers '
            f'take {" or ".join(LOADERS)}. For rasters of any bands: mmdynamicvis.scenes'
        )
    rest = [step for step in rest if not type_name(step).startswith('LoadAnnotations')]
    loader = dict(type='LoadImageFromFile', imdecode_backend='pillow')
    # inferencers look no deeper
    cfg.test_dataloader.dataset = ConfigDict(dataset, pipeline=[loader, *rest])


def _names(cfg: Config, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return names and colors of the classes in the config that no option of the host replaces.

    Of a checkpoint of weights alone, mmdet and mmseg say that it is of COCO and of Cityscapes.
    """
    metainfo = metainfo_of(cfg, test_dataset(cfg))
    keys = {'classes', 'palette'} - set(options)
    return {key: metainfo[key] for key in keys if metainfo.get(key)}

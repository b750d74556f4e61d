"""Checks that a model fits its data: outputs and classes, names of bands; and that there are boxes.

A wrong number of outputs often raises no error in the hosts; bands in another order never do.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

from mmdynamicvis.band_names import spelling
from mmdynamicvis.data.sensors import find_sensor
from mmdynamicvis.engine.config import leaf_datasets, preprocessor_of, turns_channels, type_name
from mmdynamicvis.registry import HOOKS

HEADS = (
    'head',
    'bbox_head',
    'mask_head',
    'panoptic_head',
    'decode_head',
    'auxiliary_head',
    'backbone',
)
"""Names that the hosts give to parts of a model that classify; some backbones of mmpretrain do,
VGG for example, and have num_classes=-1 otherwise."""
CLASS_AGNOSTIC = ('RPNHead', 'STDCHead')
"""Heads that separate objects or boundaries from background, regardless of the classes."""
OF_TRACKERS = ('detector', 'reid')
"""Parts of trackers; their data may have more classes than are tracked."""


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Refuses data without boxes, of other bands, or of another number of classes than the heads.

    If heads have more outputs than there are classes, hosts train without an error, and means over
    classes include some that do not exist. If they have fewer, hosts stop at the first label that
    is too large. The hook checks classifiers, detectors (including rotated ones), instance masks
    and segmentation of any host, before training, validation and test. It skips data without
    ``classes`` in its ``metainfo``, heads without ``num_classes``, and models that find objects
    described by text. If a dataset of any host provides ``instances``, training requires at least
    one that is not ignored. If both the backbone and the loader name their bands, they must be the
    same in the same order.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training data and the validation data."""
        require_a_box(runner.train_dataloader.dataset)
        check_bands(runner.cfg, 'train_dataloader')
        check_classes(runner.model, runner.train_dataloader.dataset, 'train_dataloader')
        if runner.val_loop is not None:
            self.before_val(runner)

    def before_val(self, runner: Runner) -> None:
        """Check the validation data."""
        check_bands(runner.cfg, 'val_dataloader')
        check_classes(runner.model, runner.val_dataloader.dataset, 'val_dataloader')

    def before_test(self, runner: Runner) -> None:
        """Check the test data."""
        check_bands(runner.cfg, 'test_dataloader')
        check_classes(runner.model, runner.test_dataloader.dataset, 'test_dataloader')


def require_a_box(dataset: Any) -> None:
    """Refuse to train a detector without any box; stops at the first valid box.

    Args:
        dataset: A dataset of any host, or a stream whose ``data_infos`` yields what
            ``get_data_info`` of a dataset returns; those without ``instances`` are not checked.

    Raises:
        ValueError: There is no box, or all boxes are ignored (crowds, difficult objects).
    """
    if hasattr(dataset, 'data_infos'):
        infos = dataset.data_infos()
    elif hasattr(dataset, 'get_data_info'):
        infos = (dataset.get_data_info(i) for i in range(len(dataset)))
    else:
        return
    for info in infos:
        if not isinstance(info, dict) or 'instances' not in info:
            return
        if any(not instance.get('ignore_flag') for instance in info['instances']):
            return
    raise ValueError(
        f'the {len(dataset)} images of {type(dataset).__name__}, of train_dataloader, have no box '
        'to train on: check the annotations, the classes and filter_cfg'
    )


def check_bands(cfg: Config, where: str) -> None:
    """Compare the bands that a backbone names with those that the loaders of its data name.

    Args:
        cfg: Config of any host; nothing is checked if it names no bands.
        where: Name of the dataloader in the config.

    Raises:
        ValueError: The names differ, or their order.
    """
    taken = (cfg.get('model', {}).get('backbone') or {}).get('bands')
    if taken is None or cfg.get(where) is None:
        return
    turned = turns_channels(preprocessor_of(cfg))
    for dataset in leaf_datasets(cfg[where].dataset):
        for step in dataset.get('pipeline') or ():
            step = step.get('loader', step)  # of LoadPair
            loaded, sensor = _loaded(step)
            if not loaded or not all(isinstance(band, str) for band in loaded):
                continue
            order = list(reversed(loaded)) if turned else list(loaded)
            if [_identity(band, sensor) for band in order] != [
                _identity(band, sensor) for band in taken
            ]:
                turn = ', which the data preprocessor reverses' if turned else ''
                raise ValueError(
                    f'model.backbone.bands is {list(taken)}, and {type_name(step)} of {where} '
                    f'loads {list(loaded)}{turn}: give both the same bands in the same order'
                )


def _loaded(step: dict) -> tuple[Sequence[int | str] | None, str | None]:
    """Return the bands that a transform loads, and the sensor whose names they are."""
    kind = type_name(step)
    if kind == 'LoadGeoTIFF':
        return step.get('bands'), step.get('sensor')
    if kind == 'LoadBandFiles':
        return step['bands'], 'sentinel2'
    if kind in ('LoadIntactImage', 'LoadImageFromFile') and 'color_type' not in step:
        return ('blue', 'green', 'red'), None
    return None, None


def _identity(name: str, sensor: str | None) -> object:
    """Return what is equal for all names of a band."""
    bands = find_sensor(sensor).bands if sensor else ()
    return next((band for band in bands if spelling(name) in band.spellings), spelling(name))


def check_classes(model: nn.Module, dataset: Any, where: str) -> None:
    """Compare the number of outputs of a model with the number of classes of a dataset.

    Args:
        model: A model of any host, or a wrapper around one.
        dataset: A dataset of any host; its ``metainfo`` has ``classes`` and, if panoptic,
            ``thing_classes``.
        where: Name of the dataloader in the config, for messages.

    Raises:
        ValueError: The numbers differ; the message has both and the setting to change.
    """
    metainfo = getattr(dataset, 'metainfo', {})
    classes = metainfo.get('classes')
    if classes is None:
        return
    if isinstance(classes, str):
        raise ValueError(
            f'{where}: the classes of {type(dataset).__name__} are the text {classes!r}; of one '
            f'class, give ({classes!r},)'
        )
    # panoptic data has classes of things and of stuff, but boxes only of things
    fitting = {len(classes), len(metainfo.get('thing_classes', classes))}
    for name, number in class_outputs(model):
        if number not in fitting:
            count = len(classes)
            first = ', '.join(map(str, classes[:5])) + (', ...' if count > 5 else '')
            raise ValueError(
                f'model.{name} has num_classes={number}, and {type(dataset).__name__} of {where} '
                f'has {count} classes ({first}): set model.{name}.num_classes={count}, or the '
                'classes of the dataset (metainfo=dict(classes=(...)))'
            )


def class_outputs(model: nn.Module) -> Iterator[tuple[str, int]]:
    """Yield (name, number of classes) of the parts of a model that classify."""
    modules = dict(model.named_modules())
    if any(name.rpartition('.')[2] == 'language_model' for name in modules):
        return
    for name, module in modules.items():
        parts = [part for part in name.split('.') if not part.isdecimal()]
        kinds = {kind.__name__ for kind in type(module).__mro__}
        left_alone = kinds.intersection(CLASS_AGNOSTIC) or set(parts).intersection(OF_TRACKERS)
        tells_classes = parts and parts[-1] in HEADS and not left_alone
        number = getattr(module, 'num_classes', None)
        if tells_classes and isinstance(number, int) and number > 0:
            yield name.removeprefix('module.'), number

"""Whether a model has as many outputs as its data has classes, and boxes to learn from."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import nn

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
"""Names that the hosts give to the parts of a model that tell classes apart; backbones of
mmpretrain may, VGG for example, and have -1 classes if they do not."""
CLASS_AGNOSTIC = ('RPNHead', 'STDCHead')
"""Heads that tell objects or boundaries from the rest, whatever the classes are."""
OF_TRACKERS = ('detector', 'reid')
"""Parts of trackers, whose data may have more classes than they track."""


@HOOKS.register_module()
class DataCheckHook(Hook):
    """Refuse data without a box, or with more or fewer classes than the heads have outputs.

    With more outputs, hosts train without any error, and the mean over classes counts some that are
    not there. With fewer, they stop at the first label that is too high. Checked are classifiers,
    detectors, rotated ones too, masks and segmentation of any host, before training, validation and
    test. Data without ``classes`` in its ``metainfo``, heads without ``num_classes`` and models
    that find what a text says are left alone. Where a dataset of any host gives ``instances``,
    training needs one that is not to be ignored.
    """

    def before_train(self, runner: Runner) -> None:
        """Check the training data, and that of the validation."""
        require_a_box(runner.train_dataloader.dataset)
        check_classes(runner.model, runner.train_dataloader.dataset, 'train_dataloader')
        if runner.val_loop is not None:
            self.before_val(runner)

    def before_val(self, runner: Runner) -> None:
        """Check the data of the validation."""
        check_classes(runner.model, runner.val_dataloader.dataset, 'val_dataloader')

    def before_test(self, runner: Runner) -> None:
        """Check the data of the test."""
        check_classes(runner.model, runner.test_dataloader.dataset, 'test_dataloader')


def require_a_box(dataset: Any) -> None:
    """Refuse to train a detector on no box at all; it looks no further than the first.

    Args:
        dataset: A dataset of any host; those without ``instances`` are left alone.

    Raises:
        ValueError: There is no box, or all are to be ignored (crowds, difficult ones).
    """
    if not hasattr(dataset, 'get_data_info'):
        return
    for i in range(len(dataset)):
        info = dataset.get_data_info(i)
        if not isinstance(info, dict) or 'instances' not in info:
            return
        if any(not instance.get('ignore_flag') for instance in info['instances']):
            return
    raise ValueError(
        f'the {len(dataset)} images of {type(dataset).__name__}, of train_dataloader, have no box '
        'to train on: check the annotations, the classes and filter_cfg'
    )


def check_classes(model: nn.Module, dataset: Any, where: str) -> None:
    """Compare the outputs of a model with the classes of a dataset.

    Args:
        model: A model of any host, or a wrapper around one.
        dataset: A dataset of any host; its ``metainfo`` has the ``classes``, of things alone also
            ``thing_classes``.
        where: The dataset's place in the config, for messages.

    Raises:
        ValueError: They do not fit; the message has both numbers and the setting to change.
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
    # panoptic data has classes of things and of stuff, and its boxes are of things alone
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
    """Yield the heads of a model that tell classes apart: name, number of classes."""
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

"""Every detection config that mmdet and mmrotate ship, with DynamicVis tiny as its backbone."""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData

from .cases import BACKBONE, CHANNELS
from .tasks import NUM_BOXES, Batch, Size

HOSTS = ('mmdet', 'mmrotate')

SIZE = (64, 96)
SIZES = {'mmdet/ddod': (264, 264)}
"""Larger images where the last level, of stride 128, must have 3 x 3 places."""

# No number of these is part of an interface; all of them cost time.
_MOST = dict(nms_pre=50, max_per_img=20, num_queries=20, num_proposals=20)
_MOST_SAMPLES = 16


class Shipped(NamedTuple):
    """A config that a host ships: the host, and the path in its folder of configs."""

    host: str
    config: str

    def __str__(self) -> str:
        return f'{self.host}/{self.config}'

    @property
    def family(self) -> str:
        """The folder, one per method or data set."""
        return f'{self.host}/{Path(self.config).parts[0]}'

    def load(self) -> Config:
        """Read the host's config as it is."""
        return Config.fromfile(_folder(self.host) / self.config)

    def batch(self, cfg: Config) -> Batch:
        """Return made data for a training step."""
        return _batch(self.host, cfg, SIZES.get(self.family, SIZE))


def _folder(host: str) -> Path:
    return Path(find_spec(host).origin).parent / '.mim/configs'


def all_shipped() -> list[Shipped]:
    """Return every config of the hosts but the parts that others inherit."""
    return [
        Shipped(host, str(path.relative_to(_folder(host))))
        for host in HOSTS
        for path in sorted(_folder(host).rglob('*.py'))
        if '_base_' not in path.parts
    ]


def draw(seed: int, count: int, wanted: Callable[[Shipped], bool]) -> Iterator[Shipped]:
    """Yield so many wanted configs with an FPN-like neck, at random, each of another family."""
    rng = random.Random(seed)
    families = defaultdict(list)
    for shipped in all_shipped():
        if wanted(shipped):
            families[shipped.family].append(shipped)
    order = sorted(families)
    rng.shuffle(order)
    for family in order:
        members = families[family]
        rng.shuffle(members)
        fitting = next((shipped for shipped in members if first_neck(shipped.load())), None)
        if fitting is None:
            continue
        yield fitting
        count -= 1
        if count == 0:
            return


def first_neck(cfg: Config) -> ConfigDict | None:
    """Return the neck that takes the backbone's maps, or None.

    That is what FPN-like means here: the model has a backbone, and its (first) neck lists the
    channels of the maps that it takes. Wrappers (tracking, semi-supervised) and heads that take
    the maps without a neck have no such list.
    """
    model = cfg.get('model') or {}
    necks = model.get('neck') or {}
    neck = necks[0] if isinstance(necks, list) else necks
    if 'backbone' in model and isinstance(neck.get('in_channels'), (list, tuple)):
        return neck
    return None


def swap(cfg: Config) -> None:
    """Put DynamicVis tiny in place of the backbone, and its channels into the neck, in place.

    Of our four maps the neck gets the deepest, as many as it took. Nothing else changes.
    """
    neck = first_neck(cfg)
    count = len(neck.in_channels)
    channels = CHANNELS[-count:]
    deepest_first = neck.in_channels[0] > neck.in_channels[-1]
    neck.in_channels = channels[::-1] if deepest_first else channels
    backbone = {key: value for key, value in BACKBONE.items() if key != '_delete_'}
    cfg.model.backbone = ConfigDict(backbone, out_indices=tuple(range(4))[-count:])


def make_small(node: Any) -> None:
    """For a quick step of one process on a CPU: few queries and samples, no downloads; in place."""
    if isinstance(node, (list, tuple)):
        for value in node:
            make_small(value)
    if not isinstance(node, dict):
        return
    for key, value in node.items():
        if key in _MOST and isinstance(value, int):
            node[key] = min(value, _MOST[key])
        elif key == 'sampler' and 'num' in value:
            value.num = min(value.num, _MOST_SAMPLES)
        elif key == 'crop_size':  # of what a detector makes of the image itself
            node[key] = SIZE
        elif key == 'batch_augments' or (key == 'init_cfg' and 'Pretrained' in str(value)):
            node[key] = None  # the first pad to the full size
        elif key == 'type' and value in ('SyncBN', 'MMSyncBN'):
            node[key] = 'BN'
        elif key == 'type' and value == 'AmpOptimWrapper':
            node[key] = 'OptimWrapper'
        else:
            make_small(value)
    if node.get('type') == 'OptimWrapper':
        for option in ('dtype', 'loss_scale'):
            node.pop(option, None)


def _batch(host: str, cfg: Config, size: Size) -> Batch:
    """Two images with boxes, and with whatever else a pipeline could deliver, all of class 0."""
    pipeline = list(_transforms(cfg.get('train_dataloader')))
    scales = [t.get('scale_factor') for t in pipeline if t.type == 'SegRescale']
    scales += [t['seg_scale_factor'] for t in pipeline if 'seg_scale_factor' in t]
    options = dict(with_mask=True, with_semantic=True)
    options['sem_seg_output_strides'] = round(1 / scales[0]) if scales else 1
    if host == 'mmrotate':
        options = dict(use_qbox=_box_type(pipeline) == 'qbox')
    batch = import_module(f'{host}.testing').demo_mm_inputs(
        batch_size=2,
        image_shapes=[(3, *size)] * 2,
        num_items=[NUM_BOXES] * 2,
        num_classes=2,
        use_box_type=True,
        **options,
    )
    for sample in batch['data_samples']:
        sample.gt_instances.labels.zero_()
        sample.proposals = InstanceData(bboxes=sample.gt_instances.bboxes.tensor.clone())
    return batch


def _transforms(node: Any) -> Iterator[ConfigDict]:
    """Yield everything with a type in a loader's config, pipelines in their order."""
    if isinstance(node, (list, tuple)):
        for value in node:
            yield from _transforms(value)
    elif isinstance(node, dict):
        if 'type' in node:
            yield node
        for value in node.values():
            yield from _transforms(value)


def _box_type(pipeline: list[ConfigDict]) -> str:
    """Return the boxes that a pipeline delivers: as loaded, or as last converted."""
    types = ['hbox']
    types += [t.box_type for t in pipeline if 'box_type' in t]
    types += [t.box_type_mapping.gt_bboxes for t in pipeline if 'box_type_mapping' in t]
    return types[-1]

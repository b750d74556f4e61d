"""Made training data for a shipped config: what its host's pipeline could deliver."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import torch
from mmengine.config import Config, ConfigDict
from mmengine.structures import InstanceData, PixelData

from .tasks import NUM_BOXES, Batch, Size, make_classes, make_maps

Options = dict[str, Any]


def batch_options(host: str, cfg: Config, size: Size) -> Options:
    """Return what the data of a config depend on, plain values that can be compared."""
    if host == 'mmseg' and cfg.model.type == 'DepthEstimator':
        return dict(size=size, num_classes=1, with_depth=True)
    if host == 'mmseg':
        heads = cfg.model.decode_head
        head = heads[-1] if isinstance(heads, list) else heads
        classes = head.get('num_classes') or head.kernel_generate_head.num_classes
        return dict(size=size, num_classes=classes)
    if host == 'opencd':
        head = cfg.model.decode_head
        semantic = head.get('semantic_cd_head') or {}
        classes = (head.get('binary_cd_head') or head).get('num_classes', 2)
        return dict(size=size, num_classes=classes, semantic_classes=semantic.get('num_classes'))
    if host == 'mmpretrain':
        multi_label = cfg.model.head.type.startswith(('MultiLabel', 'CSRA'))
        return dict(size=size, num_classes=cfg.model.head.num_classes, multi_label=multi_label)
    pipeline = list(_transforms(cfg.get('train_dataloader')))
    if host == 'mmrotate':
        return dict(size=size, use_qbox=_box_type(pipeline) == 'qbox')
    scales = [t.get('scale_factor') for t in pipeline if t.type == 'SegRescale']
    scales += [t['seg_scale_factor'] for t in pipeline if 'seg_scale_factor' in t]
    strides = round(1 / scales[0]) if scales else 1
    panoptic = 'LoadPanopticAnnotations'  # masks are its default
    masks = any(t.get('with_mask', t.type == panoptic) for t in pipeline)
    return dict(size=size, with_mask=masks, with_semantic=True, sem_seg_output_strides=strides)


def make_batch(host: str, options: Options) -> Batch:
    """Return two images with whatever a pipeline could deliver."""
    options = dict(options)
    size = options.pop('size')
    if host == 'mmseg':
        batch = make_maps([size] * 2, options['num_classes'])
        if options.get('with_depth'):
            for sample in batch['data_samples']:
                sample.gt_depth_map = PixelData(data=1 + torch.rand(1, *size))
        return batch
    if host == 'opencd':
        return _make_changes([size] * 2, options['num_classes'], options['semantic_classes'])
    if host == 'mmpretrain':
        return make_classes([size] * 2, multi_label=options['multi_label'])
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


def _make_changes(sizes: list[Size], num_classes: int, semantic_classes: int | None) -> Batch:
    """Return pairs with maps of change and, where a number is given, of the classes in both."""
    batch = make_maps(sizes, num_classes, channels=6)
    if semantic_classes is not None:
        semantic = make_maps(sizes, semantic_classes)['data_samples']
        for sample, classes in zip(batch['data_samples'], semantic, strict=True):
            sample.gt_sem_seg_from = classes.gt_sem_seg.clone()
            sample.gt_sem_seg_to = classes.gt_sem_seg.clone()
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

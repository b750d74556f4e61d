"""Made data in the form that each host's pipelines deliver, and what its predictions must be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, NamedTuple

import torch
from mmengine.dataset import pseudo_collate
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement, PixelData

NUM_BOXES = 3  # per image

Batch = dict[str, Any]
"""``inputs``: uint8 images (C, H, W); ``data_samples``: one per image."""
Size = tuple[int, int]
"""Height and width in pixels."""


class Task(NamedTuple):
    """What a model is trained on, and must predict."""

    make_batch: Callable[[Sequence[Size]], Batch]
    check_result: Callable[[BaseDataElement, Size], None]
    """Check what was predicted for an image of that size."""

    def train_batch(self) -> Batch:
        """Two images, not square; of one size, as not every host pads."""
        return self.make_batch([(64, 96)] * 2)

    def check_predictions(self, model: BaseModel) -> None:
        """Predict on an image whose sides the strides do not divide."""
        size = (72, 100)
        model.eval()
        with torch.no_grad():
            (result,) = model.test_step(self.make_batch([size]))
        self.check_result(result, size)


def _images(sizes: Sequence[Size], channels: int = 3) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [
        torch.randint(256, (channels, *size), dtype=torch.uint8, generator=generator)
        for size in sizes
    ]


def _batch(images: Iterable[torch.Tensor], samples: Iterable[BaseDataElement]) -> Batch:
    pairs = zip(images, samples, strict=True)
    return pseudo_collate([dict(inputs=image, data_samples=sample) for image, sample in pairs])


def make_classes(sizes: Sequence[Size], multi_label: bool = False) -> Batch:
    """Return an image of each size with a label, its place, or a list of that label."""
    from mmpretrain.structures import DataSample

    labels = [[i] if multi_label else i for i in range(len(sizes))]
    return _batch(_images(sizes), [DataSample().set_gt_label(label) for label in labels])


def _check_classes(result: BaseDataElement, size: Size) -> None:
    assert result.pred_score.shape == (1000,)
    torch.testing.assert_close(result.pred_score.sum(), torch.tensor(1.0))
    assert result.pred_label.item() == result.pred_score.argmax().item()


def _boxes_batch(sizes: Sequence[Size], with_mask: bool = False) -> Batch:
    from mmdet.testing import demo_mm_inputs

    return demo_mm_inputs(
        batch_size=len(sizes),
        image_shapes=[(3, *size) for size in sizes],
        num_items=[NUM_BOXES] * len(sizes),
        num_classes=80,
        with_mask=with_mask,
        use_box_type=True,
    )


def _rotated_boxes_batch(sizes: Sequence[Size]) -> Batch:
    from mmrotate.testing import demo_mm_inputs

    return demo_mm_inputs(
        batch_size=len(sizes),
        image_shapes=[(3, *size) for size in sizes],
        num_items=[NUM_BOXES] * len(sizes),
        num_classes=15,
        use_box_type=True,
    )


def _check_boxes(result: BaseDataElement, size: Size, box_dim: int, num_classes: int) -> None:
    found = result.pred_instances
    assert len(found) > 0
    boxes = found.bboxes if isinstance(found.bboxes, torch.Tensor) else found.bboxes.tensor
    assert boxes.shape == (len(found), box_dim)
    assert boxes.isfinite().all()
    assert ((found.scores >= 0) & (found.scores <= 1)).all()
    assert ((found.labels >= 0) & (found.labels < num_classes)).all()


def _check_masks(result: BaseDataElement, size: Size) -> None:
    _check_boxes(result, size, box_dim=4, num_classes=80)
    masks = result.pred_instances.masks
    assert masks.shape == (len(result.pred_instances), *size)
    assert masks.dtype == torch.bool


def make_maps(sizes: Sequence[Size], num_classes: int, channels: int = 3) -> Batch:
    """Return an image of each size with stripes of all classes."""
    from mmseg.structures import SegDataSample

    samples = []
    for size in sizes:
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        stripes = torch.arange(size[1]) * num_classes // size[1]
        sample.gt_sem_seg = PixelData(data=stripes.expand(1, *size).clone())
        samples.append(sample)
    return _batch(_images(sizes, channels), samples)


def _check_map(result: BaseDataElement, size: Size, num_classes: int) -> None:
    labels = result.pred_sem_seg.data
    assert labels.shape == (1, *size)
    assert ((labels >= 0) & (labels < num_classes)).all()
    assert result.seg_logits.data.isfinite().all()


CLASSES = Task(make_classes, _check_classes)
BOXES = Task(_boxes_batch, partial(_check_boxes, box_dim=4, num_classes=80))
MASKS = Task(partial(_boxes_batch, with_mask=True), _check_masks)
ROTATED_BOXES = Task(_rotated_boxes_batch, partial(_check_boxes, box_dim=5, num_classes=15))
SEMANTIC = Task(partial(make_maps, num_classes=19), partial(_check_map, num_classes=19))
CHANGE = Task(partial(make_maps, num_classes=2, channels=6), partial(_check_map, num_classes=2))

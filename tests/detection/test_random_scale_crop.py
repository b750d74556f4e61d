from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmdet.datasets.transforms import RandomCrop, Resize
from mmdet.structures.bbox import HorizontalBoxes
from mmdet.structures.mask import BitmapMasks

from mmdynamicvis.detection import RandomScaleCrop


def square(height: int, width: int, box: tuple[int, int, int, int]) -> dict:
    """Return an image that is dark but for one box, with its annotation."""
    x1, y1, x2, y2 = box
    image = np.zeros((height, width, 3), dtype=np.uint8)
    image[y1:y2, x1:x2] = 255
    return dict(
        img=image,
        img_shape=(height, width),
        gt_bboxes=HorizontalBoxes(torch.tensor([box], dtype=torch.float32)),
        gt_bboxes_labels=np.array([3]),
        gt_ignore_flags=np.array([False]),
        gt_masks=BitmapMasks((image[None, ..., 0] > 0).astype(np.uint8), height, width),
    )


@given(
    st.integers(40, 90),
    st.integers(40, 90),
    st.tuples(st.integers(16, 64), st.integers(16, 64)),
    st.floats(0.3, 3),
    st.integers(0, 2**31),
)
def test_boxes_and_masks_stay_on_the_object(height, width, crop_size, ratio, seed):
    np.random.seed(seed)
    transform = RandomScaleCrop(crop_size, (ratio, ratio), allow_negative_crop=True)
    results = transform(square(height, width, (10, 12, 34, 30)))
    image, masks = results['img'], results['gt_masks'].masks
    h, w = image.shape[:2]
    assert results['img_shape'] == (h, w)
    assert w <= crop_size[0] and h <= crop_size[1]
    assert masks.shape[1:] == (h, w)
    boxes = results['gt_bboxes'].tensor
    assert len(boxes) == len(masks) == len(results['gt_bboxes_labels'])
    # linear interpolation blurs an edge over one pixel of the original
    slack = 1.5 * max(w / width, h / height, ratio, 1)
    bright_y, bright_x = np.nonzero(image[..., 0] > 127)
    if len(boxes) and len(bright_x) > 20:
        x1, y1, x2, y2 = boxes[0].tolist()
        assert abs(bright_x.min() - x1) <= slack and abs(bright_x.max() + 1 - x2) <= slack
        assert abs(bright_y.min() - y1) <= slack and abs(bright_y.max() + 1 - y2) <= slack
        assert (masks[0] != (image[..., 0] > 127)).mean() < 0.25


def test_scales_and_crops_are_distributed_as_by_resizing_first():
    """Widths of a box that is always seen, and places of the crop, against mmdet's two steps."""
    np.random.seed(0)
    ours = RandomScaleCrop((64, 64), (0.5, 2.0), allow_negative_crop=True)

    def theirs(results: dict) -> dict:
        size = int(64 * np.random.uniform(0.5, 2))
        results = Resize(scale=(size, size), keep_ratio=True)(results)
        return RandomCrop((64, 64), allow_negative_crop=True)(results)

    def draw(augment) -> np.ndarray:
        found = []
        for _ in range(600):
            results = augment(square(100, 100, (40, 45, 60, 55)))
            boxes = results['gt_bboxes'].tensor.tolist()
            found += [[*box, *results['img'].shape[:2]] for box in boxes]
        return np.array(found)

    a, b = draw(ours), draw(theirs)
    assert len(a) == pytest.approx(len(b), rel=0.08)
    # quartiles of every corner and side agree within the spread of 600 draws
    quartiles = [np.quantile(x, (0.25, 0.5, 0.75), axis=0) for x in (a, b)]
    assert np.abs(quartiles[0] - quartiles[1]).max() < 4


def test_enlarged_crops_are_full_and_reduced_images_whole():
    np.random.seed(1)
    image = square(50, 100, (10, 12, 34, 30))
    enlarge = RandomScaleCrop((64, 64), (4, 4), allow_negative_crop=True)
    assert enlarge(image)['img'].shape == (64, 64, 3)
    image = square(50, 100, (10, 12, 34, 30))
    results = RandomScaleCrop((64, 64), (0.5, 0.5))(image)
    assert results['img'].shape == (16, 32, 3)
    assert results['gt_bboxes'].tensor.tolist() == [pytest.approx([3.2, 3.84, 10.88, 9.6])]


def test_a_crop_without_objects_is_none_unless_allowed():
    for seed in range(20):
        np.random.seed(seed)
        if RandomScaleCrop((8, 8), (8, 8))(square(64, 64, (0, 0, 2, 2))) is None:
            break
    else:
        raise AssertionError('every crop of an eighth held the corner')
    np.random.seed(seed)
    results = RandomScaleCrop((8, 8), (8, 8), allow_negative_crop=True)(
        square(64, 64, (0, 0, 2, 2))
    )
    assert len(results['gt_bboxes']) == 0


@pytest.mark.parametrize(
    ('crop_size', 'ratio_range'), [((0, 8), (1, 2)), ((8, 8), (0, 1)), ((8, 8), (2, 1))]
)
def test_impossible_arguments_are_refused(crop_size, ratio_range):
    with pytest.raises(ValueError, match='must be positive'):
        RandomScaleCrop(crop_size, ratio_range)

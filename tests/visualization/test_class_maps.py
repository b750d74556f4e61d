"""Pictures of several maps of one image."""

from __future__ import annotations

import numpy as np
import pytest

from mmdynamicvis.data.class_maps import ClassMap
from mmdynamicvis.visualization import show_class_maps

CHANGE = ClassMap('change', ('unchanged', 'changed'), [(255, 255, 255), (255, 0, 0)])
COVER = ClassMap('cover', ('none', 'water', 'tree'))


def test_classes_but_the_first_are_painted() -> None:
    image = np.full((60, 80, 3), 200, np.uint8)
    labels = np.zeros((60, 80), np.int64)
    labels[:, :20] = 1
    picture = show_class_maps(image, [CHANGE, COVER], [labels, np.zeros_like(labels)])
    left, right = np.split(picture.astype(int), [picture.shape[1] // 2], axis=1)
    seen = [
        (abs(half - color).max(-1) <= 2).sum()
        for half in (left, right)
        for color in ((233, 80, 80), (200, 200, 200))
    ]  # 0.4 of the image, 0.6 of the color
    red, gray, no_red, all_gray = seen
    assert gray / red == pytest.approx(3, rel=0.05)
    assert no_red == 0
    assert all_gray == pytest.approx(red + gray, rel=0.05)


def test_maps_that_do_not_fit_are_refused() -> None:
    image = np.zeros((4, 6, 3), np.uint8)
    for labels in (np.zeros((6, 4), int), np.full((4, 6), 2)):
        with pytest.raises(ValueError, match=r'labels of change are .*2 classes'):
            show_class_maps(image, [CHANGE], [labels])
    with pytest.raises(ValueError, match='there are 1 maps and 0 arrays'):
        show_class_maps(image, [CHANGE], [])

"""Loading and packing of the label maps of a pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from io import BytesIO
from typing import Any, Literal

import numpy as np
from mmcv.transforms import BaseTransform, to_tensor
from mmengine.fileio import get
from mmengine.structures import PixelData
from mmseg.datasets.transforms import PackSegInputs

from mmdynamicvis.data.binary_masks import LoadAnnotationsToBinary, gray_of_palette
from mmdynamicvis.data.image_files import is_deep, open_image, orientation
from mmdynamicvis.data.masks import check_mask
from mmdynamicvis.fileio import shorten
from mmdynamicvis.registry import TRANSFORMS

Color = Sequence[int]
IGNORED = 255


@TRANSFORMS.register_module()
class LoadPairLabels(BaseTransform):
    """Load the label maps of a pair that a ``LabeledPairs`` dataset lists.

    Args:
        disagreement: What to do if the maps of both dates, which have a class where something has
            changed, do not have it at the same pixels: 'error', or 'ignore' such pixels in all
            maps.

    Raises:
        OSError: A file is missing, truncated or not an image; the message names it.
        ValueError: A map has values or colors that are no classes, an EXIF orientation, more than 8
            bits, or a size or place that differs from its image's; or the maps disagree. The
            message names the files.
    """

    def __init__(self, disagreement: Literal['error', 'ignore'] = 'error') -> None:
        if disagreement not in ('error', 'ignore'):
            raise ValueError(f"disagreement is {disagreement!r}; choose 'error' or 'ignore'")
        self.disagreement = disagreement

    def transform(self, results: dict) -> dict:
        """Load ``results['labels']``: name of a map -> how it is read.

        Each is a dict with ``path``, ``palette`` and perhaps ``ignored_color`` (see
        :func:`read_label_map`) and ``table`` (class of each value in the file); with ``path`` and
        ``binary=True``, a mask as of ``LoadAnnotationsToBinary``; with ``missing=True``, 255 in all
        pixels; or with ``of``, the names of maps: it is 1 where all of them are not 0, and 0 where
        all are.

        Adds ``gt_NAME``, (H, W) uint8, of each to the results and to ``seg_fields``. Results
        without labels (prediction only) are returned unchanged.
        """
        labels = results.get('labels') or {}
        maps = {
            name: self._load(label, results) for name, label in labels.items() if 'of' not in label
        }
        derived = {name: label['of'] for name, label in labels.items() if 'of' in label}
        for name, bases in derived.items():
            maps[name] = self._derive({base: maps[base] for base in bases}, labels)
        fields = results.setdefault('seg_fields', [])
        for name, data in maps.items():
            results[f'gt_{name}'] = data
            fields.append(f'gt_{name}')
        return results

    @staticmethod
    def _load(label: dict[str, Any], results: dict) -> np.ndarray:
        if label.get('missing'):
            return np.full(results['ori_shape'][:2], IGNORED, np.uint8)
        path = label['path']
        if label.get('binary'):
            mask = dict(results, seg_map_path=path, seg_fields=[])
            return LoadAnnotationsToBinary().transform(mask)['gt_seg_map']
        data = read_label_map(path, label['palette'], label.get('ignored_color'))
        check_mask(dict(results, gt_seg_map=data, seg_map_path=path))
        if 'table' not in label:
            return data
        table = np.full(IGNORED + 1, IGNORED, np.uint8)
        table[: len(label['table'])] = label['table']
        return table[data]

    def _derive(self, bases: dict[str, np.ndarray], labels: dict[str, dict]) -> np.ndarray:
        """Return where maps are not 0, which must agree; ignored pixels are made equal in place."""
        stack = np.stack(list(bases.values()))
        ignored = (stack == IGNORED).any(0)
        there = stack > 0
        unlike = there.any(0) & ~there.all(0) & ~ignored
        if unlike.any() and self.disagreement == 'error':
            row, column = np.argwhere(unlike)[0]
            paths = ' and '.join(dict.fromkeys(labels[name]['path'] for name in bases))
            values = dict(zip(bases, stack[:, row, column].tolist(), strict=True))
            raise ValueError(
                f'{paths} disagree about where something has changed in {unlike.sum()} pixels, the '
                f'first in row {row}, column {column}: {values}, and 0 is no change. Correct them, '
                "or have such pixels ignored by LoadPairLabels(disagreement='ignore')"
            )
        ignored |= unlike
        for data in bases.values():
            data[ignored] = IGNORED
        return np.where(ignored, IGNORED, there.all(0)).astype(np.uint8)

    def __repr__(self) -> str:
        return f'{type(self).__name__}(disagreement={self.disagreement!r})'


def read_label_map(
    path: str, palette: Sequence[Color], ignored_color: Color | None = None
) -> np.ndarray:
    """Read the classes of an image of class indices, or of colors.

    Gray values are class indices, of which 255 is ignored. If they cannot be, because one is too
    large or all are 255, they are colors: programs store images of only white and gray classes in
    one band. Images with a palette of grays are read as these grays, others with a palette as
    their colors.

    Args:
        path: The image.
        palette: R, G, B of each class.
        ignored_color: R, G, B of ignored pixels.

    Returns:
        (H, W) uint8, 255 where ignored.

    Raises:
        OSError: The file is missing, truncated or not an image.
        ValueError: A value or color is that of no class, the image has more than 8 bits or an EXIF
            orientation, or two classes have the same color; the message names the file.
    """
    classes = dict(zip(map(tuple, palette), range(len(palette)), strict=True))
    if ignored_color is not None:
        classes[tuple(ignored_color)] = IGNORED
    if len(classes) < len(palette) + (ignored_color is not None):
        raise ValueError(f'{list(palette)} has a color twice, so that {path} cannot be read')
    data = _read(path)
    if data.ndim == 3:
        return _classes_of_colors(data, classes, path)
    values = set(np.unique(data).tolist())
    wrong = sorted(values - {*range(len(palette)), IGNORED})
    if not wrong and values != {IGNORED}:
        return data
    if {(value,) * 3 for value in values} <= set(classes):
        return _classes_of_colors(np.stack([data] * 3, axis=-1), classes, path)
    if wrong:
        raise ValueError(
            f'label map {path} has the values {shorten(wrong)}; classes are 0 to '
            f'{len(palette) - 1}, and 255 is ignored'
        )
    return data


def _read(path: str) -> np.ndarray:
    """Return the gray values of an image, (H, W), or its colors, (H, W, 3), uint8."""
    try:
        with open_image(BytesIO(get(path))) as image:
            deep = is_deep(image)
            image.load()
    # each of Pillow's decoders raises its own exception types
    except Exception as error:
        raise OSError(
            f'cannot load label map {path} ({type(error).__name__}: {error}). '
            'Copy or download the file again'
        ) from error
    if deep or orientation(image) != 1:
        what = 'more than 8 bits' if deep else f'the EXIF orientation {orientation(image)}'
        raise ValueError(
            f'label map {path} has {what}: save it as an 8-bit PNG without orientation'
        )
    if image.mode == 'P':
        own = np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3)
        if (own == own[:, :1]).all():
            return gray_of_palette(np.asarray(image), own)
        image = image.convert('RGB')
    if image.mode == 'RGBA' and image.getchannel('A').getextrema() == (255, 255):
        image = image.convert('RGB')
    if image.mode not in ('L', 'RGB'):
        raise ValueError(
            f'label map {path} is an image of mode {image.mode}; save it in gray or in colors, '
            'without transparency'
        )
    return np.array(image)


def _classes_of_colors(
    data: np.ndarray, classes: Mapping[tuple[int, ...], int], path: str
) -> np.ndarray:
    """Return the classes of (H, W, 3) colors, (H, W) uint8."""
    codes = _code(np.array(list(classes)))
    order = np.argsort(codes)
    found = _code(data.astype(np.int64))
    places = order[np.searchsorted(codes, found, sorter=order).clip(max=len(codes) - 1)]
    wrong = codes[places] != found
    if wrong.any():
        unknown = [tuple(color) for color in np.unique(data[wrong], axis=0).tolist()]
        raise ValueError(
            f'label map {path} has the colors {shorten(unknown)}, which are those of no class '
            f'({shorten(list(classes), 12)}). Was it resized or stored with losses?'
        )
    return np.array(list(classes.values()), np.uint8)[places]


def _code(colors: np.ndarray) -> np.ndarray:
    """Return one number per color, given R, G, B in the last dimension."""
    return colors[..., 0] << 16 | colors[..., 1] << 8 | colors[..., 2]


@TRANSFORMS.register_module()
class PackLabelMaps(PackSegInputs):
    """mmseg's ``PackSegInputs`` that also packs each ``gt_NAME`` of ``seg_fields``."""

    def transform(self, results: dict) -> dict:
        """Return ``inputs`` and ``data_samples``, whose ``gt_NAME`` are PixelData (1, H, W)."""
        packed = super().transform(results)
        for field in results.get('seg_fields', ()):
            if field != 'gt_seg_map':
                labels = to_tensor(results[field][None].astype(np.int64))
                packed['data_samples'].set_data({field: PixelData(data=labels)})
        return packed

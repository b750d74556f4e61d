"""Loading and packing of the label maps of a pair: one or several, some of which may be missing."""

from __future__ import annotations

from collections.abc import Sequence
from io import BytesIO
from typing import Any

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

Palette = Sequence[Sequence[int]]
IGNORED = 255


@TRANSFORMS.register_module()
class LoadPairLabels(BaseTransform):
    """Load the label maps of a pair that a ``LabeledPairs`` dataset lists.

    Raises:
        OSError: A file is missing, truncated or not an image; the message names it.
        ValueError: A map has values or colors that are no classes, an EXIF orientation, more than 8
            bits, or a size or place that differs from its image's; the message names the file.
    """

    def transform(self, results: dict) -> dict:
        """Load ``results['labels']``: name of a map -> how it is read.

        Each is a dict with ``path``, None for a label that is missing, and one of ``palette`` (the
        colors of its classes, see :func:`read_label_map`), ``binary`` (see
        ``LoadAnnotationsToBinary``) or ``table`` (class of each value in the file); or with ``of``,
        the name of a map, which is true where that map is not 0.

        Adds ``gt_NAME``, (H, W) uint8, of each to the results and to ``seg_fields``; all pixels of
        a missing one are ignored. Results without labels (prediction only) are returned unchanged.
        """
        labels = results.get('labels') or {}
        fields = results.setdefault('seg_fields', [])
        maps: dict[str, np.ndarray] = {}
        # those that others are made from come first
        for name, label in sorted(labels.items(), key=lambda item: 'of' in item[1]):
            if 'of' in label:
                base = maps[label['of']]
                maps[name] = np.where(base == IGNORED, IGNORED, base > 0).astype(np.uint8)
            elif label['path'] is None:
                maps[name] = np.full(results['ori_shape'][:2], IGNORED, np.uint8)
            else:
                maps[name] = self._load(label)
                check_mask(dict(results, gt_seg_map=maps[name], seg_map_path=label['path']))
        for name, data in maps.items():
            results[f'gt_{name}'] = data
            fields.append(f'gt_{name}')
        return results

    @staticmethod
    def _load(label: dict[str, Any]) -> np.ndarray:
        path = label['path']
        if label.get('binary'):
            return LoadAnnotationsToBinary()(dict(seg_map_path=path))['gt_seg_map']
        if 'table' not in label:
            return read_label_map(path, label['palette'])
        table = np.full(256, IGNORED, np.uint8)
        table[: len(label['table'])] = label['table']
        return table[_checked(_read(path, [])[0], len(label['table']), path)]

    def __repr__(self) -> str:
        return f'{type(self).__name__}()'


def read_label_map(path: str, palette: Palette) -> np.ndarray:
    """Read the classes of an image of gray values, which are class indices, or of colors.

    In images of gray values, 255 means that a pixel is ignored. Of images with a palette the
    colors count if they are those of classes, or else, if all of the palette are gray, the grays.

    Args:
        path: The image.
        palette: R, G, B of each class.

    Returns:
        (H, W) uint8.

    Raises:
        OSError: The file is missing, truncated or not an image.
        ValueError: A value or color is that of no class, the image has more than 8 bits or an EXIF
            orientation, or two classes have the same color; the message names the file.
    """
    values, colors = _read(path, palette)
    if values is not None:
        return _checked(values, len(palette), path)
    codes = [_code(np.array(color)) for color in palette]
    if len(set(codes)) < len(codes):
        raise ValueError(f'the palette {palette} has a color twice, so that {path} cannot be read')
    order = np.argsort(codes)
    found = _code(colors.astype(np.int64))
    place = np.searchsorted(codes, found, sorter=order).clip(max=len(codes) - 1)
    classes = order[place]
    wrong = np.array(codes)[classes] != found
    if wrong.any():
        unknown = [tuple(map(int, color)) for color in np.unique(colors[wrong], axis=0)]
        raise ValueError(
            f'label map {path} has the colors {shorten(unknown)}, which are those of no class '
            f'({shorten([tuple(color) for color in palette], 12)}). Was it resized or stored with '
            'losses?'
        )
    return classes.astype(np.uint8)


def _read(path: str, palette: Palette) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Return either the gray values of an image, (H, W), or its colors, (H, W, 3)."""
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
    if image.mode == 'L':
        return np.asarray(image), None
    if image.mode == 'P':
        own = np.array(image.getpalette('RGB'), np.uint8).reshape(-1, 3)
        used = own[[index for _, index in image.getcolors(256)]].tolist()
        if (own == own[:, :1]).all() and not all(color in map(list, palette) for color in used):
            return gray_of_palette(np.asarray(image), own), None
        image = image.convert('RGB')
    if image.mode == 'RGBA' and image.getchannel('A').getextrema() == (255, 255):
        image = image.convert('RGB')
    if image.mode != 'RGB':
        raise ValueError(
            f'label map {path} is an image of mode {image.mode}; save it in gray or in colors, '
            'without transparency'
        )
    return None, np.asarray(image)


def _checked(values: np.ndarray | None, classes: int, path: str) -> np.ndarray:
    """Return values if all are classes or ignored."""
    if values is None:
        raise ValueError(f'label map {path} has colors; it must have one band of class indices')
    wrong = np.unique(values[(values >= classes) & (values != IGNORED)])
    if wrong.size:
        raise ValueError(
            f'label map {path} has the values {shorten(wrong.tolist())}; classes are 0 to '
            f'{classes - 1}, and 255 is ignored'
        )
    return values


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

"""Loading of image pairs as one array, so that the hosts' transforms apply to both images."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from mmcv.transforms import BaseTransform, Compose

from mmdynamicvis.data.grids import Encoding, check_encodings, check_places, loaded_place
from mmdynamicvis.registry import TRANSFORMS


@TRANSFORMS.register_module()
class LoadPair(BaseTransform):
    """Load the images of all dates and stack their channels.

    Geometric transforms of the hosts (resize, rotate, crop, flip, pad) then apply equally to all
    dates. Wrap color transforms in :class:`EachDate`.

    Args:
        loader: Transform that loads ``results['img_path']`` into ``results['img']``.
        keys: Keys of the paths in ``results``, in chronological order. The default is that of
            mmseg's datasets. None is for open-cd, whose datasets list the paths in ``img_path`` and
            whose transforms expect a list of images instead of a stack.

    Raises:
        ValueError: The images of a pair differ in size, channels or, in the file, dtype, scales or
            offsets of bands, or, if the loader returns georeferencing, cover different areas; the
            message names both files.
    """

    def __init__(
        self,
        loader: dict = dict(type='mmdynamicvis.LoadIntactImage'),
        keys: Sequence[str] | None = ('img_path', 'img_path2'),
    ) -> None:
        self.loader = TRANSFORMS.build(loader)
        self.keys = keys

    def transform(self, results: dict) -> dict:
        """Load the dates.

        Adds ``img``, (H, W, dates x channels) with the first date first or, with ``keys=None``, a
        list of (H, W, channels), ``img_shape``, ``ori_shape`` and, if the loader returns it,
        ``nodata``, (H, W) bool, which is true where any date is nodata.
        """
        listed = self.keys is None
        paths = results['img_path'] if listed else [results[key] for key in self.keys]
        dates = [self.loader(dict(results, img_path=path)) for path in paths]
        self._compare(dates)
        images = [date['img'] for date in dates]
        loaded = dict(dates[0], img_path=paths if listed else paths[0])
        loaded['img'] = images if listed else np.concatenate(images, axis=-1)
        if 'nodata' in loaded:
            loaded['nodata'] = np.any([date['nodata'] for date in dates], axis=0)
        return loaded

    @staticmethod
    def _compare(dates: list[dict]) -> None:
        first = dates[0]
        for other in dates[1:]:
            for what, of in (
                ('shape', lambda date: date['img'].shape),
                ('dtype', lambda date: str(date['img'].dtype)),
            ):
                if of(first) != of(other):
                    raise ValueError(
                        f'{first["img_path"]} has the {what} {of(first)}, {other["img_path"]} '
                        f'{of(other)}. The images of a pair must lie on one grid: align them first'
                    )
            check_places(loaded_place(first), loaded_place(other))
            check_encodings(_encoding(first), _encoding(other))

    def __repr__(self) -> str:
        return f'{type(self).__name__}(loader={self.loader}, keys={self.keys})'


def _encoding(date: dict) -> Encoding:
    return Encoding(date['img_path'], date.get('dtypes', ()), date.get('scales', ()))


@TRANSFORMS.register_module()
class EachDate(BaseTransform):
    """Apply color transforms to the image of each date separately.

    Args:
        transforms: Transforms of ``results['img']`` that need nothing else and keep its shape.
        num_dates: Number of dates in the stack.
    """

    def __init__(self, transforms: list[dict], num_dates: int = 2) -> None:
        self.transforms = Compose(transforms)
        self.num_dates = num_dates

    def transform(self, results: dict) -> dict:
        """Modify ``results['img']``, (H, W, dates x channels).

        Raises:
            ValueError: The number of channels is not a multiple of the number of dates.
        """
        if results['img'].shape[-1] % self.num_dates:
            raise ValueError(
                f'an image has {results["img"].shape[-1]} channels, and num_dates is '
                f'{self.num_dates}: put LoadPair before EachDate'
            )
        images = np.split(results['img'], self.num_dates, axis=-1)
        changed = [self.transforms(dict(img=np.ascontiguousarray(image))) for image in images]
        results['img'] = np.concatenate([date['img'] for date in changed], axis=-1)
        return results

    def __repr__(self) -> str:
        return f'{type(self).__name__}({self.transforms}, num_dates={self.num_dates})'

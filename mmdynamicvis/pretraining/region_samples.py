"""Streaming and decoding of the samples in a shard, each an image and a JSON with its regions."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torchvision.io import ImageReadMode, decode_image

from mmdynamicvis.pretraining.region_shards import open_address, webdataset


def read_shard(address: str, num_samples: int, wanted: range) -> Iterator[dict[str, Any]]:
    """Stream undecoded samples of a shard.

    Args:
        address: Path or http(s) URL of the tar file.
        num_samples: Number of samples in the shard according to the index.
        wanted: Indices in the shard of the samples to return.

    Yields:
        Dicts with ``__key__``, ``__url__`` and the bytes ``jpg`` and ``json``.

    Raises:
        OSError: The shard cannot be read.
        ValueError: The shard is truncated, or its number of samples differs from ``num_samples``.
    """
    n_read = 0
    for sample in _stream(address):
        if n_read == num_samples:
            raise ValueError(
                f'shard {address} has more than the {num_samples} samples that its index gives: '
                'is the index of another copy?'
            )
        if n_read in wanted:
            yield sample
        n_read += 1
        if n_read == wanted.stop < num_samples:
            return
    if n_read < num_samples:
        raise ValueError(
            f'shard {address} has {n_read} of the {num_samples} samples that its index gives: it '
            'is truncated or of another copy; copy it again'
        )


def _stream(address: str) -> Iterator[dict[str, Any]]:
    webdataset()
    tar = import_module('webdataset.tariterators')
    try:
        # not webdataset.tarfile_samples, which leaves its files open
        with open_address(address) as stream:
            files = tar.tar_file_expander([dict(url=address, stream=stream)])
            for sample in tar.group_by_keys(files):
                # published shards have KEY.jpg.jpg and KEY.jpg.json
                yield {
                    name if name.startswith('__') else name.rpartition('.')[2]: value
                    for name, value in sample.items()
                }
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise ValueError(
            f'shard {address} is truncated or broken ({error.args[0]}): copy it again'
        ) from error
    except OSError as error:
        raise OSError(f'shard {address} cannot be read: {error}') from error


def decode_sample(sample: Mapping[str, Any], labels: Mapping[str, int]) -> dict[str, Any]:
    """Decode a sample of :func:`read_shard` to the input of mmdet's transforms.

    Boxes are clipped to the image; boxes that are outside it, inverted or empty are skipped.

    Args:
        sample: Undecoded sample.
        labels: Name of each category -> its index.

    Returns:
        ``img`` (H, W, 3) uint8 in the order B, G, R, as stored, with EXIF orientation ignored;
        ``img_shape``, ``ori_shape``, ``height``, ``width``; ``img_id`` (the key) and ``img_path``;
        and ``instances`` as in mmdet, for ``mmdet.LoadAnnotations``: per box ``bbox`` (x1, y1, x2,
        y2 in pixels), ``bbox_label`` and ``ignore_flag``.

    Raises:
        OSError: The image is damaged. All messages name shard and key.
        ValueError: Image or JSON are missing, the JSON is invalid or lacks boxes or labels, a box
            is not finite or in relative coordinates (0 to 1), or a category is unknown.
    """
    where = f'{sample["__url__"]}/{sample["__key__"]}'
    for suffix in ('jpg', 'json'):
        if suffix not in sample:
            raise ValueError(f'{where}.{suffix} is missing in the shard')
    image = _decode_image(sample['jpg'], f'{where}.jpg')
    height, width = image.shape[:2]
    return dict(
        img=image,
        img_shape=(height, width),
        ori_shape=(height, width),
        height=height,
        width=width,
        img_id=sample['__key__'],
        img_path=f'{where}.jpg',
        instances=_parse_regions(sample['json'], labels, height, width, f'{where}.json'),
    )


def _decode_image(data: bytes, where: str) -> NDArray[np.uint8]:
    """Decode with torchvision, which refuses truncated files and is faster than Pillow."""
    try:
        stored = torch.frombuffer(bytearray(data), dtype=torch.uint8)
        rgb_CHW = decode_image(stored, ImageReadMode.RGB)
    except (RuntimeError, ValueError) as error:
        raise OSError(
            f'cannot decode {where} ({type(error).__name__}: {error}): copy or make the shard again'
        ) from error
    return cv2.cvtColor(rgb_CHW.permute(1, 2, 0).numpy(), cv2.COLOR_RGB2BGR)


def _parse_regions(
    data: bytes, labels: Mapping[str, int], height: int, width: int, where: str
) -> list[dict[str, Any]]:
    try:
        regions = json.loads(data)
    except ValueError as error:
        raise ValueError(f'{where} is no JSON: {error}') from error
    for name in ('gt_bboxes', 'gt_bboxes_labels'):
        if not isinstance(regions, dict) or not isinstance(regions.get(name), list):
            raise ValueError(f'{where} has no list {name}')
    names = regions['gt_bboxes_labels']
    boxes_R4 = _parse_boxes(regions['gt_bboxes'], where)
    if len(boxes_R4) != len(names):
        raise ValueError(f'{where} has {len(boxes_R4)} gt_bboxes, but {len(names)} labels')
    for name in names:
        if not isinstance(name, str) or name not in labels:
            raise ValueError(
                f'{where}: category {name!r} is not one of the {len(labels)} classes '
                f'{", ".join(labels)}. Add it to metainfo=dict(classes=[...])'
            )
    boxes_R4 = boxes_R4.clip(0, np.array([width, height, width, height], dtype=np.float32))
    return [
        dict(bbox=box, bbox_label=labels[name], ignore_flag=0)
        for box, name in zip(boxes_R4.tolist(), names, strict=True)
        if box[0] < box[2] and box[1] < box[3]
    ]


def _parse_boxes(boxes: list, where: str) -> NDArray[np.float32]:
    try:
        # None becomes NaN, and values beyond the range of float32 become infinite
        with np.errstate(over='ignore'):
            boxes_R4 = np.array(boxes or np.empty((0, 4)), dtype=np.float32)
    except (TypeError, ValueError) as error:
        raise ValueError(f'{where}: gt_bboxes are not lists of four numbers') from error
    if boxes_R4.shape != (len(boxes), 4):
        raise ValueError(f'{where}: gt_bboxes are not lists of four numbers')
    for box, given in zip(boxes_R4, boxes, strict=True):
        if not np.isfinite(box).all():
            raise ValueError(f'{where}: the box {given} is not finite')
        x1, y1, x2, y2 = box
        if box.min() >= 0 and box.max() <= 1 and 0 < min(x2 - x1, y2 - y1) < 1:
            raise ValueError(f'{where}: the box {given} is from 0 to 1; it must be in pixels')
    return boxes_R4

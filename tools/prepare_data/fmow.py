r"""Convert fMoW, as distributed by its publishers, to WebDataset shards for region pretraining.

    python tools/prepare_data/fmow.py data/fmow-rgb data/fmow/pretrain --splits train val seq \
        --images both --max-size 1024 --workers 16
    python tools/prepare_data/fmow.py data/fmow-rgb data/fmow/test --splits test \
        --images both --max-size 1024 --shards 32

The paper pretrains on all of fMoW-rgb except 20,000 randomly drawn images of test:

    ... data/fmow/pretrain --splits train val seq test --images both --held-out 20000
    ... data/fmow/test --splits test --images both --held-out 20000 --only-held-out

With this split, the other version of a held-out image (rgb or msrgb), or an image of the same place
at another time, may be in the pretraining set. The commands at the top keep test whole, and so all
views of a place together.

RAW contains `train` and `val`, and for `test` and `seq` also their content of groundtruth.tar.bz2
(`test_gt`, `test_gt_mapping.json`). A run that was stopped continues when repeated; the result is
byte for byte the same. Unusable data is left out and listed with the reason in OUT/skipped.json:
images that cannot be decoded, annotations that cannot be read, boxes that are outside the image,
have no area, have values that are not finite or an unknown category, and images without boxes.
"""

from __future__ import annotations

import argparse
import io
import math
import os
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from pathlib import Path
from typing import NamedTuple

from fmow_raw import KINDS, SPLITS, find_views, hold_out, is_outline, parse_object, read_objects
from PIL import Image, UnidentifiedImageError
from shard_writer import Sample, Skipped, write_shards

QUALITY = 95

# Images of whole airports exceed Pillow's limit against decompression bombs.
Image.MAX_IMAGE_PIXELS = None


class Fit(NamedTuple):
    """How to reduce large images; see the options with the same names."""

    max_size: int
    context: float | None
    quality: int


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('raw', type=Path, metavar='RAW', help='folder of fMoW-rgb')
    parser.add_argument('out', type=Path, metavar='OUT', help='folder for the shards')
    parser.add_argument(
        '--splits',
        nargs='+',
        choices=SPLITS,
        default=['train', 'val'],
        help='splits to write into OUT (default: train val)',
    )
    parser.add_argument(
        '--images',
        choices=list(KINDS),
        default='rgb',
        help='pan-sharpened images, multispectral ones in RGB, or both (default: rgb)',
    )
    parser.add_argument(
        '--held-out', type=int, default=0, metavar='N', help='leave out N random images of test'
    )
    parser.add_argument(
        '--only-held-out',
        action='store_true',
        help='write only the images left out by --held-out, with the same --images and --seed',
    )
    parser.add_argument('--shards', type=int, default=128, help='number of shards (default: 128)')
    parser.add_argument('--seed', type=int, default=0, help='seed of the order (default: 0)')
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='number of processes')
    parser.add_argument(
        '--max-size',
        type=int,
        metavar='PIXELS',
        help='shrink images to this longer side (default: store all files as they are)',
    )
    parser.add_argument(
        '--context',
        type=float,
        metavar='RATIO',
        help='with --max-size: first crop a large image to its boxes with a margin of RATIO of '
        'their extent, but to no less than PIXELS',
    )
    parser.add_argument(
        '--quality', type=int, help=f'with --max-size: JPEG quality (default: {QUALITY})'
    )
    parser.add_argument('--force', action='store_true', help='remove the shards in OUT first')
    args = parser.parse_args()
    for name in ('shards', 'workers', 'max_size', 'quality'):
        value = getattr(args, name)
        if value is not None and value < 1:
            parser.error(f'--{name.replace("_", "-")} is {value}; it must be at least 1')
    if args.max_size is None and (args.context is not None or args.quality is not None):
        parser.error('--context and --quality need --max-size; without it files stay as they are')
    if args.context is not None and not 0 <= args.context < math.inf:
        parser.error(f'--context is {args.context}; it must be at least 0')
    if args.quality is not None and args.quality > 95:
        parser.error(f'--quality is {args.quality}; it must be at most 95')
    if args.held_out < 0 or (args.held_out and 'test' not in args.splits):
        parser.error(f'--held-out is {args.held_out}; it needs test in --splits and a number above')
    if args.only_held_out and not args.held_out:
        parser.error('--only-held-out needs --held-out')
    return args


def convert(
    view: tuple[str, ...], raw: Path, classes: frozenset[str], fit: Fit | None
) -> tuple[Sample | None, list[Skipped]]:
    """Return the sample of a view, or None, and its skipped files and boxes."""
    key, image_file, annotation_file = view
    try:
        objects = read_objects(raw / annotation_file)
    except ValueError as error:
        return None, [Skipped(annotation_file, str(error))]
    try:
        data, image = read_image(raw / image_file)
    except ValueError as error:
        return None, [Skipped(image_file, str(error))]
    boxes, labels, skipped = [], [], []
    for number, entry in enumerate(objects):
        if is_outline(entry):
            continue
        try:
            box, label = parse_object(entry, image.size, classes)
        except ValueError as error:
            skipped.append(Skipped(annotation_file, str(error), number))
        else:
            boxes.append(box)
            labels.append(label)
    if not boxes:
        return None, [*skipped, Skipped(image_file, 'no box is left')]
    if fit is not None and max(image.size) > fit.max_size:
        data, boxes = reduce_image(image, boxes, fit)
    return Sample(key, data, boxes, labels), skipped


def read_image(path: Path) -> tuple[bytes, Image.Image]:
    """Return the bytes of an image file and the completely decoded image.

    Raises:
        ValueError: The file cannot be read or decoded; the message says why.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise ValueError(f'cannot be read: {error.strerror}') from error
    try:
        image = Image.open(io.BytesIO(data))
        image.load()
    except UnidentifiedImageError as error:
        raise ValueError('is no image') from error  # Pillow's message has a memory address
    except Exception as error:  # Pillow's decoders raise many different exceptions
        raise ValueError(f'cannot be decoded: {error}') from error
    return data, image


def reduce_image(
    image: Image.Image, boxes: list[list[float]], fit: Fit
) -> tuple[bytes, list[list[float]]]:
    """Crop and shrink an image to a longer side of at most `fit.max_size` pixels.

    Returns:
        The image as JPEG, and the boxes in its pixels.
    """
    left, top, right, bottom = 0, 0, *image.size
    if fit.context is not None:
        margin = fit.context * max(
            max(box[axis + 2] for box in boxes) - min(box[axis] for box in boxes) for axis in (0, 1)
        )
        (left, right), (top, bottom) = (
            window(boxes, axis, image.size[axis], margin, fit.max_size) for axis in (0, 1)
        )
    cut = image.crop((left, top, right, bottom)).convert('RGB')
    scale = min(1, fit.max_size / max(cut.size))
    size = tuple(max(1, round(side * scale)) for side in cut.size)
    ratios = [new / old for new, old in zip(size, cut.size, strict=True)] * 2
    offsets = (left, top) * 2
    boxes = [
        [round((v - o) * r, 3) for v, o, r in zip(box, offsets, ratios, strict=True)]
        for box in boxes
    ]
    file = io.BytesIO()
    cut.resize(size, Image.Resampling.BICUBIC).save(file, 'JPEG', quality=fit.quality)
    return file.getvalue(), boxes


def window(
    boxes: list[list[float]], axis: int, length: int, margin: float, at_least: int
) -> tuple[int, int]:
    """Return start and end of the crop along an axis.

    Args:
        boxes: (x1, y1, x2, y2) in pixels.
        axis: 0 for x, 1 for y.
        length: Size of the image along the axis.
        margin: Pixels to include on both sides of the boxes.
        at_least: Minimum size of the crop, unless the image is smaller.
    """
    first = math.floor(min(box[axis] for box in boxes) - margin)
    last = math.ceil(max(box[axis + 2] for box in boxes) + margin)
    extent = min(length, max(at_least, last - first))
    start = first - (extent - (last - first)) // 2
    start = min(max(start, 0), length - extent)
    return start, start + extent


def main() -> None:
    args = parse_args()
    # imported here, so that the workers, which import this file anew, do not import torch
    from mmdynamicvis.pretraining.fmow import FMOW_CLASSES

    splits = sorted(set(args.splits))
    views = [view for split in splits for view in find_views(args.raw, split, KINDS[args.images])]
    if args.held_out:
        views = hold_out(views, args.held_out, args.seed, only=args.only_held_out)
    fit = None
    if args.max_size is not None:
        fit = Fit(args.max_size, args.context, args.quality or QUALITY)
    index = write_shards(
        args.out,
        views,
        partial(convert, raw=args.raw, classes=frozenset(FMOW_CLASSES), fit=fit),
        classes=FMOW_CLASSES,
        n_shards=args.shards,
        seed=args.seed,
        workers=args.workers,
        force=args.force,
        about={
            'dataset': 'fMoW-rgb',
            'splits': splits,
            'images': args.images,
            'held_out': args.held_out,
            'only_held_out': args.only_held_out,
            'fit': fit._asdict() if fit else None,
        },
    )
    boxes = index.source['boxes_per_category']
    print(
        f'wrote {index.num_samples:,} images with {sum(boxes.values()):,} boxes of '
        f'{sum(map(bool, boxes.values()))} categories into {len(index.shards)} shards in {args.out}'
    )
    print(
        f'skipped {index.source["num_skipped_files"]:,} files and '
        f'{index.source["num_skipped_boxes"]:,} boxes, listed in {args.out / "skipped.json"}'
    )


if __name__ == '__main__':
    try:
        main()
    except BrokenProcessPool as error:
        raise SystemExit(
            'error: a worker was ended from outside, perhaps for lack of memory; repeat the call, '
            'with fewer --workers, to continue'
        ) from error
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

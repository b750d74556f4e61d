"""Check a downloaded segmentation dataset (layout, masks, images) and count its pixels.

    python tools/prepare_data/check_segmentation.py massachusetts_roads data/massachusetts_roads
    python tools/prepare_data/check_segmentation.py whu_building data/whu_building --splits val

Nothing is written. See docs/datasets.md for the layouts. Every mask is read completely. Of images
only size and georeferencing are read, unless --decode is given, which reads them completely and
takes a while.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from mmengine.registry import DATASETS
from tqdm import tqdm

from mmdynamicvis.data.binary_masks import LoadAnnotationsToBinary
from mmdynamicvis.data.grids import check_mask_place, read_place
from mmdynamicvis.data.image_files import open_image, orientation
from mmdynamicvis.data.problems import raise_problems


@dataclass(frozen=True)
class DataSet:
    """A published dataset.

    Args:
        kind: Registered name of its class.
        folders: Folders of images and masks inside the folder of a split.
        images: Split -> number of images in the paper's tables.
    """

    kind: str
    folders: tuple[str, str]
    images: dict[str, int]


PUBLISHED = dict(
    massachusetts_roads=DataSet(
        kind='mmdynamicvis.MassachusettsRoadsSegDataset',
        folders=('sat', 'map'),
        images=dict(train=1108, valid=14, test=49),
    ),
    whu_building=DataSet(
        kind='mmdynamicvis.WHUSegDataset',
        folders=('image', 'label'),
        images=dict(train=4736, val=1036, test=2416),
    ),
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('name', choices=list(PUBLISHED), help='dataset')
    parser.add_argument('root', type=Path, help='folder of the dataset')
    parser.add_argument('--splits', nargs='+', help='splits to check (default: all)')
    parser.add_argument('--decode', action='store_true', help='read every image completely')
    args = parser.parse_args()
    published = list(PUBLISHED[args.name].images)
    args.splits = args.splits or published
    unknown = set(args.splits) - set(published)
    if unknown:
        parser.error(f'--splits has {", ".join(unknown)}; {args.name} has {", ".join(published)}')
    return args


def check_pair(image_path: str, mask_path: str, decode: bool) -> float:
    """Return the fraction of target pixels in a mask.

    Raises:
        OSError: A file cannot be read; the message names it.
        ValueError: The mask has unexpected values, or a size or georeferencing that differs from
            the image's, or the image has an EXIF orientation.
    """
    mask = LoadAnnotationsToBinary()(dict(seg_map_path=mask_path))['gt_seg_map']
    try:
        with open_image(image_path) as image:
            if decode:
                image.load()
            size = image.size
            turned = (image.format != 'PNG' or 'exif' in image.info) and orientation(image) != 1
    except (OSError, SyntaxError) as error:
        raise OSError(f'cannot load image {image_path}: {error}') from error
    if turned:
        raise ValueError(f'{image_path} has an EXIF orientation: turn its pixels and remove it')
    if size != mask.shape[::-1]:
        raise ValueError(f'{image_path} has {size} pixels, its mask {mask.shape[::-1]}')
    check_mask_place(read_place(image_path), read_place(mask_path))
    return mask.mean()


def check_split(root: Path, data_set: DataSet, split: str, decode: bool) -> list[float]:
    """Return the fraction of target pixels in each mask of a split.

    Raises:
        ValueError: Files are missing or invalid; the message names the first ten.
    """
    images, masks = (f'{split}/{folder}' for folder in data_set.folders)
    prefix = dict(img_path=images, seg_map_path=masks)
    pairs = DATASETS.build(dict(type=data_set.kind, data_root=str(root), data_prefix=prefix))
    expected = {Path(pair['seg_map_path']) for pair in map(pairs.get_data_info, range(len(pairs)))}
    problems = [
        f'{path} has no image'
        for path in sorted((root / masks).glob('[!.]*'))
        if path not in expected
    ]
    shares = []
    for pair in tqdm(map(pairs.get_data_info, range(len(pairs))), desc=split, total=len(pairs)):
        try:
            shares.append(check_pair(pair['img_path'], pair['seg_map_path'], decode))
        except (OSError, ValueError) as error:
            problems.append(str(error))
    raise_problems(root / split, problems, 'unpack or download these files again')
    return shares


def main() -> None:
    args = parse_args()
    data_set = PUBLISHED[args.name]
    for split in args.splits:
        shares = check_split(args.root, data_set, split, args.decode)
        empty = sum(share == 0 for share in shares)
        print(
            f'{split}: {len(shares)} images ({data_set.images[split]} published), {empty} without '
            f'target, which has {sum(shares) / len(shares):.2%} of the pixels'
        )


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

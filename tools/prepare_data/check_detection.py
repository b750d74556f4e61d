"""Check a downloaded detection dataset (layout, annotations, images) and count its objects.

    python tools/prepare_data/check_detection.py nwpu_vhr10 data/nwpu_vhr10
    python tools/prepare_data/check_detection.py dior_r data/DIOR --decode

Nothing is written. See docs/datasets.md for the layouts. Images must have the size stated by a COCO
file, and no EXIF orientation. --decode also reads every image completely, which takes a while, to
find truncated ones.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

from detection_splits import (
    Split,
    classes_of,
    print_splits,
    read_coco,
    read_dior,
    read_dota,
    read_hrsc,
)
from tqdm import tqdm

from mmdynamicvis.data.image_files import open_image
from mmdynamicvis.data.problems import raise_problems

# images per split; LEVIR-Ship, NWPU VHR-10 and SSDD as in the paper's tables
PUBLISHED = dict(
    levir_ship=dict(train=2320, val=788, test=788),
    nwpu_vhr10=dict(train=520, val=130),
    ssdd=dict(train=928, val=232),
    dota=dict(train=1411, val=458, test=937),
    dior_r=dict(train=5862, val=5863, test=11738),
    hrsc2016=dict(train=436, val=181, test=444),
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('name', choices=list(READERS), help='dataset')
    parser.add_argument('root', type=Path, help='folder of the dataset')
    parser.add_argument('--splits', nargs='+', help='splits to check (default: all)')
    parser.add_argument('--decode', action='store_true', help='read every image completely')
    args = parser.parse_args()
    published = list(PUBLISHED[args.name])
    args.splits = args.splits or published
    unknown = set(args.splits) - set(published)
    if unknown:
        parser.error(f'--splits has {", ".join(unknown)}; {args.name} has {", ".join(published)}')
    return args


def read_levir_ship(root: Path, split: str) -> Split:
    ann_file = root / f'annotations/instances_{split}2017.json'
    classes = classes_of('mmdynamicvis.LevirShipDetDataset')
    return read_coco(ann_file, root / f'images/{split}2017', classes)


def read_nwpu_vhr10(root: Path, split: str) -> Split:
    ann_file = root / f'annotations/NWPU_instances_{split}.json'
    classes = classes_of('mmdynamicvis.NWPUInsSegDataset')
    return read_coco(ann_file, root / 'imgs', classes, masks=True)


def read_ssdd(root: Path, split: str) -> Split:
    ann_file = root / f'annotations/SSDD_instances_{split}.json'
    classes = classes_of('mmdynamicvis.SSDDInsSegDataset')
    return read_coco(ann_file, root / 'imgs', classes, masks=True)


def read_dota_split(root: Path, split: str) -> Split:
    return read_dota(root / split, classes_of('mmrotate.DOTADataset'), labeled=split != 'test')


def read_dior_r(root: Path, split: str) -> Split:
    return read_dior(root, split, classes_of('mmrotate.DIORDataset'))


READERS: dict[str, Callable[[Path, str], Split]] = dict(
    levir_ship=read_levir_ship,
    nwpu_vhr10=read_nwpu_vhr10,
    ssdd=read_ssdd,
    dota=read_dota_split,
    dior_r=read_dior_r,
    hrsc2016=read_hrsc,
)


def decode(images: list[Path], root: Path) -> None:
    """Read every image completely.

    Raises:
        ValueError: Some files are truncated or not images; the message names the first ten.
    """
    problems = []
    for path in tqdm(images, desc='decoding'):
        try:
            with open_image(path) as image:
                image.load()
        except (OSError, SyntaxError) as error:
            problems.append(f'{path}: {error}')
    raise_problems(root, problems, 'download these images again')


def main() -> None:
    args = parse_args()
    splits = {split: READERS[args.name](args.root, split) for split in args.splits}
    if args.decode:
        decode([path for split in splits.values() for path in split], args.root)
    print_splits(splits, PUBLISHED[args.name])


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

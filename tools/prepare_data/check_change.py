"""Check a change detection dataset (pairs, sizes, masks) and count its pixels.

    python tools/prepare_data/check_change.py levir_cd data/levir_cd
    python tools/prepare_data/check_change.py oscd data/oscd_tiles
    python tools/prepare_data/check_change.py second data/second
    python tools/prepare_data/check_change.py xbd data/xbd --splits train hold

Nothing is written. See docs/change_detection.md for the layouts. Every file is read completely, to
find truncated ones.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
from mmengine.dataset import BaseDataset
from rasterio.errors import RasterioError
from tiles import Pair, check_pair, read_change, read_mask
from tqdm import tqdm

from mmdynamicvis.data.image_files import open_image
from mmdynamicvis.data.problems import raise_problems
from mmdynamicvis.registry import DATASETS


def _folders(first: str, second: str, mask: str, **more: str) -> dict:
    return dict(data_prefix=dict(img_path=first, img_path2=second, seg_map_path=mask), **more)


TILES = _folders('A', 'B', 'label')
SZTAKI = dict(img_suffix='/im1.png', img_suffix2='/im2.png', seg_map_suffix='/gt.png')
DSIFN = dict(img_suffix='.jpg')
# dataset -> split -> number of pairs according to the paper or the publishers, and their location
SPLITS = dict(
    levir_cd={
        split: (n, _folders(f'{split}/A', f'{split}/B', f'{split}/label'))
        for split, n in dict(train=445, val=64, test=128).items()
    },
    whu_cd={
        split: (n, dict(TILES, ann_file=f'list/{split}.txt'))
        for split, n in dict(train=5947, val=744, test=744).items()
    },
    oscd={split: (None, dict(TILES, ann_file=f'list/{split}.txt')) for split in ('train', 'test')},
    dsifn={
        split: (
            n,
            _folders(f'{split}/t1', f'{split}/t2', f'{split}/mask', **DSIFN, seg_map_suffix=suffix),
        )
        for split, n, suffix in (
            ('train', 3600, '.png'),
            ('val', 340, '.png'),
            ('test', 48, '.tif'),
        )
    },
    sztaki={'all': (13, _folders('', '', '', **SZTAKI))},
    pairs={'all': (None, TILES)},
    second={
        split: (
            n,
            dict(
                data_prefix=dict(
                    img_path=f'{split}/im1',
                    img_path2=f'{split}/im2',
                    semantic_from=f'{split}/label1',
                    semantic_to=f'{split}/label2',
                )
            ),
        )
        for split, n in dict(train=2968, test=1694).items()
    },
    landsat_scd={'all': (8468, dict(augmented=True))},
    xbd={
        split: (n, dict(folder=split))
        for split, n in dict(train=2799, tier3=6369, hold=933, test=933).items()
    },
    bright={
        split: (n, dict(ann_file=f'{split}_set.txt'))
        for split, n in dict(train=2918, val=450, test=878).items()
    },
)
IMAGE = dict(type='mmdynamicvis.LoadIntactImage')
SENSORS = dict(
    type='mmdynamicvis.LoadModalities',
    loaders=dict(optical=IMAGE, sar=dict(IMAGE, color_type='grayscale')),
    gsd=dict(optical=0.5, sar=0.5),  # not read, since the files have no georeferencing for it
)
PAIR = dict(type='mmdynamicvis.LoadPair')
LABELS = dict(type='mmdynamicvis.LoadPairLabels')
# dataset with several label maps -> its class, and how its images are loaded
LABELED = dict(
    second=('mmdynamicvis.SECOND', PAIR),
    landsat_scd=('mmdynamicvis.LandsatSCD', PAIR),
    xbd=('mmdynamicvis.XBD', PAIR),
    bright=('mmdynamicvis.BRIGHT', SENSORS),
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'name', choices=list(SPLITS), help='dataset; pairs: any folders A/, B/, label/ of .png'
    )
    parser.add_argument('root', type=Path, help='folder of the dataset')
    parser.add_argument('--splits', nargs='+', help='splits to check (default: all)')
    args = parser.parse_args()
    args.splits = args.splits or list(SPLITS[args.name])
    unknown = set(args.splits) - SPLITS[args.name].keys()
    if unknown:
        parser.error(
            f'--splits has {", ".join(sorted(unknown))}; {args.name} has '
            f'{", ".join(SPLITS[args.name])}'
        )
    return args


def changed_pixels(paths: dict) -> tuple[int, int]:
    """Return the number of changed pixels of a pair, and the number of all pixels.

    Raises:
        ValueError: The files do not match, the mask has unexpected values, or one is truncated.
    """
    names = [paths[key] for key in ('img_path', 'img_path2', 'seg_map_path')]
    try:
        with (
            rasterio.open(names[0]) as first,
            rasterio.open(names[1]) as second,
            rasterio.open(names[2]) as mask,
        ):
            pair = Pair(first, second, mask)
            check_pair(pair)
            high = int(read_mask(mask).max())
            change = read_change(mask, None, (high if high in (1, 255) else 255, 0))
            for file in pair:
                read_to_end(file)
    except (RasterioError, OSError) as error:
        raise ValueError(f'one of {", ".join(names)} is truncated or no image: {error}') from error
    return int(np.count_nonzero(change)), change.size


def class_pixels(dataset: BaseDataset, index: int) -> dict[str, np.ndarray]:
    """Return map -> number of pixels of each class in a pair, (classes,).

    Raises:
        OSError: A file is missing or truncated.
        ValueError: The files do not match, or labels have unexpected values.
    """
    results = dataset.prepare_data(index)
    counts = {}
    for name, labels in dataset.metainfo['maps'].items():
        data, classes = results[f'gt_{name}'], len(labels['classes'])
        counts[name] = np.bincount(data[data < classes], minlength=classes)
    return counts


def read_to_end(file: rasterio.DatasetReader) -> None:
    """Read a file completely.

    Raises:
        OSError: The file is truncated.
        RasterioError: The file is truncated.
    """
    if file.driver == 'GTiff':
        file.read()
        return
    # GDAL silently fills in the missing end of a PNG or JPEG
    with open_image(file.name) as image:
        image.load()


def check_split(root: Path, name: str, split: str) -> None:
    """Check a split, and print its number of pairs and the fraction of changed pixels.

    Of several label maps, print the fractions of the classes of each instead.

    Raises:
        ValueError: Files are missing or invalid; the message names the first ten.
    """
    published, options = SPLITS[name][split]
    kind, *loaders = LABELED.get(name, ['mmdynamicvis.ChangeDataset'])
    pipeline = [*loaders, LABELS] if loaders else []
    options = dict(options, type=kind, data_root=str(root / options.get('folder', '')))
    options.pop('folder', None)
    dataset = DATASETS.build(dict(options, pipeline=pipeline))
    problems, counts = [], []
    for i in tqdm(range(len(dataset)), desc=split):
        try:
            if loaders:
                counts.append(class_pixels(dataset, i))
            else:
                counts.append(changed_pixels(dataset.get_data_info(i)))
        except (OSError, ValueError) as error:
            problems.append(str(error))
    raise_problems(root, problems, 'Download or convert these files again')
    beside = f' ({published} published)' if published else ''
    found = f'{split}: {len(dataset)} pairs{beside}'
    if not loaders:
        changed, pixels = np.sum(counts, axis=0)
        print(f'{found}, {changed / pixels:.2%} of the pixels changed')
        return
    print(found)
    for name, labels in dataset.metainfo['maps'].items():
        total = np.sum([of_pair[name] for of_pair in counts], axis=0)
        shares = zip(labels['classes'], total / max(total.sum(), 1), strict=True)
        print(f'{name}: {", ".join(f"{label} {share:.2%}" for label, share in shares)}')


def main() -> None:
    args = parse_args()
    for split in args.splits:
        check_split(args.root, args.name, split)


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

r"""Split a folder-per-class dataset into two lists, with the same ratio in every class.

    python tools/prepare_data/split_classification.py data/UCMerced_LandUse --images Images \
        --train-ratio 0.7                                              # UC Merced, as in the paper
    python tools/prepare_data/split_classification.py data/AID --train-ratio 0.5      # AID
    python tools/prepare_data/split_classification.py data/AID --list train.txt \
        --names tune_train.txt tune_val.txt --train-ratio 0.8          # a part of train for tuning

Each line of the lists is the path of an image relative to the image folder, ``Class/name.jpg``. The
same seed and files give the same lists on any machine.
"""

from __future__ import annotations

import argparse
import random
from collections import defaultdict
from pathlib import Path

from outputs import refuse_existing, write_text

from mmdynamicvis.data.image_files import find_files
from mmdynamicvis.data.problems import raise_problems
from mmdynamicvis.fileio import shorten

SUFFIXES = ('.jpg', '.jpeg', '.png', '.tif', '.tiff', '.bmp')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder of the dataset')
    parser.add_argument('--out', type=Path, help='folder for the lists (default: root)')
    parser.add_argument(
        '--images', default='', help='folder of the class folders, below root (default: root)'
    )
    parser.add_argument('--list', help='split only the images in this list, a file in root')
    parser.add_argument(
        '--train-ratio', type=float, required=True, help='fraction of each class for training'
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument(
        '--names',
        nargs=2,
        default=('train.txt', 'val.txt'),
        metavar=('TRAIN', 'VAL'),
        help='names of the lists (default: train.txt val.txt)',
    )
    parser.add_argument('--force', action='store_true', help='overwrite the lists')
    args = parser.parse_args()
    if not 0 < args.train_ratio < 1:
        parser.error(f'--train-ratio is {args.train_ratio}; it must lie between 0 and 1')
    args.out = args.out or args.root
    targets = [args.out / name for name in args.names]
    if len(set(targets)) < 2:
        parser.error(f'--names {" ".join(args.names)} would overwrite one another')
    args.list = args.list and args.root / args.list
    refuse_existing(targets, args.force, [args.list] if args.list else [])
    return args


def find_images(folder: Path) -> tuple[dict[str, list[str]], list[str]]:
    """Return the images ``Class/name.jpg`` of each class folder, by class.

    Every image is listed once, see :func:`mmdynamicvis.data.image_files.find_files`. A link to
    another class folder does not count as a class.

    Returns:
        The images by class, and the files that are none of them: of other kinds in class folders,
        and images deeper or higher than these.

    Raises:
        FileNotFoundError: The folder does not exist.
        ValueError: A line of a list cannot hold the name of an image.
    """
    names = [path.relative_to(folder).as_posix() for path in find_files(folder, ('',))]
    images = [name for name in names if name.lower().endswith(SUFFIXES)]
    by_class = {
        path.name: []
        for path in folder.iterdir()
        if path.is_dir() and not path.is_symlink() and not path.name.startswith('.')
    }
    taken = [name for name in images if name.count('/') == 1]
    odd = [f'{name!r}' for name in taken if not _fits_a_line(name)]
    raise_problems(folder, odd, 'a line of a list cannot hold these names: rename the files')
    for name in taken:
        by_class.setdefault(name.partition('/')[0], []).append(name)
    others = [name for name in names if '/' in name or name in images]
    return by_class, sorted(set(others) - set(taken))


def _fits_a_line(name: str) -> bool:
    """Whether a name is read back from a list as it is."""
    is_unicode = name.encode(errors='replace').decode() == name
    return is_unicode and name.splitlines() == [name] and name.strip() == name


def read_list(path: Path) -> dict[str, list[str]]:
    """Return the lines of a list by class, without class indices.

    Raises:
        ValueError: A line has no class folder, or is there twice; the message has its number.
    """
    by_class, seen = defaultdict(list), set()
    for number, line in enumerate(path.read_text(encoding='utf-8-sig').splitlines(), start=1):
        head, _, tail = line.strip().rpartition(' ')
        name = head if head and tail.isdecimal() else line.strip()
        if name and '/' not in name:
            raise ValueError(f'{path}, line {number}: {name} is in no class folder')
        if name in seen:
            raise ValueError(
                f'{path}, line {number}: {name} is there twice, and could get into both'
            )
        if name:
            seen.add(name)
            by_class[name.split('/')[-2]].append(name)
    return by_class


def split(
    by_class: dict[str, list[str]], train_ratio: float, seed: int
) -> tuple[list[str], list[str]]:
    """Split every class by the same ratio, rounded, with at least one image on each side.

    Raises:
        ValueError: A class has fewer than two images, or there are no classes.
    """
    if not by_class:
        raise ValueError('no class folders, so nothing to split')
    train, val = [], []
    for name in sorted(by_class):
        images = sorted(by_class[name])
        if len(images) < 2:
            raise ValueError(f'class {name} has {len(images)} images; two are needed to split it')
        # With a generator per class, a change in one class does not affect the others.
        random.Random(f'{seed} {name}').shuffle(images)
        n_train = min(max(round(train_ratio * len(images)), 1), len(images) - 1)
        train += sorted(images[:n_train])
        val += sorted(images[n_train:])
    return train, val


def main() -> None:
    args = parse_args()
    left_out = []
    if args.list:
        by_class = read_list(args.list)
    else:
        by_class, left_out = find_images(args.root / args.images)
    parts = split(by_class, args.train_ratio, args.seed)
    for name, lines in zip(args.names, parts, strict=True):
        write_text(args.out / name, '\n'.join(lines) + '\n')
    if left_out:
        print(f'left out, as no images in class folders: {shorten(left_out)}')
    width = max(map(len, by_class))
    print(f'{"class":{width}} {args.names[0]:>12} {args.names[1]:>12}')
    for name in sorted(by_class):
        n_train, n_val = (sum(line.split('/')[-2] == name for line in part) for part in parts)
        print(f'{name:{width}} {n_train:12} {n_val:12}')
    print(f'{"all":{width}} {len(parts[0]):12} {len(parts[1]):12}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

r"""Split the pairs of Landsat-SCD at random, 3 : 1 : 1 as SCanNet does.

    python tools/prepare_data/landsat_scd.py data/landsat_scd

Writes train_list.txt, val_list.txt and test_list.txt into the folder. Augmented copies (rotate,
Crop and ZheDang in their names) are left out, because a random split would put copies of training
pairs into the test. The same seed and files give the same lists on any machine. The split of
SCanNet is another: its lists are random, too.
"""

from __future__ import annotations

import argparse
import random
from pathlib import Path

from outputs import refuse_existing, write_text

from mmdynamicvis.registry import DATASETS

PARTS = ('train', 'val', 'test')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('root', type=Path, help='folder of the dataset, with A/, B/ and label/')
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--force', action='store_true', help='overwrite the lists')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    lists = {part: args.root / f'{part}_list.txt' for part in PARTS}
    refuse_existing(lists.values(), args.force)
    pairs = DATASETS.build(dict(type='mmdynamicvis.LandsatSCD', data_root=str(args.root)))
    names = [Path(pairs.get_data_info(i)['img_path']).name for i in range(len(pairs))]
    random.Random(args.seed).shuffle(names)
    fifth = len(names) // 5
    train = len(names) - 2 * fifth
    bounds = (0, train, train + fifth, len(names))
    for part, begin, end in zip(PARTS, bounds, bounds[1:], strict=False):
        write_text(lists[part], ''.join(f'{name}\n' for name in sorted(names[begin:end])))
        print(f'{lists[part]}: {end - begin} pairs')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

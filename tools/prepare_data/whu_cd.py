"""Cut WHU-CD's two images of 32507 x 15354 px into tiles, reading one tile at a time.

    python tools/prepare_data/whu_cd.py BEFORE.tif AFTER.tif CHANGE.tif data/whu_cd

The tool writes A/, B/, label/ (0 and 255) as NAME.png and list/{train,val,test}.txt, with adjacent
tiles of 256 px. The remainder at the right and lower edges is dropped, or, with --cover, covered by
tiles that overlap their neighbors. Names are ROW_COLUMN of a tile's first pixel. The published data
has no split; tiles are split at random (--seed) in the paper's ratio, 8 : 1 : 1.
"""

from __future__ import annotations

import argparse
import random
from contextlib import ExitStack
from pathlib import Path

import rasterio
from outputs import fresh_folder, write_text
from tiles import (
    Pair,
    at_least_one,
    check_pair,
    read_change,
    rgb_bands,
    windows,
    write_mask,
    write_rgb,
)
from tqdm import tqdm

SHARES = dict(val=0.1, test=0.1)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('before', type=Path, help='image of 2012')
    parser.add_argument('after', type=Path, help='image of 2016')
    parser.add_argument('change', type=Path, help='mask of change')
    parser.add_argument('target', type=Path, help='folder to write')
    parser.add_argument('--size', type=at_least_one, default=256, help='pixels of a tile (256)')
    parser.add_argument('--cover', action='store_true', help='also cover the edges with tiles')
    parser.add_argument(
        '--changed', type=int, default=255, help='value of changed pixels (255); others are 0'
    )
    parser.add_argument('--seed', type=int, default=0, help='seed of the split')
    parser.add_argument('--force', action='store_true', help='replace what an earlier run wrote')
    return parser.parse_args()


def split(names: list[str], seed: int) -> dict[str, list[str]]:
    """Return the names of each part, in order."""
    drawn = random.Random(seed).sample(names, len(names))
    parts = {}
    for part, share in SHARES.items():
        n = round(share * len(names))
        parts[part], drawn = sorted(drawn[:n]), drawn[n:]
    return dict(train=sorted(drawn), **parts)


def main() -> None:
    args = parse_args()
    names, files = [], (args.before, args.after, args.change)
    with ExitStack() as stack, fresh_folder(args.target, args.force, files) as folder:
        pair = Pair(*(stack.enter_context(rasterio.open(file)) for file in files))
        check_pair(pair)
        bands = [rgb_bands(date) for date in pair[:2]]
        tiles = list(windows(*pair.first.shape, args.size, args.size, args.cover))
        for window in tqdm(tiles, desc='tiles'):
            names.append(f'{window.row_off:05}_{window.col_off:05}')
            for part, date, rgb in zip('AB', pair[:2], bands, strict=True):
                write_rgb(folder / f'{part}/{names[-1]}.png', date.read(rgb, window=window))
            mask = read_change(pair.mask, window, (args.changed, 0))
            write_mask(folder / f'label/{names[-1]}.png', mask)
        for part, chosen in split(names, args.seed).items():
            write_text(folder / f'list/{part}.txt', '\n'.join([*chosen, '']))
            print(f'{part}: {len(chosen)} pairs')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

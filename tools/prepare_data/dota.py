"""Check DOTA-v1.0 and cut it into tiles with mmrotate's split tool.

    python tools/prepare_data/dota.py data/DOTA data/split_ss_dota --workers 8
    python tools/prepare_data/dota.py data/DOTA data/split_ms_dota --rates 0.5 1.0 1.5 --gap 500

The source has {train,val,test}/images/*.png and, except for test, labelTxt/*.txt with the same
names. The tool writes {trainval,test}/{images,annfiles}; --parts train val keeps these two apart. A
tile omits objects of which it contains less than 70%, as is common practice.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

from detection_splits import classes_of, print_counts, read_dota
from outputs import fresh_folder, written_earlier

from mmdynamicvis.data.dota import check_dota

PARTS = dict(train=['train'], val=['val'], trainval=['train', 'val'], test=['test'])
SPLIT_TOOL = 'tools/data/dota/split/img_split.py'
PADDING = ('104', '116', '124')  # mean of B, G, R


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('source', type=Path, help='folder of DOTA')
    parser.add_argument('target', type=Path, help='folder for the tiles')
    parser.add_argument(
        '--parts',
        nargs='+',
        choices=list(PARTS),
        default=['trainval', 'test'],
        help='parts to cut (default: trainval test)',
    )
    parser.add_argument('--size', type=int, default=1024, help='size of a tile, in pixels')
    parser.add_argument('--gap', type=int, default=200, help='overlap of tiles, in pixels')
    parser.add_argument(
        '--rates', type=float, nargs='+', default=[1.0], help='scales of the images'
    )
    parser.add_argument('--workers', type=int, default=os.cpu_count(), help='number of processes')
    parser.add_argument('--force', action='store_true', help='replace what an earlier run wrote')
    args = parser.parse_args()
    if not 0 <= args.gap < args.size:
        parser.error(f'--gap is {args.gap}; it must lie between 0 and --size {args.size}')
    return args


def find_split_tool() -> Path:
    """Return the path of mmrotate's split tool, in its installed package or its checkout.

    Raises:
        FileNotFoundError: Neither contains the tool.
    """
    package = Path(find_spec('mmrotate').origin).parent
    for root in (package / '.mim', package.parent):
        if (root / SPLIT_TOOL).is_file():
            return root / SPLIT_TOOL
    raise FileNotFoundError(f'{package} has no {SPLIT_TOOL}; install mmrotate with its .mim folder')


def sources(args: argparse.Namespace) -> list[Path]:
    """Return the folders to read."""
    splits = {split for part in args.parts for split in PARTS[part]}
    return [args.source / split / kind for split in splits for kind in ('images', 'labelTxt')]


def cut(args: argparse.Namespace, part: str) -> None:
    """Cut a part into tiles, in a subprocess."""
    folders = [args.source / split for split in PARTS[part]]
    command = [sys.executable, find_split_tool(), '--img-dirs', *(f / 'images' for f in folders)]
    if part != 'test':
        command += ['--ann-dirs', *(folder / 'labelTxt' for folder in folders)]
    command += ['--sizes', args.size, '--gaps', args.gap, '--rates', *args.rates]
    command += ['--padding-value', *PADDING, '--nproc', args.workers]
    with fresh_folder(args.target / part, args.force, sources(args)) as folder:
        subprocess.run([*map(str, command), '--save-dir', str(folder)], check=True)


def main() -> None:
    args = parse_args()
    for part in args.parts:
        # refuse to overwrite before the work begins
        written_earlier(args.target / part, args.force, sources(args))
    classes = classes_of('mmrotate.DOTADataset')
    splits = {split for part in args.parts for split in PARTS[part]}
    for split in sorted(splits):
        images = read_dota(args.source / split, classes, labeled=split != 'test')
        print(f'{split}: {len(images)} images')
    counts = {}
    for part in args.parts:
        cut(args, part)
        annfiles = args.target / part / 'annfiles'
        check_dota(annfiles, classes)
        lines = [line for file in annfiles.glob('*.txt') for line in file.read_text().splitlines()]
        counts[part] = Counter(line.split()[8] for line in lines)
        print(f'{part}: {len(list(annfiles.iterdir()))} tiles')
    print_counts(counts)


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError, subprocess.CalledProcessError) as error:
        raise SystemExit(f'error: {error}') from error

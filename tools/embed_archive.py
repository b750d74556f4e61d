r"""Embed all images of an archive, or the windows of its scenes, on a Ray cluster.

    python tools/embed_archive.py chips/ OUT --model epoch_12.pth --workers 2
    python tools/embed_archive.py rasters/ OUT --model epoch_12.pth --tile 256
    python tools/embed_archive.py items.json OUT --model epoch_12.pth --tile 256 --fields visual
    python tools/search_images.py build archive.parquet OUT --approximate

The archive is a folder, a text file with a path or URL per line, an index of footprints
(GeoPackage, GeoParquet) or an item collection of STAC. OUT gets vectors/part-*.parquet and
index.parquet. The exit status is 1 if an image or a scene failed; the index has the reasons. The
same command does what is missing or failed. See docs/archives.md.
"""

from __future__ import annotations

import argparse

from mmdynamicvis.archive import embed_archive
from mmdynamicvis.archive.embed import ROWS
from mmdynamicvis.data.sensors import SENSORS, UNITS, number_or_name
from mmdynamicvis.fileio import shorten


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('archive', help='folder, .txt, .gpkg, .parquet or .json')
    parser.add_argument('folder', help='folder of the outputs')
    parser.add_argument('--model', required=True, help='checkpoint, config, or name of weights')
    parser.add_argument('--checkpoint', help='weights for a config')
    parser.add_argument(
        '--tile', type=int, help='side of the windows of scenes (default: whole images)'
    )
    parser.add_argument('--overlap', type=int, default=0, help='shared pixels (%(default)s)')
    parser.add_argument('--date', help='date of all, YYYY-MM-DD (default: of STAC, or of the file)')
    parser.add_argument(
        '--fields', nargs=1, default=(), help='column of the index, or asset, with the raster'
    )
    parser.add_argument('--size', type=int, nargs=2, metavar=('H', 'W'), help='resize images')
    parser.add_argument(
        '--bands', type=number_or_name, nargs='+', help='bands of rasters, names or numbers from 1'
    )
    parser.add_argument('--sensor', choices=list(SENSORS), help='sensor of rasters')
    parser.add_argument('--unit', choices=UNITS, help='unit of rasters, for mean and std')
    parser.add_argument('--mean', type=float, nargs='+', help='mean of each band')
    parser.add_argument('--std', type=float, nargs='+', help='standard deviation of each band')
    parser.add_argument('--nodata', type=float, help='value of nodata pixels')
    parser.add_argument(
        '--alpha', choices=['mask', 'band'], help='what bands are that rasters call alpha'
    )
    parser.add_argument(
        '--rows', type=int, default=ROWS, help='vectors of a partition (%(default)s)'
    )
    parser.add_argument('--address', help='Ray cluster (default: $RAY_ADDRESS, or this machine)')
    parser.add_argument('--workers', type=int, help='workers (default: all that have resources)')
    parser.add_argument('--num-cpus', type=float, default=1, help='cores per worker (%(default)s)')
    parser.add_argument('--num-gpus', type=float, default=0, help='GPUs per worker (%(default)s)')
    parser.add_argument('--batch-size', type=int, default=16, help='per pass (%(default)s)')
    parser.add_argument('--readers', type=int, default=2, help='reading threads (%(default)s)')
    parser.add_argument('--device', help='cpu, cuda, etc. (default: a GPU if --num-gpus is not 0)')
    return parser.parse_args()


def main() -> None:
    made = embed_archive(**vars(parse_args()))
    print(f'{made.vectors} vectors in {made.folder}, of {made.done} sources; see {made.index}')
    if made.failed:
        failed = [f'{source}: {reason}' for source, reason in made.failed.items()]
        raise SystemExit(f'error: {len(failed)} sources failed:\n{shorten(failed, 20, chr(10))}')


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

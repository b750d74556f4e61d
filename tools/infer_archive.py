r"""Run a model on all scenes of an archive, on a Ray cluster.

    python tools/infer_archive.py rasters/ OUT CONFIG CHECKPOINT --workers 2
    python tools/infer_archive.py scenes.txt OUT CONFIG CHECKPOINT --address auto --num-gpus 1
    python tools/infer_archive.py index.gpkg OUT CONFIG CHECKPOINT --fields location
    python tools/infer_archive.py items.json OUT CONFIG CHECKPOINT --fields visual

The archive is a folder, a text file with a path or URL per line, an index of footprints
(GeoPackage, GeoParquet) or an item collection of STAC. The name of trained weights replaces CONFIG
and CHECKPOINT. OUT gets index.parquet, the output of each scene, and for objects one layer of all
of them. The exit status is 1 if a scene failed; the index has the reasons. The same command does
what is missing or failed. See docs/archives.md.
"""

from __future__ import annotations

import argparse

from infer_scene import add_options

from mmdynamicvis import zoo
from mmdynamicvis.archive import infer_archive
from mmdynamicvis.data.sensors import SENSORS, number_or_name
from mmdynamicvis.fileio import shorten
from mmdynamicvis.scenes import Pace


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('archive', help='folder, .txt, .gpkg, .parquet or .json')
    parser.add_argument('folder', help='folder of the outputs')
    parser.add_argument('config', help='config, or the name of trained weights')
    parser.add_argument('checkpoint', nargs='?', help='weights of the config')
    parser.add_argument(
        '--fields',
        nargs='+',
        default=(),
        help='columns of the index, or assets of the items, with the rasters, one per date',
    )
    parser.add_argument(
        '--merged',
        choices=['gpkg', 'parquet'],
        default='gpkg',
        help='format of the layer of all objects (%(default)s)',
    )
    parser.add_argument('--address', help='Ray cluster (default: $RAY_ADDRESS, or this machine)')
    parser.add_argument('--workers', type=int, help='workers (default: all that have resources)')
    parser.add_argument('--num-cpus', type=float, default=1, help='cores per worker (%(default)s)')
    parser.add_argument('--num-gpus', type=float, default=0, help='GPUs per worker (%(default)s)')
    parser.add_argument(
        '--bands',
        type=number_or_name,
        nargs='+',
        help="bands in the model's order, as names or numbers from 1",
    )
    parser.add_argument(
        '--sensor', choices=list(SENSORS), help="sensor of the scenes (default: the config's)"
    )
    parser.add_argument('--nodata', type=float, help='value of nodata pixels')
    parser.add_argument(
        '--alpha', choices=['mask', 'band'], help='what bands are that rasters call alpha'
    )
    add_options(parser)
    parser.add_argument('--batch-size', type=int, default=1, help='tiles per batch (%(default)s)')
    parser.add_argument('--readers', type=int, default=2, help='reading threads (%(default)s)')
    parser.add_argument('--device', help='cpu, cuda, etc. (default: a GPU if --num-gpus is not 0)')
    args = parser.parse_args()
    if args.checkpoint is None and args.config not in zoo.cards():
        parser.error('give CONFIG CHECKPOINT, or the NAME of trained weights')
    return args


def main() -> None:
    options = vars(parse_args())
    pace = Pace(options.pop('batch_size'), options.pop('readers'))
    made = infer_archive(**options, pace=pace)
    print(f'{made.done} scenes are done, see {made.index}')
    if made.failed:
        failed = [f'{source}: {reason}' for source, reason in made.failed.items()]
        raise SystemExit(f'error: {len(failed)} scenes failed:\n{shorten(failed, 20, chr(10))}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

r"""Run a model on a scene of any size, tile by tile, and write a GeoTIFF or a vector file.

    python tools/infer_scene.py scene.tif roads.tif CONFIG CHECKPOINT
    python tools/infer_scene.py scene.tif ships.gpkg CONFIG CHECKPOINT --min-score 0.5
    python tools/infer_scene.py before.tif after.tif change.tif CONFIG CHECKPOINT
    python tools/infer_scene.py scene.tif cover.tif dynamicvis_tiny_1xb64-30e_eurosat-64px

Classes of pixels (mmseg, open-cd) and of windows (mmpretrain) are written as a GeoTIFF, objects
(mmdet, mmrotate) as GeoPackage or GeoJSON, both in the reference system of the scene. A run that
was killed continues when it is started again. See docs/scenes.md.
"""

from __future__ import annotations

import argparse

from mmdynamicvis import zoo
from mmdynamicvis.data.sensors import SENSORS, number_or_name
from mmdynamicvis.scenes import Pace, infer_scene


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of models and rasters, which infer_archive.py has, too."""
    parser.add_argument('--tile', type=int, help="side of a window (default: as the config's test)")
    parser.add_argument('--overlap', type=int, help='shared pixels (default: a quarter of a tile)')
    parser.add_argument(
        '--bands',
        type=number_or_name,
        nargs='+',
        help="bands in the model's order, as names or numbers from 1",
    )
    parser.add_argument(
        '--sensor', choices=list(SENSORS), help="sensor of the scene (default: the config's)"
    )
    parser.add_argument('--nodata', type=float, help='value of nodata pixels')
    parser.add_argument(
        '--alpha',
        choices=['mask', 'band'],
        help='how to interpret a band that the raster calls alpha: as a mask, 0 for nodata, or as '
        'a spectral band such as near infrared (default: an error if that is ambiguous)',
    )
    parser.add_argument(
        '--scaling',
        type=float,
        nargs=2,
        metavar=('LOW', 'HIGH'),
        help='values that map to 0 and 255, for models of 8-bit images',
    )
    parser.add_argument(
        '--probabilities', action='store_true', help='write a band of probabilities per class'
    )
    parser.add_argument('--cog', action='store_true', help='write a cloud-optimized GeoTIFF')
    parser.add_argument('--min-score', type=float, default=0.3, help='lowest score (%(default)s)')
    parser.add_argument(
        '--min-agreement',
        type=float,
        default=0.5,
        help='overlap from which objects of two tiles count as the same (%(default)s)',
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        usage='%(prog)s SCENE [SCENE] OUTPUT {CONFIG CHECKPOINT | NAME} [options]',
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        'files',
        nargs='+',
        metavar='FILE',
        help='raster, or rasters of two dates; file to write: .tif, .gpkg or .geojson; config; '
        'checkpoint. The name of trained weights replaces config and checkpoint',
    )
    add_options(parser)
    parser.add_argument('--batch-size', type=int, default=1, help='tiles per batch (%(default)s)')
    parser.add_argument('--readers', type=int, default=2, help='reading threads (%(default)s)')
    parser.add_argument('--max-tiles', type=int, help='tiles of this run; the next run continues')
    parser.add_argument('--device', help='cpu, cuda, cuda:1, etc. (default: a GPU, if any)')
    args = parser.parse_args()
    *files, last = args.__dict__.pop('files')
    if last in zoo.cards():
        args.config, args.checkpoint = last, None
    elif files:
        args.config, args.checkpoint = files.pop(), last
    if len(files) < 2:
        parser.error('give SCENE OUTPUT CONFIG CHECKPOINT, or SCENE OUTPUT NAME')
    *args.scene, args.output = files
    return args


def main() -> None:
    options = vars(parse_args())
    pace = Pace(**{name: options.pop(name) for name in ('batch_size', 'readers', 'max_tiles')})
    output = infer_scene(**options, pace=pace)
    print(f'wrote {output}' if output else 'not finished; the same command continues')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

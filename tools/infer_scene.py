r"""Run a model on a scene of any size, tile by tile, and write a GeoTIFF or a vector file.

    python tools/infer_scene.py scene.tif roads.tif CONFIG CHECKPOINT
    python tools/infer_scene.py scene.tif ships.gpkg CONFIG CHECKPOINT --min-score 0.5
    python tools/infer_scene.py before.tif after.tif change.tif CONFIG CHECKPOINT
    python tools/infer_scene.py scene.tif cover.tif dynamicvis_tiny_1xb64-60e_eurosat-64px
    python tools/infer_scene.py cover.tif CONFIG CHECKPOINT \
        --modality sentinel2=S2.tif --modality sentinel1=S1.tif --modality dem=DEM.tif

Classes of pixels (mmseg, open-cd) and of windows (mmpretrain) are written as a GeoTIFF, objects
(mmdet, mmrotate) as GeoPackage or GeoJSON, both in the reference system of the scene. A model with
several maps, such as change and the land cover of both dates, writes OUTPUT_NAME.tif of each for
OUTPUT.tif. A run that was killed continues when it is started again. See docs/scenes.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from mmdynamicvis import zoo
from mmdynamicvis.data.sensors import SENSORS, number_or_name
from mmdynamicvis.scenes import Pace, infer_scene

BY_MODALITY = ('bands', 'sensor', 'nodata', 'alpha')
"""Options whose values are NAME=VALUE if there are several modalities."""


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of windows and outputs, which infer_archive.py has, too."""
    parser.add_argument('--tile', type=int, help="side of a window (default: as the config's test)")
    parser.add_argument('--overlap', type=int, help='shared pixels (default: a quarter of a tile)')
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
        usage='%(prog)s {SCENE [SCENE] | --modality NAME=SCENE ...} OUTPUT '
        '{CONFIG CHECKPOINT | NAME} [options]',
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
    parser.add_argument(
        '--modality',
        type=_pair,
        action='append',
        default=[],
        metavar='NAME=SCENE',
        help='raster of a modality, for models of several; repeat it for the others, and for the '
        'dates of one. Then --bands, --sensor, --nodata and --alpha are given as NAME=VALUE, and '
        'may be repeated',
    )
    parser.add_argument(
        '--grid', metavar='NAME', help='modality on whose grid the output is (default: the primary)'
    )
    parser.add_argument(
        '--resample',
        nargs='+',
        default=(),
        metavar='NAME',
        help='modalities to resample to this grid (default: others are an error)',
    )
    parser.add_argument(
        '--bands',
        type=_own(number_or_name, listed=True),
        nargs='+',
        help="bands in the model's order, as names or numbers from 1; NAME=B02,B03 of a modality",
    )
    parser.add_argument(
        '--sensor',
        type=_own(_choice(*SENSORS)),
        action='append',
        help=f"sensor of the scene, one of {', '.join(SENSORS)} (default: the config's)",
    )
    parser.add_argument(
        '--nodata', type=_own(float), action='append', help='value of nodata pixels'
    )
    parser.add_argument(
        '--alpha',
        type=_own(_choice('mask', 'band')),
        action='append',
        help='how to interpret a band that the raster calls alpha: as a mask, 0 for nodata, or as '
        'a spectral band such as near infrared: mask or band (default: an error if that is '
        'ambiguous)',
    )
    add_options(parser)
    parser.add_argument('--batch-size', type=int, default=1, help='tiles per batch (%(default)s)')
    parser.add_argument('--readers', type=int, default=2, help='reading threads (%(default)s)')
    parser.add_argument('--max-tiles', type=int, help='tiles of this run; the next run continues')
    parser.add_argument(
        '--part',
        type=int,
        nargs=2,
        metavar=('NUMBER', 'PARTS'),
        help='tiles of this part of the scene only, counted from 0, for several processes at once; '
        'without it, the same command then writes the output',
    )
    parser.add_argument('--device', help='cpu, cuda, cuda:1, etc. (default: a GPU, if any)')
    args = parser.parse_args()
    *files, last = args.__dict__.pop('files')
    if last in zoo.cards():
        args.config, args.checkpoint = last, None
    elif files:
        args.config, args.checkpoint = files.pop(), last
    *scenes, args.output = files or [None]
    modalities = args.__dict__.pop('modality')
    if args.output is None or bool(scenes) == bool(modalities):
        parser.error(
            'give SCENE OUTPUT CONFIG CHECKPOINT, or SCENE OUTPUT NAME, and --modality in place of '
            'SCENE for several sensors'
        )
    args.scene = scenes or {
        name: [path for key, path in modalities if key == name] for name, _ in modalities
    }
    for option in BY_MODALITY:
        values = getattr(args, option)
        named = [isinstance(value, tuple) for value in values or ()]
        if set(named) - {bool(modalities)}:
            parser.error(f'--{option}: give NAME=VALUE with --modality, and VALUE without')
        if any(named):
            setattr(args, option, dict(values))
        elif values and option != 'bands':
            setattr(args, option, values[-1])
    return args


def _own(convert: Callable[[str], Any], listed: bool = False) -> Callable[[str], Any]:
    """Return a type of arguments: VALUE, or NAME=VALUE, which becomes a tuple."""

    def parse(text: str) -> Any:
        name, equals, value = text.partition('=')
        if not equals:
            return convert(text)
        return name, [convert(part) for part in value.split(',')] if listed else convert(value)

    return parse


def _choice(*choices: str) -> Callable[[str], str]:
    def parse(text: str) -> str:
        if text not in choices:
            raise argparse.ArgumentTypeError(f'{text!r} is none of {", ".join(choices)}')
        return text

    return parse


def _pair(text: str) -> tuple[str, str]:
    name, _, value = text.partition('=')
    if not (name and value):
        raise argparse.ArgumentTypeError(f'{text!r} is not NAME=SCENE')
    return name, value


def main() -> None:
    options = vars(parse_args())
    numbers = {name: options.pop(name) for name in ('batch_size', 'readers', 'max_tiles')}
    part = options.pop('part')
    pace = Pace(**numbers, part=tuple(part) if part else None)
    written = infer_scene(**options, pace=pace)
    if written is None:
        print(
            'the part is predicted; the same command without --part writes the output'
            if part
            else 'not finished; the same command continues'
        )
        return
    for output in written if isinstance(written, list) else [written]:
        print(f'wrote {output}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

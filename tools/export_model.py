r"""Export a trained model or its backbone to a file for torch.export or onnxruntime.

    python tools/export_model.py epoch_12.pth backbone.onnx --dynamic
    python tools/export_model.py config.py backbone.pt2 --checkpoint epoch_12.pth --size 512 512
    python tools/export_model.py config.py classifier.onnx --checkpoint epoch_12.pth --classifier
    python tools/export_model.py config.py roads.onnx --checkpoint iter_300.pth --segmentor \
        --resolution 50

The input of the file is images (B, bands, H, W) float32 as stored, for most models R, G, B in [0,
255]; normalization is included. Before the file is moved to its place, it is loaded and compared
with the model. See docs/export.md for what can be exported, and for Deepness.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdynamicvis.export import (
    SMALLEST,
    TOLERANCE,
    Deepness,
    backbone,
    classifier,
    detector,
    export_model,
    segmentor,
)
from mmdynamicvis.fileio import refuse_to_overwrite

MODELS = {
    classifier: 'the classifier of an mmpretrain config',
    segmentor: 'the segmentor or change detector of an mmseg or open-cd config',
    detector: 'the FCOS of an mmdet config, without non-maximum suppression',
}
"""Function that loads a whole model -> what it is."""


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='checkpoint or config')
    parser.add_argument('target', type=Path, help='file to write: .onnx or .pt2')
    parser.add_argument('--checkpoint', help='weights for a config')
    whole = parser.add_mutually_exclusive_group()
    for load, what in MODELS.items():
        whole.add_argument(
            f'--{load.__name__}', dest='load', action='store_const', const=load, help=what
        )
    parser.add_argument(
        '--size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='size of the images (default: that of the model)',
    )
    parser.add_argument(
        '--dynamic', action='store_true', help=f'accept images of any size from {SMALLEST} pixels'
    )
    parser.add_argument(
        '--resolution',
        type=float,
        metavar='CM',
        help='centimeters per pixel of the training images: add what Deepness reads to a segmentor',
    )
    parser.add_argument(
        '--overlap',
        type=int,
        default=Deepness.overlap,
        metavar='PERCENT',
        help='of a tile, for Deepness (default: %(default)s)',
    )
    parser.add_argument(
        '--tolerance',
        type=float,
        default=TOLERANCE,
        help='largest difference from outputs of the model (default: %(default)s)',
    )
    parser.add_argument('--force', action='store_true', help='overwrite the target')
    args = parser.parse_args()
    if args.load and not args.checkpoint:
        parser.error(f'--{args.load.__name__} needs a config and --checkpoint FILE')
    return args


def main() -> None:
    args = parse_args()
    refuse_to_overwrite([args.target], [args.model, args.checkpoint], args.force)
    deepness = None if args.resolution is None else Deepness(args.resolution, args.overlap)
    load = args.load or backbone
    model = load(args.model, args.checkpoint)
    size = tuple(args.size) if args.size else model.size
    difference = export_model(model, args.target, size, args.dynamic, args.tolerance, deepness)
    height, width = size
    if args.dynamic:
        steps = f' in steps of {model.step}' if model.step > 1 else ''
        height, width = (f'{side} >= {model.smallest}{steps}' for side in 'HW')
    images = f'images (B, {model.bands}, {height}, {width})'
    print(f'{args.target}: {images} -> {", ".join(model.outputs)}')
    print(f'outputs differ from the model by at most {difference:.1e}')


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

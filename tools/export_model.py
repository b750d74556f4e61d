r"""Export a trained backbone or classifier to a file for torch.export or onnxruntime.

    python tools/export_model.py epoch_12.pth backbone.onnx --dynamic
    python tools/export_model.py config.py backbone.pt2 --checkpoint epoch_12.pth --size 512 512
    python tools/export_model.py config.py classifier.onnx --checkpoint epoch_12.pth --classifier

The input of the file is images (B, bands, H, W) float32 as stored, for most models R, G, B in [0,
255]; normalization is included. Before the file is moved to its place, it is loaded and compared
with the model. See docs/export.md for what can be exported.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdynamicvis.export import SMALLEST, TOLERANCE, backbone, classifier, export_model
from mmdynamicvis.fileio import refuse_to_overwrite


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('model', help='checkpoint or config')
    parser.add_argument('target', type=Path, help='file to write: .onnx or .pt2')
    parser.add_argument('--checkpoint', help='weights for a config')
    parser.add_argument(
        '--classifier', action='store_true', help='export the classifier of an mmpretrain config'
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
        '--tolerance',
        type=float,
        default=TOLERANCE,
        help='largest difference from outputs of the model (default: %(default)s)',
    )
    parser.add_argument('--force', action='store_true', help='overwrite the target')
    args = parser.parse_args()
    if args.classifier and not args.checkpoint:
        parser.error('--classifier needs a config and --checkpoint FILE')
    return args


def main() -> None:
    args = parse_args()
    refuse_to_overwrite([args.target], [args.model, args.checkpoint], args.force)
    load = classifier if args.classifier else backbone
    model = load(args.model, args.checkpoint)
    size = tuple(args.size) if args.size else model.size
    difference = export_model(model, args.target, size, args.dynamic, args.tolerance)
    height, width = (f'H >= {SMALLEST}', f'W >= {SMALLEST}') if args.dynamic else size
    images = f'images (B, {model.bands}, {height}, {width})'
    print(f'{args.target}: {images} -> {", ".join(model.outputs)}')
    print(f'outputs differ from the model by at most {difference:.1e}')


if __name__ == '__main__':
    try:
        main()
    except (ImportError, OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

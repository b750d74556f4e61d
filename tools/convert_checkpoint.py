r"""Convert DynamicVis checkpoints between .pth and .safetensors, and between parameter names.

    python tools/convert_checkpoint.py published.pth ours.safetensors --layout ours
    python tools/convert_checkpoint.py ours.safetensors published.pth --layout published
    python tools/convert_checkpoint.py epoch_200.pth pretrained.safetensors \
        --parts backbone neck roi_extractor
    python tools/convert_checkpoint.py mmdynamicvis://dynamicvis_base_fmow pretrained.safetensors \
        --layout ours --parts backbone neck roi_extractor
    python tools/convert_checkpoint.py epoch_30.pth small.safetensors --half

Weights are preserved bit for bit, except with --half. No code in the file is executed. Other
content of a checkpoint (optimizer state, log history) is dropped.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from torch import Tensor

from mmdynamicvis.fileio import refuse_to_overwrite
from mmdynamicvis.models.state_dict_map import convert_layout
from mmdynamicvis.models.stem_bands import bands_of, with_bands
from mmdynamicvis.models.weights import load_weights, save_weights

PATCH_STRIDE = 4  # of the first patch merger, in pixels
SUFFIXES = ('.pth', '.pt', '.safetensors')


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        'source', help='checkpoint to read: a file, an http(s) URL, hf:// or mmdynamicvis://NAME'
    )
    parser.add_argument('target', type=Path, help=f'file to write, one of {", ".join(SUFFIXES)}')
    parser.add_argument(
        '--layout',
        choices=['ours', 'published', 'keep'],
        default='keep',
        help='parameter names of the backbone in the target (default: as in the source)',
    )
    parser.add_argument(
        '--parts',
        nargs='+',
        metavar='PART',
        help='parts of the model to keep, by their names in the target (default: all)',
    )
    parser.add_argument(
        '--img-size',
        type=int,
        nargs=2,
        metavar=('H', 'W'),
        help='image size in pixels that a published checkpoint was trained for, if not square',
    )
    parser.add_argument(
        '--half', action='store_true', help='write floating-point weights as float16: half the size'
    )
    parser.add_argument('--force', action='store_true', help='overwrite the target')
    args = parser.parse_args()
    if args.target.suffix not in SUFFIXES:
        parser.error(f'target {args.target} must end with one of {", ".join(SUFFIXES)}')
    return args


def _half(name: str, tensor: Tensor) -> Tensor:
    if not tensor.is_floating_point():
        return tensor
    half = tensor.half()
    if not half.isfinite().all():
        raise ValueError(f'{name} does not fit into float16: values up to {tensor.abs().max():.3g}')
    return half


def _keep(state_dict: dict[str, Tensor], parts: list[str]) -> dict[str, Tensor]:
    found = {name.split('.')[0] for name in state_dict}
    if missing := sorted(set(parts) - found):
        raise ValueError(f'there is no part {missing[0]!r}, but {sorted(found)}')
    return {name: tensor for name, tensor in state_dict.items() if name.split('.')[0] in parts}


def main() -> None:
    args = parse_args()
    refuse_to_overwrite([args.target], [args.source], args.force)
    weights = state_dict = load_weights(args.source)
    if args.layout != 'keep':
        grid = tuple(-(-size // PATCH_STRIDE) for size in args.img_size) if args.img_size else None
        state_dict = convert_layout(state_dict, args.layout, grid)
    if args.parts:
        state_dict = _keep(state_dict, args.parts)
    if args.half:
        state_dict = {name: _half(name, tensor) for name, tensor in state_dict.items()}
    save_weights(with_bands(state_dict, bands_of(weights)), args.target)
    n_values = sum(tensor.numel() for tensor in state_dict.values())
    print(f'wrote {len(state_dict)} tensors, {n_values:,} values, to {args.target}')


if __name__ == '__main__':
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

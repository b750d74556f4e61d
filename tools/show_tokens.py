r"""Draw the tokens that each stage of a model's backbone selects over images.

    python tools/show_tokens.py image.jpg scene.tif --model epoch_12.pth --out pictures
    python tools/show_tokens.py image.jpg --model config.py --checkpoint epoch_12.pth \
        --out pictures --animation --arrays

Each image NAME gets NAME.png, with --animation also NAME.gif (the image, then each stage), and with
--arrays also NAME.npz (stride4_indices, stride4_importance, etc.). If images share a name, names of
parent folders are prepended. To draw the images of a test, add
dict(type='mmdynamicvis.SelectedTokensHook') to custom_hooks of its config.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from mmdynamicvis.data.sensors import SENSORS, UNITS, number_or_name
from mmdynamicvis.embedding import Embedder
from mmdynamicvis.embedding.images import read_image
from mmdynamicvis.fileio import OutputNames, refuse_to_overwrite
from mmdynamicvis.visualization import (
    as_picture,
    draw_stages,
    show_selected_tokens,
    write_animation,
    write_arrays,
    write_picture,
)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('images', nargs='+', type=Path)
    parser.add_argument('--model', required=True, help='checkpoint or config')
    parser.add_argument('--checkpoint', help='weights for a config')
    parser.add_argument('--out', type=Path, default=Path('selected_tokens'), help='output folder')
    parser.add_argument('--animation', action='store_true', help='also write an animation')
    parser.add_argument('--arrays', action='store_true', help='also write indices and importance')
    parser.add_argument(
        '--bands', type=number_or_name, nargs='+', help='bands of rasters, names or numbers from 1'
    )
    parser.add_argument('--sensor', choices=list(SENSORS), help='sensor of rasters')
    parser.add_argument('--unit', choices=UNITS, help='unit of rasters, for mean and std')
    parser.add_argument('--mean', type=float, nargs='+', help='mean of each band')
    parser.add_argument('--std', type=float, nargs='+', help='standard deviation of each band')
    parser.add_argument('--device')
    parser.add_argument('--force', action='store_true', help='overwrite pictures that exist')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    names = OutputNames()
    targets = {path: args.out / names(path) for path in args.images}
    suffixes = ['.png'] + ['.gif'] * args.animation + ['.npz'] * args.arrays
    # append suffixes as text, because a name may contain dots
    outputs = [f'{target}{suffix}' for target in targets.values() for suffix in suffixes]
    refuse_to_overwrite(outputs, [*args.images, args.model, args.checkpoint], args.force)
    embedder = Embedder(
        args.model,
        checkpoint=args.checkpoint,
        bands=args.bands,
        sensor=args.sensor,
        unit=args.unit,
        mean=args.mean,
        std=args.std,
        device=args.device,
    )
    for path, target in targets.items():
        image = read_image(path, **embedder.reading)
        selections = embedder.selections(image)
        picture, stages = as_picture(image.numpy()), list(selections.values())
        row = show_selected_tokens([picture], stages, [path.name])
        write_picture(row, f'{target}.png')
        if args.animation:
            write_animation(draw_stages(picture, stages), f'{target}.gif')
        if args.arrays:
            write_arrays(selections, range(1), Path(f'{target}.npz'))
        print(f'{path}: see {target}.png')


if __name__ == '__main__':
    try:
        main()
    except (OSError, RuntimeError, ValueError) as error:
        raise SystemExit(f'error: {error}') from error

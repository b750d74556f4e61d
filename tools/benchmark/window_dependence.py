r"""Measure how much the predicted class of a pixel depends on the window of a scene around it.

    python tools/benchmark/window_dependence.py work_dirs/RUN/CONFIG.py FILE.pth SCENE.tif \
        --out benchmarks/results/window_dependence_cpu.json

A token is selected if its score is among the best in its window, so different windows may select
different tokens. Windows of a scene are segmented, then the same windows shifted; the pixels that
both contain are compared, by their distance to the nearest edge of either window. To isolate the
effect of selection, the same weights also run with all tokens selected.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import rasterio
import torch
from mmengine.config import Config
from mmengine.registry import MODELS, init_default_scope
from rasterio.windows import Window
from record import Record
from torch import Tensor, nn
from tqdm import tqdm

from mmdynamicvis.models.selections import find_backbone
from mmdynamicvis.models.weights import load_weights

DISTANCES = (0, 16, 32, 64)
"""Lower bounds of the distances to the edge, in pixels."""


def build(config: Path, checkpoint: Path, selects: bool) -> nn.Module:
    """Return a trained segmentor, with its own selection or with all tokens selected."""
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    model = MODELS.build({'data_preprocessor': cfg.get('data_preprocessor'), **cfg.model})
    model.load_state_dict(load_weights(checkpoint))
    if not selects:
        for stage in find_backbone(model).stages:
            for unit in stage.units:
                unit.num_kept = lambda length: length
    return model.eval()


@torch.inference_mode()
def classes(model: nn.Module, image: np.ndarray) -> Tensor:
    """Return the class index of each pixel, (H, W), of an RGB window (H, W, 3)."""
    inputs = torch.from_numpy(image[..., ::-1].copy()).movedim(-1, 0)  # as OpenCV reads: B, G, R
    batch = model.data_preprocessor({'inputs': [inputs]})
    meta = [dict(img_shape=image.shape[:2], ori_shape=image.shape[:2], pad_shape=image.shape[:2])]
    return model.encode_decode(batch['inputs'], meta)[0].argmax(0)


def read_windows(path: Path, corners: list[tuple[int, int]], size: int) -> list[np.ndarray]:
    """Read windows (size, size, 3) of the first three bands at upper left corners (row, column)."""
    with rasterio.open(path) as scene:
        windows = [Window(column, row, size, size) for row, column in corners]
        return [scene.read((1, 2, 3), window=window).transpose(1, 2, 0) for window in windows]


def distance_to_edge(size: int, shift: int) -> np.ndarray:
    """Return the distance in pixels from each shared pixel to the nearest edge of either window."""
    # the upper and left edges belong to the shifted window, the others to the first one
    place = np.arange(size - shift)
    nearest = np.minimum(place, place[::-1])
    return np.minimum(nearest[:, None], nearest[None])


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('config', type=Path, help='config of a segmentor')
    parser.add_argument('checkpoint', type=Path, help='weights of its model')
    parser.add_argument('scene', type=Path, help='raster whose first three bands are RGB')
    parser.add_argument('--size', type=int, default=256, help='size of a window in pixels')
    parser.add_argument('--shift', type=int, default=64, help='shift down and right in pixels')
    parser.add_argument('--windows', type=int, default=16, help='number of pairs of windows')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    record = Record(args.out, 'cpu')
    with rasterio.open(args.scene) as scene:
        room = (scene.height - args.size - args.shift, scene.width - args.size - args.shift)
    rng = np.random.default_rng(0)
    first = [tuple(int(x) for x in rng.integers(0, room)) for _ in range(args.windows)]
    shifted = [(row + args.shift, column + args.shift) for row, column in first]
    pairs = list(
        zip(*(read_windows(args.scene, c, args.size) for c in (first, shifted)), strict=True)
    )
    distance = distance_to_edge(args.size, args.shift)
    for selects in (True, False):
        model = build(args.config, args.checkpoint, selects)
        differ, present = [], []
        for images in tqdm(pairs, desc='with selection' if selects else 'all tokens'):
            a, b = (classes(model, image) for image in images)
            common = args.size - args.shift
            a, b = a[args.shift :, args.shift :], b[:common, :common]
            differ.append((a != b).numpy())
            present.append((a > 0).float().mean().item())
        mean = np.mean(differ, axis=0)
        shares = {str(low): float(mean[distance >= low].mean()) for low in DISTANCES}
        record.add(
            scene=args.scene.name,
            selects=selects,
            size=args.size,
            shift=args.shift,
            windows=args.windows,
            target_share=float(np.mean(present)),
            differing_share=shares,
        )
        text = ', '.join(f'{100 * share:.2f} % from {low} px' for low, share in shares.items())
        print(f'{"selection" if selects else "all tokens"}: pixels that differ: {text}')


if __name__ == '__main__':
    main()

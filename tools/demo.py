"""Demonstrate the suite without any data: `make demo` or `python tools/demo.py`.

Generates synthetic scenes, maps one of them with trained weights that ship with the package, trains
DynamicVis tiny on the others through mim, tests it, prints the metrics and draws the tokens that
each stage selected. Takes a few minutes on two CPU cores.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import rasterio
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmpretrain.apis import get_model
from mmpretrain.registry import DATASETS
from synthetic import CATEGORIES, write_classification_dataset
from synthetic.land_cover import write_land_cover

from mmdynamicvis.classification import EuroSAT
from mmdynamicvis.engine.launch import move_data_root
from mmdynamicvis.scenes import Pace, infer_scene
from mmdynamicvis.visualization import show_selected_tokens, write_picture

CHECKOUT = Path(__file__).resolve().parents[1]
CONFIG = 'dynamicvis_tiny_1xb16-demo_synthetic-128px.py'
LAND_COVER = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'
METRICS = {
    'accuracy': 'accuracy/top1',
    'precision': 'single-label/precision',
    'recall': 'single-label/recall',
    'F1 score': 'single-label/f1-score',
}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Generate data, train, test and draw')
    parser.add_argument(
        '--work-dir',
        type=Path,
        default=CHECKOUT / 'work_dirs/demo',
        help='folder for the data, the checkpoints and the picture (default: %(default)s)',
    )
    parser.add_argument('--train-per-class', type=int, default=100, help='training images')
    parser.add_argument('--val-per-class', type=int, default=30, help='test images')
    parser.add_argument('--epochs', type=int, help='number of epochs, at least 2 (default: config)')
    args = parser.parse_args()
    if args.epochs is not None and args.epochs < 2:
        parser.error(f'--epochs is {args.epochs}; the first one is warm-up, so at least 2')
    return args


def announce(step: int, text: str) -> None:
    print(f'\n[{step}/5] {text}', flush=True)


def make_data(folder: Path, train_per_class: int, val_per_class: int) -> None:
    def show(done: int, total: int) -> None:
        if done % max(1, total // 10) == 0 or done == total:
            print(f'      {done} of {total}', flush=True)

    made = write_classification_dataset(folder, train_per_class, val_per_class, progress=show)
    print(f'      {"written to" if made else "found in"} {folder}', flush=True)


def draw_map(folder: Path) -> None:
    """Make a GeoTIFF, map its land cover, and write a picture of both."""
    scene, cover, picture = (folder / f'land_cover{end}' for end in ('.tif', '_map.tif', '.png'))
    if not cover.is_file():
        write_land_cover(scene)
        pace = Pace(batch_size=16)
        infer_scene(scene, cover, LAND_COVER, overlap=32, device='cpu', pace=pace)
    with rasterio.open(scene) as colors, rasterio.open(cover) as classes:
        image, labels = colors.read().transpose(1, 2, 0), classes.read(1)
    figure = Figure(figsize=(8, 3.6), dpi=100, layout='constrained')
    left, right = figure.subplots(1, 2)
    left.imshow(image)
    palette = np.array(EuroSAT.METAINFO['palette'], np.uint8)
    right.imshow(palette[labels])
    names = EuroSAT.METAINFO['classes']
    found = [Patch(color=palette[i] / 255, label=names[i]) for i in np.unique(labels)]
    figure.legend(handles=found, loc='outside right center')
    for axes, title in ((left, 'made scene, 10 m pixels'), (right, 'classes of windows of 640 m')):
        axes.set_title(title, fontsize=10)
        axes.set_axis_off()
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    write_picture(np.asarray(canvas.buffer_rgba())[..., :3], picture)
    print(f'      {picture}', flush=True)


def run_mim(command: str, *arguments: str) -> None:
    """Run `mim COMMAND mmdynamicvis CONFIG ...`, with its log on the terminal.

    Raises:
        SystemExit: The command failed.
    """
    # Run the module, because the script `mim` may not be on PATH.
    line = [sys.executable, '-m', 'mim', command, 'mmdynamicvis', CONFIG, *arguments]
    print('      ' + ' '.join(line), flush=True)
    # Data workers share the cores, so waiting OpenMP threads must not spin for long.
    env = {'GOMP_SPINCOUNT': '10000', **os.environ}
    status = subprocess.run(line, cwd=CHECKOUT, env=env, stdin=subprocess.DEVNULL).returncode
    if status:
        raise SystemExit(
            f'demo: `mim {command}` failed with exit status {status}; the reason is above.\n'
            'If it does not know mmdynamicvis, install the checkout: pip install -e .'
        )


def draw(checkpoint: Path, data: Path, picture: Path) -> None:
    """Write a picture with one test image per class and the tokens that each stage selected."""
    cfg = Config.fromfile(CHECKOUT / 'configs/classification' / CONFIG)
    cfg = move_data_root(cfg, str(data))
    model = get_model(cfg, pretrained=str(checkpoint), device='cpu')
    dataset = DATASETS.build(cfg.test_dataloader.dataset)
    labels = [dataset.get_data_info(i)['gt_label'] for i in range(len(dataset))]
    samples = [dataset[labels.index(label)] for label in range(len(CATEGORIES))]

    batch = model.data_preprocessor(pseudo_collate(samples))
    with torch.no_grad():
        features, selections = model.backbone.forward_with_selection(batch['inputs'])
        predictions = model.head.predict(features, batch['data_samples'])
    titles, colors = [], []
    for label, prediction in enumerate(predictions):
        predicted = int(prediction.pred_label)
        correct = predicted == label
        truth = '' if correct else f'\n(is {CATEGORIES[label]})'
        titles.append(f'{CATEGORIES[predicted]} {prediction.pred_score.max():.0%}{truth}')
        colors.append('darkgreen' if correct else 'firebrick')
    # The loader returns B, G, R.
    images = [sample['inputs'].flip(0).permute(1, 2, 0).numpy() for sample in samples]
    write_picture(show_selected_tokens(images, selections, titles, colors), picture)


def main() -> None:
    args = parse_args()
    start = time.monotonic()
    work_dir = args.work_dir.resolve()
    data, metrics_file, picture = (work_dir / n for n in ('data', 'metrics.json', 'demo.png'))

    announce(1, 'synthetic aerial scenes')
    try:
        make_data(data, args.train_per_class, args.val_per_class)
    except (FileExistsError, ValueError) as error:
        raise SystemExit(f'demo: {error}') from None

    announce(2, 'land cover of a satellite scene, by weights that ship with the package')
    draw_map(work_dir)

    announce(3, 'training')
    options = [f'data_root={data}']
    if args.epochs is not None:
        options.append(f'train_cfg.max_epochs={args.epochs}')
    run_mim('train', '--work-dir', str(work_dir), '--cfg-options', *options)
    checkpoint = Path((work_dir / 'last_checkpoint').read_text().strip())

    announce(4, 'test')
    run_mim(
        *('test', '--checkpoint', str(checkpoint), '--work-dir', str(work_dir)),
        *('--out', str(metrics_file), '--out-item', 'metrics', '--cfg-options', *options),
    )
    metrics = json.loads(metrics_file.read_text())

    announce(5, 'picture')
    draw(checkpoint, data, picture)

    print(f'\nDynamicVis tiny on {args.val_per_class * len(CATEGORIES)} test images, %')
    for name, key in METRICS.items():
        print(f'  {name:<12}{metrics[key]:6.1f}')
    print(f'  {"(chance":<12}{100 / len(CATEGORIES):6.1f})')
    print(f'\nLand cover: {work_dir / "land_cover.png"}\nSelected tokens: {picture}')
    print(f'Took {time.monotonic() - start:.0f} s')


if __name__ == '__main__':
    main()

r"""Compare detectors with DynamicVis tiny and ResNet-18 on NWPU VHR-10 at 256 px.

    python tools/benchmark/detection.py --nwpu data/nwpu_vhr10 \
        --out benchmarks/results/detection_cpu.json --curves curves.png --tokens tokens.png

Everything except the backbone is equal. Trains Mask R-CNN, and oriented R-CNN on rotated boxes,
from scratch with one thread per run: for 12 epochs, and DynamicVis tiny also for 24, about the time
of ResNet-18's 12. Times training steps on one batch in alternation; measures the memory of a step
in a separate process; and draws the tokens that the trained Mask R-CNN selects. When the command is
repeated, finished runs are not repeated and interrupted ones continue. Results of contenders that
are not named by --contenders stay in the file.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import cv2
import torch
from curves import draw_curves
from matplotlib import pyplot as plt
from measure import fresh, medians
from mmengine.dataset import pseudo_collate
from record import Record
from training_run import (
    CHECKOUT,
    Run,
    selection,
    step_growth_mb,
    train_all,
    training_step,
    validation_samples,
)

from mmdynamicvis.visualization import show_selected_tokens

CONTENDERS: dict[str, tuple[str, dict[str, Any]]] = {
    'dynamicvis-tiny': ('dynamicvis-tiny', {}),
    'dynamicvis-tiny, equal time': ('dynamicvis-tiny', {'train_cfg.max_epochs': 24}),
    'resnet18': ('resnet18', {}),
    'published': ('dynamicvis-tiny', {'model.backbone.published': True}),
}
"""Contender -> backbone in the name of its configs, and settings that differ from them."""
TASKS = {
    'Mask R-CNN': (
        'instance_segmentation/mask-rcnn_{}_1xb4-12e_nwpu-256px.py',
        ('coco/bbox_mAP', 'coco/bbox_mAP_50', 'coco/segm_mAP', 'coco/segm_mAP_50'),
    ),
    'oriented R-CNN': (
        'rotated_detection/oriented-rcnn_{}_1xb4-12e_nwpu-rotated-256px.py',
        ('dota/mAP',),
    ),
}
REPEATS = 9
N_SHOWN = 4


def compare(
    runs: dict[str, Run], trained: list[str], metrics: tuple[str, ...], task: str, record: Record
) -> None:
    """Time a step of all contenders, and replace the rows of the trained ones."""
    models, steps = zip(*(training_step(run) for run in runs.values()), strict=True)
    times = medians(dict(zip(runs, steps, strict=True)), REPEATS)
    rows = {row['backbone']: row for row in record.rows if row['task'] == task}
    for (contender, run), model in zip(runs.items(), models, strict=True):
        row = rows.get(contender)
        if contender in trained:
            looks = {}
            if contender != 'resnet18':
                weights = {'before': None, 'after': run.checkpoint()}
                looks = {when: selection(run, checkpoint) for when, checkpoint in weights.items()}
            row = row or record.add(task=task, backbone=contender)
            row |= {
                'config': run.config.name,
                'parameters': sum(p.numel() for p in model.parameters()),
                'step_growth_mb': fresh(step_growth_mb, run),
                'curves': {metric: run.curve(metric) for metric in metrics},
                'selection': looks,
            }
        if row is not None:
            row['step_s'] = times[contender]
    record.save()


@torch.inference_mode()
def draw_tokens(run: Run, path: Path) -> None:
    """Draw the selected tokens of each stage in validation images, ordered by size of boxes."""
    samples = validation_samples(run.load())
    model = run.build(run.checkpoint())
    with_boxes = [s for s in samples if len(s['data_samples'].gt_instances)]
    shown = sorted(
        with_boxes, key=lambda s: s['data_samples'].gt_instances.bboxes.areas.median().item()
    )[:: max(len(with_boxes) // N_SHOWN, 1)][:N_SHOWN]
    batch = model.data_preprocessor(pseudo_collate(shown))
    _, selections = model.backbone.forward_with_selection(batch['inputs'])
    height, width = batch['inputs'].shape[2:]
    images, titles = [], []
    for sample in shown:
        # gray where the batch is padded
        image = torch.full((3, height, width), 128, dtype=torch.uint8)
        bgr = sample['inputs']
        image[:, : bgr.shape[1], : bgr.shape[2]] = bgr.flip(0)
        picture = image.permute(1, 2, 0).contiguous().numpy()
        instances = sample['data_samples'].gt_instances
        for x1, y1, x2, y2 in instances.bboxes.tensor.round().int().tolist():
            cv2.rectangle(picture, (x1, y1), (x2, y2), (255, 40, 40), 1)
        images.append(picture)
        titles.append(f'{len(instances)} objects')
    path.parent.mkdir(parents=True, exist_ok=True)
    plt.imsave(path, show_selected_tokens(images, selections, titles))


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--nwpu', type=Path, required=True, help='folder of NWPU VHR-10')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    parser.add_argument('--curves', type=Path, help='PNG file for the curves')
    parser.add_argument('--tokens', type=Path, help='PNG file for the selected tokens')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/detection_benchmark'))
    parser.add_argument('--tasks', nargs='+', default=list(TASKS), choices=TASKS)
    parser.add_argument(
        '--contenders',
        nargs='+',
        default=list(CONTENDERS),
        choices=CONTENDERS,
        help='those to train; all are timed',
    )
    parser.add_argument('--seed', type=int, default=0)
    parser.add_argument('--jobs', type=int, default=2, help='number of parallel trainings')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    runs: dict[str, dict[str, Run]] = {}
    for task in args.tasks:
        config, metrics = TASKS[task]
        for contender, (backbone, options) in CONTENDERS.items():
            path = CHECKOUT / 'configs' / config.format(backbone)
            name = contender.replace(',', '').replace(' ', '-')
            folder = args.work_dir.resolve() / f'{path.stem}-{name}'
            run = Run(path, args.nwpu.resolve(), folder, args.seed, metrics[0], options)
            runs.setdefault(task, {})[contender] = run
        train_all([runs[task][name] for name in args.contenders], args.jobs, task)
    record = Record(args.out, 'cpu', append=True)
    for task, group in runs.items():
        compare(group, args.contenders, TASKS[task][1], task, record)
    if args.curves:
        panels = {
            f'{task}, NWPU VHR-10': [row for row in record.rows if row['task'] == task]
            for task in TASKS
        }
        metrics = {title: TASKS[task][1][0] for title, task in zip(panels, TASKS, strict=True)}
        draw_curves(panels, metrics, 'epoch', args.curves, scale=100)
    if args.tokens and 'Mask R-CNN' in runs and 'dynamicvis-tiny' in args.contenders:
        draw_tokens(runs['Mask R-CNN']['dynamicvis-tiny'], args.tokens)


if __name__ == '__main__':
    main()

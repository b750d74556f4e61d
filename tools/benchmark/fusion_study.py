r"""Train change detectors that fuse the two dates in different ways, and compare them.

    python tools/benchmark/fusion_study.py --data-root data \
        --out benchmarks/results/fusion_study_cpu.json

The data are the pairs of LEVIR-CD and SZTAKI, 300 steps of 4 crops, as in the configs of
configs/change_detection. All modes of PairFusion have the same config otherwise; ResNet-18 is
compared with concatenation. F1 and IoU are those of the pixels above one half after the last step;
average precision does not depend on a threshold. Both are of all pixels of the held-out pairs.

Means are reported with 95% intervals of Student's t over the seeds. Training steps of the
contenders on one batch are timed in alternation, with one thread. When the command is repeated,
finished runs are not repeated and interrupted ones continue.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from change_runs import measure, study_parser, train_seeds
from mmengine.config import Config
from record import Record
from training_run import CHECKOUT

CONFIG = 'siamese_{}_1xb4-300i_levir-sztaki-128px.py'
MODES = (
    'concat',
    'difference',
    'sum',
    'mamba_concat',
    'mamba_interleave',
    'mamba_side_by_side',
    'mamba_all',
)
BASELINE = 'resnet18, concat'


def config_of(name: str) -> Config:
    """Return the config of a contender."""
    backbone = 'resnet18' if name == BASELINE else 'dynamicvis-tiny'
    cfg = Config.fromfile(CHECKOUT / 'configs/change_detection' / CONFIG.format(backbone))
    if name != BASELINE:
        cfg.model.neck.fusion.mode = name
    cfg.default_hooks.visualization.draw = False
    return cfg


def parse_args() -> argparse.Namespace:
    parser = study_parser(__doc__, (*MODES, BASELINE), 'work_dirs/fusion_study')
    parser.add_argument(
        '--data-root', type=Path, required=True, help='folder of levir_cd/ and sztaki_airchange/'
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(1)
    configs = {name: config_of(name) for name in args.contenders}
    data_root, work_dir = args.data_root.resolve(), args.work_dir.resolve()
    runs = train_seeds(configs, data_root, work_dir, args.seeds, args.jobs)
    record = Record(args.out, 'cpu')
    for row in measure(runs).values():
        record.add(**row)


if __name__ == '__main__':
    main()

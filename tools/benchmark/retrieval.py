r"""Evaluate retrieval on a part of AID with the vectors of several models and weights.

    python tools/benchmark/retrieval.py --out benchmarks/results/retrieval_cpu.json \
        --model 'random' CONFIG random random random \
        --model 'trained on AID' CONFIG a/epoch_10.pth b/epoch_10.pth c/epoch_10.pth

Reports mAP@20 and precision@20 in percent for float vectors, signs and 64-bit codes, as mean and
for every run. `random` instead of a file means random initialization, with a different seed each
time.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from mmengine.config import Config
from mmengine.runner import Runner
from record import Record

from mmdynamicvis.engine.launch import move_data_root

RANDOM = 'random'


def test(config: str, weights: str, seed: int, data_root: str | None) -> dict[str, float]:
    """Run the test of a config and return its metrics."""
    cfg = Config.fromfile(config)
    if data_root is not None:
        cfg = move_data_root(cfg, data_root)
    cfg.load_from = None if weights == RANDOM else weights
    cfg.randomness = dict(seed=seed)
    cfg.log_level = 'WARNING'
    with TemporaryDirectory() as cfg.work_dir:
        metrics = Runner.from_cfg(cfg).test()
    return {name.removeprefix('retrieval/'): value for name, value in metrics.items()}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        '--model',
        nargs='+',
        action='append',
        required=True,
        metavar='ARGUMENT',
        help='name, config of retrieval, and weights: files, or "random"',
    )
    parser.add_argument('--data-root', help='folder of the dataset (default: that of the config)')
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default: 1)')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    args = parser.parse_args()
    for model in args.model:
        if len(model) < 3:
            parser.error(f'--model has {model}; give a name, a config, and files or "random"')
    return args


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    record = Record(args.out, 'cpu')
    for name, config, *weights in args.model:
        runs = [test(config, file, seed, args.data_root) for seed, file in enumerate(weights)]
        mean = {key: statistics.mean(run[key] for run in runs) for key in runs[0]}
        record.add(model=name, config=Path(config).name, mean=mean, runs=runs)
        print(name, {key: round(value, 1) for key, value in mean.items()})


if __name__ == '__main__':
    main()

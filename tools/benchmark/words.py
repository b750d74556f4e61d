r"""Train regions against text on half of NWPU VHR-10's categories, and name the other half.

    python tools/benchmark/words.py --nwpu data/nwpu_vhr10 \
        --out benchmarks/results/words_cpu.json --text RemoteCLIP=data/nwpu_remoteclip.safetensors

`--text LABEL=FILE` gives text embeddings of the ten names, of tools/text_meta_embeddings.py
--no-projection, and may be repeated. Two other kinds are always trained. `random text towers`: an
open_clip text model with random weights, another one for each seed; it knows that two names share a
word (basketball court, tennis court), and nothing else, so chance is expected. `attributes`: 0 or 1
for each of the attributes in this file, written by hand before any training; no text model.

Chance is exact: the names of the held-out categories are assigned to them in all orders, and each
order is evaluated on the same predictions. Their mean is one by the number of names, 95 % of them
lie in the interval, and `p` is the share that is at least as accurate as the true order. When the
command is repeated, finished runs are not repeated and interrupted ones continue.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Sequence
from functools import reduce
from itertools import permutations
from pathlib import Path

import numpy as np
import open_clip
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from record import Record
from safetensors.torch import save_file
from training_run import CHECKOUT, Run, train_all, validation_samples

from mmdynamicvis.pretraining.meta_embeddings import save_meta_embeddings
from mmdynamicvis.pretraining.zero_shot_metric import AMONG_HELD_OUT, ZeroShotMetric

CONFIG = CHECKOUT / 'configs/pretraining/text_dynamicvis-tiny_1xb16-6e_nwpu-heldout-128px.py'
METRIC = 'zero-shot/accuracy'
TOWER = dict(
    embed_dim=128,
    vision_cfg=dict(image_size=16, layers=1, width=64, patch_size=16),
    text_cfg=dict(context_length=77, width=128, heads=4, layers=4),
)
"""A text model of open_clip with its vocabulary, small because its weights are random."""
ATTRIBUTES = {
    'airplane': 'moves flies wings wheels metal cross-shaped carries-people in-groups paved-around',
    'ship': 'moves floats metal elongated carries-people water-around',
    'storage_tank': 'metal round holds-liquid in-groups built-in-place',
    'baseball_diamond': 'sport fan-shaped grass bare-soil painted-lines built-in-place large',
    'tennis_court': 'sport rectangular paved painted-lines in-groups built-in-place',
    'basketball_court': 'sport rectangular paved painted-lines built-in-place',
    'ground_track_field': 'sport oval grass paved painted-lines built-in-place large',
    'harbor': 'elongated concrete water-around built-in-place in-groups large',
    'bridge': 'elongated concrete paved water-around built-in-place carries-traffic large',
    'vehicle': 'moves wheels metal rectangular small carries-people in-groups paved-around',
}


def write_attributes(path: Path) -> Path:
    """Write the attributes of the categories as text embeddings."""
    named = {name: text.split() for name, text in ATTRIBUTES.items()}
    columns = sorted({word for words in named.values() for word in words})
    rows = [[float(word in words) for word in columns] for words in named.values()]
    save_meta_embeddings(path, torch.tensor(rows), list(named), 'attributes written by hand')
    return path


def write_random(path: Path, seed: int) -> Path:
    """Write text embeddings of the categories by a text model with random weights, once."""
    if path.exists():
        return path
    folder = path.parent
    (folder / 'random-tower.json').write_text(json.dumps(TOWER))
    (folder / 'names.txt').write_text('\n'.join(ATTRIBUTES))
    torch.manual_seed(seed)
    weights = folder / f'random-tower-{seed}.safetensors'
    save_file(open_clip.CLIP(**TOWER).state_dict(), weights)
    command = [sys.executable, CHECKOUT / 'tools/text_meta_embeddings.py', path]
    command += ['--classes', folder / 'names.txt', '--model', folder / 'random-tower.json']
    subprocess.run([*command, '--weights', weights, '--no-projection', '--force'], check=True)
    return path


def run_of(args: argparse.Namespace, kind: str, seed: int, text: Path) -> Run:
    folder = args.work_dir / f'{kind.replace(" ", "-")}-{seed}'
    options = {
        'model.head.text_embeddings': str(text),
        'train_dataloader.dataset.seed': seed,
    }
    return Run(CONFIG, args.nwpu, folder, seed, METRIC, options)


@torch.inference_mode()
def evaluate(run: Run) -> ZeroShotMetric:
    """Return the metric with the counts of the validation images."""
    cfg = run.load()
    model, samples = run.build(run.checkpoint()), validation_samples(cfg)
    metric = ZeroShotMetric(cfg.held_out)
    metric.dataset_meta = dict(classes=cfg.classes)
    for start in range(0, len(samples), 8):
        done = model.test_step(pseudo_collate(samples[start : start + 8]))
        metric.process({}, [sample.to_dict() for sample in done])
    return metric


def of_all_orders(confusion: np.ndarray) -> np.ndarray:
    """Return the mean recall (K!,), in percent, of all assignments of K names; first the true one.

    Args:
        confusion: (K, K) regions by category and chosen name.
    """
    recall = 100 * confusion / confusion.sum(1, keepdims=True)
    rows = range(len(recall))
    return np.array([recall[rows, order].mean() for order in permutations(rows)])


def against_chance(orders: np.ndarray) -> dict[str, float]:
    """Return accuracy, chance and its interval of 95 %, in percent, and the share at least as good.

    Args:
        orders: As returned by :func:`of_all_orders`.
    """
    low, high = np.percentile(orders, (2.5, 97.5))
    return dict(
        accuracy=round(float(orders[0]), 2),
        chance=round(float(orders.mean()), 2),
        chance_low=round(float(low), 2),
        chance_high=round(float(high), 2),
        # 1e-9: sums of equal shares in another order
        p=round(float((orders >= orders[0] - 1e-9).mean()), 4),
    )


def of_seeds(confusions: Sequence[np.ndarray], shared: bool) -> np.ndarray:
    """Return the mean over seeds of the accuracies of all assignments; first the true one.

    Args:
        confusions: (K, K) of each seed.
        shared: Whether the seeds have the same text embeddings, so that a name that is mistaken for
            another is so in all of them; else the assignments of the seeds are independent.
    """
    of_seed = [of_all_orders(confusion) for confusion in confusions]
    total = sum(of_seed) if shared else reduce(np.add.outer, of_seed).ravel()
    return total / len(of_seed)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--nwpu', type=Path, required=True, help='folder of NWPU VHR-10')
    parser.add_argument('--out', type=Path, required=True, help='JSON file for the results')
    parser.add_argument('--text', nargs='*', default=[], metavar='LABEL=FILE')
    parser.add_argument('--work-dir', type=Path, default=Path('work_dirs/words_benchmark'))
    parser.add_argument('--seeds', type=int, nargs='+', default=[0, 1, 2])
    parser.add_argument('--jobs', type=int, default=2, help='number of parallel trainings')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    args.nwpu, args.work_dir = args.nwpu.resolve(), args.work_dir.resolve()
    args.work_dir.mkdir(parents=True, exist_ok=True)
    attributes = write_attributes(args.work_dir / 'attributes.safetensors')
    random = {
        seed: write_random(args.work_dir / f'random-{seed}.safetensors', seed)
        for seed in args.seeds
    }
    texts = {'random text towers': random, 'attributes': dict.fromkeys(args.seeds, attributes)}
    for label, file in (text.split('=', 1) for text in args.text):
        texts[label] = dict.fromkeys(args.seeds, Path(file).resolve())
    runs = {
        kind: [run_of(args, kind, seed, text) for seed, text in files.items()]
        for kind, files in texts.items()
    }
    record = Record(args.out, 'cpu')
    record.note('held_out', Config.fromfile(CONFIG).held_out)
    for kind, of_kind in runs.items():
        train_all(of_kind, args.jobs, kind)
        confusions = []
        for run in of_kind:
            metric = evaluate(run)
            counts = metric.confusion()
            unseen = [label for label, name in enumerate(ATTRIBUTES) if name in metric.held_out]
            confusions.append(counts[AMONG_HELD_OUT].numpy()[np.ix_(unseen, unseen)])
            record.add(
                text=kind,
                seed=run.seed,
                **against_chance(of_all_orders(confusions[-1])),
                metrics=metric.compute_metrics(counts),
                confusion={name: value.tolist() for name, value in counts.items()},
            )
        of_all = of_seeds(confusions, shared=kind != 'random text towers')
        record.add(text=kind, seeds=args.seeds, **against_chance(of_all))


if __name__ == '__main__':
    main()

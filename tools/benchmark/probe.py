r"""What frozen features of scene classifiers are worth: nearest neighbors and a linear probe.

    python tools/benchmark/probe.py --data DATA_CONFIG --data-root data/EuroSAT \
        --model 'random' MODEL_CONFIG random --model 'NWPU' MODEL_CONFIG epoch_10.pth \
        --rcf 512 --galileo ../galileo --out benchmarks/results/probe_cpu.json

Images come from the training and the test dataset of a classification config, through its test
pipeline, and each model normalizes them as its own config says. Features are what the model's head
gets, or with --all-stages the means of the maps of its four stages, standardized by the training
images. Accuracy in % of

- the k = 5 nearest training images by Euclidean distance, the nearer ones where votes are equal;
- multinomial logistic regression, whose L2 penalty does best on a fifth of the training images,
  trained again on all of them;

each with a 95 % interval by 1000 bootstrap samples of the test images. Beside them mAP@20 in %, of
the test images as queries and the training images as database, by cosine distance. `random`
instead of a file is the model as it is initialized. RCF are random convolutional features (MOSAIKS,
https://doi.org/10.1038/s41467-021-24638-z): whitened patches of training images as filters. Galileo
nano (https://github.com/nasaharvest/galileo) gets the three visible bands alone.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from galileo import GalileoNano
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.registry import DATASETS, MODELS
from record import Record
from torch import Tensor, nn
from torch.nn.functional import conv2d, cross_entropy, one_hot
from torch.utils.data import DataLoader
from tqdm import tqdm

from mmdynamicvis.engine.config import load_config_file, preprocessor_of, use_scope
from mmdynamicvis.engine.launch import move_data_root
from mmdynamicvis.inference.trained_model import load_model
from mmdynamicvis.retrieval.metric import score
from mmdynamicvis.retrieval.vector_index import VectorIndex

RANDOM = 'random'
N_NEIGHBORS = 5
N_STAGES = 4
N_FOUND = 20
"""Of a query, as in configs/retrieval."""
PENALTIES = torch.logspace(-5, 1, 7).tolist()
"""Of the mean loss: half of this times the squared norm of the weights."""
N_PATCHES = 100_000
"""From which the whitening of RCF is computed."""
N_BOOTSTRAP = 1000

Features = Callable[[dict], Tensor]
"""Function from a batch of mmpretrain to features (B, C)."""


def of_classifier(config: str, weights: str, seed: int, all_stages: bool) -> Features:
    """Return the features that a classifier's head gets, or the means of its stages' maps."""
    cfg = load_config_file(config)
    if weights == RANDOM:
        use_scope(cfg)
        torch.manual_seed(seed)
        settings = {'data_preprocessor': preprocessor_of(cfg), **cfg.model}
        model = MODELS.build(settings)
        model.init_weights()
        model.eval()
    else:
        model = load_model(cfg, weights, 'cpu')

    if all_stages:
        model.backbone.out_indices = range(N_STAGES)
        model.backbone.out_type = 'featmap'

    def features(batch: dict) -> Tensor:
        inputs = model.data_preprocessor(batch)['inputs']
        if all_stages:
            found = model.extract_feat(inputs, stage='backbone')[:N_STAGES]
        else:
            found = model.extract_feat(inputs)[-1:]
        return torch.cat([x.flatten(2).mean(2) if x.ndim == 4 else x for x in found], 1)

    return features


class RandomConvolutions(nn.Module):
    """Random convolutional features: means over the image of both signs of each filter's answer.

    Args:
        images: Training images, uint8 (3, H, W) of any sizes.
        n_filters: How many patches become filters; there are twice as many features.
        size: Of a filter in pixels.
        seed: Of the choice of patches.
    """

    def __init__(self, images: list[Tensor], n_filters: int, size: int = 3, seed: int = 0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        patches = []
        for index in torch.randint(len(images), (N_PATCHES,), generator=generator).tolist():
            image = images[index]
            rows, columns = (n - size + 1 for n in image.shape[-2:])
            place = int(torch.randint(rows * columns, (), generator=generator))
            y, x = divmod(place, columns)
            patches.append(image[:, y : y + size, x : x + size].flatten())
        patches = torch.stack(patches).float() / 255
        self.mean = patches.mean(0)
        values, vectors = torch.linalg.eigh(torch.cov((patches - self.mean).T))
        whitening = vectors @ torch.diag((values + 1e-3).rsqrt()) @ vectors.T  # ZCA
        chosen = (patches[:n_filters] - self.mean) @ whitening
        chosen = chosen / chosen.norm(dim=1, keepdim=True)
        self.kernels = (chosen @ whitening).view(n_filters, -1, size, size)
        self.bias = -(self.kernels.flatten(1) @ self.mean)

    def forward(self, batch: dict) -> Tensor:
        """Return (B, 2 n_filters) float32."""
        answers = [conv2d(x[None].float() / 255, self.kernels, self.bias) for x in batch['inputs']]
        return torch.cat(
            [torch.cat([x.relu().mean((2, 3)), (-x).relu().mean((2, 3))], 1) for x in answers]
        )


def extract(features: Features, cfg: Config, which: str) -> tuple[Tensor, Tensor]:
    """Return features (N, C) float32 and labels (N,) of a dataset of a config."""
    loader = DataLoader(dataset(cfg, which), batch_size=64, collate_fn=pseudo_collate)
    found, labels = [], []
    with torch.no_grad():
        for batch in tqdm(loader, desc=which):
            found.append(features(batch))
            labels += [int(sample.gt_label) for sample in batch['data_samples']]
    return torch.cat(found), torch.tensor(labels)


def dataset(cfg: Config, which: str) -> torch.utils.data.Dataset:
    """Return the training or test dataset, both through the pipeline of the test."""
    use_scope(cfg)
    pipeline = cfg.test_dataloader.dataset.pipeline
    return DATASETS.build(dict(cfg[f'{which}_dataloader'].dataset, pipeline=pipeline))


def nearest_neighbors(train: Tensor, labels: Tensor, test: Tensor, k: int = N_NEIGHBORS) -> Tensor:
    """Return the class (M,) that most of the k nearest of ``train`` (N, C) have."""
    index = VectorIndex('euclidean')
    index.add(train)
    _, nearest = index.search(test, k)
    weights = 1 + torch.linspace(1e-3, 0, k)  # of equal votes the nearer ones count
    votes = one_hot(labels[nearest], int(labels.max()) + 1) * weights[:, None]
    return votes.sum(1).argmax(1)


def logistic_regression(train: Tensor, labels: Tensor, penalty: float) -> nn.Linear:
    """Return the classifier of least cross entropy plus L2 penalty."""
    classifier = nn.Linear(train.shape[1], int(labels.max()) + 1)
    nn.init.zeros_(classifier.weight)
    nn.init.zeros_(classifier.bias)
    optimizer = torch.optim.LBFGS(
        classifier.parameters(), max_iter=500, line_search_fn='strong_wolfe'
    )

    def loss() -> Tensor:
        optimizer.zero_grad()
        value = cross_entropy(classifier(train), labels)
        value = value + 0.5 * penalty * classifier.weight.square().sum()
        value.backward()
        return value

    optimizer.step(loss)
    return classifier


def linear_probe(train: Tensor, labels: Tensor, test: Tensor) -> tuple[Tensor, float]:
    """Return the classes (M,) of ``test`` and the penalty, chosen on a part of ``train``."""
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(0))
    held_out, kept = order[: len(order) // 5], order[len(order) // 5 :]
    accuracy = {}
    for penalty in PENALTIES:
        classifier = logistic_regression(train[kept], labels[kept], penalty)
        hits = classifier(train[held_out]).argmax(1) == labels[held_out]
        accuracy[penalty] = hits.float().mean().item()
    best = max(accuracy, key=accuracy.get)
    return logistic_regression(train, labels, best)(test).argmax(1), best


def accuracy(predicted: Tensor, labels: Tensor) -> dict[str, float]:
    """Return accuracy in %, and the limits of its 95 % interval."""
    hits = 100.0 * (predicted == labels).numpy()
    samples = np.random.default_rng(0).choice(hits, (N_BOOTSTRAP, len(hits))).mean(1)
    low, high = np.percentile(samples, [2.5, 97.5])
    return {'accuracy': float(hits.mean()), 'low': float(low), 'high': float(high)}


def retrieval(train: Tensor, labels: Tensor, test: Tensor, expected: Tensor) -> float:
    """Return mAP@20 in % of queries ``test`` (M, C) in a database ``train`` (N, C)."""
    index = VectorIndex('cosine')
    index.add(train)
    _, found = index.search(test, min(N_FOUND, len(train)))
    return score(labels[found] == expected[:, None], N_FOUND)[f'mAP@{N_FOUND}']


def probe(name: str, features: Features, cfg: Config, record: Record) -> None:
    """Add and print a model's row, in place of an earlier one of this name."""
    (train, labels), (test, expected) = (extract(features, cfg, x) for x in ('train', 'test'))
    mean, std = train.mean(0), train.std(0).clamp(min=1e-6)
    train, test = (train - mean) / std, (test - mean) / std
    linear, penalty = linear_probe(train, labels, test)
    record.rows = [row for row in record.rows if row['model'] != name]
    row = record.add(
        model=name,
        features=train.shape[1],
        nearest=accuracy(nearest_neighbors(train, labels, test), expected),
        linear=accuracy(linear, expected),
        penalty=penalty,
        retrieval=retrieval(train, labels, test, expected),
    )
    figures = (
        f'{x["accuracy"]:.1f} ({x["low"]:.1f} to {x["high"]:.1f})'
        for x in (row['nearest'], row['linear'])
    )
    print(
        f'{name}: {N_NEIGHBORS} nearest {next(figures)}, linear {next(figures)}, '
        f'mAP@{N_FOUND} {row["retrieval"]:.1f}',
        flush=True,
    )


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--data', required=True, help='config whose datasets are taken')
    parser.add_argument('--data-root', help="instead of the config's")
    parser.add_argument(
        '--model',
        nargs=3,
        action='append',
        default=[],
        metavar=('NAME', 'CONFIG', 'WEIGHTS'),
        help='name in the table, config of a classifier, and its checkpoint or "random"',
    )
    parser.add_argument(
        '--all-stages',
        action='store_true',
        help='features of these models are the means of the maps of all four stages',
    )
    parser.add_argument('--rcf', type=int, help='also random convolutional features, of N filters')
    parser.add_argument(
        '--galileo', type=Path, help='also Galileo nano, from this checkout of its repository'
    )
    parser.add_argument('--seed', type=int, default=0, help='of what is random (default: 0)')
    parser.add_argument('--threads', type=int, default=1, help='of the CPU (default: 1)')
    parser.add_argument(
        '--out',
        type=Path,
        required=True,
        help='JSON file for the figures; those of other models in it stay: one file per dataset',
    )
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    cfg = load_config_file(args.data)
    if args.data_root is not None:
        cfg = move_data_root(cfg, args.data_root)
    record = Record(args.out, 'cpu', append=True)
    for name, config, weights in args.model:
        probe(name, of_classifier(config, weights, args.seed, args.all_stages), cfg, record)
    images = []
    if args.rcf or args.galileo:
        images = [sample['inputs'] for sample in dataset(cfg, 'train')]
    if args.rcf:
        features = RandomConvolutions(images, args.rcf, seed=args.seed)
        probe(f'RCF, {args.rcf} filters', features, cfg, record)
    if args.galileo:
        probe('Galileo nano', GalileoNano(args.galileo, images), cfg, record)


if __name__ == '__main__':
    main()

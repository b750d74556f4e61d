r"""Measure an exported classifier with int8 weights: size, time and accuracy against float32.

    python tools/benchmark/quantization.py data/EuroSAT \
        --out benchmarks/results/quantization_cpu.json

The shipped EuroSAT classifier is exported, and onnxruntime's dynamic quantization converts its
weights. Both files classify every --every-th image of test.txt. The processor time of a batch of 64
images and of a single image is measured in turns, so that a busy machine matters little, and
reported as ratios with 95% intervals of Student's t over the logarithms of the rounds' ratios. The
interval of the accuracy's difference is that of paired proportions.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnxruntime.quantization import QuantType, quantize_dynamic
from record import Record
from scipy import stats

from mmdynamicvis import zoo
from mmdynamicvis.embedding.images import read_image
from mmdynamicvis.export import classifier, export_model

CONFIGS = Path(__file__).parents[2] / 'configs/classification'
WEIGHTS = 'dynamicvis_tiny_1xb64-60e_eurosat-64px'
BATCH = 64
QUANTIZED = ['MatMul', 'Gemm']
"""Ops whose weights are converted. onnxruntime cannot convert the convolutions: weights of most
are computed in the file."""


def session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])


def quantize(source: Path, target: Path) -> None:
    """Write a file with int8 weights."""
    model = onnx.load(source)
    # onnxruntime transposes weights, and then finds that the shapes that torch wrote are others
    weights = {weight.name for weight in model.graph.initializer}
    others = [value for value in model.graph.value_info if value.name not in weights]
    del model.graph.value_info[:]
    model.graph.value_info.extend(others)
    quantize_dynamic(model, target, op_types_to_quantize=QUANTIZED, weight_type=QuantType.QInt8)


def read_test_images(root: Path, every: int, classes: list[str]) -> tuple[np.ndarray, np.ndarray]:
    """Return (N, 3, H, W) float32 pixels and (N,) labels."""
    names = (root / 'test.txt').read_text().split()[::every]
    pixels = torch.stack([read_image(root / name) for name in names])
    labels = [classes.index(name.split('/')[0]) for name in names]
    return pixels.numpy(), np.array(labels)


def answers(run: onnxruntime.InferenceSession, pixels: np.ndarray) -> np.ndarray:
    """Return the (N,) labels that a file gives."""
    batches = (pixels[start : start + BATCH] for start in range(0, len(pixels), BATCH))
    scores = [run.run(None, dict(images=batch))[0] for batch in batches]
    return np.concatenate(scores).argmax(1)


def difference(first: np.ndarray, second: np.ndarray) -> tuple[float, float]:
    """Return the mean of ``second - first`` in percent, and the half width of its 95% interval."""
    gained = second.astype(int) - first
    return 100 * gained.mean(), 100 * 1.96 * gained.std() / math.sqrt(len(gained))


def ratio(numerators: list[float], denominators: list[float]) -> tuple[float, float, float]:
    """Return the geometric mean of ratios, and the ends of its 95% interval."""
    logs = np.log(numerators) - np.log(denominators)
    half = stats.t.ppf(0.975, len(logs) - 1) * stats.sem(logs)
    return tuple(float(np.exp(logs.mean() + shift)) for shift in (0, -half, half))


def alternate(
    sessions: dict[str, onnxruntime.InferenceSession], batch: np.ndarray, rounds: int
) -> dict[str, list[float]]:
    """Return the processor seconds of each file in each round; one round before is not counted."""
    times: dict[str, list[float]] = {name: [] for name in sessions}
    for number in range(rounds + 1):
        for name, run in sessions.items():
            start = time.process_time()
            run.run(None, dict(images=batch))
            if number:
                times[name].append(time.process_time() - start)
    return times


def measure(args: argparse.Namespace, folder: Path, record: Record) -> None:
    """Add a row per file."""
    card = zoo.find(WEIGHTS)
    files = {name: folder / f'{name}.onnx' for name in ('float32', 'int8')}
    model = classifier(CONFIGS / f'{card.config}.py', zoo.address(WEIGHTS))
    export_model(model, files['float32'])
    quantize(files['float32'], files['int8'])
    sessions = {name: session(path, args.threads) for name, path in files.items()}
    pixels, labels = read_test_images(args.data, args.every, card.classes)
    right = {name: answers(run, pixels) == labels for name, run in sessions.items()}
    times = {size: alternate(sessions, pixels[:size], args.rounds) for size in (1, BATCH)}
    for name, path in files.items():
        row: dict[str, Any] = dict(
            model=WEIGHTS,
            kind=name,
            megabytes=path.stat().st_size / 1e6,
            images=len(labels),
            accuracy=100 * float(right[name].mean()),
        )
        if name != 'float32':
            row['difference'], row['interval'] = difference(right['float32'], right[name])
            for size, of_size in times.items():
                row[f'time, batch {size}'] = ratio(of_size[name], of_size['float32'])
        record.add(**row)
        print(row)


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('data', type=Path, help='folder of EuroSAT with test.txt')
    parser.add_argument('--every', type=int, default=1, help='use each of so many (%(default)s)')
    parser.add_argument('--rounds', type=int, default=25, help='rounds of times (%(default)s)')
    parser.add_argument('--threads', type=int, default=1, help='threads (%(default)s)')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    record = Record(args.out, 'cpu')
    record.note('onnxruntime', onnxruntime.__version__)
    with TemporaryDirectory() as folder:
        measure(args, Path(folder), record)


if __name__ == '__main__':
    main()

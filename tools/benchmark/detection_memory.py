"""Memory of a training step of Mask R-CNN, with and without gradient checkpointing and bfloat16.

    python tools/benchmark/detection_memory.py --out benchmarks/results/detection_memory_cpu.json

Every case runs in its own process: forward, backward and AdamW on synthetic images with as many
boxes with masks as the box head samples positives at most. It is preceded by a step on small
images, which loads libraries and creates the optimizer's state, as in any later step of a training.
The peak is that of the whole process on a CPU, and of torch's allocator on a GPU. Cases that do not
fit into free memory are skipped with a note. bfloat16 means autocast, as in training.
"""

from __future__ import annotations

import argparse
import resource
from itertools import product
from pathlib import Path
from typing import Any

import torch
from measure import DTYPES, fresh, resident_mb, seconds
from mmdet.registry import MODELS
from mmdet.testing import demo_mm_inputs
from mmengine.config import Config
from mmengine.optim import build_optim_wrapper
from mmengine.registry import init_default_scope
from record import Record

CHECKOUT = Path(__file__).resolve().parents[2]
CONFIG = 'configs/instance_segmentation/mask-rcnn_dynamicvis-base_1xb8-800e-scratch_nwpu-1024px.py'
BOXES = 128
"""Largest number of positive samples per image, a quarter of 512."""
WARM_UP_SIZE = 64
SHARE_OF_FREE = 0.9
"""Fraction of the machine's free memory that a case may use."""
OUT_OF_MEMORY = ("can't allocate memory", 'out of memory')
"""Parts of torch's error messages on a CPU and a GPU."""


def free_mb() -> float:
    """Return the available memory in MB (Linux)."""
    for line in Path('/proc/meminfo').read_text().splitlines():
        if line.startswith('MemAvailable'):
            return int(line.split()[1]) / 1024
    raise RuntimeError('/proc/meminfo has no MemAvailable')


def build(config: Path, device: str, with_cp: bool) -> tuple[Any, Any]:
    """Return a config's model and optimizer wrapper."""
    cfg = Config.fromfile(config)
    init_default_scope(cfg.default_scope)
    cfg.model.backbone.with_cp = with_cp
    cfg.model.data_preprocessor = cfg.data_preprocessor
    model = MODELS.build(cfg.model).to(device)
    model.init_weights()
    cfg.optim_wrapper.update(type='OptimWrapper')  # AmpOptimWrapper does not support CPUs
    cfg.optim_wrapper.pop('dtype', None)
    return model.train(), build_optim_wrapper(model, cfg.optim_wrapper)


def make_batch(size: int, args: argparse.Namespace, num_classes: int) -> dict[str, Any]:
    """Return synthetic images with boxes and masks."""
    return demo_mm_inputs(
        batch_size=args.batch,
        image_shapes=(3, size, size),
        num_items=[BOXES] * args.batch,
        num_classes=num_classes,
        with_mask=True,
        use_box_type=True,
    )


def reset_peak(device: str) -> None:
    """Reset the peak of memory use."""
    if device == 'cuda':
        torch.cuda.reset_peak_memory_stats()
    else:
        Path('/proc/self/clear_refs').write_text('5')


def memory_mb(device: str, peak: bool = False) -> float:
    """Return the memory in use, or its peak, in MB."""
    if device == 'cuda':
        used = torch.cuda.max_memory_allocated() if peak else torch.cuda.memory_allocated()
        return used / 2**20
    return resident_mb('VmHWM' if peak else 'VmRSS')


def step(model: Any, optim_wrapper: Any, batch: dict[str, Any], device: str, dtype: str) -> float:
    """Train one step as ``model.train_step`` does; return the loss."""
    data = model.data_preprocessor(batch, training=True)
    with torch.autocast(device, torch.bfloat16, enabled=dtype == 'bfloat16'):
        losses = model(**data, mode='loss')
    loss, _ = model.parse_losses(losses)
    optim_wrapper.update_params(loss)
    return loss.item()


def measure(case: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Measure one case; to be called by :func:`fresh`.

    Raises:
        RuntimeError: There is not enough memory, or the loss is not finite.
    """
    torch.set_num_threads(args.threads)
    torch.manual_seed(0)
    limit = int(SHARE_OF_FREE * free_mb() * 2**20)
    if args.device == 'cpu':
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    model, optim_wrapper = build(args.config, args.device, case['with_cp'])
    num_classes = model.roi_head.bbox_head.num_classes
    small, batch = (make_batch(size, args, num_classes) for size in (WARM_UP_SIZE, args.size))
    step(model, optim_wrapper, small, args.device, case['dtype'])
    reset_peak(args.device)
    before = memory_mb(args.device)
    losses = []

    def run() -> None:
        losses.append(step(model, optim_wrapper, batch, args.device, case['dtype']))

    time = seconds(run)
    if not torch.tensor(losses).isfinite().all():
        raise RuntimeError(f'the loss is {losses}: nothing is reported')
    peak = memory_mb(args.device, peak=True)
    return {'peak (MB)': peak, 'before the step (MB)': before, 'seconds': time}


def measure_or_skip(case: dict[str, Any], args: argparse.Namespace) -> dict[str, Any]:
    """Return the results of a case, or the reason why it is skipped."""
    free = free_mb()
    try:
        return fresh(measure, case, args)
    except RuntimeError as error:
        if not any(words in str(error) for words in OUT_OF_MEMORY):
            raise
        return {'skipped': f'does not fit into {SHARE_OF_FREE:.0%} of {free:.0f} MB that are free'}


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    default = 'cuda' if torch.cuda.is_available() else 'cpu'
    parser.add_argument('--device', choices=('cpu', 'cuda'), default=default)
    parser.add_argument(
        '--config', type=Path, default=CHECKOUT / CONFIG, help='config of a Mask R-CNN'
    )
    parser.add_argument('--size', type=int, default=1024, help='pixels (default: 1024)')
    parser.add_argument('--batch', type=int, default=2, help='images (default: 2)')
    parser.add_argument('--dtypes', nargs='+', choices=DTYPES, default=list(DTYPES))
    parser.add_argument(
        '--with-cp', choices=('on', 'off', 'both'), default='both', help='gradient checkpointing'
    )
    parser.add_argument('--threads', type=int, default=1, help='CPU threads (default: 1)')
    parser.add_argument('--out', type=Path, help='JSON file for the results')
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    torch.set_num_threads(args.threads)
    record = Record(args.out, args.device)
    record.note('config', args.config.name)
    choices = dict(on=(True,), off=(False,), both=(False, True))[args.with_cp]
    for dtype, with_cp in product(args.dtypes, choices):
        case = dict(dtype=dtype, with_cp=with_cp, size=args.size, batch=args.batch)
        row = record.add(**case, **measure_or_skip(case, args))
        print(', '.join(f'{key}: {value}' for key, value in row.items()), flush=True)


if __name__ == '__main__':
    main()

"""Train the model of a config: ``mim train mmdynamicvis CONFIG`` or ``python tools/train.py``.

The options are those of mmpretrain's own tool; configs of any OpenMMLab project can be used.
"""

from __future__ import annotations

import argparse

from mmengine.config import Config

from mmdynamicvis.engine.launch import (
    add_common_arguments,
    build_runner,
    checkpoint_errors_explained,
    latest_checkpoint,
    load_config,
    set_loader_defaults,
)
from mmdynamicvis.models.weights import check_resumable


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description='Train a model')
    add_common_arguments(parser)
    parser.add_argument(
        '--resume',
        nargs='?',
        const='auto',
        help='checkpoint to resume from; without a value, the latest one in the work folder',
    )
    parser.add_argument('--no-validate', action='store_true', help='do not evaluate while training')
    parser.add_argument(
        '--auto-scale-lr',
        action='store_true',
        help='scale the learning rate from auto_scale_lr.base_batch_size to the real batch size',
    )
    parser.add_argument(
        '--no-persistent-workers',
        action='store_true',
        help='turn persistent_workers off in all dataloaders',
    )
    return parser.parse_args()


def merge_train_args(cfg: Config, args: argparse.Namespace) -> None:
    """Merge the options specific to training into ``cfg``, in place."""
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'AmpOptimWrapper'
        cfg.optim_wrapper.setdefault('loss_scale', 'dynamic')
    if args.resume is not None:
        cfg.resume = True
        cfg.load_from = None if args.resume == 'auto' else args.resume
    if cfg.get('resume'):
        latest = cfg.get('load_from') or latest_checkpoint(cfg.work_dir)
        if latest:
            check_resumable(latest)
    if args.auto_scale_lr:
        if 'base_batch_size' not in (cfg.get('auto_scale_lr') or {}):
            raise ValueError(
                f'--auto-scale-lr needs auto_scale_lr.base_batch_size, which {args.config} does '
                'not set: the batch size over all devices for which its learning rate was chosen'
            )
        cfg.auto_scale_lr.enable = True
    set_loader_defaults(cfg, args, persistent_workers=True)
    if args.no_persistent_workers:
        for name in ('train_dataloader', 'val_dataloader', 'test_dataloader'):
            if cfg.get(name) is not None:
                cfg[name].persistent_workers = False


def main() -> None:
    args = parse_args()
    cfg = load_config(args)
    merge_train_args(cfg, args)
    runner = build_runner(cfg)
    with checkpoint_errors_explained():
        runner.train()


if __name__ == '__main__':
    main()

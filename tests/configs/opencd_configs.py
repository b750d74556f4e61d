"""Trains each config that needs open-cd on made pairs, and predicts; prints 'trained'."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from change_detection.pairs import write_pairs
from configs.training import SMALL
from mmengine.config import Config
from mmengine.runner import Runner

NAMES = [f'pair{i}' for i in range(4)]


def shrink(cfg: Config) -> None:
    """Make the model small, in place; open-cd's own is small already."""
    if 'neck' not in cfg.model:
        return
    cfg.model.backbone.update(arch=SMALL, img_size=64)
    cfg.model.neck.fpn.update(in_channels=list(SMALL['embed_dims']), out_channels=8)
    cfg.model.neck.fusion.channels = 8
    cfg.model.neck.decoder.in_channels = [8] * 5
    cfg.model.decode_head.update(in_channels=[8] * 5, channels=8)


def use_pairs(cfg: Config, root: Path) -> None:
    """Let all loaders read made pairs of 64 px at their own size, in place."""
    of_opencd = cfg.default_scope == 'opencd'
    first, second = ('img_path_from', 'img_path_to') if of_opencd else ('img_path', 'img_path2')
    prefix = {first: 'A', second: 'B', 'seg_map_path': 'label'}
    for part, pipeline in (('train', cfg.train_pipeline), ('test', cfg.test_pipeline)):
        for step in pipeline:
            if 'scale' in step:
                step.scale = (64, 64)
            if 'crop_size' in step:
                step.crop_size = (64, 64)
        loader = cfg[f'{part}_dataloader']
        loader.update(batch_size=min(loader.batch_size, 2), num_workers=0)
        loader.persistent_workers = False
        if not of_opencd:  # of several datasets
            loader.dataset = dict(type='mmdynamicvis.ChangeDataset', test_mode=part == 'test')
        loader.dataset.update(
            data_root=str(root), data_prefix=prefix, ann_file='', pipeline=pipeline
        )
    cfg.val_dataloader = cfg.test_dataloader
    cfg.data_preprocessor.size = (64, 64)
    if cfg.model.test_cfg.mode == 'slide':
        cfg.model.test_cfg.update(crop_size=(64, 64), stride=(32, 32))


def main() -> None:
    for path in sys.argv[1:]:
        cfg = Config.fromfile(path)
        shrink(cfg)
        with tempfile.TemporaryDirectory() as folder:
            write_pairs(Path(folder), NAMES)
            use_pairs(cfg, Path(folder))
            cfg.work_dir = f'{folder}/work'
            cfg.train_cfg = dict(type='IterBasedTrainLoop', max_iters=2, val_interval=2)
            cfg.param_scheduler = None
            cfg.log_processor = dict(by_epoch=False)
            cfg.default_hooks.checkpoint = dict(
                type='CheckpointHook', by_epoch=False, save_last=False
            )
            cfg.default_hooks.pop('exact_resume', None)  # data are not seeded
            runner = Runner.from_cfg(cfg)
            runner.train()
            metrics = runner.test()
            pictures = list(Path(folder).glob('work/*/error_maps/*.png'))
            if not pictures or 'target/f1' not in metrics:
                raise RuntimeError(f'{path}: {len(pictures)} pictures, metrics {metrics}')
        print('trained', path)


if __name__ == '__main__':
    main()

"""The configs' models and data on a few made images, a few thousand parameters large."""

from __future__ import annotations

from pathlib import Path

from mmengine.config import Config

from mmdynamicvis.engine.config import leaf_datasets

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))


def load(path: Path, data_root: Path, work_dir: Path) -> Config:
    """Read a config of the suite; its data are at ``data_root``, in this process."""
    cfg = Config.fromfile(path)
    cfg.model.backbone.update(arch=ARCH, img_size=64, init_cfg=None)
    cfg.model.neck.update(in_channels=list(ARCH['embed_dims']), out_channels=16)
    cfg.model.neck.pop('init_cfg', None)
    cfg.model.decode_head.update(in_channels=[16] * 4, channels=8)
    cfg.model.auxiliary_head.update(in_channels=16, channels=8)
    cfg.model.test_cfg.update(crop_size=(64, 64), stride=(40, 40))
    cfg.data_preprocessor.size = (64, 64)
    for transform in cfg.train_pipeline:
        if transform['type'] == 'RandomCrop':
            transform.crop_size = (64, 64)
    for split in ('train', 'val', 'test'):
        loader = cfg[f'{split}_dataloader']
        loader.update(num_workers=0, persistent_workers=False)
        for dataset in leaf_datasets(loader.dataset):
            dataset.data_root = str(data_root)
            if split == 'train':
                dataset.pipeline = cfg.train_pipeline
    cfg.train_dataloader.batch_size = 2
    cfg.work_dir = str(work_dir)
    return cfg

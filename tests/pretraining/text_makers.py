"""Text embeddings, and models that are aligned with them, for the tests."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path

import torch
from mmengine.config import Config

from mmdynamicvis.pretraining.meta_embeddings import save_meta_embeddings

from .coco_makers import CLASSES
from .regions import CHANNELS, CONFIG

SPACE = 'a text model'
WIDTH = 10


def write_text(
    path: Path, names: Sequence[str] = CLASSES, width: int = WIDTH, space: str = SPACE
) -> Path:
    """Write random text embeddings, the same for a name in every file."""
    rows = [
        torch.randn(width, generator=torch.Generator().manual_seed(sum(map(ord, name))))
        for name in names
    ]
    save_meta_embeddings(path, torch.stack(rows), names, space)
    return path


def head(text: Path, **arguments: object) -> dict:
    return dict(
        type='mmdynamicvis.TextHead',
        classes=list(CLASSES),
        text_embeddings=str(text),
        in_channels=CHANNELS,
        **arguments,
    )


def config(folder: Path, text: Path, **arguments: object) -> Config:
    """Write config.py of a small model on the files of ``coco_makers.write_coco`` in a folder.

    Args:
        folder: Folder of the dataset.
        text: Text embeddings of its classes.
        **arguments: Of the head.
    """
    load = [
        dict(type='mmdynamicvis.LoadIntactImage'),
        dict(type='LoadAnnotations', with_bbox=True),
        dict(type='Resize', scale=(64, 64), keep_ratio=True),
    ]
    held_out = arguments.get('held_out', ())

    def loader(shuffle: bool, **dataset: object) -> dict:
        return dict(
            batch_size=4,
            num_workers=0,
            sampler=dict(type='DefaultSampler', shuffle=shuffle),
            dataset=dict(
                type='mmdynamicvis.CocoRegions',
                data_root=str(folder),
                ann_file='annotations.json',
                data_prefix=dict(img='imgs/'),
                metainfo=dict(classes=list(CLASSES)),
                pipeline=[*load, dict(type='PackDetInputs')],
                **dataset,
            ),
        )

    test = loader(shuffle=False, test_mode=True)
    made = Config(
        dict(
            default_scope='mmdet',
            model=dict(
                copy.deepcopy(CONFIG),
                head=head(text, **arguments),
                data_preprocessor=dict(
                    type='DetDataPreprocessor',
                    mean=[123.675, 116.28, 103.53],
                    std=[58.395, 57.12, 57.375],
                    bgr_to_rgb=True,
                    pad_size_divisor=32,
                ),
            ),
            train_dataloader=loader(shuffle=True, held_out=held_out),
            test_dataloader=test,
            val_dataloader=test,
        )
    )
    made.dump(folder / 'config.py')
    return Config.fromfile(folder / 'config.py')

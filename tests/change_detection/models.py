"""A siamese model of a few thousand parameters, and a batch for it."""

from __future__ import annotations

import torch
from mmengine.config import ConfigDict
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

CE = dict(type='mmseg.CrossEntropyLoss', avg_non_ignore=True)
PREPROCESSOR = dict(
    type='mmdynamicvis.BandsDataPreprocessor',
    num_dates=2,
    mean=[123.675, 116.28, 103.53],
    std=[58.395, 57.12, 57.375],
    bgr_to_rgb=True,
    size_divisor=32,
)


def small_model(mode: str = 'concat', num_dates: int = 2) -> ConfigDict:
    """Return the config of a model with 8 channels after the backbone."""
    return ConfigDict(
        type='mmdynamicvis.SiameseEncoderDecoder',
        data_preprocessor=dict(PREPROCESSOR, num_dates=num_dates),
        backbone=dict(
            type='mmdynamicvis.DynamicVis',
            arch=dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1)),
            img_size=64,
            selection_noise=None,
        ),
        neck=dict(
            type='mmdynamicvis.PairNeck',
            fpn=dict(type='mmseg.FPN', in_channels=[8, 12, 16, 20], out_channels=8, num_outs=5),
            fusion=dict(
                type='mmdynamicvis.PairFusion',
                channels=8,
                num_levels=5,
                mode=mode,
                num_dates=num_dates,
            ),
            decoder=dict(type='mmdynamicvis.UNetDecoder', in_channels=[8] * 5),
        ),
        decode_head=dict(
            type='mmseg.SegformerHead',
            in_channels=[8] * 5,
            in_index=[0, 1, 2, 3, 4],
            channels=8,
            num_classes=2,
            dropout_ratio=0,
            norm_cfg=dict(type='BN'),
            loss_decode=[
                dict(type='mmseg.CrossEntropyLoss'),
                dict(type='mmdynamicvis.MaskedDiceLoss', loss_weight=3.0),
            ],
        ),
        train_cfg=dict(),
        test_cfg=dict(mode='whole'),
    )


def small_multi_task(backbone: dict | None = None) -> ConfigDict:
    """Return the config of a model of semantic change: change, and three classes of land cover."""
    cfg = small_model()
    head = dict(cfg.pop('decode_head'), loss_decode=dict(CE))
    cfg.update(
        type='mmdynamicvis.MultiTaskSiamese',
        decode_head=dict(change=dict(head), semantic=dict(head, num_classes=3)),
        date_decoder=dict(type='mmdynamicvis.UNetDecoder', in_channels=[8] * 5),
        outputs=[
            dict(name='change', head='change'),
            dict(name='semantic_from', head='semantic', of='from', within='change'),
            dict(name='semantic_to', head='semantic', of='to', within='change'),
        ],
        joint_losses=[
            dict(type='mmdynamicvis.SemanticConsistencyLoss'),
            dict(type='mmdynamicvis.SeKLoss'),
        ],
    )
    if backbone is not None:
        cfg.backbone = backbone
        cfg.neck.fpn.in_channels = [64, 128, 256, 512]
    return cfg


def semantic_batch(size: tuple[int, int] = (64, 64), n: int = 2) -> dict:
    """Return made pairs with change and the land cover of both dates."""
    data = batch(size, n)
    generator = torch.Generator().manual_seed(1)
    for sample in data['data_samples']:
        change = sample.gt_sem_seg.data
        del sample.gt_sem_seg
        maps = dict(gt_change=change)
        for date in ('from', 'to'):
            cover = torch.randint(1, 4, (1, *size), generator=generator)
            maps[f'gt_semantic_{date}'] = torch.where(change > 0, cover, 0)
        sample.set_data({name: PixelData(data=data) for name, data in maps.items()})
    return data


def batch(size: tuple[int, int] = (64, 64), n: int = 2, num_dates: int = 2) -> dict:
    """Return made pairs with masks, as a loader delivers them."""
    generator = torch.Generator().manual_seed(0)
    inputs = [
        torch.randint(0, 256, (3 * num_dates, *size), dtype=torch.uint8, generator=generator)
        for _ in range(n)
    ]
    samples = []
    for _ in range(n):
        sample = SegDataSample(metainfo=dict(img_shape=size, ori_shape=size))
        mask = torch.randint(0, 2, (1, *size), generator=generator)
        sample.gt_sem_seg = PixelData(data=mask)
        samples.append(sample)
    return dict(inputs=inputs, data_samples=samples)


@torch.no_grad()
def let_half_change(model: torch.nn.Module) -> None:
    """Give an untrained model such a head that it finds change in half of a made pair, in place."""
    model.eval()
    head = model.decode_head.conv_seg
    torch.nn.init.normal_(head.weight)
    unchanged, changed = model.test_step(batch(n=1))[0].seg_logits.data
    head.bias[1] -= (changed - unchanged).median()

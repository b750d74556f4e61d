"""Trains a segmentor in two processes with gloo, of which one lacks sensors.

See test_modalities_distributed.py. DistributedDataParallel is left with its defaults.
"""

from __future__ import annotations

import torch
import torch.distributed as dist
from mmengine.model import MMDistributedDataParallel
from mmengine.registry import MODELS, init_default_scope
from mmengine.structures import PixelData
from mmseg.structures import SegDataSample

from mmdynamicvis.models.modalities import ModalityImages, MultiModalBatch

MODALITIES = dict(
    sentinel2=dict(bands=('B02', 'B03', 'B04'), gsd=10.0),
    sentinel1=dict(bands=('VV', 'VH'), gsd=20.0),
    dem=dict(bands=('DEM',), gsd=10.0),
)
PRESENT = (('sentinel2', 'sentinel1', 'dem'), ('sentinel1',), ('dem',))
"""Of the first process, of the second, and of the second in its second step."""
WIDTHS = (8, 12, 16, 20)
SIZE = 64


def build() -> torch.nn.Module:
    torch.manual_seed(0)
    head = dict(type='FCNHead', channels=8, num_convs=1, num_classes=3, dropout_ratio=0.0)
    return MODELS.build(
        dict(
            type='EncoderDecoder',
            backbone=dict(
                type='mmdynamicvis.MultiModalDynamicVis',
                arch=dict(embed_dims=WIDTHS, depths=(1, 1, 1, 1)),
                modalities=MODALITIES,
                primary='sentinel2',
                img_size=SIZE,
                prompts=2,
                selection_noise=None,
                experts=dict(num=2),
            ),
            neck=dict(
                type='mmdynamicvis.ModalityNeck',
                in_channels=WIDTHS,
                modalities=tuple(MODALITIES),
                cells=(40.0, 80.0, 160.0, 320.0),
                out_channels=8,
                drop=0.0,
            ),
            decode_head=dict(
                head, in_channels=[8] * 4, in_index=(0, 1, 2, 3), input_transform=('resize_concat')
            ),
        )
    ).train()


def make(names: tuple[str, ...], seed: int) -> dict:
    generator = torch.Generator().manual_seed(seed)
    images = {}
    for name in names:
        side = round(SIZE * 10 / MODALITIES[name]['gsd'])
        pixels = torch.randn(2, len(MODALITIES[name]['bands']), side, side, generator=generator)
        images[name] = ModalityImages(pixels, torch.tensor([0, 1]), MODALITIES[name]['gsd'])
    labels = torch.randint(3, (2, 1, SIZE, SIZE), generator=generator)
    samples = [SegDataSample(gt_sem_seg=PixelData(data=label)) for label in labels]
    return dict(inputs=MultiModalBatch(images, 2), data_samples=samples)


def step(model: torch.nn.Module, data: dict) -> None:
    losses = model(**data, mode='loss')
    sum(value for name, value in losses.items() if 'loss' in name).backward()


def main() -> None:
    torch.set_num_threads(1)
    dist.init_process_group('gloo')
    init_default_scope('mmseg')
    rank = dist.get_rank()
    model = MMDistributedDataParallel(build())
    alone = build()
    for second in range(2):
        joint = [make(PRESENT[0], 10 * second), make(PRESENT[1 + second], 10 * second + 1)]
        model.zero_grad()
        step(model, joint[rank])
        alone.zero_grad()
        for data in joint:
            step(alone, data)
        for (name, parameter), expected in zip(
            model.module.named_parameters(), alone.parameters(), strict=True
        ):
            torch.testing.assert_close(
                parameter.grad, expected.grad / 2, rtol=1e-4, atol=1e-6, msg=name
            )
    dist.barrier()
    if rank == 0:
        print('processes agree:', dist.get_world_size())
    dist.destroy_process_group()


if __name__ == '__main__':
    main()

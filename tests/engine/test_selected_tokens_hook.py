"""Pictures of the selected tokens, written by a Runner's test."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import torch
from mmengine.evaluator import Evaluator
from mmengine.model import BaseModel, BaseTTAModel
from mmengine.runner import Runner
from mmengine.structures import BaseDataElement
from torch import nn
from torch.utils.data import DataLoader

from mmdynamicvis import DynamicVis
from mmdynamicvis.engine.hooks.error_map import ErrorMapHook
from mmdynamicvis.engine.hooks.selected_tokens import SelectedTokensHook
from mmdynamicvis.engine.hooks.selection_statistics import SelectionStatisticsHook

ARCH = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 1, 1))


class Model(BaseModel):
    """Takes one image per sample, or two stacked, which go through the backbone as one batch."""

    def __init__(self, dates: int) -> None:
        super().__init__()
        self.dates = dates
        self.backbone = DynamicVis(ARCH)

    def forward(self, inputs, data_samples, mode):
        size = [32 * -(-max(image.shape[i] for image in inputs) // 32) for i in (1, 2)]
        padded = torch.zeros(len(inputs), 3 * self.dates, *size)
        for image, target in zip(inputs, padded, strict=True):
            target[:, : image.shape[1], : image.shape[2]] = image
        self.backbone(torch.cat(padded.chunk(self.dates, dim=1)) / 255)
        return data_samples


def samples(dates: int) -> list[dict]:
    rng = np.random.default_rng(0)
    sizes = [(64, 96), (50, 70), (64, 64)]
    return [
        dict(
            inputs=torch.from_numpy(rng.integers(0, 256, (3 * dates, *size), dtype=np.uint8)),
            data_samples=BaseDataElement(metainfo=dict(img_path=f'{i}/image.png')),
        )
        for i, size in enumerate(sizes)
    ]


def collate(items: list[dict]) -> dict:
    return {key: [item[key] for item in items] for key in items[0]}


def test(model: BaseModel, folder: Path, dates: int = 1, **options) -> Path:
    runner = Runner(
        model,
        work_dir=str(folder),
        test_dataloader=DataLoader(samples(dates), 2, collate_fn=collate),
        test_cfg=dict(),
        test_evaluator=Evaluator([]),
        custom_hooks=[dict(type='mmdynamicvis.SelectedTokensHook', **options)],
        default_scope='mmengine',
    )
    runner.test()
    return Path(runner.log_dir) / options.get('folder', 'selected_tokens')


test.__test__ = False


def test_a_picture_and_arrays_per_image(tmp_path: Path) -> None:
    folder = test(Model(1), tmp_path, arrays=True)
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        f'{name}.{kind}' for name in ('image', '1_image', '2_image') for kind in ('npz', 'png')
    )
    arrays = np.load(folder / 'image.npz')
    assert arrays['stride4_importance'].shape == (16, 24)
    assert arrays['stride4_indices'].shape == (16 * 24 // 8,)
    assert arrays['stride4_importance'].sum() == pytest.approx(1, rel=1e-4)
    # 64 x 64: the other image of the batch is larger, this one is alone in its batch
    assert np.load(folder / '2_image.npz')['stride4_importance'].shape == (16, 16)
    picture = cv2.imread(str(folder / 'image.png'))
    assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 100


def test_two_dates_are_two_rows(tmp_path: Path) -> None:
    folder = test(Model(2), tmp_path, dates=2, arrays=True, interval=2)
    # of every second batch: the one image of the last
    assert sorted(path.name for path in folder.iterdir()) == ['image.npz', 'image.png']
    assert np.load(folder / 'image.npz')['stride4_importance'].shape == (2, 16, 16)


def test_augmented_tests_are_refused(tmp_path: Path) -> None:
    class Augmented(BaseTTAModel):
        def merge_preds(self, data_samples_list):
            return []

    with pytest.raises(ValueError, match='test without --tta'):
        test(Augmented(Model(1)), tmp_path)


@pytest.mark.parametrize('folder', ['/data/images', '../images'])
def test_folders_outside_of_the_run_are_refused(folder: str) -> None:
    for hook, argument in ((SelectedTokensHook, 'folder'), (ErrorMapHook, 'out_dir')):
        with pytest.raises(ValueError, match=f"{argument} is '{folder}', and pictures there could"):
            hook(**{argument: folder})


@pytest.mark.parametrize(
    ('hook', 'event'),
    [(SelectedTokensHook, 'before_test'), (SelectionStatisticsHook, 'before_train')],
)
def test_of_several_backbones_one_must_be_named(hook: type, event: str) -> None:
    parts = {name: DynamicVis('tiny', img_size=32) for name in ('student', 'teacher')}
    runner = SimpleNamespace(model=nn.ModuleDict(parts))
    with pytest.raises(ValueError, match='has the DynamicVis backbones student, teacher: name one'):
        getattr(hook(), event)(runner)
    getattr(hook(backbone='teacher'), event)(runner)

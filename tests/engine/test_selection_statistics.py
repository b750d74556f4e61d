from __future__ import annotations

import math

import pytest
import torch
from mmengine.config import ConfigDict
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from torch.utils.data import DataLoader

from mmdynamicvis import DynamicVis
from mmdynamicvis.engine import SelectionStatisticsHook
from mmdynamicvis.engine.hooks.selection_statistics import selection_statistics
from mmdynamicvis.models.dynamicvis import StageSelection

from ..pretraining.regions import ARCH, batch, build


def test_counts_tokens_whose_centers_are_in_boxes():
    """A 3 x 4 grid of stride 8; one box over the upper left 2 x 2 tokens, another over one more."""
    importance = torch.full((2, 12), 1 / 12)
    selection = StageSelection(torch.tensor([[0, 5, 11], [3, 7, 2]]), importance, (3, 4))
    boxes = [torch.tensor([[0.0, 0, 16, 16], [26, 17, 31, 23]]), torch.zeros(0, 4)]
    statistics = selection_statistics(selection, boxes, stride=8)
    # inside: tokens 0, 1, 4, 5 and 11 of the first image; selected: 0, 5, 11
    assert statistics['in_boxes'].item() == pytest.approx(3 / 5)
    assert statistics['by_chance'].item() == pytest.approx(3 / 12)
    assert statistics['entropy'].item() == pytest.approx(1)


def test_entropy_is_zero_if_one_token_has_it_all():
    importance = torch.zeros(1, 12)
    importance[0, 3] = 1
    selection = StageSelection(torch.tensor([[3]]), importance, (3, 4))
    statistics = selection_statistics(selection, [torch.zeros(0, 4)], stride=8)
    assert statistics['entropy'].item() == 0
    assert math.isnan(statistics['in_boxes'].item())


class Batches(torch.utils.data.Dataset):
    """Ready batches, one per item."""

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return batch([2, 3], seed=index)


def run(model, folder, interval):
    hook = SelectionStatisticsHook(interval)
    runner = Runner(
        model,
        work_dir=str(folder),
        train_dataloader=DataLoader(Batches(), batch_size=None),
        train_cfg=dict(by_epoch=True, max_epochs=1),
        optim_wrapper=dict(optimizer=dict(type='SGD', lr=0.0)),
        custom_hooks=[hook],
        default_hooks=dict(sampler_seed=None),
        experiment_name=f'{folder.name}',
    )
    runner.train()
    return runner.message_hub.log_scalars


def test_scalars_reach_the_log_in_measured_steps(tmp_path):
    model = build()
    scalars = run(model, tmp_path, interval=2)
    stages = [name for name in scalars if 'selection' in name]
    assert sorted(stages) == sorted(
        f'train/selection/stride{stride}_{name}'
        for stride in (4, 8, 16)  # the last stage selects nothing
        for name in ('in_boxes', 'by_chance', 'entropy')
    )
    assert len(scalars['train/selection/stride4_in_boxes'].data[0]) == 2
    data = Batches()[3]
    _, selections = model.backbone.forward_with_selection(data['inputs'])
    boxes = [sample.gt_instances.bboxes for sample in data['data_samples']]
    expected = selection_statistics(selections[0], boxes, stride=4)['in_boxes']
    assert scalars['train/selection/stride4_in_boxes'].current() == pytest.approx(expected.item())
    assert scalars['train/selection/stride4_by_chance'].current() == pytest.approx(1 / 8)
    assert not any(stage._forward_hooks for stage in model.backbone.stages)


def test_model_that_does_not_select(tmp_path):
    model = build()
    model.backbone = DynamicVis(ARCH, img_size=64, reduction_ratios=None)
    scalars = run(model, tmp_path, interval=1)
    assert 'train/loss' in scalars
    assert not any('selection' in name for name in scalars)
    (log,) = tmp_path.glob('*/*.log')
    assert 'no stage of the DynamicVis backbone selects' in log.read_text()


def test_is_found_by_its_scope():
    from mmengine.registry import HOOKS

    with DefaultScope.overwrite_default_scope('mmdet'):
        hook = HOOKS.build(ConfigDict(type='mmdynamicvis.SelectionStatisticsHook', interval=7))
    assert hook.interval == 7

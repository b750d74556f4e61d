"""Training that is killed in the middle of an epoch and resumed, in real processes."""

from __future__ import annotations

import os
import pickle
import signal
import subprocess
import sys
import time
from itertools import islice
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler, InfiniteSampler
from mmengine.model import BaseModel
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Dataset

from mmdynamicvis.engine import (
    ExactResumeHook,
    ResumableInfiniteSampler,
    ResumableSampler,
    SeededDataset,
)
from mmdynamicvis.models.weights import load_weights

from ..pretraining import coco_makers, shard_makers
from ..pretraining.regions import ARCH, CHANNELS

CONFIG = 'configs/pretraining/mil_dynamicvis-tiny_1xb16-24e_nwpu-192px.py'
N_IMAGES, BATCH_SIZE, N_EPOCHS = 24, 2, 2


@pytest.mark.parametrize('world_size', [1, 3])
@pytest.mark.parametrize('batches_done', [0, 2, 4])
def test_sampler_goes_on_where_it_stopped(world_size, batches_done, monkeypatch):
    for rank in range(world_size):
        monkeypatch.setattr(
            'mmengine.dataset.sampler.get_dist_info', lambda r=rank: (r, world_size)
        )
        sampler = ResumableSampler(range(20), seed=3)
        sampler.set_progress(epoch=5, batches_done=0, batch_size=2)
        whole = list(sampler)
        sampler.set_progress(epoch=5, batches_done=batches_done, batch_size=2)
        assert list(sampler) == whole[2 * batches_done :]
        sampler.set_progress(epoch=6, batches_done=0, batch_size=2)
        assert list(sampler) != whole


def runner_with(sampler: object, loop: type = EpochBasedTrainLoop, **progress: int) -> object:
    loader = DataLoader(SeededDataset(range(10)), batch_size=2, sampler=sampler)
    train_loop = loop.__new__(loop)
    return SimpleNamespace(
        train_dataloader=loader, train_loop=train_loop, **{'iter': 0, 'epoch': 0, **progress}
    )


@pytest.mark.parametrize(
    ('loop', 'sampler', 'message'),
    [
        (EpochBasedTrainLoop, DefaultSampler, r'SeededDataset with DefaultSampler: use sampler='),
        (EpochBasedTrainLoop, InfiniteSampler, r'with InfiniteSampler: use .*ResumableSampler'),
        (IterBasedTrainLoop, InfiniteSampler, r'use .*mmdynamicvis.ResumableInfiniteSampler'),
        (EpochBasedTrainLoop, ResumableInfiniteSampler, r'use .*mmdynamicvis.ResumableSampler'),
        (EpochBasedTrainLoop, ResumableSampler, None),
        (IterBasedTrainLoop, ResumableSampler, None),
        (IterBasedTrainLoop, ResumableInfiniteSampler, None),
    ],
)
def test_data_that_cannot_begin_anywhere_is_refused(loop, sampler, message):
    runner = runner_with(sampler(range(10), seed=0), loop)
    if message is None:
        ExactResumeHook().before_train(runner)
        return
    with pytest.raises(TypeError, match=message):
        ExactResumeHook().before_train(runner)


def test_other_things_that_do_not_follow_from_the_step_are_refused():
    hook, runner = ExactResumeHook(), runner_with(ResumableSampler(range(10), seed=0))
    sampler = runner.train_dataloader.sampler
    runner.train_dataloader = DataLoader(range(10), batch_size=2, sampler=sampler)
    with pytest.raises(TypeError, match=r'range, whose augmentation .*SeededDataset'):
        hook.before_train(runner)

    # one that puts images of like shape together, as mmdet's
    class ByShape(BatchSampler):
        pass

    batches = ByShape(sampler, 2, False)
    runner.train_dataloader = DataLoader(SeededDataset(range(10)), batch_sampler=batches)
    with pytest.raises(TypeError, match=r'with ByShape, .* leave batch_sampler out'):
        hook.before_train(runner)
    runner = runner_with(ResumableInfiniteSampler(range(10), seed=0), IterBasedTrainLoop)
    runner.train_loop.fast_forward_on_resume = True
    with pytest.raises(TypeError, match='fast_forward_on_resume=False'):
        hook.before_train(runner)


def test_checkpoint_of_another_epoch_length_is_refused():
    sampler = ResumableSampler(range(10), shuffle=False)
    runner = runner_with(sampler, epoch=3, iter=18)
    ExactResumeHook().before_train_epoch(runner)
    assert list(sampler) == [6, 7, 8, 9]  # 18 = 3 x 5 + 3 steps
    with pytest.raises(RuntimeError, match=r'epoch 3, step 21, .* 5 steps per epoch'):
        ExactResumeHook().before_train_epoch(runner_with(sampler, epoch=3, iter=21))


def test_infinite_sampler_tells_the_pass(monkeypatch):
    drawn = []
    for rank in range(2):
        monkeypatch.setattr('mmengine.dataset.sampler.get_dist_info', lambda r=rank: (r, 2))
        sampler = ResumableInfiniteSampler(range(5), seed=3)
        drawn.append(list(islice(sampler, 10)))
        other = InfiniteSampler(range(5), seed=3)
        assert drawn[-1] == list(islice(other, 10))
    in_order = [index for pair in zip(*drawn, strict=True) for index in pair]
    assert [index.epoch for index in in_order] == [n // 5 for n in range(20)]
    in_loader = pickle.loads(pickle.dumps(in_order))
    assert [(index, index.epoch) for index in in_loader] == [(i, i.epoch) for i in in_order]


class Noisy(Dataset):
    """Samples that are augmented at random."""

    metainfo = {}

    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> dict:
        return dict(inputs=torch.rand(3) + index, target=torch.tensor([float(index)]))


class Dropped(BaseModel):
    """A model that draws random numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 1)

    def forward(self, inputs: torch.Tensor, target: torch.Tensor, mode: str) -> dict:
        y = self.fc(nn.functional.dropout(inputs, 0.5, self.training))
        return dict(loss=(y - target).square().mean())


EPOCHS, ITERATIONS = dict(by_epoch=True, max_epochs=3), dict(by_epoch=False, max_iters=15)


def train_here(folder: Path, train_cfg: dict, resume: Path | None = None, **changes: int) -> Path:
    """Train; a checkpoint is saved after each step but the last. Return the last."""
    sampler = 'ResumableSampler' if train_cfg['by_epoch'] else 'ResumableInfiniteSampler'
    torch.manual_seed(0)
    optim_wrapper = dict(
        optimizer=dict(type='AdamW', lr=0.1),
        accumulative_counts=changes.get('accumulative_counts', 1),
    )
    Runner(
        model=Dropped(),
        work_dir=str(folder),
        train_dataloader=dict(
            batch_size=changes.get('batch_size', 2),
            num_workers=0,
            sampler=dict(type=f'mmdynamicvis.{sampler}', shuffle=True),
            dataset=dict(type='mmdynamicvis.SeededDataset', dataset=Noisy()),
            collate_fn=dict(type='default_collate'),
        ),
        train_cfg=dict(train_cfg),
        optim_wrapper=optim_wrapper,
        default_hooks=dict(
            checkpoint=dict(type='CheckpointHook', by_epoch=False, interval=1, save_last=True)
        ),
        custom_hooks=[dict(type='mmdynamicvis.ExactResumeHook')],
        randomness=dict(seed=0),
        experiment_name=f'{folder.parent.name}-{folder.name}',
        log_level='ERROR',
        load_from=None if resume is None else str(resume),
        resume=resume is not None,
        cfg=dict(optim_wrapper=optim_wrapper),
    ).train()
    return folder / 'iter_15.pth'


@pytest.mark.parametrize('accumulative_counts', [1, 4])
@pytest.mark.parametrize('train_cfg', [EPOCHS, ITERATIONS], ids=['epochs', 'iterations'])
def test_resumed_training_ends_with_the_same_weights(tmp_path, train_cfg, accumulative_counts):
    options = dict(accumulative_counts=accumulative_counts)
    whole = load_weights(train_here(tmp_path / 'whole', train_cfg, **options))
    for step in (3, 5, 10, 13):  # in an epoch and at its end, in an accumulation and not
        start = tmp_path / f'whole/iter_{step}.pth'
        resumed = load_weights(train_here(tmp_path / f'from_{step}', train_cfg, start, **options))
        assert all(torch.equal(resumed[name], value) for name, value in whole.items()), step


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        (dict(batch_size=5), r'batch size is 5, was 2; steps per epoch is 2, was 5'),
        (dict(accumulative_counts=2), r'accumulative_counts is 2, was 1'),
    ],
)
@pytest.mark.parametrize('train_cfg', [EPOCHS, ITERATIONS], ids=['epochs', 'iterations'])
def test_training_with_other_settings_is_refused(tmp_path, train_cfg, changes, message):
    train_here(tmp_path / 'whole', train_cfg)
    if not train_cfg['by_epoch']:
        message = message.replace('; steps per epoch is 2, was 5', '')
    with pytest.raises(RuntimeError, match=message):
        train_here(tmp_path / 'other', train_cfg, tmp_path / 'whole/iter_5.pth', **changes)


def test_checkpoints_of_several_processes(tmp_path, monkeypatch):
    train_here(tmp_path / 'whole', EPOCHS, accumulative_counts=4)
    monkeypatch.setattr('mmdynamicvis.engine.exact_resume.get_world_size', lambda: 2)
    with pytest.raises(RuntimeError, match='number of processes is 2, was 1'):
        train_here(tmp_path / 'a', EPOCHS, tmp_path / 'whole/iter_4.pth', accumulative_counts=4)
    train_here(tmp_path / 'two', EPOCHS, accumulative_counts=4)
    train_here(tmp_path / 'b', EPOCHS, tmp_path / 'two/iter_8.pth', accumulative_counts=4)
    with pytest.raises(RuntimeError, match=r'step 6 lies within an accumulation'):
        train_here(tmp_path / 'c', EPOCHS, tmp_path / 'two/iter_6.pth', accumulative_counts=4)


def write_config(checkout: Path, folder: Path, data: str, n_workers: int) -> Path:
    """Write a config of a small model that draws random numbers wherever it can."""
    cfg = Config.fromfile(checkout / CONFIG)
    cfg.merge_from_dict(
        {
            'model.backbone.img_size': 64,
            'model.backbone.drop_path_rate': 0.2,
            'model.neck.in_channels': list(ARCH['embed_dims']),
            'model.neck.out_channels': CHANNELS,
            'model.roi_extractor.out_channels': CHANNELS,
            'model.roi_extractor.pre_cfg.in_channels': CHANNELS,
            'model.roi_extractor.pre_cfg.out_channels': CHANNELS,
            'model.roi_extractor.post_cfg.in_channels': CHANNELS,
            'model.head.in_channels': CHANNELS,
            'train_dataloader.batch_size': BATCH_SIZE,
            'train_dataloader.num_workers': n_workers,
            'train_cfg.max_epochs': N_EPOCHS,
            # within an epoch, and never at its end
            'default_hooks.checkpoint': dict(
                type='CheckpointHook', by_epoch=False, interval=7, save_last=True
            ),
            'default_hooks.logger.interval': 1,
            'val_cfg': None,
            'val_dataloader': None,
            'val_evaluator': None,
        },
    )
    cfg.model.backbone.arch = ARCH
    if data == 'coco':
        cfg.model.head.classes = coco_makers.CLASSES
        coco_makers.write_coco(folder / 'data', coco_makers.content(N_IMAGES))
        cfg.train_dataloader.dataset.update(
            data_root=str(folder / 'data'),
            ann_file='annotations.json',
            metainfo=dict(classes=coco_makers.CLASSES),
        )
    else:
        cfg.model.head.classes = shard_makers.CLASSES
        shard_makers.write_shards(folder / 'data', counts=(10, 8, 6), size=(64, 64))
        pipeline = cfg.train_dataloader.dataset.pipeline[1:]
        cfg.train_dataloader.sampler = None
        cfg.train_dataloader.dataset = dict(
            type='mmdynamicvis.RegionStream',
            shards=str(folder / 'data'),
            pipeline=pipeline,
            shuffle_buffer=5,
        )
    cfg.dump(folder / 'config.py')
    return folder / 'config.py'


def command(checkout: Path, config: Path, work_dir: Path) -> list[str | Path]:
    tool = checkout / 'tools/train.py'
    return [sys.executable, tool, config, '--work-dir', work_dir, '--resume']


def train(checkout: Path, config: Path, work_dir: Path) -> dict[str, torch.Tensor]:
    done = subprocess.run(
        command(checkout, config, work_dir), capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    return load_weights(work_dir / f'iter_{N_EPOCHS * N_IMAGES // BATCH_SIZE}.pth')


def train_until_killed(checkout: Path, config: Path, work_dir: Path) -> None:
    """Kill the training, workers and all, when it has gone on from its first checkpoint."""
    process = subprocess.Popen(
        command(checkout, config, work_dir),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 240
    while not (work_dir / 'last_checkpoint').exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.killpg(process.pid, signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert (work_dir / 'last_checkpoint').exists()


@pytest.mark.exhaustive
@pytest.mark.parametrize(('data', 'n_workers'), [('coco', 0), ('stream', 2)])
def test_killed_training_ends_with_the_same_weights(tmp_path, checkout, data, n_workers):
    config = write_config(checkout, tmp_path, data, n_workers)
    expected = train(checkout, config, tmp_path / 'whole')
    train_until_killed(checkout, config, tmp_path / 'killed')
    weights = train(checkout, config, tmp_path / 'killed')
    log = '\n'.join(path.read_text() for path in (tmp_path / 'killed').glob('*/*.log'))
    assert 'resumed epoch: 0, iter: 7' in log
    assert weights.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.equal(weights[name], value), name

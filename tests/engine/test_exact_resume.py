"""Training that is killed in the middle of an epoch and resumed, in real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import DefaultSampler
from torch.utils.data import DataLoader

from mmdynamicvis.engine import ExactResumeHook, ResumableSampler
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


def runner_with(sampler: object, **progress: int) -> SimpleNamespace:
    loader = DataLoader(range(10), batch_size=2, sampler=sampler)
    return SimpleNamespace(train_dataloader=loader, **progress)


def test_data_that_cannot_begin_anywhere_is_refused():
    with pytest.raises(TypeError, match=r'cannot resume range with DefaultSampler: use sampler='):
        ExactResumeHook().before_train(runner_with(DefaultSampler(range(10), seed=0)))
    ExactResumeHook().before_train(runner_with(ResumableSampler(range(10), seed=0)))


def test_checkpoint_of_another_epoch_length_is_refused():
    sampler = ResumableSampler(range(10), shuffle=False)
    runner = runner_with(sampler, epoch=3, iter=18)
    ExactResumeHook().before_train_epoch(runner)
    assert list(sampler) == [6, 7, 8, 9]  # 18 = 3 x 5 + 3 steps
    with pytest.raises(RuntimeError, match=r'epoch 3, step 21, .* 5 steps per epoch'):
        ExactResumeHook().before_train_epoch(runner_with(sampler, epoch=3, iter=21))


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


@pytest.mark.slow
@pytest.mark.parametrize(
    ('data', 'n_workers'),
    [('coco', 0), pytest.param('stream', 2, marks=pytest.mark.exhaustive)],
)
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

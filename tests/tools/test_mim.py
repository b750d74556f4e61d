"""The command lines of the README, as real mim processes on tiny data."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from uuid import uuid4

import pytest
import torch
from mmengine.runner.checkpoint import CheckpointLoader

from mmdynamicvis.classification import AID

from ..classification.makers import write_scenes

# One worker: mim refuses two files of one name below the checkout, and these write some for a while
pytestmark = [pytest.mark.slow, pytest.mark.xdist_group('mim')]
CONFIG = 'dynamicvis_tiny_1xb32-10e_aid150-128px.py'


@pytest.fixture(scope='module')
def data_root(tmp_path_factory):
    root = tmp_path_factory.mktemp('data') / 'aid'
    return write_scenes(root, AID.METAINFO['classes'], per_class=1)


@pytest.fixture(scope='module')
def work_dir(checkout):
    """Below the checkout, where mim looks for configs by name and finds what a run dumps."""
    folder = checkout / 'work_dirs' / f'test-{uuid4().hex}'
    folder.mkdir(parents=True)  # not every test writes to it
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def mim(checkout, data_root):
    def run(command, *arguments, options=(), fails=False):
        command = [sys.executable, '-m', 'mim', command, 'mmdynamicvis', CONFIG, *arguments]
        loaders = [f'{x}_dataloader.num_workers=0' for x in ('train', 'val', 'test')]
        command += ['--cfg-options', f'data_root={data_root}', *loaders, *options]
        env = dict(os.environ, PATH=f'{Path(sys.executable).parent}:{os.environ["PATH"]}')
        done = subprocess.run(
            list(map(str, command)), cwd=checkout, env=env, capture_output=True, text=True
        )
        output = done.stdout + done.stderr
        assert (done.returncode != 0) == fails, output[-3000:]
        return output

    return run


def last_log(work_dir):
    return max(work_dir.glob('*/*.log')).read_text()


def test_train_resume_test(mim, work_dir, tmp_path):
    mim('train', '--work-dir', work_dir, options=['train_cfg.max_epochs=2'])
    checkpoint = work_dir / 'epoch_2.pth'
    assert checkpoint.is_file()
    assert not (work_dir / CONFIG).exists()
    assert (work_dir / CONFIG.replace('.py', '.dump.py')).is_file()

    # A second run by the same name, from the same checkout: the dumped config is not in the way.
    mim('train', '--work-dir', work_dir, '--resume', options=['train_cfg.max_epochs=3'])
    log = last_log(work_dir)
    assert re.search(r'resumed epoch: 2', log)
    assert re.search(r'Epoch\(train\)\s+\[3\]', log)
    assert (work_dir / 'epoch_3.pth').is_file()

    out = tmp_path / 'metrics.json'
    arguments = ('--checkpoint', checkpoint, '--work-dir', work_dir, '--out', out)
    mim('test', *arguments, '--out-item', 'metrics')
    metrics = json.loads(out.read_text())
    assert {'accuracy/top1', 'single-label/f1-score'} <= metrics.keys()
    assert 0 <= metrics['accuracy/top1'] <= 100
    assert re.search(r'DynamicVis: loaded (\d+) of \1 tensors', last_log(work_dir))

    mim('test', '--checkpoint', checkpoint, '--work-dir', work_dir, '--tta')


@pytest.mark.exhaustive
def test_gridsearch(mim, work_dir):
    prefix = work_dir / 'grid'
    search = '--optim_wrapper.optimizer.lr 1e-3 4e-4'
    options = ['train_cfg.max_epochs=1', 'param_scheduler=None']
    mim('gridsearch', '--work-dir', prefix, '--search-args', search, options=options)
    folders = sorted(folder.name for folder in work_dir.glob('grid_search_*'))
    assert len(folders) == 2
    for folder, rate in zip(folders, ('0.0004', '0.001'), strict=True):
        assert folder.endswith(rate)
        assert re.search(rf'lr={rate}\b', last_log(work_dir / folder))


@pytest.mark.exhaustive
def test_two_processes(mim, work_dir):
    folder = work_dir / 'two'
    launch = ('--launcher', 'pytorch', '--gpus', 2)
    options = ['train_cfg.max_epochs=1', 'train_dataloader.batch_size=8', 'param_scheduler=None']
    mim('train', '--work-dir', folder, *launch, options=options)
    assert 'Distributed launcher: pytorch' in last_log(folder)
    # 30 images over 2 processes of 8 images each: 2 iterations
    checkpoint = CheckpointLoader.load_checkpoint(str(folder / 'epoch_1.pth'), map_location='cpu')
    assert checkpoint['meta']['iter'] == 2


@pytest.mark.exhaustive
def test_mixed_precision_needs_a_gpu(mim, work_dir):
    if torch.cuda.is_available():
        pytest.skip('a GPU is here')
    output = mim('train', '--work-dir', work_dir / 'amp', '--amp', fails=True)
    assert 'needs a GPU' in output


def test_unknown_config(checkout):
    command = [sys.executable, str(checkout / 'tools/train.py'), 'none.py']
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode != 0
    assert 'none.py does not exist' in done.stderr

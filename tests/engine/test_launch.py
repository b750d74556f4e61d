"""What the launchers make of a command line, and where mmcv lacks its compiled ops."""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from mmengine.config import Config
from running import run_tool

from mmdynamicvis.engine import launch


@pytest.fixture(autouse=True)
def mmcv_without_ops(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(launch, 'find_spec', lambda name: None)


@pytest.fixture
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A checkout whose environment `make demo` has built."""
    (tmp_path / 'light').touch()
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    monkeypatch.setattr(launch, '_CHECKOUT', tmp_path)
    return tmp_path


def test_classification_needs_none() -> None:
    launch.require_compiled_ops('mmpretrain')


def test_ops_are_compiled_in_the_environment_of_the_checkout(
    own_environment: Path, capfd: pytest.CaptureFixture
) -> None:
    (own_environment / 'Makefile').write_text('ops:\n\ttouch compiled\n')
    launch.require_compiled_ops('mmdet')
    assert (own_environment / 'compiled').exists()
    assert '10 to 15 minutes' in capfd.readouterr().out


def test_compilation_that_fails_is_an_error(own_environment: Path) -> None:
    (own_environment / 'Makefile').write_text('ops:\n\tfalse\n')
    with pytest.raises(RuntimeError, match='`make ops` could not compile'):
        launch.require_compiled_ops('mmseg')


def test_environments_of_users_are_left_alone(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sys, 'prefix', str(tmp_path))
    with pytest.raises(RuntimeError, match='MMCV_WITH_OPS=1'):
        launch.require_compiled_ops('mmrotate')


def test_a_training_is_not_resumed_from_weights_alone(checkout: Path, tmp_path: Path) -> None:
    torch.save(dict(state_dict=dict(a=torch.zeros(1))), tmp_path / 'w.pth')
    config = checkout / 'configs/classification/dynamicvis_tiny_1xb32-10e_aid150-128px.py'
    options = '--work-dir', tmp_path / 'work', '--resume', tmp_path / 'w.pth'
    done = run_tool(checkout / 'tools/train.py', config, *options)
    assert done.returncode == 1
    assert 'w.pth cannot be resumed from: it holds weights alone' in done.stderr
    assert not (tmp_path / 'work').exists()


def load(config: Path, *arguments: str) -> Config:
    parser = argparse.ArgumentParser()
    launch.add_common_arguments(parser)
    return launch.load_config(parser.parse_args([str(config), *arguments]))


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / 'config.py'
    path.write_text(
        "data_root = 'data/x'\n"
        'model = dict(init_cfg=dict(checkpoint=None))\n'
        'load_from = None\n'
        'train_dataloader = dict(batch_size=2, dataset=dict(\n'
        "    data_root=data_root, ann_file='a.json', data_prefix=dict(img=data_root + '/imgs')))\n"
        "steps = [data_root, ('data/xy', 3)]\n"
    )
    return path


def test_a_file_that_is_no_config(tmp_path: Path) -> None:
    (tmp_path / 'epoch_12.pth').touch()
    with pytest.raises(ValueError, match=r'epoch_12\.pth is no config file .* in the wrong order'):
        load(tmp_path / 'epoch_12.pth')
    with pytest.raises(FileNotFoundError, match=r'by its bare name through mim'):
        load(tmp_path / 'none.py')


@pytest.mark.parametrize('root', ['2024', '1e3', 'tiles,2020', 'my data', 'True', "d'or", '.'])
def test_paths_stay_the_text_that_they_are(config: Path, root: str) -> None:
    keys = ['load_from', 'model.init_cfg.checkpoint', 'train_dataloader.dataset.ann_file']
    options = [f'{key}={root}' for key in ('data_root', 'work_dir', *keys)]
    cfg = load(config, '--cfg-options', *options, 'train_dataloader.batch_size=4')
    dataset = cfg.train_dataloader.dataset
    assert cfg.data_root == cfg.work_dir == cfg.load_from == root
    assert cfg.model.init_cfg.checkpoint == dataset.ann_file == root
    assert (dataset.data_root, dataset.data_prefix.img) == (root, f'{root}/imgs')
    assert list(cfg.steps) == [root, ('data/xy', 3)]
    assert cfg.train_dataloader.batch_size == 4


def test_other_options_are_read_as_mmengine_reads_them(config: Path) -> None:
    options = ['load_from=None', 'ann_file=[a.json,b.json]', 'size=1,2', 'data_prefix.img=7']
    cfg = load(config, '--cfg-options', *options)
    assert (cfg.load_from, cfg.ann_file, cfg.size) == (None, ['a.json', 'b.json'], [1, 2])
    assert cfg.data_prefix.img == '7'


@pytest.mark.parametrize(
    ('options', 'told'),
    [
        (['trian_cfg.max_epochs=3', 'steps=1', 'work_dir=w'], ['steps, trian_cfg']),
        (['train_cfg.max_epochs=3', 'data_root=x', 'load_from=y', 'tta_model.type=z'], []),
    ],
)
def test_options_without_effect_are_told(
    config: Path, options: list[str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = []
    monkeypatch.setattr(launch, 'print_log', lambda message, *_: said.append(message))
    load(config, '--cfg-options', *options)
    assert [text.split(', which')[0].removeprefix('--cfg-options has ') for text in said] == told


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        (['data_root=my', 'data'], "takes KEY=VALUE pairs, got 'data'; quote a value with spaces"),
        (['size=[1,(2]'], 'Imbalanced brackets'),
    ],
)
def test_options_that_cannot_be_read(
    config: Path, options: list[str], message: str, capsys: pytest.CaptureFixture
) -> None:
    with pytest.raises(SystemExit):
        load(config, '--cfg-options', *options)
    assert message in capsys.readouterr().err


def test_the_checkpoint_to_resume_from(tmp_path: Path) -> None:
    first, copy = tmp_path / 'first', tmp_path / 'copy'
    first.mkdir()
    assert launch.latest_checkpoint(str(first)) is None
    (first / 'epoch_1.pth').touch()
    (first / 'last_checkpoint').write_text(f'{first}/epoch_1.pth')
    assert launch.latest_checkpoint(str(first)) == f'{first}/epoch_1.pth'
    shutil.copytree(first, copy)
    message = f'names {first}/epoch_1.pth, of another folder, .* --resume {copy}/epoch_1.pth, or'
    with pytest.raises(ValueError, match=message):
        launch.latest_checkpoint(str(copy))
    (first / 'epoch_1.pth').unlink()
    with pytest.raises(ValueError, match=message):
        launch.latest_checkpoint(str(copy))


@pytest.mark.parametrize('root', ['', 'None'])
def test_data_root_that_is_none(config: Path, root: str) -> None:
    with pytest.raises(ValueError, match=r'data_root is .*: give a folder'):
        load(config, '--cfg-options', f'data_root={root}')


def test_home_is_expanded_everywhere(
    config: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('HOME', str(tmp_path))
    options = ['data_root=~/x', 'load_from=~/w.pth', 'note=~about']
    cfg = load(config, '--work-dir=~/w', '--cfg-options', *options)
    built = []
    runner = SimpleNamespace(register_hook=lambda hook: None)
    monkeypatch.setattr(launch.Runner, 'from_cfg', lambda cfg: built.append(cfg) or runner)
    launch.build_runner(cfg)
    (cfg,) = built
    assert (cfg.work_dir, cfg.data_root) == (f'{tmp_path}/w', f'{tmp_path}/x')
    assert cfg.train_dataloader.dataset.data_prefix.img == f'{tmp_path}/x/imgs'
    assert cfg.load_from == f'{tmp_path}/w.pth'
    assert cfg.note == '~about'


def test_a_config_read_by_a_program_has_no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = SimpleNamespace(register_hook=lambda hook: None)
    monkeypatch.setattr(launch, 'get_device', lambda: 'cpu')
    monkeypatch.setattr(launch.Runner, 'from_cfg', lambda cfg: runner)
    assert launch.build_runner(Config(dict(default_scope='mmpretrain'))) is runner

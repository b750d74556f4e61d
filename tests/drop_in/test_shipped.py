"""Configs that the hosts ship, with DynamicVis as their backbone; the whole is a table.

`tools/dev/sweep_shipped.py` tries every config and writes the table.
"""

from __future__ import annotations

import csv
import sys
from fnmatch import fnmatch
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest
from mmengine.config import Config

from .exceptions import UNFIT, Unfit
from .shipped import Shipped, Trial, all_shipped, described, installed_hosts
from .swaps import CHANNELS, is_candidate, swap

SAMPLE = (
    'mmdet/atss/atss_r50_fpn_1x_coco.py',
    'mmdet/deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'mmdet/queryinst/queryinst_r50_fpn_1x_coco.py',
    'mmrotate/roi_trans/roi-trans-le90_r50_fpn_1x_dota.py',
    'mmseg/deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py',
    'mmseg/segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'mmseg/vpd/vpd_sd_4xb8-25k_nyu-512x512.py',
    'mmpretrain/convnext/convnext-tiny_32xb128_in1k.py',
    'mmpretrain/swin_transformer/swin-tiny_16xb64_in1k.py',
    'opencd/stanet/stanet_bam_256x256_40k_levircd.py',
)
"""Some of each host, of methods that the other tests of this folder do not try."""


def params(names: tuple[str, ...]) -> list:
    return [
        pytest.param(name, marks=pytest.mark.opencd if name.startswith('opencd/') else ())
        for name in names
    ]


@pytest.mark.parametrize('name', params(SAMPLE))
def test_config_trains(name: str) -> None:
    shipped = Shipped(*name.split('/', 1))
    if shipped.host not in installed_hosts():
        pytest.skip(f'{shipped.host} is not installed with its configs')
    trial = Trial(shipped)
    assert trial.is_candidate
    trial.train()


@pytest.fixture
def sweep(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(checkout / 'tools/dev')
    return import_module('sweep_shipped')


def test_table_has_every_config_and_nothing_unexplained(sweep: ModuleType) -> None:
    written = sweep.table_versions(sweep.TABLE)
    here = sweep.installed_versions()
    here.pop('opencd', None)  # a clone, whose configs change while its version does not
    hosts = [host for host in here if written.get(host) == here[host]]
    if not hosts:
        pytest.skip(f'the table is of {written}, here are {here}')
    table = sweep.read(sweep.TABLE)
    rows = [row for row in table if row.config.split('/')[0] in hosts]
    shipped = sorted(str(shipped) for shipped in all_shipped() if shipped.host in hosts)
    assert [row.config for row in rows] == shipped
    reasons = {unfit.reason for unfit in UNFIT}
    assert [r for r in table if r.verdict == sweep.FAILS and r.reason not in reasons] == []


def test_no_exception_is_wider_than_what_fails(sweep: ModuleType) -> None:
    trained = [r.config for r in sweep.read(sweep.TABLE) if r.verdict == sweep.TRAINS]
    patterns = [pattern for unfit in UNFIT for pattern in unfit.patterns]
    assert [(name, p) for p in patterns for name in trained if fnmatch(name, p)] == []


def test_a_known_reason_does_not_explain_another_error(sweep: ModuleType) -> None:
    shipped = Shipped('mmdet', 'ssd/ssd300_coco.py')
    assert sweep.explained(shipped, 'AssertionError: (necks/ssd_neck.py:54)') is not None
    assert sweep.explained(shipped, 'ValueError: (models/dynamicvis.py:54)') is None


@pytest.mark.parametrize(
    ('head', 'times'), [('mmseg.SegformerHead', 2), ('STAHead', 1)], ids=['of mmseg', 'of open-cd']
)
def test_head_after_concatenated_pairs(head: str, times: int) -> None:
    model = dict(
        type='SiamEncoderDecoder',
        pretrained='some://weights',
        backbone=dict(type='mmseg.ResNetV1c', out_indices=(0, 1, 2, 3)),
        neck=dict(type='FeatureFusionNeck', policy='concat'),
        decode_head=dict(type=head, in_channels=[64, 128, 256, 512], in_index=[0, 1, 2, 3]),
    )
    cfg = Config(dict(model=model))
    assert is_candidate('opencd', cfg)
    swap('opencd', cfg)
    assert cfg.model.decode_head.in_channels == [times * channels for channels in CHANNELS]
    assert 'pretrained' not in cfg.model


def test_backbone_of_pairs_is_no_candidate() -> None:
    head = dict(type='Changer', in_channels=[64, 128, 256, 512], in_index=[0, 1, 2, 3])
    model = dict(type='DIEncoderDecoder', backbone=dict(type='IA_ResNetV1c'), decode_head=head)
    assert not is_candidate('opencd', Config(dict(model=model)))


@pytest.mark.exhaustive
def test_a_worker_that_dies_or_hangs_is_replaced(
    sweep: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / 'dies.py').write_text('import os\nos._exit(1)\n')
    (tmp_path / 'hangs.py').write_text('import time\ntime.sleep(600)\n')
    worker = sweep.Worker()

    def attempt(name: str) -> tuple[str, str]:
        return worker.attempt(sweep.Shipped('mmseg', str(tmp_path / name)), {})[1:3]

    assert attempt('dies.py') == (sweep.FAILS, 'the process died')
    with monkeypatch.context() as patch:
        patch.setattr(sweep, 'LIMIT', 1)
        assert attempt('hangs.py') == (sweep.FAILS, 'no step within 1 s')
    verdict, reason = attempt('no_such.py')
    assert verdict == sweep.FAILS
    assert 'no_such.py' in reason


@pytest.mark.exhaustive
def test_a_stopped_sweep_goes_on(
    sweep: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    table = tmp_path / 'table.csv'
    done = 'mmseg/unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py'
    sweep.write(table, [sweep.Row(done, sweep.TRAINS, '', 'abc')])
    with table.open('a') as file:
        file.write('mmseg/unet/unet_s5-d16_deepl')  # killed while it wrote
    # the tool's own class: its worker does not know the one of this package's name
    others = [sweep.Shipped('mmseg', path) for path in (done.split('/', 1)[1], 'unet/no_such.py')]
    monkeypatch.setattr(sweep, 'all_shipped', lambda: others)
    monkeypatch.setattr(sys, 'argv', ['sweep', '--out', str(table)])
    sweep.main()
    new, old = list(csv.reader(table.read_text().splitlines()[2:]))
    assert new[:2] == ['mmseg/unet/no_such.py', sweep.FAILS]
    assert 'FileNotFoundError' in new[2]
    assert old[:2] == [done, sweep.TRAINS]
    assert '1 of 1' in capsys.readouterr().out


def patterns_here(unfit: Unfit) -> list[str]:
    """Those of the hosts that are installed."""
    return [pattern for pattern in unfit.patterns if pattern.split('/')[0] in installed_hosts()]


def test_all_exceptions_are_shipped() -> None:
    names = [str(shipped) for shipped in all_shipped()]
    patterns = [pattern for unfit in UNFIT for pattern in patterns_here(unfit)]
    assert [p for p in patterns if not any(fnmatch(name, p) for name in names)] == []


def examples(unfit: Unfit) -> list[Shipped]:
    """The first config of each pattern."""
    every = all_shipped()
    return [next(s for s in every if fnmatch(str(s), p)) for p in patterns_here(unfit)]


@pytest.mark.exhaustive
@pytest.mark.parametrize('unfit', UNFIT, ids=lambda unfit: unfit.patterns[0])
def test_exception_is_real(unfit: Unfit) -> None:
    assert (unfit.error is None) != (unfit.shown is None)
    for shipped in examples(unfit):
        if unfit.shown is not None:
            assert unfit.shown(shipped.load().model), shipped
            continue
        # with its own backbone, too, where the cause is said to be elsewhere
        for own in (False, True) if unfit.anyway else (False,):
            with pytest.raises(Exception) as raised:
                Trial(shipped, own=own).train()
            assert unfit.error in described(raised.value), (shipped, own)

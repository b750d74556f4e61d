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

from .exceptions import UNFIT, Unfit
from .shipped import Shipped, Trial, all_shipped

SAMPLE = (
    'mmdet/atss/atss_r50_fpn_1x_coco.py',
    'mmdet/deformable_detr/deformable-detr_r50_16xb2-50e_coco.py',
    'mmdet/queryinst/queryinst_r50_fpn_1x_coco.py',
    'mmrotate/roi_trans/roi-trans-le90_r50_fpn_1x_dota.py',
    'mmseg/deeplabv3plus/deeplabv3plus_r50-d8_4xb2-40k_cityscapes-512x1024.py',
    'mmseg/segformer/segformer_mit-b0_8xb2-160k_ade20k-512x512.py',
    'mmpretrain/convnext/convnext-tiny_32xb128_in1k.py',
    'mmpretrain/swin_transformer/swin-tiny_16xb64_in1k.py',
)
"""Two or three of each host, of methods that the other tests of this folder do not try."""


@pytest.mark.parametrize('name', SAMPLE)
def test_config_trains(name: str) -> None:
    trial = Trial(Shipped(*name.split('/', 1)))
    assert trial.is_candidate
    trial.train()


@pytest.fixture
def sweep(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(checkout / 'tools/dev')
    return import_module('sweep_shipped')


def test_table_has_every_config_and_nothing_unexplained(sweep: ModuleType) -> None:
    if sweep.TABLE.read_text().split('\n')[0] != sweep.header():
        pytest.skip(f'the table is of other versions than {sweep.header()}')
    rows = sweep.read(sweep.TABLE)
    assert [row.config for row in rows] == sorted(map(str, all_shipped()))
    reasons = {unfit.reason for unfit in UNFIT}
    assert [r for r in rows if r.verdict == sweep.FAILS and r.reason not in reasons] == []


@pytest.mark.slow
def test_a_stopped_sweep_goes_on(
    sweep: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys
) -> None:
    table = tmp_path / 'table.csv'
    done = 'mmseg/unet/unet-s5-d16_fcn_4xb4-160k_cityscapes-512x1024.py'
    sweep.write(table, [sweep.Row(done, sweep.TRAINS, '', 'abc')])
    with table.open('a') as file:
        file.write('mmseg/unet/unet_s5-d16_deepl')  # killed while it wrote
    others = [Shipped('mmseg', done.split('/', 1)[1]), Shipped('mmseg', 'unet/no_such.py')]
    monkeypatch.setattr(sweep, 'all_shipped', lambda: others)
    monkeypatch.setattr(sys, 'argv', ['sweep', '--out', str(table)])
    sweep.main()
    assert [row[:2] for row in csv.reader(table.read_text().splitlines()[2:])] == [
        ['mmseg/unet/no_such.py', sweep.FAILS],
        [done, sweep.TRAINS],
    ]
    assert '1 of 1' in capsys.readouterr().out


def test_all_exceptions_are_shipped() -> None:
    names = [str(shipped) for shipped in all_shipped()]
    patterns = [pattern for unfit in UNFIT for pattern in unfit.patterns]
    assert [p for p in patterns if not any(fnmatch(name, p) for name in names)] == []


def examples(unfit: Unfit) -> list[Shipped]:
    """The first config of each pattern."""
    every = all_shipped()
    return [next(s for s in every if fnmatch(str(s), pattern)) for pattern in unfit.patterns]


@pytest.mark.exhaustive
@pytest.mark.parametrize('unfit', UNFIT, ids=lambda unfit: unfit.patterns[0])
def test_exception_is_real(unfit: Unfit) -> None:
    assert (unfit.error is None) != (unfit.shown is None)
    for shipped in examples(unfit):
        if unfit.shown is not None:
            assert unfit.shown(shipped.load().model), shipped
            continue
        with pytest.raises(Exception) as raised:
            Trial(shipped).train()
        assert unfit.error in repr(raised.value), shipped

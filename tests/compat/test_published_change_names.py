"""Published necks of change detection take published arguments and weights."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from mmdynamicvis.compat.change_detection import (
    DualInputsFPN,
    DualInputsSimpleFusionNeck,
    UNetDecodeNeck,
)


def pyramid(*sizes: int, channels: int = 4) -> list[torch.Tensor]:
    return [torch.randn(2, channels, size, size) for size in sizes]


def test_fusion_takes_published_weights_and_gives_their_maps():
    published = nn.ModuleDict(
        {
            f'layer{i}': nn.Sequential(nn.Conv2d(8, 4, 1), nn.BatchNorm2d(4), nn.ReLU())
            for i in range(2)
        }
    ).eval()
    neck = DualInputsSimpleFusionNeck(in_channels=[4, 4], return_tuple=True).eval()
    neck.load_state_dict(published.state_dict(), strict=True)
    first, second = pyramid(8, 4), pyramid(8, 4)
    (maps,) = neck(first, second)
    for i, level in enumerate(maps):
        expected = published[f'layer{i}'](torch.cat([first[i], second[i]], 1))
        torch.testing.assert_close(level, expected)
    again = DualInputsSimpleFusionNeck(in_channels=[4, 4])
    again.load_state_dict(neck.state_dict(), strict=True)


def test_levels_of_different_channels_are_an_error():
    with pytest.raises(ValueError, match=r'in_channels is \[4, 8\]'):
        DualInputsSimpleFusionNeck(in_channels=[4, 8])


def test_pyramid_of_each_date():
    neck = DualInputsFPN(in_channels=[4, 4], out_channels=4, num_outs=3)
    first, second = pyramid(8, 4), pyramid(8, 4)
    of_first, of_second = neck(first, second)
    assert [x.shape[-1] for x in of_first] == [8, 4, 2]
    swapped, _ = neck(second, first)
    torch.testing.assert_close(swapped, of_second)


def test_decoder_returns_the_coarsest_map_first_under_published_names():
    neck = UNetDecodeNeck(in_channels=[4, 4, 4], dec_num_convs=(2, 2), dec_dilations=(1, 1))
    assert [x.shape[-1] for x in neck(pyramid(8, 4, 2))] == [2, 4, 8]
    assert {
        'decoder.0.conv_block.convs.1.conv.weight',
        'decoder.0.upsample.interp_upsample.1.conv.weight',
    } <= neck.state_dict().keys()


@pytest.mark.parametrize(
    'options',
    [dict(dec_dilations=(1, 2)), dict(dec_num_convs=(2, 3)), dict(with_cp=True)],
    ids=str,
)
def test_options_without_counterpart_are_errors(options):
    with pytest.raises(ValueError, match=next(iter(options))):
        UNetDecodeNeck(in_channels=[4, 4, 4], **options)


@pytest.mark.opencd
@pytest.mark.slow
def test_opencd_finds_the_published_names():
    spec = find_spec('opencd')
    if spec is None or spec.origin is None:
        pytest.skip('open-cd is not installed')
    code = (
        'import mmdynamicvis.compat\n'
        'from opencd.registry import DATASETS, MODELS\n'
        'names = "DualInputsFPN", "DualInputsSimpleFusionNeck", "mmseg.UNetDecodeNeck"\n'
        'print(*[MODELS.get(name).__name__ for name in names])\n'
        'print(DATASETS.get("OSCD_CD_Dataset").METAINFO["classes"])'
    )
    result = subprocess.run(
        [sys.executable, '-c', code],
        env=os.environ | {'PYTHONPATH': os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-2:] == [
        'DualInputsFPN DualInputsSimpleFusionNeck UNetDecodeNeck',
        "('unchanged', 'changed')",
    ]

"""Bad arguments and bad images: an early error that names the value."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from mmdynamicvis import DynamicVis

BAD_ARGUMENTS = [
    (dict(arch='huge'), "arch is 'huge'; choose one of .*'base', 'large', 'small', 'tiny'"),
    (dict(arch=dict(embed_dims=(16, 24), depths=(1,))), r"arch is .*'depths': \(1,\).* per stage"),
    (dict(arch=dict(embed_dims=(16, 24))), 'arch is .*need embed_dims and depths'),
    (dict(patch_sizes=(7, 3)), r'patch_sizes is \(7, 3\); the arch has 4 stages'),
    (dict(strides=(4, 2, 2)), r'strides is \(4, 2, 2\); the arch has 4 stages'),
    (dict(reduction_ratios=(0.5,)), r'reduction_ratios is \(0.5,\); the arch has 4 stages'),
    (dict(reduction_ratios=(0.5, 1, 0.5, 0)), r'reduction_ratio is 1; .* in \[0, 1\)'),
    (dict(reduction_ratios=(0.5, -0.25, 0.5, 0)), r'reduction_ratio is -0.25; .* in \[0, 1\)'),
    (dict(scan_mode='backward'), "scan_mode is 'backward'; choose one of .*'mean', 'gate'"),
    (dict(backend='abacus'), r"unknown backend 'abacus'; choose one of \['auto'"),
    (dict(global_tokens=dict(position='tail')), "position 'tail'; choose one of .*'head', 'mid'"),
    (dict(global_tokens=dict(num=0)), 'num 0; give a positive number'),
    (dict(selection_noise=dict(type='linear')), "type 'linear'; choose 'fixed' or 'decay'"),
    (dict(selection_noise=dict(val=-0.1)), 'scale -0.1; it must not be negative'),
    (dict(interpolate_mode='nearest'), "interpolate_mode is 'nearest'; choose 'bicubic'"),
    (dict(out_indices=(0, 4)), r'out_indices is \(0, 4\); choose from 0 to 3'),
    (dict(out_indices=(-1,)), r'out_indices is \(-1,\); choose from 0 to 3'),
    (dict(out_indices=()), r'out_indices is \(\); choose from 0 to 3'),
    (dict(out_type='cls_token'), "out_type is 'cls_token'; choose one of .*'avg_featmap'"),
    (dict(out_type='avg_featmap', out_indices=(2, 3)), r'out_indices is \(2, 3\);.* one stage'),
    (dict(frozen_stages=4), 'frozen_stages is 4; choose -1 to 3'),
    (dict(frozen_stages=2, out_indices=(0, 1)), 'frozen_stages is 2; choose -1 to 1'),
    (dict(drop_path_rate=1.0), r'drop_path_rate is 1.0; it must lie in \[0, 1\)'),
    (dict(pretrained='open-mmlab://resnet50_v1c'), 'of another backbone: set pretrained=None'),
    (dict(pretrained='a.pth', init_cfg=dict(type='Xavier')), "'a.pth' and init_cfg .*give one of"),
    (dict(norm_cfg=dict(type='BN')), r"norm_cfg has type 'BN'; choose one of \['LN', 'RMSNorm'\]"),
]


@pytest.mark.parametrize(('arguments', 'message'), BAD_ARGUMENTS, ids=lambda value: str(value)[:50])
def test_bad_arguments_are_named(arguments: dict, message: str) -> None:
    toy = dict(embed_dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))
    with pytest.raises(ValueError, match=message):
        DynamicVis(**{'arch': toy, 'img_size': 64, **arguments})


@pytest.mark.parametrize(
    ('shape', 'message'),
    [
        ((1, 4, 64, 64), r'shape \(1, 4, 64, 64\); need \(B, 3, H, W\) as in_channels=3'),
        ((3, 64, 64), r'shape \(3, 64, 64\); need \(B, 3, H, W\)'),
        ((1, 3, 31, 64), 'images are 31 x 64 pixels; need at least 32 each way'),
        ((1, 3, 200, 16), 'images are 200 x 16 pixels; need at least 32 each way'),
    ],
)
def test_bad_shapes_are_named(
    build: Callable, make_images: Callable, shape: tuple[int, ...], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        build()(make_images(*shape))


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_debug_mode_finds_values_that_are_not_finite(
    build: Callable, make_images: Callable, monkeypatch: pytest.MonkeyPatch, bad: float
) -> None:
    monkeypatch.setenv('MMDYNAMICVIS_DEBUG', '1')
    model, images = build(), make_images(2, 3, 32, 32)
    model(images)
    images[1, :, 5, 5] = bad
    with pytest.raises(ValueError, match=r'NaN or infinite values: \[0, 3\] per image'):
        model(images)


def test_debug_mode_finds_images_that_were_not_normalized(
    build: Callable, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv('MMDYNAMICVIS_DEBUG', '1')
    with pytest.raises(ValueError, match=r'images are torch\.uint8; normalize'):
        build().eval()(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))


@pytest.mark.parametrize('value', [None, '', '0'])
def test_without_debug_mode_values_cost_nothing(
    build: Callable, make_images: Callable, monkeypatch: pytest.MonkeyPatch, value: str | None
) -> None:
    monkeypatch.delenv('MMDYNAMICVIS_DEBUG', raising=False)
    if value is not None:
        monkeypatch.setenv('MMDYNAMICVIS_DEBUG', value)
    images = make_images(1, 3, 32, 32)
    images[0, 0, 0, 0] = float('nan')
    assert build().eval()(images)[0].isnan().any()

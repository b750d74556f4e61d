"""What counters of operations make of the backbone."""

from __future__ import annotations

import math

import pytest
import torch
from mmengine.analysis import FlopAnalyzer
from op_backends import device, marks
from torch.utils.flop_counter import FlopCounterMode

from mmdynamicvis import DynamicVis
from mmdynamicvis.models.dynamicvis import ARCHS
from mmdynamicvis.ops import selective_scan
from mmdynamicvis.ops.flops import BACKWARD, FORWARD, JIT_HANDLES, register_formulas
from mmdynamicvis.ops.selective_scan import BACKENDS

OURS = ('triton', 'cpu', 'eager')
by_backend = pytest.mark.parametrize(
    'backend', [pytest.param(b.name, marks=marks(b)) for b in BACKENDS if b.name in OURS]
)
SMALL = dict(embed_dims=(8, 12, 16, 20), depths=(1, 1, 2, 1))


def closed_formula(arch: dict, height: int, width: int) -> int:
    """Return the MAC of an image, as docs/performance.md has them."""
    total, in_channels = 0, 3
    for i, (C, depth) in enumerate(zip(arch['embed_dims'], arch['depths'], strict=True)):
        kernel, stride, share = (7, 3, 3, 3)[i], (4, 2, 2, 2)[i], (8, 4, 2, 1)[i]
        height, width = -(-height // stride), -(-width // stride)
        L = height * width
        K, G = L // share, height
        D, N, R = 2 * C, 16, math.ceil(C / 16)
        M = K + G
        mixer = M * C * 2 * D + 2 * M * D * (R + 2 * N) + 2 * M * R * D + K * D * C
        unit = 9 * L * C + mixer + FORWARD * 2 * M * D * N
        total += kernel**2 * in_channels * C * L + depth * unit
        in_channels = C
    return total


def count(model: DynamicVis, images: torch.Tensor, train: bool = False) -> int:
    with FlopCounterMode(display=False) as counter:
        maps = model(images)
        if train:
            sum(level.sum() for level in maps).backward()
    return counter.get_total_flops()


@pytest.mark.parametrize('size', [(512, 512), (96, 130)])
def test_base_counts_what_the_formula_says(size: tuple[int, int]) -> None:
    """On tensors of shapes alone."""
    model = DynamicVis('base').eval().to('meta')
    flop = count(model, torch.empty(1, 3, *size, device='meta'))
    assert flop == 2 * closed_formula(ARCHS['base'], *size)
    if size == (512, 512):
        assert flop / 2e9 == pytest.approx(17.7, abs=0.05)


@pytest.mark.parametrize('options', [dict(), dict(backend='eager')])
def test_tensors_of_numbers_count_the_same(options: dict) -> None:
    model, images = DynamicVis(SMALL, img_size=64, **options).eval(), torch.randn(1, 3, 64, 96)
    macs = closed_formula(SMALL, 64, 96)
    model.requires_grad_(False)  # torch 2.4's counter fails on parameters without a graph
    with torch.no_grad():
        assert count(model, images) == 2 * macs
    assert count(model.requires_grad_(), images, train=True) > 5 * macs


@by_backend
def test_scan_forward_and_backward(backend: str) -> None:
    register_formulas()
    shapes = [(2, 1, 30, 8), (2, 1, 30, 8), (8, 4), (2, 1, 30, 4), (2, 1, 30, 4)]
    inputs = [torch.rand(shape, device=device(backend), requires_grad=True) for shape in shapes]
    with FlopCounterMode(display=False) as counter:
        selective_scan(*inputs, direction='both', backend=backend).sum().backward()
    assert counter.get_total_flops() == 2 * (FORWARD + BACKWARD) * inputs[0].numel() * 4


@pytest.mark.parametrize('options', [dict(), dict(backend='eager'), dict(published=True)])
def test_counters_that_trace(options: dict) -> None:
    """Products, convolutions and the scan are those of torch's counter; norms come on top."""
    model, images = DynamicVis(SMALL, img_size=64, **options).eval(), torch.randn(1, 3, 64, 96)
    expected = count(model, images) // 2  # torch 2.4's counter needs gradients
    with torch.no_grad():
        for analysis in analyses():
            counted = analysis(model, images).set_op_handle(**JIT_HANDLES)
            by_kind = counted.unsupported_ops_warnings(False).by_operator()
            assert any(name.startswith('selective_scan') for name in by_kind)
            others = sum(n for name, n in by_kind.items() if name.endswith('_norm'))
            assert counted.total() - others == expected


def analyses() -> list[type]:
    try:
        from fvcore.nn import FlopCountAnalysis
    except ImportError:
        return [FlopAnalyzer]
    return [FlopAnalyzer, FlopCountAnalysis]

"""How the kernels of mamba-ssm are called: with stand-ins of their documented signatures.

The kernels themselves run in the tests marked gpu, where the packages are installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from types import ModuleType

import pytest
import torch
from torch import Tensor
from torch.nn.functional import silu

from mmdynamicvis.ops import causal_conv1d, mamba_support, selective_scan
from mmdynamicvis.ops.dispatch import Backend

DIRECTIONS = [('forward', False), ('reverse', False), ('both', False), ('both', True)]


def selective_scan_fn(
    u, delta, A, B, C, D=None, z=None, delta_bias=None, delta_softplus=False
) -> Tensor:
    """u, delta (B, D, L); A (D, N) float32; B, C (B, N, L)."""
    assert u.dtype == delta.dtype == B.dtype == C.dtype
    assert all(x.is_contiguous() for x in (u, delta, B, C))
    assert A.dtype == torch.float32 and z is None
    tokens = (x.transpose(1, 2) for x in (u, delta))
    maps = (x.transpose(1, 2) for x in (B, C))
    y = selective_scan(*tokens, A, *maps, D, None, delta_bias, delta_softplus, backend='naive')
    return y.transpose(1, 2)


def causal_conv1d_fn(x, weight, bias=None, activation=None) -> Tensor:
    """x (B, D, L), with channels in eights unless contiguous; weight (D, W)."""
    assert x.is_contiguous() or (x.stride(1) == 1 and x.stride(2) % 8 == 0)
    assert activation == 'silu' and x.dtype == weight.dtype
    padded = torch.nn.functional.pad(x, (weight.shape[1] - 1, 0))
    return silu(torch.nn.functional.conv1d(padded, weight[:, None], bias, groups=x.shape[1]))


@pytest.fixture
def stand_ins(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Install the stand-ins, and let them run on any machine and device."""
    interface = ModuleType('mamba_ssm.ops.selective_scan_interface')
    interface.selective_scan_fn = selective_scan_fn
    convolution = ModuleType('causal_conv1d')
    convolution.causal_conv1d_fn = causal_conv1d_fn
    modules = {
        'mamba_ssm': ModuleType('mamba_ssm'),
        'mamba_ssm.ops': ModuleType('mamba_ssm.ops'),
        interface.__name__: interface,
        'causal_conv1d': convolution,
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    for op in ('selective_scan', 'causal_conv1d'):
        monkeypatch.delitem(sys.modules, f'mmdynamicvis.ops.{op}.mamba_ssm', raising=False)
        package = sys.modules[f'mmdynamicvis.ops.{op}']  # the attribute of ops is the function
        backends = (
            Backend(b.name, b.function) if b.name == 'mamba_ssm' else b for b in package.BACKENDS
        )
        monkeypatch.setattr(package, 'BACKENDS', tuple(backends))
    yield
    for op in ('selective_scan', 'causal_conv1d'):
        sys.modules.pop(f'mmdynamicvis.ops.{op}.mamba_ssm', None)


def assert_equals_the_oracle(function: Callable[..., Tensor], inputs: list[Tensor]) -> None:
    results = []
    for backend in ('mamba_ssm', 'naive'):
        y = function(*inputs, backend=backend)
        results.append([y, *torch.autograd.grad(y.square().sum(), inputs)])
    for actual, expected in zip(*results, strict=True):
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(('direction', 'average'), DIRECTIONS)
def test_scan(stand_ins: None, direction: str, average: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    lead = (2, 2, 9) if direction == 'both' else (2, 9)
    shapes = [(*lead, 5), (*lead, 5), (5, 3), (*lead, 3), (*lead, 3), (5,), (2, 9, 5), (5,)]
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    inputs[2] = -inputs[2].exp()

    def scan(*tensors: Tensor, backend: str) -> Tensor:
        options = dict(dt_softplus=True, direction=direction, average=average)
        return selective_scan(*tensors, **options, backend=backend)

    assert_equals_the_oracle(scan, [tensor.requires_grad_() for tensor in inputs])


@pytest.mark.parametrize('direction', ['forward', 'reverse', 'both'])
@pytest.mark.parametrize('n_channels', [5, 16])
def test_convolution(stand_ins: None, direction: str, n_channels: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 9, n_channels), (n_channels, 4), (n_channels,)
    inputs = [torch.randn(shape, generator=generator).requires_grad_() for shape in shapes]

    def convolve(*tensors: Tensor, backend: str) -> Tensor:
        return causal_conv1d(*tensors, direction=direction, backend=backend)

    assert_equals_the_oracle(convolve, inputs)


@pytest.mark.skipif(mamba_support.unavailable() is None, reason='the kernels can run here')
def test_what_is_missing_is_named() -> None:
    x = torch.zeros(1, 4, 8)
    with pytest.raises(RuntimeError, match=r'mamba_ssm: (mamba_ssm|torch sees no GPU)'):
        causal_conv1d(x, torch.zeros(8, 4), backend='mamba_ssm')


@pytest.mark.parametrize(
    ('there', 'reason'),
    [
        ((), r'^mamba_ssm and causal_conv1d not installed \(pip install mmdynamicvis\[ssm\]\)$'),
        (
            ('mamba_ssm', 'causal_conv1d', 'causal_conv1d_cuda'),
            r'without the kernels selective_scan_cuda: .* MAMBA_KEEP_CUDA_BUILD=TRUE',
        ),
        (
            ('mamba_ssm', 'causal_conv1d', 'causal_conv1d_cuda', 'selective_scan_cuda'),
            None,
        ),
    ],
)
def test_the_compiled_modules_are_looked_for(
    monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], reason: str | None
) -> None:
    monkeypatch.setattr(
        mamba_support.importlib.util, 'find_spec', lambda name: name if name in there else None
    )
    found = mamba_support._why_not_installed()
    assert (found is None) if reason is None else re.search(reason, found)


@pytest.mark.gpu
@pytest.mark.skipif(mamba_support.unavailable() is not None, reason='mamba-ssm cannot run here')
def test_real_kernels() -> None:
    x = torch.randn(2, 2, 40, 16, device='cuda')
    A, state = -torch.ones(16, 16, device='cuda'), torch.randn(2, 2, 40, 16, device='cuda')
    actual, expected = (
        selective_scan(x, x, A, state, state, dt_softplus=True, direction='both', backend=backend)
        for backend in ('mamba_ssm', 'naive')
    )
    torch.testing.assert_close(actual, expected, rtol=1e-4, atol=1e-4)

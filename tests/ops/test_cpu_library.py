"""The C++ kernels: compiled once, kept, and never half there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from mmdynamicvis.ops import causal_conv1d, selective_scan, token_select, token_update
from mmdynamicvis.ops.cpu import library

SCAN = """
import torch
from mmdynamicvis.ops import causal_conv1d
from mmdynamicvis.ops.cpu import library
reason = library.unavailable()
print(reason)
causal_conv1d(torch.ones(1, 4, 8), torch.ones(8, 4), backend='{backend}')
"""


@pytest.fixture
def run(checkout: Path, tmp_path: Path) -> Callable[..., subprocess.Popen]:
    """Start a fresh process whose cache is an empty folder."""

    def run(backend: str = 'cpu', **environment: str) -> subprocess.Popen:
        cache = {'MMDYNAMICVIS_CACHE': str(tmp_path / 'cache')}
        return subprocess.Popen(
            [sys.executable, '-c', SCAN.format(backend=backend)],
            env={**os.environ, **cache, **environment},
            cwd=checkout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return run


def outcome(process: subprocess.Popen) -> tuple[int, str, str]:
    stdout, stderr = process.communicate(timeout=120)
    return process.returncode, stdout.strip(), stderr


@pytest.mark.exhaustive
def test_compiled_once_even_by_processes_that_start_together(
    run: Callable[..., subprocess.Popen], tmp_path: Path
) -> None:
    for process in [run(), run()]:
        code, stdout, stderr = outcome(process)
        assert (code, stdout) == (0, 'None'), stderr
    (compiled,) = (tmp_path / 'cache/kernels').iterdir()
    changed = compiled.stat().st_mtime_ns
    code, _, stderr = outcome(run(CXX='/bin/false'))
    # another compiler is another library
    assert code == 1, stderr
    assert outcome(run())[0] == 0
    assert compiled.stat().st_mtime_ns == changed


@pytest.mark.parametrize(
    ('compiler', 'message'),
    [('/bin/false', '/bin/false cannot compile the kernels'), (None, 'no C++ compiler')],
)
def test_a_machine_without_a_compiler_says_so_and_goes_on(
    run: Callable[..., subprocess.Popen], tmp_path: Path, compiler: str | None, message: str
) -> None:
    environment = {'PATH': str(tmp_path)} if compiler is None else {'CXX': compiler}
    environment.setdefault('CXX', '')
    code, stdout, stderr = outcome(run('auto', **environment))
    assert code == 0, stderr
    assert message in stdout
    code, _, stderr = outcome(run('cpu', **environment))
    assert code == 1
    assert f"causal_conv1d: backend 'cpu' cannot run here (cpu: {message}" in stderr
    kernels = tmp_path / 'cache/kernels'
    assert not kernels.exists() or not list(kernels.iterdir())


def test_other_dtypes_and_sizes_are_left_to_other_backends() -> None:
    x, weight = torch.randn(1, 9, 3, dtype=torch.float64), torch.randn(3, 4, dtype=torch.float64)
    with pytest.raises(RuntimeError, match=r'cpu: no kernel for torch\.float64'):
        causal_conv1d(x, weight, backend='cpu')
    with pytest.raises(RuntimeError, match='the kernel is 9 tokens wide, more than 8'):
        causal_conv1d(x.float(), torch.randn(3, 9), backend='cpu')
    states = torch.randn(1, 9, 65)
    with pytest.raises(RuntimeError, match='65 states per channel, more than 64'):
        selective_scan(x.float(), x.float(), -torch.ones(3, 65), states, states, backend='cpu')
    assert causal_conv1d(x, weight).dtype == torch.float64


@pytest.mark.parametrize('threads', [1, 2, 3])
def test_the_number_of_threads_changes_nothing(threads: int) -> None:
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 2, 70, 130), (2, 2, 70, 130), (130, 16), (2, 2, 70, 16), (2, 2, 70, 16)
    inputs = [torch.randn(shape, generator=generator) for shape in shapes]
    inputs[2] = -inputs[2].exp()

    def gradients() -> list[torch.Tensor]:
        leaves = [tensor.requires_grad_() for tensor in inputs]
        y = selective_scan(*leaves, dt_softplus=True, direction='both', backend='cpu')
        return [y, *torch.autograd.grad(y.square().sum(), leaves)]

    before = torch.get_num_threads()
    expected = gradients()
    try:
        torch.set_num_threads(threads)
        actual = gradients()
    finally:
        torch.set_num_threads(before)
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a, b)


def test_exponentials_of_any_size() -> None:
    """One token: y = dt B C x, whatever the decay is, and states far apart do not disturb it."""
    dt = torch.tensor([0.0, 1e-38, 1e-6, 1.0, 80.0, 1e4, 1e30]).view(1, 1, 7).repeat(1, 2, 1)
    x, state = torch.ones(1, 2, 7), torch.ones(1, 2, 1)
    y = selective_scan(x, dt, -torch.ones(7, 1), state, state, backend='cpu')
    expected = selective_scan(x, dt, -torch.ones(7, 1), state, state, backend='naive')
    torch.testing.assert_close(y, expected, rtol=1e-6, atol=0)


def test_nan_stays_nan() -> None:
    x = torch.ones(1, 5, 9)
    dt = x.clone()
    dt[0, 2, 4] = float('nan')
    state = torch.ones(1, 5, 16)
    y = selective_scan(x, dt, -torch.ones(9, 16), state, state, dt_softplus=True, backend='cpu')
    assert y[0, 2:, 4].isnan().all()
    assert y[0, :2].isfinite().all()
    assert y[0, :, :4].isfinite().all() and y[0, :, 5:].isfinite().all()


def test_the_path_names_what_the_library_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    path = library._path()
    monkeypatch.setattr(library, '_processor', lambda: 'another')
    assert library._path() != path


@pytest.mark.parametrize('default', [torch.float64, torch.bfloat16])
def test_torch_defaults_do_not_matter(default: torch.dtype) -> None:
    """Buffers that C++ writes to are float32 on the CPU, whatever torch makes by default."""
    generator = torch.Generator().manual_seed(0)

    def gradients() -> list[torch.Tensor]:
        def randn(*shape: int) -> torch.Tensor:
            numbers = torch.randn(shape, generator=generator.manual_seed(0), dtype=torch.float32)
            return numbers.requires_grad_()

        x, weight, state, scorer = randn(1, 40, 24), randn(24, 4), randn(1, 40, 16), randn(24)
        noise = torch.randn(1, 40, generator=generator, dtype=torch.float64)
        x = causal_conv1d(x, weight, direction='forward', backend='cpu')
        y = selective_scan(x, x, -torch.ones(24, 16).float(), state, state, backend='cpu')
        selection = token_select(y, scorer, scorer, 9, noise, (5, 8), backend='cpu')
        _, kept_scores, indices, _ = selection
        y = token_update(y * 1, selection.normed[:, 5:], indices, kept_scores, backend='cpu')
        inputs = (weight, state, scorer)
        return [y, selection.indices, *torch.autograd.grad(y.square().sum(), inputs)]

    expected = gradients()
    before = torch.get_default_dtype()
    try:
        torch.set_default_dtype(default)
        actual = gradients()
    finally:
        torch.set_default_dtype(before)
    for a, b in zip(actual, expected, strict=True):
        assert torch.equal(a, b)


def test_tensors_on_several_devices_are_refused() -> None:
    x = torch.zeros(1, 9, 3)
    with pytest.raises(ValueError, match='on cpu and meta; move them together'):
        causal_conv1d(x, torch.zeros(3, 4, device='meta'))

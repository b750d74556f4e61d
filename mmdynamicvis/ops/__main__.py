"""Print which backends can run on this machine, why others cannot, and whether they are correct.

    python -m mmdynamicvis.ops

Values and gradients of every backend that can run are compared with the float64 oracle on random
tensors; the exit status is 1 if a backend is wrong.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from mmdynamicvis.ops import causal_conv1d, selective_scan, token_select, token_update
from mmdynamicvis.ops.causal_conv1d import BACKENDS as CONV_BACKENDS
from mmdynamicvis.ops.dispatch import BackendUnavailableError
from mmdynamicvis.ops.selective_scan import BACKENDS as SCAN_BACKENDS
from mmdynamicvis.ops.token_select import SELECT_BACKENDS, UPDATE_BACKENDS

LIMIT = 1e-5
"""Largest relative RMS error of float32 values and gradients."""


def _selective_scan(backend: str, randn: Callable[..., Tensor]) -> tuple[Sequence[Tensor], Tensor]:
    x, dt = randn(2, 1, 100, 48), randn(2, 1, 100, 48)
    B, C = randn(2, 1, 100, 16), randn(2, 1, 100, 16)
    A = randn(48, 16)
    inputs = x, dt, A, B, C, randn(48), randn(1, 100, 48), randn(48)
    rates = -A.exp()
    y = selective_scan(
        *(rates if tensor is A else tensor for tensor in inputs),
        dt_softplus=True,
        direction='both',
        average=True,
        backend=backend,
    )
    return inputs, y


def _causal_conv1d(backend: str, randn: Callable[..., Tensor]) -> tuple[Sequence[Tensor], Tensor]:
    inputs = randn(2, 100, 48), randn(48, 4), randn(48)
    return inputs, causal_conv1d(*inputs, direction='both', backend=backend)


def _token_select(backend: str, randn: Callable[..., Tensor]) -> tuple[Sequence[Tensor], Tensor]:
    inputs = randn(2, 100, 48), randn(48), randn(48)
    selection = token_select(*inputs, k=25, grid=(10, 10), backend=backend)
    parts = selection.normed, selection.kept_scores
    return inputs, torch.cat([part.flatten() for part in parts])


def _token_update(backend: str, randn: Callable[..., Tensor]) -> tuple[Sequence[Tensor], Tensor]:
    inputs = tokens, increment, weight = randn(2, 100, 48), randn(2, 25, 48), randn(2, 25)
    order = torch.randperm(100, generator=torch.Generator().manual_seed(1))[:25]
    indices = order.to(tokens.device).repeat(2, 1)
    # pass a copy, because the op writes to the tokens
    return inputs, token_update(tokens * 1, increment, indices, weight, backend=backend)


OPS = {
    'selective_scan': (SCAN_BACKENDS, _selective_scan),
    'causal_conv1d': (CONV_BACKENDS, _causal_conv1d),
    'token_select': (SELECT_BACKENDS, _token_select),
    'token_update': (UPDATE_BACKENDS, _token_update),
}


def _run(check: Callable, backend: str, device: str, dtype: torch.dtype) -> list[Tensor]:
    """Return an op's output and the gradients of its inputs, in float64 on the CPU."""
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()

    inputs, y = check(backend, randn)
    weight = torch.randn(y.shape, generator=generator).to(y)
    grads = torch.autograd.grad(y, inputs, weight)
    return [tensor.detach().double().cpu() for tensor in (y, *grads)]


def error(check: Callable, backend: str, device: str) -> float:
    """Return the largest relative RMS error of an op's float32 values and gradients."""
    actual = _run(check, backend, device, torch.float32)
    expected = _run(check, 'naive', 'cpu', torch.float64)
    return max(
        ((a - b).square().mean() / b.square().mean()).sqrt().item()
        for a, b in zip(actual, expected, strict=True)
    )


def rows() -> Iterator[tuple[str, str, str, str, bool]]:
    """Yield op, backend, device, a message, and whether the result is acceptable."""
    devices = ['cpu', 'cuda'] if torch.cuda.is_available() else ['cpu']
    for op, (backends, check) in OPS.items():
        for backend in backends:
            for device in devices:
                yield (op, backend.name, device, *_row(check, backend.name, device))


def _row(check: Callable, backend: str, device: str) -> tuple[str, bool]:
    try:
        worst = error(check, backend, device)
    except BackendUnavailableError as reason:
        return str(reason), True
    except Exception as reason:  # errors of a compiler or driver must not stop the other rows
        return f'FAILS: {type(reason).__name__}: {" ".join(str(reason).split())[:200]}', False
    if not worst <= LIMIT:  # NaN is wrong
        return f'WRONG: off by {worst:.1e}, more than {LIMIT:.0e}', False
    return f'right: off by {worst:.1e} from float64, gradients included', True


def main() -> int:
    """Print the table; return the exit status."""
    print(f'torch {torch.__version__}, {torch.get_num_threads()} CPU threads', end='')
    print(f', {torch.cuda.get_device_name()}' if torch.cuda.is_available() else ', no GPU')
    print(f'{"op":16s}{"backend":11s}{"device":8s}')
    good = True
    for op, backend, device, message, right in rows():
        print(f'{op:16s}{backend:11s}{device:8s}{message}', flush=True)
        good = good and right
    return 0 if good else 1


if __name__ == '__main__':
    sys.exit(main())

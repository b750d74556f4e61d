"""The tolerance of every op, in one table."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

# Largest relative RMS error against the float64 oracle, which gets the same inputs. What an op
# returns is rounded to its dtype once: by up to 2^-8 in bfloat16 and 2^-11 in float16.
TOLERANCE = {
    ('selective_scan', torch.float64): 1e-14,
    ('selective_scan', torch.float32): 2e-6,
    ('selective_scan', torch.float16): 3e-4,
    ('selective_scan', torch.bfloat16): 3e-3,
    ('causal_conv1d', torch.float64): 1e-14,
    ('causal_conv1d', torch.float32): 1e-6,
    ('causal_conv1d', torch.float16): 4e-4,
    # in the gradient of x the ones before SiLU are rounded too
    ('causal_conv1d', torch.bfloat16): 4e-3,
    ('token_select', torch.float64): 1e-14,
    ('token_select', torch.float32): 2e-6,
    # scores and importance are computed in float32; what is rounded is the gradient of the tokens
    ('token_select', torch.float16): 4e-4,
    ('token_select', torch.bfloat16): 3e-3,
    ('token_update', torch.float64): 1e-15,
    ('token_update', torch.float32): 2e-7,
    # 1 + w is rounded before the product
    ('token_update', torch.float16): 8e-4,
    ('token_update', torch.bfloat16): 6e-3,
}
DTYPES = sorted({dtype for _, dtype in TOLERANCE}, key=str)


def relative_rms(actual: Tensor, expected: Tensor) -> float:
    difference = (actual.double() - expected.double()).square().mean().sqrt()
    return (difference / expected.double().square().mean().sqrt()).item()


def middle_of_cut(x: Tensor) -> Tensor:
    """Triton's interpreter cuts bfloat16 off where a GPU rounds: the middle of what was cut."""
    middle = (x.float().view(torch.int32) | 2**15).view(torch.float32)
    return torch.where(x == 0, 0, middle)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """A test that takes ``dtype`` runs for every dtype of the table."""
    if 'dtype' in metafunc.fixturenames:
        metafunc.parametrize('dtype', DTYPES, ids=lambda dtype: str(dtype).removeprefix('torch.'))


@pytest.fixture(scope='session')
def assert_close() -> Callable[..., None]:
    def assert_close(
        op: str,
        dtype: torch.dtype,
        name: str,
        actual: Tensor,
        expected: Tensor,
        interpreted: bool = False,
    ):
        if interpreted and actual.dtype == torch.bfloat16:
            actual = middle_of_cut(actual)
        assert actual.shape == expected.shape, f'{name} of {op}'
        assert actual.isfinite().all(), f'{name} of {op}'
        if expected.abs().max() == 0:
            assert actual.abs().max() == 0, f'{name} of {op}'
            return
        error = relative_rms(actual, expected)
        limit = TOLERANCE[op, dtype]
        assert error <= limit, f'{name} of {op} in {dtype} is off by {error:.1e}, over {limit:.0e}'

    return assert_close

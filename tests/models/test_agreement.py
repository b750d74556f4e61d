"""Backends and precisions agree: nothing depends on the order of nearly equal scores."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from op_backends import marks

from mmdynamicvis.ops.token_select import SELECT_BACKENDS

N_IMAGES = {'cpu': 50, 'eager': 50, 'triton': 2}


@pytest.mark.parametrize(
    'backend',
    [
        pytest.param(
            b.name, marks=[*marks(b), *([pytest.mark.exhaustive] if b.name == 'triton' else [])]
        )
        for b in SELECT_BACKENDS[:-1]
    ],
)
def test_backends_agree_with_float64(build: Callable, make_images: Callable, backend: str) -> None:
    n_images = N_IMAGES[backend]
    size = 32 if backend == 'triton' else 96
    exact = build(backend='eager').eval().double()
    model = build(backend=backend).eval()
    images = make_images(n_images, 3, size, size)
    with torch.no_grad():
        for output, expected in zip(model(images), exact(images.double()), strict=True):
            torch.testing.assert_close(output.double(), expected, rtol=0, atol=1e-5)

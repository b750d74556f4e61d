"""Kernels called without the dispatcher: only where nobody misses it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from mmdynamicvis.ops import causal_conv1d, direct, selective_scan, token_select, token_update
from mmdynamicvis.ops.cpu import library

pytestmark = pytest.mark.skipif(
    library.unavailable() is not None, reason=str(library.unavailable())
)
NAMES = {'selective_scan_cpu', 'causal_conv1d_cpu', 'token_select_cpu'}


class Seen(TorchDispatchMode):
    """Notes the operators of this package, as counters of operations do."""

    def __init__(self) -> None:
        super().__init__()
        self.names: set[str] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func.namespace == 'mmdynamicvis':
            self.names.add(func.overloadpacket.__name__)
        return func(*args, **(kwargs or {}))


def call_all(x: torch.Tensor) -> list[torch.Tensor]:
    channels = torch.linspace(0.1, 1, x.shape[-1])
    rates, maps = -torch.ones(x.shape[-1], 2), x[..., :2]
    chosen = token_select(x, channels, channels, 3, backend='cpu')
    return [
        selective_scan(x, x.abs(), rates, maps, maps, backend='cpu'),
        causal_conv1d(x, channels[:, None].repeat(1, 3), backend='cpu'),
        *chosen,
        token_update(x.clone(), chosen.normed, chosen.indices, chosen.kept_scores, backend='cpu'),
    ]


def test_results_are_those_of_the_dispatcher(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 8, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        assert direct.may_call(x, None)
        results = call_all(x)
        monkeypatch.setattr(direct, 'may_call', lambda *_: False)
        expected = call_all(x)
    for actual, wanted in zip(results, expected, strict=True):
        assert torch.equal(actual, wanted)


def test_modes_see_the_ops() -> None:
    x = torch.randn(2, 8, 4)
    with torch.no_grad(), Seen() as seen:
        call_all(x)
    assert seen.names == NAMES


def test_gradients_and_subclasses_take_the_dispatcher() -> None:
    x = torch.zeros(2)
    assert not direct.may_call(x)
    with torch.no_grad():
        assert direct.may_call(torch.nn.Parameter(x))
        assert not direct.may_call(x.as_subclass(type('Subclass', (torch.Tensor,), {})))


def test_the_update_counts_as_a_change() -> None:
    tokens, indices = torch.zeros(1, 4, 3), torch.tensor([[1, 2]])
    with torch.no_grad():
        version = tokens._version
        token_update(tokens, torch.ones(1, 2, 3), indices, torch.ones(1, 2), backend='cpu')
        assert tokens._version > version
    assert tokens.sum() == 6

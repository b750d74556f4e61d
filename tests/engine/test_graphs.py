"""What CUDA graphs say where there is no GPU, and what they may read; tests/gpu runs them."""

from __future__ import annotations

import pytest
import torch

from mmdynamicvis.engine.graphs import CUDAGraphs
from mmdynamicvis.models import kept
from mmdynamicvis.models.kept import Kept, recording


@pytest.mark.skipif(torch.cuda.is_available(), reason='there is a GPU')
def test_a_gpu_is_asked_for() -> None:
    with pytest.raises(RuntimeError, match='need an NVIDIA GPU, and torch sees none'):
        CUDAGraphs(torch.nn.Identity())


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match='limit is 0; keep at least one graph'):
        CUDAGraphs(torch.nn.Identity(), limit=0)


@torch.no_grad()
def test_captures_read_what_is_kept_only_where_it_is_recorded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A graph that nobody looks after would go on reading it when it is wrong."""
    module, kept_tensor = torch.nn.Linear(2, 2).eval(), Kept()

    def doubled() -> torch.Tensor:
        return kept_tensor(module, lambda: 2 * module.weight, module.weight)

    before = doubled()
    assert doubled() is before
    monkeypatch.setattr(kept, '_is_capturing', lambda: True)
    assert doubled() is not before
    with recording() as entries:
        assert doubled() is before
    (recorded,) = entries
    assert recorded[0].holds(recorded[1])
    module.weight.add_(1)
    assert not recorded[0].holds(recorded[1])
    captured = doubled()  # its memory is the graph's: it is not kept
    monkeypatch.setattr(kept, '_is_capturing', lambda: False)
    assert doubled() is not captured
    assert torch.equal(doubled(), 2 * module.weight)

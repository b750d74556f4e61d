"""CUDA graphs of the backbone against the backbone itself."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor

from mmdynamicvis import DynamicVis
from mmdynamicvis.engine.graphs import CUDAGraphs

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason='torch sees no GPU'),
]
SIZES = [(64, 64), (96, 64), (64, 64), (64, 96), (96, 64)]


@pytest.fixture
def model() -> DynamicVis:
    torch.manual_seed(0)
    return DynamicVis('tiny', img_size=64).cuda().eval()


def images(height: int, width: int, seed: int = 0) -> Tensor:
    generator = torch.Generator('cuda').manual_seed(seed)
    return torch.randn(2, 3, height, width, device='cuda', generator=generator)


def assert_same(outputs: tuple[Tensor, ...], expected: tuple[Tensor, ...]) -> None:
    for x, y in zip(outputs, expected, strict=True):
        torch.testing.assert_close(x, y, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize('limit', [1, 4])
@torch.no_grad()
def test_replays_equal_the_model(model: DynamicVis, limit: int) -> None:
    graphs = CUDAGraphs(model, limit)
    kept = []
    for seed, (height, width) in enumerate(SIZES):
        x = images(height, width, seed)
        kept.append((graphs(x), model(x)))
        assert len(graphs._captured) <= limit
    for outputs, expected in kept:  # copies, which no later call overwrites
        assert_same(outputs, expected)


@torch.no_grad()
def test_outputs_that_are_not_copied_are_overwritten(model: DynamicVis) -> None:
    graphs = CUDAGraphs(model, clone=False)
    first = graphs(images(64, 64, 0))
    second = graphs(images(64, 64, 1))
    assert [x.data_ptr() for x in first] == [x.data_ptr() for x in second]
    assert_same(second, model(images(64, 64, 1)))


@pytest.mark.parametrize('assign', [False, True])
@torch.no_grad()
def test_loaded_weights_are_seen(model: DynamicVis, assign: bool) -> None:
    graphs, x = CUDAGraphs(model), images(64, 64)
    before = graphs(x)
    weights = {name: 1.1 * value for name, value in model.state_dict().items()}
    model.load_state_dict(weights, assign=assign)
    after = graphs(x)
    assert not torch.allclose(after[0], before[0])
    assert_same(after, model(x))


@torch.no_grad()
def test_autocast_has_graphs_of_its_own(model: DynamicVis) -> None:
    graphs, x = CUDAGraphs(model), images(64, 64)
    wide = graphs(x)
    with torch.autocast('cuda', torch.bfloat16):
        half, expected = graphs(x), model(x)
    for a, b, c in zip(half, expected, wide, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=0)
        assert not torch.equal(a, c)


def test_what_no_graph_can_do_is_refused(model: DynamicVis) -> None:
    graphs = CUDAGraphs(model)
    with pytest.raises(RuntimeError, match='no gradients'):
        graphs(images(64, 64))
    with torch.no_grad(), pytest.raises(RuntimeError, match='images are on the cpu'):
        graphs(torch.zeros(1, 3, 64, 64))
    with torch.no_grad(), pytest.raises(RuntimeError, match='training mode'):
        graphs.train()(images(64, 64))


@torch.no_grad()
def test_copies_hold_no_graph(model: DynamicVis) -> None:
    graphs, x = CUDAGraphs(model, 2), images(64, 64)
    expected = graphs(x)
    copied = copy.deepcopy(graphs)
    assert not copied._captured
    assert copied.model is not model
    assert_same(copied(x), expected)

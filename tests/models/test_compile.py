"""torch.compile of the model: with its default backend, and for images of several sizes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from mmengine.logging import MessageHub
from torch import Tensor

from mmdynamicvis import DynamicVis

pytestmark = pytest.mark.exhaustive


@pytest.fixture
def small(build: Callable) -> Callable[..., DynamicVis]:
    """One stage with selection and a dense one: compiling takes its time."""

    def small(**options) -> DynamicVis:
        torch._dynamo.reset()
        return build(
            arch=dict(embed_dims=(16, 24), depths=(1, 1)),
            patch_sizes=(7, 3),
            strides=(4, 2),
            reduction_ratios=(7 / 8, None),
            **options,
        )

    return small


def gradients(model: DynamicVis, outputs: tuple[Tensor, ...]) -> dict[str, Tensor]:
    model.zero_grad()
    ramps = (torch.linspace(-1, 1, x.numel()).view(x.shape) for x in outputs)
    sum((x * ramp).mean() for x, ramp in zip(outputs, ramps, strict=True)).backward()
    return {name: parameter.grad.clone() for name, parameter in model.named_parameters()}


@pytest.mark.parametrize(
    ('backend', 'sizes'),
    [
        ('inductor', [(64, 64)]),
        ('aot_eager', [(64, 64), (48, 80)]),
    ],
)
def test_compiled_model_gives_the_same(
    small: Callable, make_images: Callable, backend: str, sizes: list[tuple[int, int]]
) -> None:
    model = small(selection_noise=None).train()
    compiled = torch.compile(model, backend=backend, fullgraph=True)
    for size in sizes:
        images = make_images(2, 3, *size)
        expected = model(images)
        wanted = gradients(model, expected)
        outputs = compiled(images)
        for output, value in zip(outputs, expected, strict=True):
            torch.testing.assert_close(output, value, rtol=1e-4, atol=1e-4)
        for name, grad in gradients(model, outputs).items():
            torch.testing.assert_close(grad, wanted[name], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize('ops_backend', ['cpu', 'eager'])
def test_exported_model_gives_the_same(
    small: Callable, make_images: Callable, ops_backend: str
) -> None:
    model = small(backend=ops_backend).eval()
    images = make_images(2, 3, 64, 64)
    exported = torch.export.export(model, (images,))
    graphs = [x for x in exported.graph_module.modules() if isinstance(x, torch.fx.GraphModule)]
    called = {str(node.target) for graph in graphs for node in graph.graph.nodes}
    assert f'mmdynamicvis.selective_scan_{ops_backend}.default' in called
    for output, wanted in zip(exported.module()(images), model(images), strict=True):
        torch.testing.assert_close(output, wanted)


def test_compiled_noise_decays(small: Callable, make_images: Callable) -> None:
    """The progress of the training is read anew in every iteration, not frozen in the graph."""
    noise = dict(type='decay', val=1000.0)  # at first it alone decides
    compiled = torch.compile(small(selection_noise=noise).train(), backend='aot_eager')
    images = make_images(1, 3, 64, 64)
    hub = MessageHub.get_current_instance()
    maps = []
    try:
        hub.update_info('loop_stage', 'train')
        hub.update_info('max_iters', 10)
        for iteration in (0, 0, 10, 10):
            hub.update_info('iter', iteration)
            with torch.no_grad():
                maps.append(compiled(images)[0])
    finally:
        hub.pop_info('loop_stage')
    assert not torch.equal(maps[0], maps[1])
    assert torch.equal(maps[2], maps[3])

"""The backbone on a GPU: precision, capture, compilation, processes, devices and streams.

Every test runs on the CPU too, where nothing can be captured or sent to a stream, so that it is
known to be right before it meets a GPU. Needs torch and mmengine alone.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.distributed as dist
from torch import Tensor
from torch.nn.parallel import DistributedDataParallel

from mmdynamicvis import DynamicVis
from mmdynamicvis.ops import selective_scan

N_GPUS = torch.cuda.device_count()
SMALL = dict(embed_dims=(16, 24, 32, 48), depths=(1, 1, 2, 1))


def on_gpu(index: int = 0) -> object:
    """A GPU, which the test needs."""
    marks = [
        pytest.mark.gpu,
        pytest.mark.skipif(index >= N_GPUS, reason=f'torch sees {N_GPUS} GPUs'),
    ]
    return pytest.param(f'cuda:{index}', marks=marks)


devices = pytest.mark.parametrize('device', ['cpu', on_gpu()])
halves = pytest.mark.parametrize('dtype', [torch.bfloat16, torch.float16], ids=['bf16', 'fp16'])


def build(device: str, **options) -> DynamicVis:
    torch.manual_seed(0)
    return DynamicVis(**{'arch': SMALL, 'img_size': 64, **options}).to(device)


def make_images(device: str, n: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, 64, 64, generator=generator).to(device)


def loss_of(outputs: tuple[Tensor, ...]) -> Tensor:
    """A loss that norms do not make constant."""
    ramps = (torch.linspace(-1, 1, x.numel(), device=x.device).view(x.shape) for x in outputs)
    return sum((x.float() * ramp).mean() for x, ramp in zip(outputs, ramps, strict=True))


def gradients(model: torch.nn.Module, images: Tensor) -> list[Tensor]:
    """Return the gradients of the parameters, in float32 on the CPU."""
    model.zero_grad()
    loss_of(model(images)).backward()
    return [p.grad.detach().clone().cpu() for p in model.parameters()]


def assert_close(actual: list[Tensor], expected: list[Tensor], limit: float) -> None:
    """Compare by the RMS of the differences over that of each tensor.

    What is zero but for rounding, as gradients that a norm takes away, is compared with others.
    """
    assert len(actual) == len(expected)
    actual, expected = ([x.detach().cpu().double() for x in part] for part in (actual, expected))
    small = 1e-2 * max(x.square().mean().sqrt() for x in expected)
    for i, (a, b) in enumerate(zip(actual, expected, strict=True)):
        assert a.isfinite().all(), i
        error = (a - b).square().mean().sqrt() / max(b.square().mean().sqrt(), small)
        assert error <= limit, f'tensor {i} is off by {error:.1e}'


@pytest.mark.parametrize('device', ['cpu', on_gpu(0), on_gpu(1)])
@pytest.mark.parametrize('backend', ['auto', 'eager'])
@pytest.mark.parametrize('published', [False, True], ids=['default', 'published'])
def test_equals_plain_torch_on_the_cpu(device: str, backend: str, published: bool) -> None:
    options = dict(selection_noise=None, published=published)
    model, reference = (
        build(device, backend=backend, **options),
        build('cpu', backend='eager', **options),
    )
    images = make_images(device)
    assert_close(list(model(images)), list(reference(images.cpu())), 1e-4)
    assert_close(gradients(model, images), gradients(reference, images.cpu()), 1e-3)


@devices
@halves
def test_mixed_precision_takes_steps(device: str, dtype: torch.dtype) -> None:
    model = build(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    kind = torch.device(device).type
    scaler = torch.amp.GradScaler(kind, init_scale=2.0**8, enabled=dtype == torch.float16)
    images, losses = make_images(device), []
    for _ in range(6):
        optimizer.zero_grad()
        with torch.autocast(kind, dtype):
            loss = loss_of(model(images))
        scaler.scale(loss).backward()
        scaler.unscale_(optimizer)
        assert all(p.grad.isfinite().all() for p in model.parameters())
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.item())
    assert losses[-1] < losses[0]


@devices
@halves
def test_mixed_precision_is_close_to_float32(device: str, dtype: torch.dtype) -> None:
    # without selection: which of two almost equal scores is the larger is beyond half precision
    model, images = build(device, reduction_ratios=None).eval(), make_images(device)
    with torch.no_grad():
        expected = model(images)
        with torch.autocast(torch.device(device).type, dtype):
            outputs = model(images)
        halved = model.to(dtype)(images.to(dtype))
    assert all(x.dtype == dtype for x in halved)
    limit = 2e-2 if dtype == torch.bfloat16 else 4e-3
    assert_close(list(outputs), list(expected), limit)
    assert_close(list(halved), list(expected), 2 * limit)


def captured(function: Callable[[], list[Tensor]], device: str) -> Callable[[], list[Tensor]]:
    """Return what replays a call as a CUDA graph; on a CPU the call itself."""
    if device == 'cpu':
        return function
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            function()
    torch.cuda.current_stream().wait_stream(stream)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        outputs = function()

    def replay() -> list[Tensor]:
        graph.replay()
        return outputs

    return replay


@devices
@pytest.mark.parametrize('training', [False, True], ids=['forward', 'backward'])
def test_a_captured_graph_gives_the_same(device: str, training: bool) -> None:
    model = build(device, selection_noise=None).eval()
    parameters = list(model.parameters())
    images = make_images(device)

    def call() -> list[Tensor]:
        if not training:
            with torch.no_grad():
                return list(model(images))
        return list(torch.autograd.grad(loss_of(model(images)), parameters))

    replay = captured(call, device)
    for seed in (1, 2):  # of images that it was not captured with
        images.copy_(make_images(device, seed=seed))
        found = [x.clone() for x in replay()]
        assert_close(found, call(), 1e-5)


@pytest.mark.parametrize('device', [pytest.param('cpu', marks=pytest.mark.exhaustive), on_gpu()])
def test_inductor_gives_the_same(device: str) -> None:
    torch._dynamo.reset()
    small = dict(arch=dict(embed_dims=(16, 24), depths=(1, 1)), patch_sizes=(7, 3), strides=(4, 2))
    model = build(device, **small, reduction_ratios=(7 / 8, None), selection_noise=None).train()
    images = make_images(device)
    expected, wanted = list(model(images)), gradients(model, images)
    compiled = torch.compile(model, fullgraph=True)
    assert_close(list(compiled(images)), expected, 1e-4)
    assert_close(gradients(compiled, images), wanted, 1e-3)


@pytest.fixture
def one_process() -> Iterator[Callable[[str], None]]:
    """Begin a group of this process alone."""

    def begin(backend: str) -> None:
        dist.init_process_group(backend, store=dist.HashStore(), rank=0, world_size=1)

    yield begin
    if dist.is_initialized():
        dist.destroy_process_group()


@devices
def test_distributed_training_gives_the_same(one_process: Callable, device: str) -> None:
    on_cpu = device == 'cpu'
    one_process('gloo' if on_cpu else 'nccl')
    options = dict(selection_noise=None)
    wrapped = DistributedDataParallel(
        build(device, **options), device_ids=None if on_cpu else [torch.device(device).index]
    )
    images = make_images(device)
    for _ in range(2):  # the second time with the buckets in their final order
        found = gradients(wrapped, images)
    assert_close(found, gradients(build(device, **options), images), 1e-6)


@devices
def test_another_stream_gives_the_same(device: str) -> None:
    model, images = build(device, selection_noise=None), make_images(device)
    expected, wanted = list(model(images)), gradients(model, images)
    stream = None if device == 'cpu' else torch.cuda.Stream(device)
    if stream is not None:
        stream.wait_stream(torch.cuda.current_stream(device))
    with contextlib.nullcontext() if stream is None else torch.cuda.stream(stream):
        outputs, found = list(model(images)), gradients(model, images)
    if stream is not None:
        torch.cuda.synchronize(device)
    assert_close(outputs, expected, 1e-6)
    assert_close(found, wanted, 1e-5)


@devices
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=['fp32', 'bf16'])
def test_two_passes_are_equal_bit_for_bit(device: str, dtype: torch.dtype) -> None:
    model = build(device).eval().to(dtype)
    images = make_images(device).to(dtype)
    with torch.no_grad():
        first = [x.clone() for x in model(images)]
        assert all(torch.equal(a, b) for a, b in zip(model(images), first, strict=True))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16], ids=['fp32', 'bf16'])
@pytest.mark.parametrize(
    ('device', 'length'),
    [('cpu', 1300), pytest.param(*on_gpu().values, 33_280, marks=on_gpu().marks)],
)
def test_scan_at_the_shape_of_the_first_stage(device: str, length: int, dtype: torch.dtype) -> None:
    """Base at 2048 x 2048 pixels: 33,280 tokens of 192 channels, both directions."""
    n_channels, n_state = 192, 16
    generator = torch.Generator().manual_seed(0)

    def randn(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator).to(device, dtype).requires_grad_()

    x, dt = (randn(2, 1, length, n_channels) for _ in range(2))
    B, C = (randn(2, 1, length, n_state) for _ in range(2))
    rates = -torch.arange(1.0, n_state + 1, device=device).repeat(n_channels, 1)
    z, dt_bias = randn(1, length, n_channels), torch.full((n_channels,), -4.0, device=device)
    leaves, results = [x, dt, B, C, z], []
    for backend in ('auto', 'eager'):
        y = selective_scan(
            x, dt, rates, B, C, None, z, dt_bias, True, 'both', average=True, backend=backend
        )
        results.append([y, *torch.autograd.grad(y.float().square().mean(), leaves)])
    assert_close(*results, 1e-4 if dtype == torch.float32 else 1e-2)

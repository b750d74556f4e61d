"""Count the kernel launches of a forward pass and its Python time, without a GPU.

    python tools/dev/count_launches.py                       # base, 512 x 512 pixels, float32
    python tools/dev/count_launches.py --dtype bfloat16 --arch large

Triton compiles its kernels for sm_90, and a launcher that does nothing replaces the GPU. Tensors
are on the CPU, where torch's own operators run, in a model of the same depth with few channels. An
operator of torch that is neither a view nor an allocation counts as one launch; on a GPU some take
more (for example, a convolution for which cuDNN uses several kernels). The time is CPU time without
convolutions, which are slow on a CPU.
"""

from __future__ import annotations

import argparse
import functools
import os
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

# An interpreted kernel cannot be compiled.
os.environ['TRITON_INTERPRET'] = '0'

import torch
import triton
from torch import Tensor, nn
from triton.backends.compiler import GPUTarget

from mmdynamicvis import DynamicVis
from mmdynamicvis.models import stim
from mmdynamicvis.models.dynamicvis import ARCHS
from mmdynamicvis.ops import triton_support

CHANNELS = (16, 16, 16, 16)
NO_LAUNCH = {
    *('empty', 'empty_like', 'empty_strided', 'new_empty', 'resize_', 'result_type', 'as_strided'),
    *('alias', 'detach', 'expand', 'narrow', 'permute', 'select', 'slice', 'split', 'chunk'),
    *('split_with_sizes', 'squeeze', 't', 'transpose', 'unflatten', 'unsqueeze', 'view'),
    *('_unsafe_view', '_reshape_alias', 'reshape', 'flatten', 'contiguous', 'to', 'numpy_T'),
    *(
        'resolve_conj',
        '_nnpack_available',
        'lift_fresh',
        'is_nonzero',
        'item',
        '_local_scalar_dense',
        'size',
        'stride',
    ),
}
"""Operators that launch no kernels themselves."""


class _Utils:
    @staticmethod
    def load_binary(name: str, *_: Any) -> tuple[None, str, int, int, int]:
        return None, name, 0, 0, 1024

    @staticmethod
    def get_device_properties(device: int) -> dict[str, int]:
        return dict(max_shared_mem=227 * 1024, multiprocessor_count=132, warpSize=32)


class Driver:
    """A Triton driver whose launches only count kernels by name."""

    utils = _Utils()

    def __init__(self) -> None:
        self.launches: Counter[str] = Counter()

    def launcher_cls(self, src: Any, metadata: Any) -> Any:
        """Return a function that counts a launch."""

        def launch(_x: int, _y: int, _z: int, _stream: int, function: str, *_: Any) -> None:
            self.launches[function] += 1

        return launch

    def get_current_target(self) -> GPUTarget:
        """Return the GPU to compile for."""
        return GPUTarget('cuda', 90, 32)

    def get_current_device(self) -> int:
        """Return the device's number."""
        return 0

    def get_current_stream(self, device: int) -> int:
        """Return the default stream."""
        return 0


ONE_LAUNCH = ('convolution', 'rsub')
"""Operators that launch one kernel on a GPU, although they call other operators on a CPU."""


def leaves(event: Any) -> Iterator[str]:
    """Yield the operators below an event of the profiler that would launch kernels on a GPU."""
    name = event.name.removeprefix('aten::')
    below = [name for child in event.cpu_children for name in leaves(child)]
    if name in ONE_LAUNCH:
        below = []
    yield from below
    if not below and name != event.name and name not in NO_LAUNCH:
        yield name


def install() -> Driver:
    """Make launches of Triton kernels on CPU tensors do nothing but count."""
    driver = Driver()
    triton.runtime.driver.set_active(driver)
    triton_support.INTERPRETED = True  # so that kernels accept any device
    return driver


def build(arch: str, dtype: torch.dtype) -> DynamicVis:
    """Return a model with the depths of an arch and few channels."""
    narrow = dict(embed_dims=CHANNELS, depths=ARCHS[arch]['depths'])
    return DynamicVis(narrow, backend='triton').eval().to(dtype)


@torch.no_grad()
def count(model: DynamicVis, driver: Driver, size: int) -> tuple[Counter[str], Counter[str]]:
    """Return the launches of one forward pass by name: Triton kernels, and torch operators."""
    images = torch.zeros(1, 3, size, size, dtype=model.stages[0].merger.projection.weight.dtype)
    model(images)  # compiles kernels and fills caches
    driver.launches.clear()
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as profile:
        model(images)
    roots = (event for event in profile.events() if event.cpu_parent is None)
    return driver.launches.copy(), Counter(name for root in roots for name in leaves(root))


@torch.no_grad()
def seconds(model: DynamicVis, repeats: int) -> tuple[float, float]:
    """Return the minimum and median CPU time in seconds of a forward pass of a 32 x 32 image."""
    images = torch.zeros(1, 3, 32, 32, dtype=model.stages[0].merger.projection.weight.dtype)
    times = []
    with no_convolutions(model):
        for _ in range(repeats + 1):  # the first call fills caches
            start = time.process_time()
            model(images)
            times.append(time.process_time() - start)
    return min(times[1:]), statistics.median(times[1:])


@contextmanager
def no_convolutions(model: DynamicVis) -> Iterator[None]:
    """Replace convolutions by functions that return uninitialized tensors of the right shape."""
    mergers = [stage.merger for stage in model.stages]

    def local(x: Tensor, *_: Any, **__: Any) -> Tensor:
        return torch.empty_like(x)

    def merge(merger: nn.Module, x: Tensor) -> Tensor:
        size = [-(-side // merger.projection.stride[0]) for side in x.shape[2:]]
        channels = merger.projection.out_channels
        return x.new_empty(len(x), *size, channels).permute(0, 3, 1, 2)

    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(stim, 'conv2d', local))
        for merger in mergers:
            forward = functools.partial(merge, merger)
            stack.enter_context(mock.patch.object(merger.projection, 'forward', forward))
        yield


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument('--arch', default='base', choices=ARCHS)
    parser.add_argument('--dtype', default='float32', choices=['float32', 'bfloat16'])
    parser.add_argument('--size', type=int, default=512, help='pixels')
    parser.add_argument('--repeats', type=int, default=50, help='number of timed forward passes')
    return parser.parse_args()


def main() -> int:
    args = parse_args()
    torch.set_num_threads(1)
    driver, model = install(), build(args.arch, getattr(torch, args.dtype))
    kernels, operators = count(model, driver, args.size)
    for title, counts in (('Triton kernels', kernels), ('torch operators', operators)):
        print(f'{title}: {counts.total()}')
        for name, number in counts.most_common():
            print(f'{number:8d}  {name}')
    n_units = sum(len(stage.units) for stage in model.stages)
    print(f'{kernels.total() + operators.total()} launches, {n_units} units')
    least, median = seconds(model, args.repeats)
    print(f'CPU time: minimum {1e3 * least:.1f} ms, median {1e3 * median:.1f} ms')
    return 0


if __name__ == '__main__':
    sys.exit(main())

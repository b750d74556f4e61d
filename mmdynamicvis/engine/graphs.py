"""CUDA graphs of a backbone: forward passes without Python overhead, for a few image sizes."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mmdynamicvis.models.kept import Entries, recording

WARM_UPS = 3
"""Number of calls before a capture, which compile kernels, choose algorithms and fill caches."""


class _Captured(NamedTuple):
    graph: torch.cuda.CUDAGraph
    images: Tensor
    outputs: tuple[Tensor, ...]
    kept: Entries


class CUDAGraphs(nn.Module):
    """Run a backbone for inference from CUDA graphs, one per shape and dtype of the images.

    The first call for a shape captures its graph, which takes seconds; later calls copy the images
    into the graph's input and replay it. A graph reads the weights at their addresses in memory:
    weights loaded in place take effect, but call :meth:`clear` after weights have moved (``.to()``,
    ``load_state_dict(assign=True)``). An active autocast is captured along with the shape.

    Args:
        model: A backbone on a GPU, in eval mode, that returns a tuple of tensors.
        limit: Number of graphs to keep; the least recently used one is dropped. All graphs share
            one memory pool.
        clone: Return copies of the maps. If False, the next call, of any shape, overwrites the
            returned maps.

    Raises:
        RuntimeError: There is no GPU, the images are not on it, the model is in training mode, or
            gradients are recorded.
        ValueError: The limit is less than 1.

    Examples:
        >>> backbone = DynamicVis.from_checkpoint(path).cuda()  # doctest: +SKIP
        >>> graphs = CUDAGraphs(backbone)  # doctest: +SKIP
        >>> with torch.no_grad():  # doctest: +SKIP
        ...     maps = graphs(images)
    """

    def __init__(self, model: nn.Module, limit: int = 4, clone: bool = True) -> None:
        super().__init__()
        if limit < 1:
            raise ValueError(f'limit is {limit}; keep at least one graph')
        if not torch.cuda.is_available():
            raise RuntimeError(
                'CUDA graphs need an NVIDIA GPU, and torch sees none: call the model'
            )
        self.model = model
        self.limit = limit
        self.clone = clone
        self.clear()

    def clear(self) -> None:
        """Drop all graphs."""
        self._captured: OrderedDict[tuple, _Captured] = OrderedDict()
        self._pool = None

    def train(self, mode: bool = True) -> CUDAGraphs:
        """Set the mode of the model, and drop all graphs."""
        self.clear()
        return super().train(mode)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Return the model's outputs for ``images`` (B, C, H, W)."""
        if images.device.type != 'cuda':
            raise RuntimeError(f'the images are on the {images.device.type}; move them to the GPU')
        if self.model.training:
            raise RuntimeError('the model is in training mode; call eval() first')
        if torch.is_grad_enabled():
            raise RuntimeError('a graph records no gradients: call this under torch.no_grad()')
        autocast = torch.is_autocast_enabled('cuda') and torch.get_autocast_dtype('cuda')
        key = images.shape, images.dtype, images.device, autocast
        captured = self._captured.pop(key, None)
        with torch.cuda.device(images.device):
            if captured is None or not all(kept.holds(entry) for kept, entry in captured.kept):
                captured = self._capture(images)
            else:
                captured.images.copy_(images)
            self._captured[key] = captured  # most recently used comes last
            if len(self._captured) > self.limit:
                torch.cuda.synchronize()  # the dropped graph may still be running
                self._captured.popitem(last=False)
            captured.graph.replay()
            outputs = captured.outputs
            return tuple(x.clone() for x in outputs) if self.clone else outputs

    def _capture(self, images: Tensor) -> _Captured:
        images = images.clone()
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(WARM_UPS):
                self.model(images)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        with recording() as kept, torch.cuda.graph(graph, pool=self._pool):
            outputs = self.model(images)
        self._pool = graph.pool()
        return _Captured(graph, images, tuple(outputs), kept)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle the model without its graphs."""
        return CUDAGraphs, (self.model, self.limit, self.clone)

"""When kernels are called without torch's dispatcher, which takes longer than to launch them."""

from __future__ import annotations

import torch
from torch import Tensor

# The number of modes that intercept operators (counters of operations, say). Without it, in some
# other version of torch, every call takes the dispatcher.
_count_modes = getattr(torch._C, '_len_torch_dispatch_stack', lambda: 1)
_PLAIN = {Tensor, torch.nn.Parameter, type(None)}


def may_call(*tensors: Tensor | None) -> bool:
    """Tell whether nobody needs to see an op: no gradient, compiler, tracer, mode or subclass."""
    return not (
        torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or _count_modes()
        or torch.jit.is_tracing()
        or not _PLAIN.issuperset(map(type, tensors))
    )

"""When kernels may be called without torch's dispatcher, which takes longer than a launch."""

from __future__ import annotations

import torch
from torch import Tensor

# Returns the number of modes that intercept operators, such as counters of operations. In versions
# of torch without this function, every call uses the dispatcher.
_count_modes = getattr(torch._C, '_len_torch_dispatch_stack', lambda: 1)
_PLAIN = {Tensor, torch.nn.Parameter, type(None)}


def may_call(*tensors: Tensor | None) -> bool:
    """Return whether no gradient, compiler, tracer, mode or tensor subclass needs to see an op."""
    return not (
        torch.is_grad_enabled()
        or torch.compiler.is_compiling()
        or _count_modes()
        or torch.jit.is_tracing()
        or not _PLAIN.issuperset(map(type, tensors))
    )

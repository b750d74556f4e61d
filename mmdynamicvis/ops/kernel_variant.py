"""Description of a Triton kernel's specialization, to compile it without a GPU."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class KernelVariant:
    """One specialization of a Triton kernel, as a launch would compile it.

    Args:
        kernel: The ``triton.jit`` function.
        signature: Triton type of every argument that is not constant: '*fp32', '*bf16', 'i32'.
        constants: Value of every ``tl.constexpr`` argument, and None for absent optional tensors.
        num_warps: Warps per program.
        num_stages: Stages of software pipelining.
    """

    kernel: Any
    signature: dict[str, str]
    constants: dict[str, Any]
    num_warps: int = 4
    num_stages: int = 2

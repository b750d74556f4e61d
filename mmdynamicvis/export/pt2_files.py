"""Files of torch.export."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram


def write(
    program: ExportedProgram,
    shapes: dict[int, Any],
    outputs: Sequence[str],
    facts: dict[str, Any],
    path: Path,
) -> None:
    """Write an exported model; the program includes dynamic shapes, its outputs have no names."""
    torch.export.save(program, path, extra_files={'facts.json': json.dumps(facts)})


def load(path: Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a function that runs a file."""
    return torch.export.load(path).module()

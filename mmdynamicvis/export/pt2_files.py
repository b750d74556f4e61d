"""Files of torch.export."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from mmdynamicvis.export.image_models import ImageModel


def write(program: ExportedProgram, shapes: dict[int, Any], model: ImageModel, path: Path) -> None:
    """Write an exported model; ``shapes`` is unused, as the program includes dynamic shapes."""
    torch.export.save(program, path, extra_files={'facts.json': json.dumps(model.facts)})


def load(path: Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a function that runs a file."""
    return torch.export.load(path).module()

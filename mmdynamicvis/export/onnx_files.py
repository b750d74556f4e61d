"""ONNX files, with translations of the model's ops for torch.onnx."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

from mmdynamicvis.export.image_models import ImageModel

try:
    import onnxruntime
    from onnxscript import FLOAT, graph, script
    from onnxscript import opset18 as op
    from onnxscript.values import Opset
except ImportError as error:
    raise ImportError(
        "ONNX needs onnxscript and onnxruntime: pip install 'mmdynamicvis[export]'"
    ) from error

OPSET = 18
_OURS = Opset('mmdynamicvis', 1)


@script(_OURS, default_opset=op)
def _scan(
    x: FLOAT[...],
    dt: FLOAT[...],
    A: FLOAT[...],
    B: FLOAT[...],
    C: FLOAT[...],
    read_from: Sequence[int],
    write_from: Sequence[int],
) -> tuple[FLOAT[...], FLOAT[...]]:
    @graph()
    def step(h, x_t, dt_t, B_t, C_t):
        fed = op.Unsqueeze(dt_t * x_t, [-1]) * op.Unsqueeze(B_t, [1])
        h_next = op.Exp(op.Unsqueeze(dt_t, [-1]) * A) * h + fed
        y_t = op.ReduceSum(h_next * op.Unsqueeze(C_t, [1]), [-1], keepdims=0)
        return h_next, y_t

    shape = op.Concat(op.Shape(x, start=0, end=1), op.Shape(A), axis=0)
    last, y = op.Scan(
        op.Expand(op.Constant(value_float=0.0), shape),
        x,
        dt,
        B,
        C,
        body=step,
        num_scan_inputs=4,
        scan_input_axes=[1, 1, 1, 1],
        scan_output_axes=[1],
        scan_input_directions=read_from,
        scan_output_directions=write_from,
    )
    # torch's op also returns states for its backward pass: return a tensor of that rank
    return y, op.Unsqueeze(op.Transpose(last, perm=[0, 2, 1]), [0])


def _selective_scan(x, dt, A, B, C, reverse: bool):
    end = int(reverse)
    return _scan(x, dt, A, B, C, read_from=[end] * 4, write_from=[end])


def _stable_sort(self, stable=True, dim: int = -1, descending: bool = False):
    # for ties, TopK returns the lower index first, as a stable sort does
    k = op.Gather(op.Shape(self), op.Constant(value_ints=[dim]))
    return op.TopK(self, k, axis=dim, largest=int(descending), sorted=1)


TRANSLATIONS: dict[Any, Callable] = {
    torch.ops.mmdynamicvis.selective_scan_eager.default: _selective_scan,
    torch.ops.aten.sort.stable: _stable_sort,
}
"""Op of torch -> function that expresses it in ONNX."""


def write(program: ExportedProgram, shapes: dict[int, Any], model: ImageModel, path: Path) -> None:
    """Write an exported model.

    Args:
        program: The exported program.
        shapes: Index of each dynamic dimension of the images -> its ``Dim``.
        model: The model, for the names of its outputs and its facts.
        path: File to write.
    """
    exported = torch.onnx.export(
        program,
        dynamo=True,
        dynamic_shapes=(shapes,),
        input_names=['images'],
        output_names=model.outputs,
        opset_version=OPSET,
        custom_translation_table=TRANSLATIONS,
        verbose=False,
    )
    facts = {name: json.dumps(value) for name, value in model.facts.items()}
    exported.model.metadata_props.update(facts)
    exported.save(path)


def load(path: Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a function that runs a file on the CPU."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return lambda images: tuple(
        torch.from_numpy(output) for output in session.run(None, {'images': images.numpy()})
    )

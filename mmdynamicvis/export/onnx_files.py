"""ONNX files, with translations of the model's ops for torch.onnx."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import ExportedProgram

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


def _adaptive_avg_pool2d(self, output_size: Sequence[int]):
    # torch.onnx would write the bins of the example's size into the file
    rows = _bins(op.Shape(self, start=2, end=3), output_size[0])
    columns = _bins(op.Shape(self, start=3, end=4), output_size[1])
    return op.MatMul(op.MatMul(rows, self), op.Transpose(columns, perm=[1, 0]))


def _bins(length, number: int):
    """Return the (number, length) weights of the averages over ``number`` parts of a side."""
    first = op.Constant(value_ints=list(range(number)))
    next_ = op.Constant(value_ints=list(range(1, number + 1)))
    count = op.Constant(value_ints=[number])
    one = op.Constant(value_ints=[1])
    start = op.Div(op.Mul(first, length), count)
    end = op.Div(op.Sub(op.Add(op.Mul(next_, length), count), one), count)
    zero, step = op.Constant(value_int=0), op.Constant(value_int=1)
    places = op.Range(zero, op.Squeeze(length), step)
    start, end = op.Unsqueeze(start, one), op.Unsqueeze(end, one)
    inside = op.And(op.GreaterOrEqual(places, start), op.Less(places, end))
    return op.Div(op.Cast(inside, to=1), op.Cast(op.Sub(end, start), to=1))


TRANSLATIONS: dict[Any, Callable] = {
    torch.ops.mmdynamicvis.selective_scan_eager.default: _selective_scan,
    torch.ops.aten.sort.stable: _stable_sort,
    torch.ops.aten.adaptive_avg_pool2d.default: _adaptive_avg_pool2d,
    torch.ops.aten._adaptive_avg_pool2d.default: _adaptive_avg_pool2d,
}
"""Op of torch -> function that expresses it in ONNX."""


def write(
    program: ExportedProgram,
    shapes: dict[int, Any],
    outputs: Sequence[str],
    facts: dict[str, Any],
    path: Path,
) -> None:
    """Write an exported model.

    Args:
        program: The exported program.
        shapes: Index of each dynamic dimension of the images -> its ``Dim``.
        outputs: Names of the outputs.
        facts: Metadata, of JSON types.
        path: File to write.
    """
    exported = torch.onnx.export(
        program,
        dynamo=True,
        dynamic_shapes=(shapes,),
        input_names=['images'],
        output_names=outputs,
        opset_version=OPSET,
        custom_translation_table=TRANSLATIONS,
        verbose=False,
    )
    metadata = {name: json.dumps(value) for name, value in facts.items()}
    exported.model.metadata_props.update(metadata)
    exported.save(path)


def load(path: Path) -> Callable[[Tensor], tuple[Tensor, ...]]:
    """Return a function that runs a file on the CPU."""
    session = onnxruntime.InferenceSession(path, providers=['CPUExecutionProvider'])
    return lambda images: tuple(
        torch.from_numpy(output) for output in session.run(None, {'images': images.numpy()})
    )

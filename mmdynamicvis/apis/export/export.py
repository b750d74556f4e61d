"""Files that torch.export or onnxruntime run."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.export import Dim, ExportedProgram
from torch.nn.functional import interpolate

from mmdynamicvis.apis.export.image_models import ImageModel
from mmdynamicvis.apis.whole_files import replacing

SMALLEST = 64
"""Pixels each way from which on sizes can be left open: below, the last map is one token wide."""
TOLERANCE = 1e-4
Run = Callable[[Tensor], tuple[Tensor, ...]]


def export_model(
    model: ImageModel,
    target: str | Path,
    size: tuple[int, int] | None = None,
    dynamic: bool = False,
    tolerance: float = TOLERANCE,
) -> float:
    """Write a model to a file, read it back, and compare what it returns on made images.

    The file takes ``images`` (B, bands, H, W) float32 in the units of the model's mean, any number
    of them, and returns the model's outputs by their names. An .onnx file needs nothing else and
    carries the model's facts as metadata; a .pt2 file needs ``import mmdynamicvis.ops`` before
    :func:`torch.export.load`, and carries them in the extra file ``facts.json``.

    Args:
        model: From :func:`backbone` or :func:`classifier`.
        target: File that ends with .onnx or .pt2.
        size: Height and width of the images in pixels; by default the model's own.
        dynamic: Leave the size open, from 64 pixels each way on.
        tolerance: How much the file's outputs may differ from the model's.

    Returns:
        The largest difference.

    Raises:
        ImportError: ONNX needs onnxscript and onnxruntime.
        ValueError: The target ends with something else, or the size is too small.
        RuntimeError: The model cannot be exported so, or the outputs differ by more than the
            tolerance; nothing is written then.
    """
    target, size = Path(target), size or model.size
    if target.suffix not in FORMATS:
        raise ValueError(f'target {target} must end with one of {", ".join(FORMATS)}')
    if dynamic and min(size) < SMALLEST:
        raise ValueError(f'size is {size}; sizes can be left open from {SMALLEST} pixels on')
    write, load = FORMATS[target.suffix]
    shapes = {0: Dim('batch', min=1)}
    if dynamic:
        shapes.update({2: Dim('height', min=SMALLEST), 3: Dim('width', min=SMALLEST)})
    with torch.no_grad(), replacing(target) as temporary:
        # of one image, the batch would be taken as fixed
        example = _images(2, model.bands, size)
        program = torch.export.export(model, (example,), dynamic_shapes=(shapes,), strict=False)
        try:
            write(program, shapes, model, temporary)
            difference = max(_differences(model, load(temporary), size, dynamic))
        except ImportError:
            raise
        except Exception as error:  # torch.onnx and onnxruntime share no other class
            raise RuntimeError(
                f'{target}: this model cannot be exported for '
                f'{"images of any size" if dynamic else "this size"}: {error}'
            ) from error
        if not difference <= tolerance:
            raise RuntimeError(
                f'{target} would return other numbers than the model: they differ by up to '
                f'{difference:.1e}, more than tolerance={tolerance:g}. Where scores of tokens are '
                'nearly the same, another order of them is enough; no file is written'
            )
    return difference


def _images(number: int, bands: int, size: tuple[int, int]) -> Tensor:
    """Return smooth images in [0, 255]: in noise, scores of tokens would be nearly the same."""
    generator = torch.Generator().manual_seed(number)
    coarse = torch.rand(number, bands, 5, 5, generator=generator)
    return 255 * interpolate(coarse, size, mode='bilinear', align_corners=True)


def _differences(
    model: ImageModel, run: Run, size: tuple[int, int], dynamic: bool
) -> Iterator[float]:
    height, width = size
    for number, shape in (1, size), (3, size), (1, (height + 33, 2 * width + 1)):
        if shape == size or dynamic:
            images = _images(number, model.bands, shape)
            for expected, found in zip(model(images), run(images), strict=True):
                yield (expected - found).abs().max().item()


def _write_onnx(
    program: ExportedProgram, shapes: dict[int, Any], model: ImageModel, path: Path
) -> None:
    from mmdynamicvis.apis.export.onnx_ops import OPSET, TRANSLATIONS

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


def _load_onnx(path: Path) -> Run:
    from onnxruntime import InferenceSession

    session = InferenceSession(path, providers=['CPUExecutionProvider'])
    return lambda images: tuple(
        torch.from_numpy(output) for output in session.run(None, {'images': images.numpy()})
    )


def _write_pt2(
    program: ExportedProgram, shapes: dict[int, Any], model: ImageModel, path: Path
) -> None:
    torch.export.save(program, path, extra_files={'facts.json': json.dumps(model.facts)})


def _load_pt2(path: Path) -> Run:
    return torch.export.load(path).module()


FORMATS = {'.onnx': (_write_onnx, _load_onnx), '.pt2': (_write_pt2, _load_pt2)}
"""Suffix -> how files are written and read back."""

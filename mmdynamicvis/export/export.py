"""Export of models to files for torch.export or onnxruntime."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim
from torch.nn.functional import interpolate

from mmdynamicvis.export.deepness import Deepness
from mmdynamicvis.export.image_models import ImageModel
from mmdynamicvis.fileio import replacing

TOLERANCE = 1e-4
FORMATS = {
    '.onnx': 'mmdynamicvis.export.onnx_files',
    '.pt2': 'mmdynamicvis.export.pt2_files',
}
"""Suffix -> module that writes and loads files of the format."""
Run = Callable[[Tensor], tuple[Tensor, ...]]


class TooLargeError(RuntimeError):
    """The weights exceed the size limit of the file format."""


def export_model(
    model: ImageModel,
    target: str | Path,
    size: tuple[int, int] | None = None,
    dynamic: bool = False,
    tolerance: float = TOLERANCE,
    deepness: Deepness | None = None,
) -> float:
    """Write a model to a file, load it, and compare its outputs on synthetic images.

    The input of the file is ``images``, (B, bands, H, W) float32 in the units of the model's mean,
    with any batch size; its outputs have the model's names. An .onnx file is self-contained and
    stores the model's facts as metadata. A .pt2 file requires ``import mmdynamicvis.ops`` before
    :func:`torch.export.load`, and stores the facts in the extra file ``facts.json``.

    Args:
        model: From :func:`backbone`, :func:`classifier`, :func:`segmentor` or :func:`detector`.
        target: File to write, .onnx or .pt2.
        size: (height, width) of the images in pixels; by default the model's size.
        dynamic: Accept images of any size from 64 x 64 pixels; if the model has a ``step``, sizes
            that are multiples of it, from twice the step.
        tolerance: Largest allowed absolute difference between outputs of file and model.
        deepness: Add what the QGIS plugin Deepness reads, to an ONNX file of a segmentor.

    Returns:
        The largest absolute difference.

    Raises:
        ImportError: onnxscript or onnxruntime is not installed (ONNX only).
        ValueError: The suffix is unsupported; the size is too small for ``dynamic``, or no multiple
            of the model's step; or Deepness cannot use the file.
        RuntimeError: The model cannot be exported, its weights do not fit in one file, or the
            outputs differ by more than the tolerance; then no file is written.
    """
    target, size = Path(target), size or model.size
    if target.suffix not in FORMATS:
        raise ValueError(f'target {target} must end with one of {", ".join(FORMATS)}')
    if dynamic and (min(size) < model.smallest or any(side % model.step for side in size)):
        steps = f', in steps of {model.step}' if model.step > 1 else ''
        raise ValueError(
            f'size is {size}; sizes can be left open from {model.smallest} pixels on{steps}'
        )
    facts = dict(model.facts)
    if deepness is not None:
        facts.update(deepness.metadata(model, target, size, dynamic))
    # import first, so that a missing package is reported before the export, which takes minutes
    files = import_module(FORMATS[target.suffix])
    target.parent.mkdir(parents=True, exist_ok=True)
    shapes = {0: Dim('batch', min=1)}
    if dynamic:
        shapes.update({2: _open('height', model), 3: _open('width', model)})
    with torch.no_grad(), replacing(target) as temporary:
        # with an example of one image, torch.export would fix the batch size
        example = _images(2, model, size)
        try:
            program = torch.export.export(model, (example,), dynamic_shapes=(shapes,), strict=False)
            files.write(program, shapes, model.outputs, facts, temporary)
            _check_alone(temporary, target)
            difference = _difference(model, files.load(temporary), size, dynamic)
        except (ImportError, OSError, TooLargeError, ValueError):
            raise
        except Exception as error:  # torch.export, torch.onnx and onnxruntime share no other class
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


def _open(name: str, model: ImageModel) -> Dim:
    """Return an open side of the images."""
    if model.step == 1:
        return Dim(name, min=model.smallest)
    return model.step * Dim(f'{name}_steps', min=model.smallest // model.step)


def _check_alone(written: Path, target: Path) -> None:
    """Raise an error if more than one file was written: several cannot be moved atomically."""
    others = [path for path in written.parent.iterdir() if path != written]
    if others:
        gigabytes = sum(path.stat().st_size for path in others) / 1e9
        raise TooLargeError(
            f'{target}: the weights, {gigabytes:.2g} GB, are more than torch writes into one '
            f'{target.suffix} file; export a .pt2 file, which has no limit'
        )


def _images(number: int, model: ImageModel, size: tuple[int, int]) -> Tensor:
    """Return smooth images, (number, bands, H, W), within two standard deviations of the mean.

    They are not noise because noise gives nearly equal token scores, whose order is unstable.
    """
    generator = torch.Generator().manual_seed(number)
    coarse = 4 * torch.rand(number, model.bands, 5, 5, generator=generator) - 2
    smooth = interpolate(coarse, size, mode='bilinear', align_corners=True)
    return model.mean + model.std * smooth


def _difference(model: ImageModel, run: Run, size: tuple[int, int], dynamic: bool) -> float:
    """Return the largest absolute difference, or NaN if any difference is NaN."""
    height, width = size
    other = (height + 33, 2 * width + 1)
    if model.step > 1:
        other = (height + model.step, 2 * width)
    differences = []
    for number, shape in (1, size), (3, size), (1, other):
        if shape == size or dynamic:
            images = _images(number, model, shape)
            for expected, found in zip(model(images), run(images), strict=True):
                differences.append((expected - found).abs().max())
    # Python's max may ignore NaN
    return torch.stack(differences).max().item()

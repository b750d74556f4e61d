"""Files that torch.export or onnxruntime run."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import torch
from torch import Tensor
from torch.export import Dim
from torch.nn.functional import interpolate

from mmdynamicvis.export.image_models import ImageModel
from mmdynamicvis.fileio import replacing

SMALLEST = 64
"""Pixels each way from which on sizes can be left open: below, the last map is one token wide."""
TOLERANCE = 1e-4
FORMATS = {
    '.onnx': 'mmdynamicvis.export.onnx_files',
    '.pt2': 'mmdynamicvis.export.pt2_files',
}
"""Suffix -> module that writes such files and reads them back."""
Run = Callable[[Tensor], tuple[Tensor, ...]]


class TooLargeError(RuntimeError):
    """The weights are more than a file of the format holds."""


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
        RuntimeError: The model cannot be exported so, its weights do not fit in one file, or the
            outputs differ by more than the tolerance; nothing is written then.
    """
    target, size = Path(target), size or model.size
    if target.suffix not in FORMATS:
        raise ValueError(f'target {target} must end with one of {", ".join(FORMATS)}')
    if dynamic and min(size) < SMALLEST:
        raise ValueError(f'size is {size}; sizes can be left open from {SMALLEST} pixels on')
    # at once: minutes later, that a package is missing would be late
    files = import_module(FORMATS[target.suffix])
    target.parent.mkdir(parents=True, exist_ok=True)
    shapes = {0: Dim('batch', min=1)}
    if dynamic:
        shapes.update({2: Dim('height', min=SMALLEST), 3: Dim('width', min=SMALLEST)})
    with torch.no_grad(), replacing(target) as temporary:
        # of one image, the batch would be taken as fixed
        example = _images(2, model, size)
        try:
            program = torch.export.export(model, (example,), dynamic_shapes=(shapes,), strict=False)
            files.write(program, shapes, model, temporary)
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


def _check_alone(written: Path, target: Path) -> None:
    """Raise unless the file is all that was written: two files cannot appear at once."""
    others = [path for path in written.parent.iterdir() if path != written]
    if others:
        gigabytes = sum(path.stat().st_size for path in others) / 1e9
        raise TooLargeError(
            f'{target}: the weights, {gigabytes:.2g} GB, are more than torch writes into one '
            f'{target.suffix} file; export a .pt2 file, which has no limit'
        )


def _images(number: int, model: ImageModel, size: tuple[int, int]) -> Tensor:
    """Return smooth images, two deviations about the mean at most.

    In noise, scores of tokens would be nearly the same.
    """
    generator = torch.Generator().manual_seed(number)
    coarse = 4 * torch.rand(number, model.bands, 5, 5, generator=generator) - 2
    smooth = interpolate(coarse, size, mode='bilinear', align_corners=True)
    return model.mean + model.std * smooth


def _difference(model: ImageModel, run: Run, size: tuple[int, int], dynamic: bool) -> float:
    """Return the largest difference, NaN if there is one."""
    height, width = size
    differences = []
    for number, shape in (1, size), (3, size), (1, (height + 33, 2 * width + 1)):
        if shape == size or dynamic:
            images = _images(number, model, shape)
            for expected, found in zip(model(images), run(images), strict=True):
                differences.append((expected - found).abs().max())
    # Python's max would pass over NaN
    return torch.stack(differences).max().item()

"""Pictures of the selected tokens, drawn while a Runner tests a model."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel
from mmengine.runner import Runner
from torch import Tensor
from torch.nn.functional import pad

from mmdynamicvis.fileio import OutputNames, own_folder
from mmdynamicvis.models.dynamicvis import StageSelection
from mmdynamicvis.models.selections import Record, find_backbone, record_selections
from mmdynamicvis.registry import HOOKS
from mmdynamicvis.visualization.pictures import as_picture, write_picture
from mmdynamicvis.visualization.selected_tokens import show_selected_tokens, write_arrays


@HOOKS.register_module()
class SelectedTokensHook(Hook):
    """Draws the tokens that each stage selects in test images, for any model with the backbone.

    Each image gets a picture ``NAME.png`` with the image and, next to it, the selected tokens of
    each stage. If several images share a name, names of parent folders are prepended. If the model
    takes several images at once, as in change detection, the picture has a row for each.

    Args:
        folder: Folder for the pictures, inside the run's log folder.
        interval: Draw every ``interval``-th batch.
        bands: Indices of the red, green and blue bands of the input, counted from 0. OpenMMLab's
            loaders return blue, green, red.
        arrays: Also write ``NAME.npz`` with ``stride4_indices``, (K,) int64, and
            ``stride4_importance``, (rows, columns) float32, and the same for the strides of the
            other selecting stages.
        backbone: If the model has several backbones, the name of one in the model or a part of the
            name, 'teacher' for example.

    Raises:
        ValueError: The model has no DynamicVis backbone, or several and none is named; or it is
            tested with augmentation (--tta); or ``folder`` is not inside the run's log folder.
        RuntimeError: The backbone does not run in a test.
    """

    priority = 'LOW'

    def __init__(
        self,
        folder: str = 'selected_tokens',
        interval: int = 1,
        bands: Sequence[int] = (2, 1, 0),
        arrays: bool = False,
        backbone: str | None = None,
    ) -> None:
        self.folder = own_folder('folder', folder)
        self.interval = interval
        self.bands = bands
        self.arrays = arrays
        self.backbone = backbone
        self._listening = ExitStack()
        self._record: Record | None = None
        self._names = OutputNames()

    def before_test(self, runner: Runner) -> None:
        """Check the model."""
        find_backbone(runner.model, self.backbone)
        if any(isinstance(module, BaseTTAModel) for module in runner.model.modules()):
            raise ValueError('SelectedTokensHook draws single images: test without --tta')
        self._names = OutputNames()

    def before_test_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Record the selections of the batches that are drawn."""
        if self.every_n_inner_iters(batch_idx, self.interval):
            listening = record_selections(runner.model, self.backbone)
            self._record = self._listening.enter_context(listening)

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Draw the images of the batch."""
        if self._record is None:
            return
        self._listening.close()
        record, self._record = self._record, None
        inputs = data_batch['inputs']
        folder = Path(runner.log_dir) / self.folder
        for i, sample in enumerate(data_batch['data_samples']):
            path = sample.get('img_path', f'{batch_idx}_{i}')
            # a pair of images is named after the first date
            name = self._names(path if isinstance(path, str) else path[0])
            rows = range(i, len(record.images_BCHW), len(inputs))
            images = _images_of(inputs[i], record.images_BCHW, len(rows))
            selections = [_rows_of(selection, rows) for selection in record.selections.values()]
            pictures = [as_picture(image.numpy(), self.bands) for image in images]
            titles = [name if len(rows) == 1 else f'{name}, {n + 1}' for n in range(len(rows))]
            write_picture(
                show_selected_tokens(pictures, selections, titles), folder / f'{name}.png'
            )
            if self.arrays:
                write_arrays(record.selections, rows, folder / f'{name}.npz')


def _images_of(stack_CHW: Tensor, batch_BCHW: Tensor, count: int) -> tuple[Tensor, ...]:
    """Return the images of a sample, (bands, H, W) each, padded like the input of the backbone."""
    height, width = (
        max(0, a - b) for a, b in zip(batch_BCHW.shape[2:], stack_CHW.shape[1:], strict=True)
    )
    return pad(stack_CHW.cpu(), (0, width, 0, height)).chunk(count)


def _rows_of(selection: StageSelection, rows: Sequence[int]) -> StageSelection:
    places = torch.as_tensor(list(rows), device=selection.indices.device)
    return StageSelection(selection.indices[places], selection.importance[places], selection.grid)

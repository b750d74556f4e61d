"""Error maps: pictures of true and false positives and negatives."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from mmengine.hooks import Hook
from mmengine.runner import Runner
from PIL import Image

from mmdynamicvis.fileio import OutputNames, own_folder, replacing
from mmdynamicvis.registry import HOOKS

TRUE_POSITIVE = (255, 255, 255)
TRUE_NEGATIVE = (0, 0, 0)
FALSE_POSITIVE = (255, 0, 0)
FALSE_NEGATIVE = (0, 255, 0)
IGNORED = (128, 128, 128)


def error_map(
    prediction: np.ndarray, label: np.ndarray, target: int = 1, ignore_index: int = 255
) -> np.ndarray:
    """Color each pixel by whether the target class was predicted correctly there.

    Args:
        prediction: (H, W) predicted class indices.
        label: (H, W) annotated class indices.
        target: Index of the class whose errors are shown.
        ignore_index: Label of pixels that are ignored.

    Returns:
        (H, W, 3) uint8 R, G, B: true positives white, true negatives black, false positives red,
        false negatives green, ignored pixels gray.

    Raises:
        ValueError: The sizes differ.
    """
    if prediction.shape != label.shape:
        raise ValueError(f'prediction {prediction.shape} and label {label.shape} differ in size')
    colors = np.array([TRUE_NEGATIVE, FALSE_POSITIVE, FALSE_NEGATIVE, TRUE_POSITIVE], np.uint8)
    picture = colors[(prediction == target) + 2 * (label == target)]
    picture[label == ignore_index] = IGNORED
    return picture


@HOOKS.register_module()
class ErrorMapHook(Hook):
    """Writes an error map of one class per test image, as in the paper's figures.

    True positives are white, true negatives black, false positives red, false negatives green,
    ignored pixels gray. Works for samples with ``gt_sem_seg``, ``pred_sem_seg`` and ``img_path``:
    those of mmseg and open-cd, also with test-time augmentation, and for one of the maps of
    ``MultiTaskSiamese``. The image itself is not read, so it may have any bands.

    Args:
        target: Index of the class.
        out_dir: Folder for the pictures, inside the run's log folder. A picture is named after
            its image; if several images share a name, names of parent folders are prepended.
        ignore_index: Label of pixels that are ignored.
        output: Name of the map, of models that predict several: samples then have ``gt_OUTPUT`` and
            ``pred_OUTPUT``.

    Raises:
        ValueError: ``out_dir`` is not inside the run's log folder.
    """

    def __init__(
        self,
        target: int = 1,
        out_dir: str = 'error_maps',
        ignore_index: int = 255,
        output: str = 'sem_seg',
    ) -> None:
        self.target = target
        self.out_dir = own_folder('out_dir', out_dir)
        self.ignore_index = ignore_index
        self.output = output
        self._names = OutputNames()

    def before_test(self, runner: Runner) -> None:
        """Reset the names used in an earlier test."""
        self._names = OutputNames()

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Write the error maps of a batch; samples without annotations are skipped."""
        folder = Path(runner.log_dir) / self.out_dir
        folder.mkdir(parents=True, exist_ok=True)
        for sample in outputs or ():
            if f'gt_{self.output}' not in sample:
                continue
            prediction, label = (
                sample.get(f'{kind}_{self.output}').data.squeeze(0).cpu().numpy()
                for kind in ('pred', 'gt')
            )
            picture = error_map(prediction, label, self.target, self.ignore_index)
            # a pair of images is named after the first date
            path = sample.img_path if isinstance(sample.img_path, str) else sample.img_path[0]
            with replacing(folder / f'{self._names(path)}.png') as temporary:
                Image.fromarray(picture).save(temporary)

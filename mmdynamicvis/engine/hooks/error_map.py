"""Pictures of what was found, missed and mistaken."""

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
    """Color each pixel by whether the target was found there.

    Args:
        prediction: (H, W) predicted classes.
        label: (H, W) annotated classes.
        target: The class whose errors are shown.
        ignore_index: Label of pixels that do not count.

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
    """Writes a picture of the target's hits and errors per test image, as in the paper's figures.

    True positives are white, true negatives black, false positives red, false negatives green,
    ignored pixels gray. For any samples with ``gt_sem_seg``, ``pred_sem_seg`` and ``img_path``: of
    mmseg, of open-cd and with test-time augmentation. The image itself is not read, so that it
    may have any bands.

    Args:
        target: Index of the class.
        out_dir: Folder of the pictures, in the folder of the run's log. A picture has the name of
            its image; where two images share one, that of the folder above is put before it.
        ignore_index: Label of pixels that do not count.

    Raises:
        ValueError: ``out_dir`` leads out of the folder of the run's log.
    """

    def __init__(
        self, target: int = 1, out_dir: str = 'error_maps', ignore_index: int = 255
    ) -> None:
        self.target = target
        self.out_dir = own_folder('out_dir', out_dir)
        self.ignore_index = ignore_index
        self._names = OutputNames()

    def before_test(self, runner: Runner) -> None:
        """Forget the names of an earlier test."""
        self._names = OutputNames()

    def after_test_iter(
        self,
        runner: Runner,
        batch_idx: int,
        data_batch: Any = None,
        outputs: Sequence[Any] | None = None,
    ) -> None:
        """Write the pictures of a batch; samples without annotation have none."""
        folder = Path(runner.log_dir) / self.out_dir
        folder.mkdir(parents=True, exist_ok=True)
        for sample in outputs or ():
            if 'gt_sem_seg' not in sample:
                continue
            prediction, label = (
                sample.get(key).data.squeeze(0).cpu().numpy()
                for key in ('pred_sem_seg', 'gt_sem_seg')
            )
            picture = error_map(prediction, label, self.target, self.ignore_index)
            # of two dates, the first
            path = sample.img_path if isinstance(sample.img_path, str) else sample.img_path[0]
            with replacing(folder / f'{self._names(path)}.png') as temporary:
                Image.fromarray(picture).save(temporary)

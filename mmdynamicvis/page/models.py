"""A uniform predict interface for all tasks."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from mmdynamicvis.engine.config import preprocessor_of, scope_of, turns_channels
from mmdynamicvis.inference.inferencers import config_and_weights, load_inferencer
from mmdynamicvis.inference.pair_inferencer import PairInferencer
from mmdynamicvis.models.selections import find_backbone, record_selections
from mmdynamicvis.models.weights import local_file
from mmdynamicvis.page.uploads import fit
from mmdynamicvis.visualization import as_picture, draw_stages, show_class_maps, write_picture
from mmdynamicvis.visualization.pictures import Picture

SIDE = 768
"""Longer side in pixels of pictures on the page."""
MIN_SCORE = 0.3
"""Minimum score of objects to show."""
_TOP = 5


class Table(NamedTuple):
    """Predictions as a table of text."""

    headers: list[str]
    rows: list[list[str]]


class View(NamedTuple):
    """Predictions of a model for an image, and the tokens it selected."""

    predictions: Picture
    table: Table
    stages: list[Picture]
    """The input image of the backbone, then the selected tokens of each selecting stage."""


class PageModel:
    """Predicts images, or pairs of them, with a model of any task.

    Args:
        config: See :func:`~mmdynamicvis.inference.load_inferencer`.
        checkpoint: Weights of the model; by default those of its name in the
            :mod:`~mmdynamicvis.zoo`.
        device: Device of the model; by default an accelerator if there is one.

    Raises:
        FileNotFoundError: The config or the checkpoint does not exist.
        ValueError: There is no inferencer for the config, or it has no DynamicVis backbone.
    """

    def __init__(
        self, config: str | Path, checkpoint: str | Path | None = None, device: str | None = None
    ) -> None:
        cfg, checkpoint = config_and_weights(config, checkpoint)
        checkpoint = Path(local_file(checkpoint))
        if not checkpoint.is_file():
            raise FileNotFoundError(f'there is no checkpoint {checkpoint}')
        self._host = scope_of(cfg)
        self._inferencer = load_inferencer(cfg, checkpoint, device)
        self._model = self._inferencer.model
        find_backbone(self._model)
        self._turned = turns_channels(preprocessor_of(cfg))
        self.name = f'{self._task()}: {Path(cfg.filename).stem}, {checkpoint.name}'

    @property
    def dates(self) -> int:
        """Number of images that a prediction needs: 2 for change detection."""
        return 2 if isinstance(self._inferencer, PairInferencer) else 1

    def __call__(self, *images: Picture) -> View:
        """Return predictions and selected tokens, from a single forward pass.

        Args:
            *images: The image; or the images of both dates, of which the selected tokens of the
                first are shown.

        Raises:
            RuntimeError: An image does not suit the model, for example because it is too small.
            ValueError: The number of images is not that of :attr:`dates`, or their sizes differ.
        """
        if len(images) != self.dates:
            raise ValueError(f'{self.name} takes {self.dates} images, and got {len(images)}')
        with TemporaryDirectory() as folder, record_selections(self._model) as record:
            # pass files, because hosts differ in the channel order that they expect of arrays
            paths = [Path(folder, f'image{i}.png') for i in range(len(images))]
            for image, path in zip(images, paths, strict=True):
                write_picture(image, path)
            read = _read_pair if self.dates == 2 else _READERS[self._host]
            picture, table = read(self._inferencer, *paths)
        seen = fit(self._seen(record.images_BCHW), SIDE)
        stages = draw_stages(seen, list(record.selections.values()))
        return View(fit(picture, SIDE), table, stages)

    def _task(self) -> str:
        if self._host == 'mmdet' and self._model.with_mask:
            return 'instance masks'
        if self.dates == 2:
            return 'change detection'
        return _TASKS[self._host]

    def _seen(self, images_BCHW: Tensor) -> Picture:
        """Return the input of the backbone as a picture."""
        preprocessor = self._model.data_preprocessor
        # of BandsDataPreprocessor, that of the bands of one date
        mean, std = (
            getattr(preprocessor, name, getattr(preprocessor, f'band_{name}', default))
            for name, default in (('mean', 0), ('std', 1))
        )
        pixels_CHW = (images_BCHW[0] * std + mean).round().clamp(0, 255).byte().cpu().numpy()
        return as_picture(pixels_CHW, (0, 1, 2) if self._turned else (2, 1, 0))


def _read_classes(inferencer: Any, path: Path) -> tuple[Picture, Table]:
    (sample,) = inferencer(str(path), return_datasamples=True)
    options = dict(show_dir=path.parent / 'drawn', resize=SIDE // 2)
    (picture,) = inferencer.visualize([str(path)], [sample], **options)
    scores, labels = sample.pred_score.topk(min(_TOP, len(sample.pred_score)))
    names = inferencer.classes or range(len(sample.pred_score))
    pairs = zip(labels.tolist(), scores.tolist(), strict=True)
    rows = [[str(names[label]), f'{score:.1%}'] for label, score in pairs]
    return picture, Table(['class', 'score'], rows)


def _read_objects(inferencer: Any, path: Path) -> tuple[Picture, Table]:
    options = dict(return_vis=True, return_datasamples=True, pred_score_thr=MIN_SCORE)
    result = inferencer(str(path), **options)
    (picture,), (sample,) = result['visualization'], result['predictions']
    found = sample.pred_instances
    found = found[found.scores >= MIN_SCORE]
    names = inferencer.model.dataset_meta['classes']
    rows = []
    for label in torch.unique(found.labels).tolist():
        scores = found.scores[found.labels == label]
        rows.append([str(names[label]), f'{scores.max():.1%}', str(len(scores))])
    return picture, Table(['class', 'best score', 'objects'], rows)


def _read_pixels(inferencer: Any, path: Path) -> tuple[Picture, Table]:
    result = inferencer(str(path), return_vis=True)
    labels_HW = result['predictions']
    names = inferencer.model.dataset_meta['classes']
    found, counts = np.unique(labels_HW, return_counts=True)
    pairs = zip(found.tolist(), counts.tolist(), strict=True)
    rows = [[str(names[label]), f'{count / labels_HW.size:.1%}'] for label, count in pairs]
    return result['visualization'], Table(['class', 'share of pixels'], rows)


def _read_pair(inferencer: PairInferencer, before: Path, after: Path) -> tuple[Picture, Table]:
    found, rows = inferencer(before, after), []
    for part, labels_HW in found:
        labels, counts = np.unique(labels_HW, return_counts=True)
        for label, count in zip(labels.tolist(), counts.tolist(), strict=True):
            rows.append([part.name, str(part.classes[label]), f'{count / labels_HW.size:.1%}'])
    maps, labels = zip(*found, strict=True)
    picture = show_class_maps(np.asarray(Image.open(after)), maps, labels)
    return picture, Table(['map', 'class', 'share of pixels'], rows)


_READERS: dict[str, Callable[[Any, Path], tuple[Picture, Table]]] = dict(
    mmpretrain=_read_classes, mmseg=_read_pixels, mmdet=_read_objects, mmrotate=_read_objects
)
_TASKS = dict(
    mmpretrain='classification',
    mmseg='segmentation',
    mmdet='detection',
    mmrotate='rotated boxes',
)

"""Names for boxes, by the text features of the names (open vocabulary)."""

from __future__ import annotations

import copy
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from torch import Tensor

from mmdynamicvis.engine.config import load_config_file, test_dataset, type_name
from mmdynamicvis.inference.trained_model import load_model
from mmdynamicvis.pretraining.meta_embeddings import load_text_embeddings

LOADERS = ('LoadImageFromFile', 'LoadIntactImage')
"""Transforms that load R, G, B files as B, G, R."""


class RegionNames(NamedTuple):
    """Names of the R boxes of an image, of C names to choose from.

    Args:
        names: The best name of each box.
        scores: (R,) its probability.
        probabilities: (R, C) of all names: the softmax of the scaled cosines between box and names.
            They add up to 1 even if none of the names fits.
    """

    names: list[str]
    scores: Tensor
    probabilities: Tensor


class RegionNamer:
    """Names boxes from any detector with any names, without training on these names.

    Args:
        config: Config of a region pretraining with a ``TextHead``, whose test pipeline loads the
            images.
        checkpoint: Its weights; no code in the file is executed.
        text_embeddings: .safetensors file with text features of the names, written by
            ``tools/text_meta_embeddings.py --no-projection`` with the text model of the training.
        names: Names to choose from; by default all of the file.
        device: Device of the model; by default an accelerator if there is one.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The model is not aligned with text; the checkpoint does not fit it or was
            trained with another text model or features of another width; or a name has no features
            or is repeated.

    Examples:
        >>> namer = RegionNamer('text.py', 'epoch_6.pth', 'names.safetensors')  # doctest: +SKIP
        >>> namer('port.jpg', [[10, 20, 50, 60]]).names  # doctest: +SKIP
        ['ship']
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path,
        text_embeddings: str | os.PathLike,
        names: Sequence[str] | None = None,
        device: str | None = None,
    ) -> None:
        cfg = copy.deepcopy(config) if isinstance(config, Config) else load_config_file(config)
        head = (cfg.get('model') or {}).get('head') or {}
        if 'type' not in head or type_name(head) != 'TextHead':
            kind = f'a head of type {type_name(head)}' if 'type' in head else 'no such head'
            raise ValueError(
                f'{cfg.filename} is not aligned with text: naming needs a TextHead, and it has '
                f'{kind}. Train by a config such as '
                'configs/pretraining/text_dynamicvis-tiny_1xb16-6e_nwpu-heldout-128px.py'
            )
        self.names = list(load_text_embeddings(text_embeddings).names if names is None else names)
        head.update(classes=self.names, text_embeddings=str(text_embeddings), held_out=[])
        self.model = load_model(cfg, checkpoint, device)
        loader, *others = test_dataset(cfg).pipeline
        self._loads_colors = type_name(loader) in LOADERS
        self._load, self._prepare = Compose([loader]), Compose(others)

    @torch.inference_mode()
    def __call__(
        self, image: str | Path | np.ndarray, boxes: Sequence[Sequence[float]] | Tensor
    ) -> RegionNames:
        """Name the boxes of an image.

        Args:
            image: A file; or, if the config loads R, G, B files, an array (H, W, 3) of R, G, B,
                uint8.
            boxes: (R, 4) x1, y1, x2, y2 in pixels of the image; R may be 0. Boxes are clipped to
                the image.

        Returns:
            Names and probabilities, float32 on the CPU.

        Raises:
            OSError: The file is missing or damaged.
            ValueError: The image is not such a one; the boxes have a wrong shape, or one is not
                finite or has no area inside the image; or the model returns NaN.
        """
        boxes_R4 = torch.as_tensor(boxes, dtype=torch.float32)
        boxes_R4 = boxes_R4 if boxes_R4.numel() else boxes_R4.reshape(0, 4)
        if boxes_R4.dim() != 2 or boxes_R4.shape[1] != 4:
            raise ValueError(f'boxes have shape {tuple(boxes_R4.shape)}; need (R, 4)')
        results = self._loaded(image)
        height, width = results['img_shape'][:2]
        inside_R4 = boxes_R4.clamp(min=0).minimum(torch.tensor([width, height] * 2))
        empty = ~(inside_R4[:, :2] < inside_R4[:, 2:]).all(1) | ~boxes_R4.isfinite().all(1)
        if empty.any():
            index = int(empty.nonzero()[0])
            raise ValueError(
                f'box {index} is {boxes_R4[index].tolist()}; give x1, y1, x2, y2 with x1 < x2 and '
                f'y1 < y2, in the image of {width} x {height} pixels'
            )
        if not len(boxes_R4):
            return RegionNames([], torch.zeros(0), torch.zeros(0, len(self.names)))
        probabilities_RC = self._classify(results, inside_R4)
        scores_R, best_R = probabilities_RC.max(1)
        return RegionNames([self.names[i] for i in best_R.tolist()], scores_R, probabilities_RC)

    def _loaded(self, image: str | Path | np.ndarray) -> dict[str, Any]:
        """Return what the config's loading transform gives."""
        if not isinstance(image, np.ndarray):
            # with instances: files whose boxes may be of turned pixels are refused
            return self._load(dict(img_path=str(image), img_id=0, instances=[]))
        if not self._loads_colors:
            raise ValueError('the config loads no R, G, B files: give the image as a file')
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f'image is {image.dtype} {image.shape}; need R, G, B, uint8 (H, W, 3)')
        size = image.shape[:2]
        img = np.ascontiguousarray(image[..., ::-1])
        return dict(img=img, img_id=0, img_path=None, img_shape=size, ori_shape=size)

    def _classify(self, results: dict[str, Any], boxes_R4: Tensor) -> Tensor:
        """Return the probabilities (R, C) of the names of boxes in a loaded image."""
        instances = [dict(bbox=box, bbox_label=0, ignore_flag=0) for box in boxes_R4.tolist()]
        (sample,) = self.model.test_step(
            pseudo_collate([self._prepare(dict(results, instances=instances))])
        )
        probabilities_RC = sample.pred_instances.scores.float().cpu()
        if len(probabilities_RC) != len(boxes_R4):
            raise ValueError(
                f'the test pipeline kept {len(probabilities_RC)} of {len(boxes_R4)} boxes: it must '
                'not filter annotations'
            )
        if not probabilities_RC.isfinite().all():
            raise ValueError('the model returned NaN: its weights or the image are not sound')
        return probabilities_RC

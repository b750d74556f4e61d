"""Maps of the classes of two images of one place, by change detectors."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate

from mmdynamicvis.data.class_maps import ClassMap
from mmdynamicvis.engine.config import metainfo_of, test_dataset, type_name
from mmdynamicvis.inference.trained_model import load_model

LOADER = 'LoadPair'


class PredictedMap(NamedTuple):
    """A predicted map.

    Args:
        classes: Its name, and names and colors of its classes.
        labels: (H, W) uint8 class of each pixel of the images.
    """

    classes: ClassMap
    labels: np.ndarray


class PairInferencer:
    """Predicts what has changed between two image files.

    Args:
        cfg: Config of a ``SiameseEncoderDecoder`` or ``MultiTaskSiamese``, whose test pipeline
            begins with ``LoadPair``; its scope becomes the default scope.
        checkpoint: Its weights; no code in the file is executed.
        device: Device of the model; by default an accelerator if there is one.

    Raises:
        FileNotFoundError: The checkpoint does not exist.
        ValueError: The config is no such one, or its dataset does not name the classes; the
            checkpoint does not fit; or the device does not exist.
    """

    def __init__(self, cfg: Config, checkpoint: str | Path, device: str | None = None) -> None:
        # mmseg, which it needs, is there if models detect change
        from mmdynamicvis.change_detection import MultiTaskSiamese, SiameseEncoderDecoder

        dataset = test_dataset(cfg)
        loader, *steps = dataset.pipeline
        self.model = load_model(cfg, checkpoint, device)
        self._keys = loader.get('keys', ('img_path', 'img_path2'))
        if type_name(loader) != LOADER or not isinstance(self.model, SiameseEncoderDecoder):
            raise ValueError(
                f'{cfg.filename} is of a {type(self.model).__name__} and loads images by '
                f'{type_name(loader)}; pairs are for SiameseEncoderDecoder and {LOADER}'
            )
        if len(self._keys) != 2:
            raise ValueError(f'{cfg.filename} is of {len(self._keys)} dates; pairs have 2')
        steps = [step for step in steps if not type_name(step).startswith('Load')]
        self._pipeline = Compose([loader, *steps])
        metainfo = metainfo_of(cfg, dataset)
        if isinstance(self.model, MultiTaskSiamese):
            self._maps = {f'pred_{part.name}': part for part in self.model.describe_maps(metainfo)}
        elif not metainfo.get('classes'):
            raise ValueError(f'the test dataset of {cfg.filename} names no classes')
        else:
            part = ClassMap('change', metainfo['classes'], metainfo.get('palette'))
            self._maps = {'pred_sem_seg': part}

    @torch.inference_mode()
    def __call__(self, before: str | Path, after: str | Path) -> list[PredictedMap]:
        """Return the predicted maps of two images.

        Args:
            before: File of the first date, as the config loads it.
            after: File of the second date, of the same size.

        Raises:
            OSError: A file is missing or damaged.
            ValueError: The images differ in size or kind.
        """
        paths = dict(zip(self._keys, (str(before), str(after)), strict=True))
        (sample,) = self.model.test_step(pseudo_collate([self._pipeline(paths)]))
        return [
            PredictedMap(part, sample.get(key).data[0].byte().cpu().numpy())
            for key, part in self._maps.items()
        ]

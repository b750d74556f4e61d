"""Host models applied to windows of scenes."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import shapely
import torch
from mmengine.config import Config
from mmengine.dataset import Compose, pseudo_collate
from mmengine.structures import BaseDataElement, InstanceData
from torch import Tensor, nn

from mmdynamicvis.data.class_maps import ClassMap
from mmdynamicvis.data.modalities import LoadModalities
from mmdynamicvis.engine.config import (
    metainfo_of,
    scope_of,
    test_dataset,
    type_name,
    use_scope,
)
from mmdynamicvis.fileio import digest
from mmdynamicvis.inference.inferencers import config_and_weights
from mmdynamicvis.inference.trained_model import load_model
from mmdynamicvis.models.weights import local_file
from mmdynamicvis.scenes.merging import Kind
from mmdynamicvis.scenes.modalities import ModalityWindow
from mmdynamicvis.scenes.objects import Objects
from mmdynamicvis.scenes.outlines import box_outlines, mask_outlines
from mmdynamicvis.scenes.reading import Window
from mmdynamicvis.scenes.tiles import NOT_FINITE

PACKERS = dict(mmpretrain='mmpretrain.PackInputs', mmseg='mmseg.PackSegInputs')
"""Scope of a config of several modalities -> what packs a sample without annotations."""
SCOPES = {
    'mmpretrain': 'windows',
    'mmseg': 'pixels',
    'opencd': 'pixels',
    'mmdet': 'objects',
    'mmrotate': 'objects',
}
"""Scope of a config -> what its models classify or find."""
IMAGE_LOADERS = ('LoadImageFromFile', 'LoadIntactImage', 'MultiImgLoadImageFromFile')
AS_IMAGES = dict(bands=('blue', 'green', 'red'), nodata_where='all', unit='uint8')
"""Arguments of LoadGeoTIFF that replace a loader of image files, whose channels are B, G, R."""
TILE = 512


class SceneModel:
    """A model and the part of its config's test pipeline that comes after loading.

    Windows are resized, padded and packed like images in the config's own test. If the config
    tests on crops (``mode='slide'``), each window replaces one crop; unlike the host, which
    averages crops, windows are blended, so no seams appear. All pixels of a window have the
    class scores that a classifier gives the window.

    Args:
        config: Config of mmpretrain, mmseg, open-cd, mmdet or mmrotate, or the name of a model in
            the metafiles.
        checkpoint: Weights of the config's model, by default those of its name in the
            :mod:`~mmdynamicvis.zoo`; no code in the file is executed.
        device: Device of the model; by default an accelerator if there is one.

    Raises:
        FileNotFoundError: The config or the checkpoint does not exist.
        ValueError: There are no weights, or they do not fit the model; the config belongs to
            another host; or a classifier's classes are not exclusive.
    """

    def __init__(
        self,
        config: str | Path | Config,
        checkpoint: str | Path | None = None,
        device: str | None = None,
    ) -> None:
        self.cfg, checkpoint = config_and_weights(config, checkpoint)
        self.checkpoint = local_file(checkpoint)
        scope = scope_of(self.cfg)
        if scope not in SCOPES:
            raise ValueError(
                f'config {self.cfg.filename} has default_scope {scope!r}: scenes are for models '
                f'of {", ".join(SCOPES)}'
            )
        self.finds = SCOPES[scope]
        use_scope(self.cfg)
        dataset = test_dataset(self.cfg)
        self._loader = dataset.pipeline[0]
        crop = self._crop()
        if self.modalities and (crop or scope not in PACKERS):
            raise ValueError(
                f'{self.cfg.filename} has images of several modalities: scenes of them are for '
                f"models of {' and '.join(PACKERS)}, with test_cfg=dict(mode='whole')"
            )
        self._steps = [
            dict(step, scale=(crop, crop)) if crop and _longest_side(step) > crop else step
            for step in dataset.pipeline
            if not _is_of_files(step)
        ]
        if self.modalities:
            packer = dict(type=PACKERS[scope])
            self._steps = [
                dict(dict(packer=packer), **step) if type_name(step) == 'PackModalities' else step
                for step in self._steps
            ]
        self._pipeline = Compose(self._steps)
        self.metainfo = metainfo_of(self.cfg, dataset)
        self._model = load_model(self.cfg, self.checkpoint, device)
        if self.finds == 'windows':
            _check_classifier(self._model, self.cfg)
        self._finite: list[Tensor] = []
        self._watch_features()

    @property
    def classes(self) -> list[str]:
        """Names of the classes.

        Raises:
            ValueError: The config's dataset defines no classes.
        """
        if not self.metainfo.get('classes'):
            raise ValueError(
                f'the test dataset of {self.cfg.filename} has no classes: give them in its '
                "metainfo, as metainfo=dict(classes=('background', 'road'))"
            )
        return list(self.metainfo['classes'])

    @cached_property
    def maps(self) -> list[ClassMap]:
        """Maps that the model predicts together; empty if it predicts one.

        Raises:
            ValueError: The config's dataset does not define the classes of a map, or not as many as
                the model has.
        """
        if self.finds != 'pixels':
            return []
        # mmseg is there if models classify pixels
        from mmdynamicvis.change_detection.multi_task import MultiTaskSiamese

        if not isinstance(self._model, MultiTaskSiamese):
            return []
        return self._model.describe_maps(self.metainfo)

    @property
    def tile(self) -> int:
        """Side in pixels of the model's input in the config's test."""
        if self._resized:
            return self._resized
        size = self._crop() or self.cfg.model.backbone.get('img_size', TILE)
        return size if isinstance(size, int) else max(size)

    def warn_of_seams(self, tile: int) -> None:
        """Warn if the model would cut windows of ``tile`` pixels into crops, which have seams."""
        crop = self._crop()
        if crop and tile > crop and not self._resized:
            warnings.warn(
                f'{self.cfg.filename} tests crops of {crop} pixels, into which windows of {tile} '
                f'are cut: there are seams between crops, and none with windows of {crop}',
                stacklevel=3,
            )

    @property
    def shapes(self) -> Kind:
        """Kind of the shapes that :meth:`objects` returns."""
        if getattr(self._model, 'with_mask', False):
            return 'masks'
        return 'rotated boxes' if scope_of(self.cfg) == 'mmrotate' else 'boxes'

    @property
    def dates(self) -> int:
        """Number of images per input, 2 for change detection."""
        kind = type_name(self._loader)
        if kind == 'LoadPair':
            return len(self._loader.get('keys', ()) or ('img_path', 'img_path2'))
        return 2 if kind == 'MultiImgLoadImageFromFile' else 1

    def check_bands(self, bands: int) -> None:
        """Raise a ValueError if the model expects another number of bands."""
        mean = getattr(self._model.data_preprocessor, 'mean', None)
        # some preprocessors have the means of both dates, others those of one
        if mean is not None and mean.numel() not in (bands, bands * self.dates):
            raise ValueError(
                f'the model of {self.cfg.filename} has means of {mean.numel()} bands, and {bands} '
                'are read: choose them with bands=..., in its order, by name or counted from 1'
            )

    @property
    def modalities(self) -> tuple[str, ...]:
        """Names of the modalities that the config loads, the primary one first.

        Empty for models of one sensor.
        """
        if type_name(self._loader) != 'LoadModalities':
            return ()
        primary = self.cfg.model.backbone.get('primary')
        return tuple(sorted(self._loader.loaders, key=lambda name: (name != primary, name)))

    def gsd(self, modality: str) -> float | None:
        """Return the ground sampling distance in the backbone's settings of a modality."""
        return self.cfg.model.backbone.get('modalities', {}).get(modality, {}).get('gsd')

    def modality_loader(self, readings: Mapping[str, dict[str, Any]]) -> LoadModalities:
        """Return the config's ``LoadModalities`` with other loaders.

        Args:
            readings: Modality -> arguments of ``LoadGeoTIFF``, see :meth:`reading`.
        """
        declared = {
            key: {
                name: value
                for name, value in dict(self._loader.get(key) or {}).items()
                if name in readings
            }
            for key in ('gsd', 'units')
        }
        loaders = {
            name: dict(type='mmdynamicvis.LoadGeoTIFF', **reading)
            for name, reading in readings.items()
        }
        return LoadModalities(loaders, **declared)

    def reading(self, modality: str | None = None) -> dict[str, Any]:
        """Return the arguments of ``LoadGeoTIFF`` that correspond to a loader of the config.

        Args:
            modality: One of :attr:`modalities`; None for models of one sensor.

        Raises:
            ValueError: The loader is unsupported.
        """
        loader = self._image_loader() if modality is None else self._loader.loaders[modality]
        if type_name(loader) in IMAGE_LOADERS:
            return dict(AS_IMAGES)
        if type_name(loader) == 'LoadGeoTIFF':
            return {key: value for key, value in loader.items() if key != 'type'}
        if modality is not None:
            raise ValueError(
                f'{self.cfg.filename} loads {modality} by {type_name(loader)}; for scenes it must '
                'be LoadGeoTIFF or LoadIntactImage'
            )
        raise ValueError(
            f'the test pipeline of {self.cfg.filename} begins with {type_name(loader)}; for scenes '
            f'it must be LoadGeoTIFF, LoadPair, LoadModalities, {" or ".join(IMAGE_LOADERS)}'
        )

    @cached_property
    def settings(self) -> dict[str, Any]:
        """Digests of the config and the weights, for the settings of a run."""
        settings = dict(config=hashlib.sha256(self.cfg.dump().encode()).hexdigest())
        settings['checkpoint'] = self.checkpoint
        if Path(self.checkpoint).is_file():
            settings['checkpoint'] = digest(self.checkpoint)
        return settings

    @property
    def _resized(self) -> int | None:
        """Side to which the pipeline resizes windows; None if it does not resize."""
        return next((_longest_side(step) for step in self._steps if 'scale' in step), None)

    def _crop(self) -> int | None:
        """Return the side of the crops in the config's test; None if it tests whole images."""
        test_cfg = self.cfg.model.get('test_cfg') or {}
        return max(test_cfg['crop_size']) if test_cfg.get('mode') == 'slide' else None

    @torch.no_grad()
    def __call__(self, windows: Sequence[Window | ModalityWindow]) -> list[BaseDataElement]:
        """Run the model on windows; predictions are in pixels of each window.

        Raises:
            ValueError: A backbone, or a layer behind it, returns values that are not finite;
                detectors would silently find no objects in them.
        """
        samples = [self._pipeline(self._results(window)) for window in windows]
        self._finite.clear()
        predictions = self._model.test_step(pseudo_collate(samples))
        # only now, because each look at a value waits for the device
        if not all(map(bool, self._finite)):
            raise ValueError(f'the features of the model are not finite. {NOT_FINITE}')
        return [sample.cpu() for sample in predictions]

    def _watch_features(self) -> None:
        """Have the outputs of backbones, and of all layers with weights outside them, checked."""
        backbones: tuple[str, ...] = ()
        for name, module in self._model.named_modules():
            if name.startswith(backbones):
                continue
            if name.rpartition('.')[2] == 'backbone':
                backbones += (f'{name}.',)
            elif next(module.parameters(recurse=False), None) is None:
                continue
            module.register_forward_hook(self._look_for_nan)

    def _look_for_nan(self, layer: nn.Module, inputs: tuple, outputs: Any) -> None:
        levels = outputs if isinstance(outputs, (list, tuple)) else [outputs]
        self._finite += [level.isfinite().all() for level in levels if isinstance(level, Tensor)]

    def logits(self, windows: Sequence[Window | ModalityWindow]) -> list[np.ndarray]:
        """Return the logits of each window, (classes, H, W) float32; those of all :attr:`maps`."""
        samples = self(windows)
        if self.maps:
            return [
                torch.cat([s.get(f'{part.name}_logits').data for part in self.maps]).float().numpy()
                for s in samples
            ]
        if self.finds == 'pixels':
            return [self._logits(sample.seg_logits.data).numpy() for sample in samples]
        return [
            np.tile(sample.pred_score.float().log()[:, None, None], (1, *_shape(window)))
            for sample, window in zip(samples, windows, strict=True)
        ]

    def objects(self, windows: Sequence[Window]) -> list[Objects]:
        """Return the objects of each window."""
        return [self._objects(sample.pred_instances) for sample in self(windows)]

    def _objects(self, found: InstanceData) -> Objects:
        if self.shapes == 'masks':
            shapes = mask_outlines(found.masks.numpy())
        else:
            # mmrotate returns box objects, mmdet tensors
            shapes = box_outlines(getattr(found.bboxes, 'tensor', found.bboxes).numpy())
        # a mask may be empty, and a clipped box may have no area
        there = shapely.area(shapes) > 0
        labels, scores = found.labels.numpy(), found.scores.numpy()
        return Objects(shapes[there], labels[there], scores[there])

    def _logits(self, logits_KHW: Tensor) -> Tensor:
        if len(logits_KHW) > 1:
            return logits_KHW.float()
        # two classes with one logit: mmseg returns the probability of the second, and a threshold
        threshold = torch.tensor(self._model.decode_head.threshold)
        second_HW = (logits_KHW[0].logit(eps=1e-6) - threshold.logit()).float()
        return torch.stack([torch.zeros_like(second_HW), second_HW])

    def _results(self, window: Window | ModalityWindow) -> dict[str, Any]:
        """Return the results that the config's loader would have returned."""
        common = dict(img_shape=_shape(window), ori_shape=_shape(window), img_path='', img_id=0)
        if isinstance(window, ModalityWindow):
            return dict(common, images=window.images, readings=window.readings)
        if type_name(self._image_loader()) in IMAGE_LOADERS:
            window = [np.rint(image).astype(np.uint8) for image in window]
        listed = type_name(self._loader) == 'LoadPair' and self._loader.get('keys', ()) is None
        stacked = not listed and type_name(self._loader) != 'MultiImgLoadImageFromFile'
        image = np.concatenate(window, axis=-1) if stacked else window
        return dict(common, img=image)

    def _image_loader(self) -> dict:
        if type_name(self._loader) == 'LoadPair':
            return self._loader.get('loader', dict(type='LoadIntactImage'))
        return self._loader


def _check_classifier(model: nn.Module, cfg: Config) -> None:
    from mmpretrain.models.heads import ClsHead  # not the base of heads of several labels

    if not isinstance(getattr(model, 'head', None), ClsHead):
        raise ValueError(
            f'the model of {cfg.filename} is {type(model).__name__} with '
            f'{type(getattr(model, "head", None)).__name__}: of mmpretrain, scenes are for models '
            'with one class per image'
        )


def _shape(window: Window | ModalityWindow) -> tuple[int, int]:
    return window.shape if isinstance(window, ModalityWindow) else window[0].shape[:2]


def _longest_side(step: dict) -> int:
    """Return the longest side in pixels that a transform resizes to; 0 if it does not resize."""
    scale = step.get('scale', 0)
    return scale if isinstance(scale, int) else max(scale)


def _is_of_files(step: dict) -> bool:
    """Whether a transform reads files or handles what a loader has read."""
    return type_name(step).startswith(('Load', 'MultiImgLoad')) or type_name(step) == 'IgnoreNodata'

"""Embeddings of places from images of several sensors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.registry import MODELS, TRANSFORMS
from torch import Tensor, nn

from mmdynamicvis.data.modalities import LoadModalities, ModalitySample, Reading
from mmdynamicvis.embedding.images import Image, read_image
from mmdynamicvis.engine.config import (
    leaf_datasets,
    load_config_file,
    preprocessor_of,
    type_name,
    use_scope,
)
from mmdynamicvis.engine.device import choose_device
from mmdynamicvis.fileio import shorten
from mmdynamicvis.models.modalities import MultiModalBatch, is_length
from mmdynamicvis.models.stem_bands import bands_of, with_bands
from mmdynamicvis.models.weights import Checkpoint, read_checkpoint, refuse_broken

Sample = Mapping[str, Image | Sequence[Image] | None]
"""Modality -> its image or its dates, each a file; an array (H, W, bands) or a tensor
(bands, H, W) of the bands and in the unit of the config. A modality may be missing."""


class ModalityEmbedder:
    """Computes embeddings with a backbone for several modalities and the neck that fuses them.

    Args:
        source: Config with a ``MultiModalDynamicVis``, a ``ModalityNeck``, a
            ``ModalityPreprocessor`` and ``LoadModalities``, of any host or of
            ``ModalityPretrainer``; its head is not used. Files are loaded and normalized as
            the config does in its test, or if it has none, in training.
        checkpoint: Weights of the whole model, or of backbone and neck (written by
            ``tools/convert_checkpoint.py --parts backbone neck``); by default the config's
            ``load_from``. No code in the file is executed.
        gsd: Modality -> ground sampling distance in meters of arrays and tensors, by default that
            of the backbone's settings. Files tell theirs.
        batch_size: Largest number of samples per forward pass.
        device: Device of the model; by default an accelerator if there is one.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The config lacks one of these parts, there are no weights, or they are
            incomplete or do not fit; or ``gsd`` is not positive or of an unknown modality.
    """

    def __init__(
        self,
        source: str | Path | Config,
        checkpoint: str | Path | None = None,
        *,
        gsd: Mapping[str, float] | None = None,
        batch_size: int = 16,
        device: str | None = None,
    ) -> None:
        cfg = source if isinstance(source, Config) else load_config_file(source)
        self.device = choose_device(device)
        checkpoint = checkpoint or cfg.get('load_from')
        if checkpoint is None:
            raise ValueError(f'there are no weights for {cfg.filename}: give checkpoint=...')
        parts = _parts(cfg)
        use_scope(cfg)
        self.loader: LoadModalities = TRANSFORMS.build(_modality_loader(cfg))
        self.preprocessor = MODELS.build(dict(preprocessor_of(cfg))).to(self.device)
        self.model = nn.ModuleDict({name: MODELS.build(part) for name, part in parts.items()})
        _load(self.model, read_checkpoint(checkpoint), cfg)
        self.model.to(self.device).eval()
        self.modalities = tuple(self.model['neck'].modalities)
        """Names of the modalities that samples may have."""
        settings = self.model['backbone'].modalities
        self.gsd = {name: settings[name].gsd for name in self.modalities}
        if unknown := sorted(set(gsd or {}) - set(self.gsd)):
            raise ValueError(
                f'gsd is of {unknown}, the modalities are {", ".join(self.modalities)}'
            )
        self.gsd.update(gsd or {})
        if wrong := {name: value for name, value in self.gsd.items() if not is_length(value)}:
            raise ValueError(f'gsd is {wrong}; give meters per pixel')
        self.batch_size = batch_size

    def __call__(self, samples: Sequence[Sample]) -> Tensor:
        """Return one vector per sample: the spatial mean of the neck's last map.

        Args:
            samples: See :data:`Sample`. The images of a sample must cover one footprint; samples
                may have other modalities and sizes each.

        Returns:
            (N, C) float32 on the CPU.

        Raises:
            OSError: A file is missing or damaged.
            TypeError: A single sample is given instead of a list.
            ValueError: A sample has no image or an unknown modality, its images do not cover one
                footprint, have other bands or units than the config says, or are too small; or a
                vector is not finite.
        """
        if isinstance(samples, Mapping):
            raise TypeError('samples is one sample; give a list, [sample]')
        vectors = [levels[-1].mean((2, 3)) for levels in self._batches(samples)]
        width = self.model['neck'].out_channels[-1]
        return torch.cat(vectors).float().cpu() if vectors else torch.zeros(0, width)

    def maps(self, sample: Sample) -> tuple[Tensor, ...]:
        """Return the fused maps of a sample, one (C, H', W') per level of the neck.

        They are float32 on the CPU; their cells are ``cells`` of the neck, in meters.

        Raises:
            OSError: See :meth:`__call__`.
            ValueError: See :meth:`__call__`.
        """
        return tuple(level[0].float().cpu() for level in next(self._batches([sample])))

    @torch.inference_mode()
    def _batches(self, samples: Sequence[Sample]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the fused maps of batches, in the order of the samples."""
        done = 0
        for _, alike in groupby(map(self._read, samples), key=_kind):
            while batch := list(islice(alike, self.batch_size)):
                inputs: MultiModalBatch = self.preprocessor(dict(inputs=batch))['inputs']
                levels = self.model['neck'](self.model['backbone'](inputs))
                finite = levels[-1].isfinite().flatten(1).all(1)
                if not finite.all():
                    raise ValueError(
                        f'the vector of sample {done + int(finite.int().argmin())} is NaN or '
                        'infinite: some of its numbers are too large'
                    )
                done += len(batch)
                yield levels

    def _read(self, sample: Sample) -> ModalitySample:
        sample = {name: own for name, own in sample.items() if own is not None}
        if unknown := sorted(set(sample) - set(self.modalities)):
            raise ValueError(
                f'a sample has the modalities {unknown}, the model {", ".join(self.modalities)}'
            )
        listed = {
            name: list(own) if isinstance(own, (list, tuple)) else [own]
            for name, own in sample.items()
        }
        kinds = {isinstance(image, (str, Path)) for own in listed.values() for image in own}
        if len(kinds) > 1:
            raise ValueError(
                'a sample has files and arrays, whose places cannot be compared: give one kind'
            )
        if kinds == {True}:
            results = self.loader(dict(modalities=listed))
            return _packed(
                {
                    name: [torch.from_numpy(date).movedim(-1, 0) for date in dates]
                    for name, dates in results['images'].items()
                },
                results['readings'],
            )
        images = {name: [read_image(image) for image in own] for name, own in listed.items() if own}
        if not images:
            raise ValueError('a sample has no image of any modality')
        for name, dates in images.items():
            if len({tuple(date.shape) for date in dates}) > 1:
                raise ValueError(f'the dates of {name} differ in size: bring them to one')
        readings = {name: self.loader.reading(name, self.gsd[name]) for name in images}
        return _packed(images, readings)


def _packed(images: dict[str, list[Tensor]], readings: dict[str, Reading]) -> ModalitySample:
    return ModalitySample({name: images[name] for name in sorted(images)}, readings)


def _kind(sample: ModalitySample) -> list[tuple[Any, ...]]:
    """Return what samples of a batch need in common."""
    return [
        (name, tuple(dates[0].shape), sample.readings[name])
        for name, dates in sample.images.items()
    ]


def _parts(cfg: Config) -> dict[str, dict]:
    """Return the configs of backbone and neck, and of the neck where it is in the model."""
    model = cfg.get('model') or {}
    necks = model.get('neck') or ()
    necks = list(necks) if isinstance(necks, (list, tuple)) else [necks]
    wanted = dict(backbone=model.get('backbone'), neck=necks[0] if necks else None)
    for (name, part), kind in zip(
        wanted.items(), ('MultiModalDynamicVis', 'ModalityNeck'), strict=True
    ):
        found = type_name(part) if part and 'type' in part else None
        if found != kind:
            raise ValueError(f'the {name} of {cfg.filename} is {found}, not {kind}')
    found = type_name(preprocessor_of(cfg)) if preprocessor_of(cfg) else None
    if found != 'ModalityPreprocessor':
        raise ValueError(
            f'the data preprocessor of {cfg.filename} is {found}, not ModalityPreprocessor'
        )
    return {name: dict(part, init_cfg=None) for name, part in wanted.items()}


def _modality_loader(cfg: Config) -> dict:
    """Return the config of ``LoadModalities`` in the test, or else in the training."""
    for split in ('test', 'val', 'train'):
        if not cfg.get(f'{split}_dataloader'):
            continue
        dataset = next(leaf_datasets(cfg[f'{split}_dataloader'].dataset))
        for step in dataset.get('pipeline') or ():
            if type_name(step) == 'LoadModalities':
                return step
    raise ValueError(f'no pipeline of {cfg.filename} loads its samples by LoadModalities')


def _load(model: nn.ModuleDict, checkpoint: Checkpoint, cfg: Config) -> None:
    """Load backbone and neck from the weights of a whole model, or of both."""
    # of a list of necks, the first
    first = 'neck.0.'
    names = {
        name: name.replace(first, 'neck.', 1) if name.startswith(first) else name
        for name in checkpoint.weights
        if name.startswith('backbone.') or name.startswith(first if _listed(cfg) else 'neck.')
    }
    weights = {new: checkpoint.weights[name] for name, new in names.items()}
    checkpoint = replace(checkpoint, weights=with_bands(weights, bands_of(checkpoint.weights)))
    refuse_broken(checkpoint.weights, checkpoint.path)
    try:
        outcome = model.load_state_dict(checkpoint.weights, strict=False)
        problems = [f'{name} is missing' for name in outcome.missing_keys]
        problems += [f'{name} is not in the model' for name in outcome.unexpected_keys]
    except RuntimeError as error:  # other shapes
        problems = [line.strip() for line in str(error).splitlines()]
    if problems:
        raise ValueError(
            f'checkpoint {checkpoint.path} is not of backbone and neck of {cfg.filename}: '
            f'{shorten(problems, 4, "; ")}'
        )


def _listed(cfg: Config) -> bool:
    return isinstance(cfg.model.neck, (list, tuple))

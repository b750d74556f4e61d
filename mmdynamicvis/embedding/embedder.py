"""Embeddings of images, dense feature maps and embeddings of regions from a DynamicVis backbone."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from itertools import groupby, islice
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.utils import track_iter_progress
from torch import Tensor
from torch.nn.functional import interpolate

from mmdynamicvis import zoo
from mmdynamicvis.data.sensors import check_reading
from mmdynamicvis.embedding.images import Image, find_images, read_image
from mmdynamicvis.embedding.vector_files import Embeddings
from mmdynamicvis.engine.config import (
    CONFIGS,
    load_config_file,
    preprocessor_of,
    test_dataset,
    type_name,
)
from mmdynamicvis.engine.device import choose_device
from mmdynamicvis.engine.inputs import read_inputs
from mmdynamicvis.models import DynamicVis
from mmdynamicvis.models.dynamicvis import StageSelection
from mmdynamicvis.models.published_arguments import translate
from mmdynamicvis.models.selections import record_selections

RGB_MEAN = (123.675, 116.28, 103.53)
RGB_STD = (58.395, 57.12, 57.375)
READING = ('bands', 'dtype', 'sensor', 'unit')
"""Arguments of ``LoadGeoTIFF`` that images depend on."""
DEFAULTS = {**dict.fromkeys(READING), 'mean': RGB_MEAN, 'std': RGB_STD, 'unit': 'uint8'}
BACKBONES = dict(DynamicVis=dict, DynamicVisBackbone=translate)
"""Type of a backbone in a config -> function that converts its arguments to DynamicVis's."""
REGION = 7
"""Side of the grid on which a region is sampled, as in RoI heads of detectors."""
UNFIT = (MemoryError, OSError, RuntimeError, ValueError)
"""Errors raised by images that are unreadable, unsuitable or too large for the network."""


class Embedder:
    """Computes embeddings of images with a DynamicVis backbone.

    Args:
        source: A checkpoint (.pth or .safetensors) of a backbone or of a whole model; or a config
            of any OpenMMLab project with a DynamicVis backbone, whose normalization is used as
            well; or the name of weights in the :mod:`~mmdynamicvis.zoo`, with their normalization.
            None gives random weights.
        checkpoint: Weights for a config; by default those named by its ``load_from`` or by the
            backbone's ``init_cfg``.
        arch: 'tiny', 'small', 'base' or 'large'; by default that of the checkpoint, or 'base'
            without a checkpoint.
        mean: Mean of each band, in the units of the images; by default for R, G, B in [0, 255].
        std: Standard deviation of each band, in the units of the images. Unless ``mean`` or the
            config states other units than those of 8-bit images, rasters of other dtypes are
            refused.
        bands: Bands of rasters in the order of the network's channels, names or numbers counted
            from 1; by default those of a config's ``LoadGeoTIFF`` or of the model card, else all.
        sensor: Sensor of rasters, by default that of a config's ``LoadGeoTIFF``, which explains
            this and ``unit``.
        unit: Unit of rasters, by default that of a config's ``LoadGeoTIFF`` or of the model card.
        size: (height, width) in pixels to which images are resized; None keeps their size.
        batch_size: Largest number of images of one size per forward pass.
        device: Device of the backbone; by default an accelerator if there is one.
        **backbone: Further arguments of :class:`~mmdynamicvis.DynamicVis` that cannot be inferred
            from the checkpoint, such as ``reduction_ratios``.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The source has no DynamicVis backbone; the lengths of ``mean`` and ``std``
            differ from its number of input channels; ``size`` is too small; or the device does not
            exist.
        RuntimeError: The weights do not fit the backbone, or are incomplete.

    Examples:
        >>> embedder = Embedder(arch='tiny', device='cpu')
        >>> tuple(embedder([torch.zeros(3, 64, 96), torch.zeros(3, 50, 70)]).shape)
        (2, 384)
    """

    def __init__(
        self,
        source: str | Path | Config | None = None,
        *,
        checkpoint: str | Path | None = None,
        arch: str | dict | None = None,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        bands: Sequence[int | str] | None = None,
        sensor: str | None = None,
        unit: str | None = None,
        size: tuple[int, int] | None = None,
        batch_size: int = 16,
        device: str | None = None,
        **backbone: Any,
    ) -> None:
        self.device = choose_device(device)
        settings, inputs = dict(DEFAULTS), None
        source = zoo.address(source) if isinstance(source, str) else source
        if str(source).startswith(zoo.SCHEME):
            card = zoo.find(str(source))
            settings.update(mean=card.mean, std=card.std, bands=card.bands, unit=card.units)
        if isinstance(source, Config) or Path(source or '').suffix in CONFIGS:
            cfg = source if isinstance(source, Config) else load_config_file(source)
            from_config, settings = read_config(cfg)
            if 'mean' in preprocessor_of(cfg):
                inputs = read_inputs(cfg).of_one_date()
                settings.update(mean=inputs.mean, std=inputs.std)
            named = from_config.pop('checkpoint')
            checkpoint = checkpoint or named or cfg.get('load_from')
            backbone = {**from_config, **backbone}
        elif source is not None and checkpoint is not None:
            raise ValueError(f'both {source} and {checkpoint} are checkpoints; give one')
        else:
            checkpoint = source
        if arch is not None:
            backbone['arch'] = arch
        backbone |= dict(out_type='featmap', out_indices=None)
        if checkpoint:
            self.model = DynamicVis.from_checkpoint(checkpoint, **backbone)
        else:
            print_log('Embedder: no checkpoint is given, the weights are random', 'current')
            self.model = DynamicVis(**backbone)
            self.model.init_weights()
        self.model.to(self.device).eval()
        self.network = inputs.network(self.model) if inputs else self.model
        """The model, for bands in the order of ``mean``: it may have been trained on B, G, R."""
        if mean is not None:  # in the units of the images
            settings['dtype'] = None
            if settings['unit'] == 'uint8':
                settings['unit'] = 'stored'
        given = dict(mean=mean, std=std, bands=bands, sensor=sensor, unit=unit)
        settings.update({name: value for name, value in given.items() if value is not None})
        self.bands = settings['bands']
        check_reading(self.bands, settings['sensor'], settings['unit'])
        self.reading = {name: settings[name] for name in READING}
        self._is_8_bit = 'uint8' in (settings['unit'], settings['dtype'])
        self.mean, self.std = (
            torch.tensor(settings[name], dtype=torch.float32).view(-1, 1, 1)
            for name in ('mean', 'std')
        )
        counts = len(self.mean), len(self.std)
        if counts != (self.model.in_channels,) * 2:
            raise ValueError(
                f'the backbone takes {self.model.in_channels} bands, but mean has {counts[0]} '
                f'values and std {counts[1]}: give mean=... and std=... of your bands'
            )
        if size is not None and min(size) < self.model.min_size:
            raise ValueError(f'size is {size}; the backbone needs {self.model.min_size} pixels')
        self.size = size
        self.batch_size = batch_size

    def __call__(self, images: Sequence[Image]) -> Tensor:
        """Return one vector per image: the spatial mean of the last feature map.

        Args:
            images: Files, arrays (H, W, bands) or tensors (bands, H, W), of any sizes, in the units
                of ``mean``.

        Returns:
            (N, C) float32 on the CPU.

        Raises:
            OSError: A file is missing or damaged.
            TypeError: A single file is given instead of a list.
            ValueError: An image has a wrong number of bands, is too small, or gives a vector that
                is not finite; the message names it.
        """
        if isinstance(images, (str, Path)):
            raise TypeError(f'images is {images!r}; give a list, [{images!r}]')
        vectors = [maps[-1].mean((2, 3)) for maps in self._batches(images)]
        return torch.cat(vectors).cpu() if vectors else torch.zeros(0, self.model.embed_dims[-1])

    def maps(self, image: Image) -> tuple[Tensor, ...]:
        """Return the feature maps of an image.

        Returns:
            One map (C, H', W') for each stride 4, 8, 16 and 32, float32 on the CPU.

        Raises:
            OSError: See :meth:`__call__`.
            ValueError: See :meth:`__call__`.
        """
        return tuple(level[0].cpu() for level in next(self._batches([image])))

    def regions(self, image: Image, boxes: Sequence[Sequence[float]] | Tensor) -> Tensor:
        """Return one vector per box: the means over the box in all maps, concatenated.

        Args:
            image: As in :meth:`__call__`.
            boxes: (R, 4) x1, y1, x2, y2 in pixels of the image; boxes are clipped to the image.

        Returns:
            (R, sum of the maps' channels) float32 on the CPU.

        Raises:
            ValueError: The boxes have a wrong shape, or a box has no area inside the image.
        """
        from torchvision.ops import roi_align

        boxes_R4 = torch.as_tensor(boxes, dtype=torch.float32)
        if not len(boxes_R4):
            boxes_R4 = boxes_R4.reshape(0, 4)
        if boxes_R4.dim() != 2 or boxes_R4.shape[1] != 4:
            raise ValueError(f'boxes have shape {tuple(boxes_R4.shape)}; need (R, 4)')
        pixels_CHW = self._read(image)
        height, width = pixels_CHW.shape[1:]
        inside_R4 = boxes_R4.clamp(min=0).minimum(torch.tensor([width, height] * 2))
        # also true for NaN, with which roi_align would read arbitrary memory
        empty = ~(inside_R4[:, :2] < inside_R4[:, 2:]).all(1)
        if empty.any():
            index = int(empty.nonzero()[0])
            raise ValueError(
                f'box {index} is {boxes_R4[index].tolist()}; give x1, y1, x2, y2 with x1 < x2 and '
                f'y1 < y2, in the image of {width} x {height} pixels'
            )
        levels = next(self._batches([pixels_CHW]))
        vectors = []
        for level_BCHW in levels:
            # exact even if the image size is not a multiple of the stride
            scale = torch.tensor([level_BCHW.shape[3] / width, level_BCHW.shape[2] / height] * 2)
            scaled = (inside_R4 * scale).to(level_BCHW)
            samples = roi_align(level_BCHW, [scaled], REGION, sampling_ratio=2, aligned=True)
            vectors.append(samples.mean((2, 3)))
        return torch.cat(vectors, 1).cpu()

    def selections(self, image: Image) -> dict[int, StageSelection]:
        """Return the selected tokens of an image: stride in pixels -> selection of the stage.

        The batch dimension is 1: ``indices`` are (1, K), ``importance`` is (1, rows * columns).
        """
        with record_selections(self.model) as record:
            self.maps(image)
        return record.selections

    def folder(self, folder: str | Path) -> Embeddings:
        """Return vectors of all images below a folder, named by their paths relative to it.

        Shows a progress bar. Unreadable or unsuitable images are skipped with a warning.

        Raises:
            FileNotFoundError: The folder does not exist or has no images.
        """
        paths = find_images(folder)
        return self.files(paths, [path.relative_to(folder).as_posix() for path in paths])

    def files(self, paths: Sequence[Path], names: Sequence[str] | None = None) -> Embeddings:
        """Return vectors of files, skipping files as :meth:`folder` does.

        Args:
            paths: The files.
            names: Their names in the result; by default their paths.
        """
        names = [path.as_posix() for path in paths] if names is None else names
        taken, vectors = [], [self([])]
        files = list(zip(names, paths, strict=True))
        chunks = [files[i : i + self.batch_size] for i in range(0, len(files), self.batch_size)]
        for chunk in track_iter_progress(chunks):
            for name, vectors_1C in self._fitting(chunk):
                taken.append(name)
                vectors.append(vectors_1C)
        return Embeddings(taken, torch.cat(vectors))

    def _fitting(self, files: Sequence[tuple[str, Path]]) -> Iterator[tuple[str, Tensor]]:
        """Yield the names and vectors (1, C) of files; warn about files that are left out."""
        names, paths = zip(*files, strict=True)
        try:
            yield from zip(names, self(paths).split(1), strict=True)
        except UNFIT as error:
            if len(files) == 1:
                print_log(f'left out {paths[0]}: {error}', 'current', logging.WARNING)
                return
            # retry one by one to find the file at fault
            for file in files:
                yield from self._fitting([file])

    def _read(self, image: Image) -> Tensor:
        """Return an image (bands, H, W) before resizing and normalization, after validating it."""
        pixels_CHW = read_image(image, **self.reading)
        # float images may exceed 255 by overshoot of an interpolation
        limit = 2 * 255 if 'float' in str(getattr(image, 'dtype', '')) else 255
        if self._is_8_bit and pixels_CHW.numel() and pixels_CHW.max() > limit:
            raise ValueError(
                f'{_name(image)} has values up to {pixels_CHW.max():g}, but the mean is that of '
                '8-bit images: give mean=... and std=... of your bands, or scale it to 0 to 255'
            )
        height, width = pixels_CHW.shape[1:]
        if len(pixels_CHW) != len(self.mean):
            raise ValueError(
                f'{_name(image)} has {len(pixels_CHW)} bands, the backbone takes {len(self.mean)}: '
                'choose bands of rasters with bands=(...), by name or counted from 1'
            )
        if min(height, width) < (1 if self.size else self.model.min_size):
            raise ValueError(
                f'{_name(image)} has {width} x {height} pixels, but the backbone needs at least '
                f'{self.model.min_size} each way: resize images with size=(height, width)'
            )
        return pixels_CHW

    @torch.inference_mode()
    def _batches(self, images: Sequence[Image]) -> Iterator[tuple[Tensor, ...]]:
        """Yield the feature maps of batches, in the order of the images."""
        read = map(self._read, images)
        if self.size is not None:
            options = dict(mode='bilinear', antialias=True, align_corners=False)
            read = (interpolate(pixels[None], self.size, **options)[0] for pixels in read)
        done = 0
        for _, same_size in groupby(read, key=lambda pixels: pixels.shape):
            while batch := list(islice(same_size, self.batch_size)):
                stack = torch.stack([(pixels - self.mean) / self.std for pixels in batch])
                levels = self.network(stack.to(self.device))
                finite = levels[-1].isfinite().flatten(1).all(1)
                if not finite.all():
                    image = images[done + int(finite.int().argmin())]
                    raise ValueError(
                        f'the vector of {_name(image)} is NaN or infinite: some of its numbers '
                        'are, or are too large; mark pixels without data as nodata'
                    )
                done += len(batch)
                yield levels


def _name(image: Image) -> str:
    return str(image) if isinstance(image, (str, Path)) else 'an image'


def read_config(cfg: Config) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return a config's backbone and its expectations of images.

    Returns:
        Arguments of DynamicVis, plus ``checkpoint`` (or None); and ``bands``, ``dtype``,
        ``sensor`` and ``unit`` of the images.

    Raises:
        ValueError: The config has no DynamicVis backbone.
    """
    backbone = dict(cfg.get('model', {}).get('backbone') or {})
    kind = type_name(backbone) if 'type' in backbone else None
    if kind == 'MultiModalDynamicVis':
        raise ValueError(
            f'the model of {cfg.filename} takes images of several modalities: embed them by '
            'ModalityEmbedder. Image indices are for models of one sensor, because an entry is one '
            'file'
        )
    if kind not in BACKBONES:
        raise ValueError(
            f'config {cfg.filename} has no backbone {" or ".join(BACKBONES)}, but {kind}'
        )
    del backbone['type']
    init_cfg = backbone.pop('init_cfg', None) or {}
    backbone = BACKBONES[kind](**backbone)
    all_cfgs = init_cfg if isinstance(init_cfg, (list, tuple)) else [init_cfg]
    backbone['checkpoint'] = next((c['checkpoint'] for c in all_cfgs if 'checkpoint' in c), None)
    settings = dict(DEFAULTS)
    for step in test_dataset(cfg).get('pipeline') or () if 'test_dataloader' in cfg else ():
        step = step.get('loader', step)  # of LoadPair
        if type_name(step) == 'LoadGeoTIFF':
            settings.update({name: step.get(name) for name in READING})
        elif type_name(step) == 'LoadBandFiles' and step.get('scaling') is None:
            settings['unit'] = 'stored'
    return backbone, settings

"""DynamicVis for several sensors at any ground sampling distance."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from functools import partial
from itertools import accumulate
from operator import mul
from typing import Any

import torch
from torch import Tensor, nn

from mmdynamicvis.band_names import spelling
from mmdynamicvis.models.dynamicvis import DynamicVis, StageSelection
from mmdynamicvis.models.experts import Experts, balance_loss
from mmdynamicvis.models.metric_position import metric_position
from mmdynamicvis.models.modalities import (
    TOLERANCE,
    ModalityImages,
    ModalityMaps,
    MultiModalBatch,
    MultiModalFeatures,
    check_footprints,
    is_length,
    parse_modalities,
)
from mmdynamicvis.models.tokenizer import Tokenizer
from mmdynamicvis.models.weight_decay import without_decay
from mmdynamicvis.registry import MODELS

PROMPTED_STAGES = 2
"""Number of last stages with prompt tokens."""


@MODELS.register_module()
class MultiModalDynamicVis(DynamicVis):
    """DynamicVis for sensors with other bands and ground sampling distances (gsd).

    Every modality has its own patch embedding, and all share the stages. One modality is the
    primary one: it has the stem of DynamicVis, and with it alone and all options off, the model is
    DynamicVis with the same parameters. The other ones have a tokenizer each and, in the default
    design, own batch norms in the patch mergers of later stages, as their statistics differ.

    A :class:`~mmdynamicvis.models.modalities.MultiModalBatch` gives
    :class:`~mmdynamicvis.models.modalities.MultiModalFeatures`. Images (B, C, H, W) are those of
    the primary modality with the gsd of its settings, and give maps, as from DynamicVis.

    Args:
        arch: As in DynamicVis.
        modalities: Name of a modality -> its ``bands`` (names) and ``gsd`` (meters per pixel);
            optional are ``unit``, and for all but the primary one ``patch_size`` (odd) and
            ``stride`` of the tokenizer. The gsd may be another one in a batch.
        primary: Name of the primary modality; may be left out if there is one modality. It is not
            the first one, because configs that mmengine writes have their keys sorted.
        cell: Side in meters of a token of the last stage. A stage merges patches only as long as
            its tokens are not larger than its limit, which is ``cell`` for the last stage, and
            smaller by the strides for those before. Otherwise it keeps the resolution. None: all
            stages merge, as in DynamicVis.
        prompts: Number of learned prompt tokens per modality in the last two stages.
        position_embedding: As in DynamicVis, or 'metric': sines and cosines of the place in meters.
        experts: Mixtures of experts after the units, with ``num`` (8), ``top_k`` (1), ``ratio``
            (4), ``units``, the number of last units that have one (default: those of the last
            stage), and ``balance`` (0.01), the weight of :attr:`balance_loss`. None for none.
        **arguments: Further arguments of DynamicVis. ``frozen_stages`` leaves tokenizers, own
            norms and prompts trainable, and ``out_type='avg_featmap'`` takes one modality.

    Attributes:
        modalities: Name -> :class:`Modality`.
        strides: Stride in pixels of the tokens of each stage that is built, for images of the
            primary modality with the gsd of its settings.
        balance_loss: Weighted load balancing loss of the experts in the last forward pass in
            training, to be added to the loss of the model; None without experts.

    Raises:
        ValueError: An argument is unknown or out of range; the message names it.

    Examples:
        >>> model = MultiModalDynamicVis(
        ...     'tiny',
        ...     dict(
        ...         rgb=dict(bands=('red', 'green', 'blue'), gsd=0.3125),
        ...         sentinel1=dict(bands=('VV', 'VH'), gsd=10.0),
        ...     ),
        ...     primary='rgb',
        ...     cell=10.0,
        ... ).eval()
        >>> one = torch.zeros(1, dtype=torch.int64)
        >>> images = dict(
        ...     rgb=ModalityImages(torch.zeros(1, 3, 256, 256), one, 0.3125),
        ...     sentinel1=ModalityImages(torch.zeros(1, 2, 8, 8), one, 10.0),
        ... )
        >>> features = model(MultiModalBatch(images, 1))
        >>> {name: tuple(maps.levels[-1].shape) for name, maps in features.maps.items()}
        {'rgb': (1, 384, 8, 8), 'sentinel1': (1, 384, 8, 8)}
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        modalities: Mapping[str, Mapping[str, Any]] | None = None,
        primary: str | None = None,
        cell: float | None = None,
        prompts: int = 0,
        position_embedding: bool | str = True,
        experts: dict | None = None,
        **arguments: Any,
    ) -> None:
        parsed = parse_modalities(modalities, primary)
        for name in ('in_channels', 'bands'):
            if arguments.get(name) is not None:
                raise ValueError(f'{name} is {arguments[name]}; name the bands in modalities')
            arguments.pop(name, None)
        if position_embedding not in (True, False, 'metric'):
            raise ValueError(
                f"position_embedding is {position_embedding!r}; choose True, False or 'metric'"
            )
        if cell is not None and not is_length(cell):
            raise ValueError(f'cell is {cell!r}; give the side of a token in meters, or None')
        if prompts < 0:
            raise ValueError(f'prompts is {prompts}; it is a number of tokens')
        primary, *others = parsed
        super().__init__(
            arch,
            position_embedding=position_embedding is True,
            bands=parsed[primary].bands,
            **arguments,
        )
        if others and self.out_type == 'avg_featmap':
            raise ValueError(
                f"out_type='avg_featmap' takes one modality; there are {', '.join(parsed)}"
            )
        self.modalities = parsed
        self.cell = cell
        self.prompts = None
        self.balance_loss: Tensor | None = None
        self._is_metric = position_embedding == 'metric'
        if self._is_metric and self.embed_dims[0] % 4:
            raise ValueError(
                f"position_embedding='metric' needs a multiple of 4 channels in the first stage; "
                f'there are {self.embed_dims[0]}'
            )
        strides = self._stage_strides
        patch_size = self.stages[0].merger.projection.kernel_size[0]
        n_stages, n_built = len(self.embed_dims), len(self.stages)
        first_limit = parsed[primary].gsd * strides[0]
        self._limits: tuple[float, ...] | None = None
        if cell is not None:
            self._limits = tuple(cell / math.prod(strides[i + 1 :]) for i in range(n_stages))
            first_limit = self._limits[0]
        for name in others:
            modality = parsed[name]
            stride = modality.stride or _stride_below(first_limit, modality.gsd)
            kernel = modality.patch_size or (patch_size if stride == strides[0] else 3)
            parsed[name] = modality._replace(stride=stride, patch_size=kernel)
        parsed[primary] = parsed[primary]._replace(stride=strides[0], patch_size=patch_size)
        if cell is not None:
            self.strides = tuple(accumulate(self._merging(primary, parsed[primary].gsd), mul))
            self.min_size = self.strides[-1]
        merger_norm = self._norm_cfg if self.published else None
        self.tokenizers = nn.ModuleDict()
        self.merger_norms = nn.ModuleDict()
        for name in others:
            bands, _, _, kernel, stride = parsed[name]
            tokenizer = Tokenizer(bands, self.embed_dims[0], kernel, stride, merger_norm)
            self.tokenizers[name] = tokenizer
            if not self.published:
                self.merger_norms[name] = nn.ModuleDict(
                    {str(i): nn.BatchNorm2d(self.embed_dims[i]) for i in range(1, n_built)}
                )
        if prompts:
            prompted = range(max(n_stages - PROMPTED_STAGES, 0), n_built)
            self.prompts = nn.ModuleDict(
                {
                    name: nn.ParameterDict(
                        {
                            str(i): without_decay(
                                nn.Parameter(torch.randn(prompts, self.embed_dims[i]) * 0.02)
                            )
                            for i in prompted
                        }
                    )
                    for name in parsed
                }
            )
        if experts is not None:
            self._add_experts(**experts)
        self._freeze_stages()

    def __getstate__(self) -> dict[str, Any]:
        """Copy and pickle without the loss, which belongs to a graph."""
        return {**self.__dict__, 'balance_loss': None}

    def use_published_design(self) -> None:
        """Switch to the published design, keeping the parameters that both designs share."""
        if not self.published:
            self.merger_norms.clear()
            for tokenizer in self.tokenizers.values():
                tokenizer.use_published_design(self._norm_cfg)
        super().use_published_design()

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths; see DynamicVis.

        Tokenizers have depth 0, and own norms and prompts that of the patch merger of their stage.
        """
        name = param_name.removeprefix(prefix)
        part, *path = name.split('.')
        if param_name.startswith(prefix):
            if part == 'tokenizers':
                param_name = f'{prefix}stages.0.merger'
            elif part in ('merger_norms', 'prompts'):
                param_name = f'{prefix}stages.{path[1]}.merger.norm.weight'
        return super().get_layer_depth(param_name, prefix)

    def forward(self, x: Tensor | MultiModalBatch) -> tuple[Tensor, ...] | MultiModalFeatures:
        """Extract features.

        Args:
            x: Images of several modalities, or normalized images (B, bands, H, W) of the primary
                one with its gsd.

        Returns:
            The features of the modalities that have images. For images (B, bands, H, W), as
            DynamicVis.

        Raises:
            ValueError: A modality or band is unknown, a gsd is not positive, the images of
                modalities cover other footprints, or images do not have the bands or are too small.
        """
        return self.forward_with_selection(x)[0]

    def forward_with_selection(self, x: Tensor | MultiModalBatch) -> tuple[Any, Any]:
        """Return the outputs of :meth:`forward`, and each stage's selection (None if dense).

        Those of a batch of several modalities are by name.
        """
        routings: list[list[Tensor]] = []
        if isinstance(x, Tensor):
            self._check_input(x)
            name, modality = next(iter(self.modalities.items()))
            outputs, selections = self._run_modality(name, x, modality.gsd, None, routings)
            self._balance(routings)
            return self._with_absent(outputs, [name]), selections
        images = self._check_batch(x)
        maps, selections = {}, {}
        for name, (pixels_NCHW, samples, gsd, _) in images.items():
            channels = self._channels(name, images[name])
            levels, selections[name] = self._run_modality(
                name, pixels_NCHW, gsd, channels, routings
            )
            if not maps:
                levels = self._with_absent(levels, images)
            cells = self.cells(name, gsd)
            maps[name] = ModalityMaps(levels, tuple(cells[i] for i in self.out_indices), samples)
        self._balance(routings)
        return MultiModalFeatures(maps, x.size), selections

    def cells(self, name: str, gsd: float | None = None) -> tuple[float, ...]:
        """Return the sides in meters of the tokens of each stage that is built.

        Args:
            name: A modality.
            gsd: Of its images; by default that of its settings.
        """
        gsd = self.modalities[name].gsd if gsd is None else gsd
        return tuple(gsd * stride for stride in accumulate(self._merging(name, gsd), mul))

    def _merging(self, name: str, gsd: float) -> list[int]:
        """Return the strides of the stages, 1 for those that keep the resolution."""
        strides = [self.modalities[name].stride]
        for i in range(1, len(self.stages)):
            stride, limit = self._stage_strides[i], math.inf
            if self._limits is not None:
                limit = self._limits[i] * (1 + TOLERANCE)
            merges = gsd * math.prod(strides) * stride <= limit
            strides.append(stride if merges else 1)
        return strides

    def _run_modality(
        self,
        name: str,
        x_NCHW: Tensor,
        gsd: float,
        channels: list[int] | None,
        routings: list[list[Tensor]],
    ) -> tuple[tuple[Tensor, ...], list[StageSelection | None]]:
        is_primary = name not in self.tokenizers
        strides = self._merging(name, gsd)
        settings: list[dict[str, Any]] = []
        for i, stage in enumerate(self.stages):
            setting: dict[str, Any] = {}
            merger = stage.merger if is_primary or i else self.tokenizers[name]
            options = dict(
                channels=channels if i == 0 else None,
                keep=i > 0 and strides[i] != self._stage_strides[i],
                norm=self._own_norm(name, i),
            )
            if i == 0 and self._is_metric:
                setting['merge'] = partial(_place, merger, gsd * strides[0], options)
            elif merger is not stage.merger or any(
                v not in (None, False) for v in options.values()
            ):
                setting['merge'] = partial(merger, **options)
            if self.prompts is not None and str(i) in self.prompts[name]:
                setting['prompts_PC'] = self.prompts[name][str(i)]
            if stage.experts is not None:
                setting['routings'] = found = []
                routings.append(found)
            settings.append(setting)
        return self._run_stages(x_NCHW, settings)

    def _with_absent(self, levels: Any, present: Collection[str]) -> Any:
        """Return maps with zero gradients for what belongs to absent modalities alone.

        Other processes may have them, and DistributedDataParallel waits for every gradient.
        """
        if not self.training or not torch.is_grad_enabled():
            return levels
        parts: list[nn.Module] = []
        for name in self.modalities.keys() - set(present):
            for of_all in (self.tokenizers, self.merger_norms, self.prompts or {}):
                parts += [of_all[name]] if name in of_all else []
            if name not in self.tokenizers:  # the primary one
                parts.append(self.stages[0].merger)
                if len(self.merger_norms):
                    parts += [stage.merger.norm for stage in self.stages[1:]]
        used = [p for part in parts for p in part.parameters() if p.requires_grad]
        if not used:
            return levels
        zero = 0 * sum(parameter.sum() for parameter in used)
        if isinstance(levels, Tensor):
            return levels + zero
        return tuple(level + zero.to(level.dtype) for level in levels)

    def _own_norm(self, name: str, stage: int) -> nn.Module | None:
        if stage == 0 or name not in self.merger_norms:
            return None
        return self.merger_norms[name][str(stage)]

    def _balance(self, routings: list[list[Tensor]]) -> None:
        self.balance_loss = None
        if not routings or not self.training or not torch.is_grad_enabled():
            return
        # the stages with experts, and then the modalities that ran
        n_stages = sum(stage.experts is not None for stage in self.stages)
        losses = [
            balance_loss(layer)
            for k in range(n_stages)
            for layer in zip(*routings[k::n_stages], strict=True)
        ]
        self.balance_loss = self._balance_weight * torch.stack(losses).mean()

    def _add_experts(
        self, units: int | None = None, balance: float = 0.01, **arguments: Any
    ) -> None:
        places = [(i, j) for i, stage in enumerate(self.stages) for j in range(len(stage.units))]
        units = len(self.stages[-1].units) if units is None else units
        if not 1 <= units <= len(places):
            raise ValueError(f'experts has units {units}; choose 1 to {len(places)}')
        self._balance_weight = balance
        for i, j in places[-units:]:
            stage = self.stages[i]
            stage.experts = nn.ModuleDict() if stage.experts is None else stage.experts
            stage.experts[str(j)] = Experts(self.embed_dims[i], **arguments)

    def _check_batch(self, batch: MultiModalBatch) -> dict[str, ModalityImages]:
        """Return the modalities that have images, in the order of the backbone."""
        if not isinstance(batch, MultiModalBatch):
            raise ValueError(f'the input is a {type(batch).__name__}; give a MultiModalBatch')
        if self.out_type == 'avg_featmap':
            raise ValueError("out_type='avg_featmap' takes images (B, bands, H, W), not a batch")
        for name in batch.images:
            if name not in self.modalities:
                raise ValueError(
                    f'the modality {name!r} is unknown; the backbone has '
                    f'{", ".join(self.modalities)}'
                )
        images = {
            name: batch.images[name]
            for name in self.modalities
            if name in batch.images and len(batch.images[name].samples)
        }
        if not images:
            raise ValueError('the batch has no images of any modality')
        for name, entry in images.items():
            self._check_modality(name, entry)
        check_footprints(images)
        return images

    def _check_modality(self, name: str, images: ModalityImages) -> None:
        pixels, samples, gsd, bands = images
        if not is_length(gsd):
            raise ValueError(
                f'the images of {name} have gsd={gsd!r}; give their meters per pixel, a positive '
                'number'
            )
        n_bands = len(self.modalities[name].bands if bands is None else bands)
        if pixels.dim() != 4 or pixels.shape[1] != n_bands:
            raise ValueError(
                f'the images of {name} have shape {tuple(pixels.shape)}; need (N, {n_bands}, H, W) '
                f'for the bands {", ".join(bands or self.modalities[name].bands)}. Name the bands '
                'if they are fewer'
            )
        if not pixels.is_floating_point():
            raise ValueError(f'the images of {name} are {pixels.dtype}; normalize them first')
        if samples.dtype != torch.int64 or samples.shape != pixels.shape[:1]:
            raise ValueError(
                f'the samples of {name} are {samples.dtype} of shape {tuple(samples.shape)}; need '
                f'int64 of shape ({len(pixels)},), one per image'
            )
        stride = math.prod(self._merging(name, gsd))
        self._check_images(pixels, stride, f'the images of {name}')

    def _channels(self, name: str, images: ModalityImages) -> list[int] | None:
        """Return which bands of the modality the images have, None for all in their order."""
        if images.bands is None:
            return None
        own = [spelling(band) for band in self.modalities[name].bands]
        given = [spelling(band) for band in images.bands]
        unknown = [band for band in images.bands if spelling(band) not in own]
        if unknown or len(set(given)) < len(given):
            raise ValueError(
                f'the images of {name} have the bands {", ".join(images.bands)}; choose different '
                f'ones of {", ".join(self.modalities[name].bands)}'
                + (f', which has no {", ".join(unknown)}' if unknown else '')
            )
        return None if given == own else [own.index(key) for key in given]

    def _load_from_state_dict(
        self, state_dict: dict[str, Tensor], prefix: str, *arguments: Any
    ) -> None:
        """Let own norms that a state dict does not have start as those of the primary modality."""
        for name, norms in self.merger_norms.items():
            for i, norm in norms.items():
                source = f'{prefix}stages.{i}.merger.norm.'
                target = f'{prefix}merger_norms.{name}.{i}.'
                is_batch_norm = f'{source}running_mean' in state_dict
                if is_batch_norm and f'{target}weight' not in state_dict:
                    for key in norm.state_dict():
                        state_dict[target + key] = state_dict[source + key].clone()
        super()._load_from_state_dict(state_dict, prefix, *arguments)


def _place(
    merger: nn.Module, cell: float, options: dict[str, Any], x_BCHW: Tensor
) -> tuple[Tensor, tuple[int, int]]:
    """Return the tokens of a map with their metric position, and their grid."""
    tokens_BLC, grid = merger(x_BCHW, **options)
    return tokens_BLC + metric_position(tokens_BLC, grid, cell), grid


def _stride_below(limit: float, gsd: float) -> int:
    """Return the largest stride of 4, 2 and 1 whose tokens are not above a limit, or else 1."""
    return next((s for s in (4, 2) if gsd * s <= limit * (1 + TOLERANCE)), 1)

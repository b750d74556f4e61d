"""The DynamicVis backbone (arXiv 2503.16426)."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from functools import partial
from itertools import accumulate
from operator import mul
from typing import Any, Literal, NamedTuple, get_args

import torch
from mmengine.model import BaseModule, PretrainedInit
from torch import Tensor, nn
from torch.nn.functional import interpolate
from torch.utils.checkpoint import checkpoint

from mmdynamicvis import zoo
from mmdynamicvis.models.kept import Kept
from mmdynamicvis.models.mamba_mixer import ScanMode
from mmdynamicvis.models.norm import build_norm
from mmdynamicvis.models.ops_log import show_ops_log
from mmdynamicvis.models.patch_merger import PatchMerger
from mmdynamicvis.models.state_dict_adapter import LoadReport, backbone_weights, infer_arguments
from mmdynamicvis.models.stem_bands import check_names, with_bands
from mmdynamicvis.models.stim import STIM
from mmdynamicvis.models.weight_decay import without_decay
from mmdynamicvis.models.weights import load_weights, refuse_broken, register_sources
from mmdynamicvis.ops.autocast import autocast_dtype
from mmdynamicvis.ops.dispatch import check_backend
from mmdynamicvis.ops.flops import register_formulas_if_counted
from mmdynamicvis.ops.selective_scan import BACKENDS
from mmdynamicvis.registry import MODELS

ARCHS = {
    'tiny': dict(embed_dims=(48, 96, 192, 384), depths=(1, 1, 2, 1)),
    'small': dict(embed_dims=(64, 128, 256, 512), depths=(2, 4, 12, 2)),
    'base': dict(embed_dims=(96, 192, 384, 768), depths=(2, 4, 16, 4)),
    'large': dict(embed_dims=(128, 256, 512, 1024), depths=(2, 4, 32, 4)),
}
OutType = Literal['featmap', 'avg_featmap']
Merge = Callable[[Tensor], tuple[Tensor, tuple[int, int]]]
"""Maps an image or a map (B, C, H, W) to tokens (B, L, C) and their grid (H, W)."""


class StageSelection(NamedTuple):
    """The tokens that the last unit of a stage selected."""

    indices: Tensor
    """(B, K) int64 indices in row-major order of the grid, in the order in which tokens were
    scanned: ascending, or by descending score in the published design."""
    importance: Tensor
    """(B, H * W) float32, softmax of the scores."""
    grid: tuple[int, int]
    """Height and width of the stage's grid of tokens."""
    kept_scores: Tensor | None = None
    """(B, K) float32, scores of the selected tokens, with gradient; None if published."""


class Stage(nn.Module):
    """Patch merger, STIM units, norm.

    Attributes:
        experts: Index of a unit -> the mixture of experts that follows it; None for none.
    """

    def __init__(self, merger: PatchMerger, units: Sequence[STIM], norm: nn.Module) -> None:
        super().__init__()
        self.merger = merger
        self.units = nn.ModuleList(units)
        self.norm = norm
        self.experts: nn.ModuleDict | None = None
        self._kept_position = Kept()

    def train(self, mode: bool = True) -> Stage:
        """Set the mode, and discard the cached position embedding."""
        self._kept_position.clear()
        return super().train(mode)

    def forward(
        self,
        x_BCHW: Tensor,
        position_BCHW: Tensor | None,
        interpolate_mode: str,
        with_cp: bool,
        merge: Merge | None = None,
        prompts_PC: Tensor | None = None,
        routings: list[Tensor] | None = None,
    ) -> tuple[Tensor, StageSelection | None]:
        """Return the map (B, C, H, W) of the stage, channels last in memory, and the selection.

        Args:
            x_BCHW: The image, or the map of the stage before.
            position_BCHW: Position embedding, which is interpolated to the grid of the tokens.
            interpolate_mode: Its interpolation.
            with_cp: Use activation checkpointing.
            merge: Called instead of the merger.
            prompts_PC: Prompt tokens of all images, which the units carry on and the stage drops.
            routings: Takes the routing of each mixture of experts, in order.
        """
        tokens_BLC, grid = (merge or self.merger)(x_BCHW)
        if position_BCHW is not None:
            tokens_BLC = tokens_BLC + self._kept_position(
                self,
                lambda: _position_of_tokens(position_BCHW, grid, interpolate_mode),
                position_BCHW,
                *(grid, interpolate_mode, autocast_dtype(position_BCHW)),
            )
        run = _run
        if with_cp and torch.is_grad_enabled():
            run = partial(checkpoint, use_reentrant=False)
        selection, prompts = None, []
        if prompts_PC is not None:
            prompts = [prompts_PC.expand(len(tokens_BLC), *prompts_PC.shape)]
        for i, unit in enumerate(self.units):
            tokens_BLC, selection, *prompts = run(unit, tokens_BLC, grid, *prompts)
            if self.experts is not None and str(i) in self.experts:
                tokens_BLC, routing = run(self.experts[str(i)], tokens_BLC)
                if routings is not None:
                    routings.append(routing)
        # transposing first would give a single image strides that do not count as channels last
        x_BCHW = self.norm(tokens_BLC).unflatten(1, grid).permute(0, 3, 1, 2)
        if selection is None:
            return x_BCHW, None
        indices_BK, scores_BL, kept_scores_BK = selection
        importance_BL = scores_BL.softmax(-1)
        return x_BCHW, StageSelection(indices_BK, importance_BL, grid, kept_scores_BK)


def _run(module: nn.Module, *inputs: Any) -> Any:
    return module(*inputs)


def _position_of_tokens(position_BCHW: Tensor, grid: tuple[int, int], mode: str) -> Tensor:
    """Return the embedding (1, L, C) of the tokens of a grid."""
    # comparing dynamic sizes during an export would specialize them
    is_open = any(isinstance(size, torch.SymInt) for size in grid)
    if is_open or position_BCHW.shape[2:] != grid:
        position_BCHW = interpolate(position_BCHW, grid, mode=mode)
    return position_BCHW.flatten(2).transpose(1, 2).contiguous()


@MODELS.register_module()
class DynamicVis(BaseModule):
    """Remote-sensing backbone that spends its compute on likely targets (arXiv 2503.16426).

    Accepts images of any height and width from 32 pixels, and returns maps with strides 4, 8, 16
    and 32 (sizes rounded up). Registered as ``mmdynamicvis.DynamicVis``.

    There are two designs. In the default design, patch mergers have batch norm and GELU, a
    depthwise convolution is applied to all tokens before a unit selects, and the increment of
    selected tokens does not depend on the number of tokens. The published design is that of the
    paper. A model switches to it when it loads a checkpoint of the published implementation, or of
    a version of this package that had only the published design.

    Args:
        arch: 'tiny', 'small', 'base' or 'large', or a dict with ``embed_dims`` and ``depths``
            (numbers of STIM units), one per stage. 'base' and 'large' are the paper's (table 1).
        in_channels: Number of bands of the image, by default that of ``bands``, or 3.
        img_size: (height, width) in pixels for which the position embedding is created, or one
            number for a square. It is interpolated for other sizes.
        patch_sizes: Kernel sizes of the patch mergers, one per stage.
        strides: Strides of the patch mergers, one per stage.
        reduction_ratios: Fraction of the tokens that each stage drops, in [0, 1); None, for a stage
            or for all stages, means no selection.
        scan_mode: 'mean' or 'gate' combine a forward and a reverse pass; 'shuffle_gate' adds a pass
            over shuffled tokens, as in RSMamba; 'forward' has no reverse pass.
        global_tokens: ``position`` 'head', 'mid', 'headtail' or 'none', and ``num``, where None
            means one per row of tokens.
        selection_noise: ``type`` 'fixed' or 'decay' (to zero at the end of a Runner's training) and
            ``val``, the scale of the Gumbel noise added to the scores in training; None for no
            noise.
        published: Build the published design. Needed only to train it from scratch, or on several
            GPUs, where parameters must not be removed when a checkpoint is loaded.
        update_unselected: In the published design, also weight the tokens that are not selected.
        normalize_importance: In the published design, divide the importances of the selected tokens
            by their sum.
        position_embedding: Add a learnable position embedding to the tokens of the first stage.
        interpolate_mode: Interpolation of the position embedding: 'bicubic' or 'bilinear'.
        out_indices: Stages whose maps are returned; by default all, or the last for 'avg_featmap'.
            Stages after the last of them are not built.
        out_type: 'featmap', maps (B, C, H, W); or 'avg_featmap', LayerNorm of the spatial mean of
            the last map, (B, C).
        frozen_stages: Stages 0 to ``frozen_stages`` and the position embedding are not trained, and
            the stages stay in eval mode; -1 freezes nothing.
        drop_path_rate: Stochastic depth rate of the last unit; rates rise linearly from 0.
        with_cp: Use activation checkpointing in each unit, which saves memory at the cost of time.
        norm_cfg: Norm of the stages, and of the published patch mergers, with ``type`` 'LN' or
            'RMSNorm'.
        backend: Backend of the ops: 'triton', 'mamba_ssm', 'cpu', 'eager' or 'naive'. Ops without
            that backend, and all ops with 'auto', use the first available one.
        init_cfg: Initialization of mmengine, in addition to that of the modules;
            ``type='Pretrained'`` loads a .pth or .safetensors file without executing code in it.
        pretrained: As in mmseg's backbones, the file of ``init_cfg=dict(type='Pretrained', ...)``;
            mmseg hands on that of the model.

    Attributes:
        strides: Stride in pixels of the tokens of each stage that is built.
        out_channels: Number of channels of each output.

    Raises:
        ValueError: An argument is unknown or out of range; the message names it.

    Examples:
        >>> maps = DynamicVis('tiny').eval()(torch.zeros(1, 3, 64, 96))
        >>> [tuple(x.shape) for x in maps]
        [(1, 48, 16, 24), (1, 96, 8, 12), (1, 192, 4, 6), (1, 384, 2, 3)]
    """

    def __init__(
        self,
        arch: str | dict = 'base',
        in_channels: int | None = None,
        img_size: int | Sequence[int] = 512,
        patch_sizes: Sequence[int] = (7, 3, 3, 3),
        strides: Sequence[int] = (4, 2, 2, 2),
        reduction_ratios: Sequence[float | None] | None = (7 / 8, 3 / 4, 1 / 2, 0),
        scan_mode: ScanMode = 'mean',
        global_tokens: dict | None = None,
        selection_noise: dict | None = dict(type='decay', val=0.1),
        published: bool = False,
        update_unselected: bool = True,
        normalize_importance: bool = False,
        position_embedding: bool = True,
        interpolate_mode: str = 'bicubic',
        out_indices: Sequence[int] | None = None,
        out_type: OutType = 'featmap',
        frozen_stages: int = -1,
        drop_path_rate: float = 0.0,
        with_cp: bool = False,
        norm_cfg: dict = dict(type='LN', eps=1e-6),
        backend: str = 'auto',
        init_cfg: dict | list[dict] | None = None,
        pretrained: str | None = None,
        *,
        bands: Sequence[str] | None = None,
    ) -> None:
        if pretrained is not None:
            init_cfg = _parse_pretrained(pretrained, init_cfg)
        super().__init__(init_cfg)
        embed_dims, depths = _parse_arch(arch)
        n_stages = len(embed_dims)
        if reduction_ratios is None:
            reduction_ratios = (None,) * n_stages
        per_stage = dict(
            patch_sizes=patch_sizes, strides=strides, reduction_ratios=reduction_ratios
        )
        for name, values in per_stage.items():
            if len(values) != n_stages:
                raise ValueError(f'{name} is {values}; the arch has {n_stages} stages')
        if out_type not in get_args(OutType):
            raise ValueError(f'out_type is {out_type!r}; choose one of {get_args(OutType)}')
        self.out_indices = _parse_out_indices(out_indices, out_type, n_stages)
        n_stages = max(self.out_indices) + 1
        if not -1 <= frozen_stages < n_stages:
            raise ValueError(f'frozen_stages is {frozen_stages}; choose -1 to {n_stages - 1}')
        if interpolate_mode not in ('bicubic', 'bilinear'):
            raise ValueError(
                f"interpolate_mode is {interpolate_mode!r}; choose 'bicubic' or 'bilinear'"
            )
        if bands is not None:
            check_names(bands)
            if in_channels not in (None, len(bands)):
                raise ValueError(f'in_channels is {in_channels}, but bands has {len(bands)} names')
            in_channels = len(bands)
        in_channels = 3 if in_channels is None else in_channels
        check_backend('DynamicVis', BACKENDS, backend)
        show_ops_log()
        register_sources()
        register_formulas_if_counted()

        self.in_channels = in_channels
        self.bands = None if bands is None else tuple(bands)
        self.embed_dims = embed_dims
        self.out_type = out_type
        self.frozen_stages = frozen_stages
        self.interpolate_mode = interpolate_mode
        self.with_cp = with_cp
        self.published = published
        self._norm_cfg = norm_cfg
        self._stage_strides = tuple(strides)
        self._debug = os.environ.get('MMDYNAMICVIS_DEBUG', '0') not in ('', '0')

        self.pos_embed = None
        if position_embedding:
            height, width = (img_size, img_size) if isinstance(img_size, int) else img_size
            grid = (-(-height // strides[0]), -(-width // strides[0]))
            self.pos_embed = without_decay(nn.Parameter(torch.zeros(1, embed_dims[0], *grid)))
        n_units = sum(depths)
        drop_path_rates = [drop_path_rate * i / max(n_units - 1, 1) for i in range(n_units)]
        self.stages = nn.ModuleList()
        for i in range(n_stages):
            channels = in_channels if i == 0 else embed_dims[i - 1]
            units = [
                STIM(
                    embed_dims[i],
                    reduction_ratios[i],
                    global_tokens or {},
                    selection_noise,
                    scan_mode,
                    published,
                    update_unselected,
                    normalize_importance,
                    drop_path_rates[sum(depths[:i]) + j],
                    backend,
                )
                for j in range(depths[i])
            ]
            dim = embed_dims[i]
            merger_norm = norm_cfg if published else None
            merger = PatchMerger(channels, dim, patch_sizes[i], strides[i], merger_norm)
            self.stages.append(Stage(merger, units, build_norm(norm_cfg, dim)))
        self.post_norm = None
        if out_type == 'avg_featmap':
            self.post_norm = build_norm(norm_cfg, embed_dims[n_stages - 1])
        self.min_size = math.prod(strides)
        self.strides = tuple(accumulate(strides[:n_stages], mul))
        self.out_channels = tuple(embed_dims[i] for i in self.out_indices)
        # the public functions that register these hooks need torch 2.5
        self._register_load_state_dict_pre_hook(_adapt_state_dict, with_module=True)
        self._register_state_dict_hook(_name_bands)
        self._freeze_stages()

    @classmethod
    def from_checkpoint(
        cls, path: str | os.PathLike, *, strict: bool = True, **arguments: Any
    ) -> DynamicVis:
        """Return a backbone with the weights of a checkpoint, in eval mode.

        Args:
            path: A .pth or .safetensors file or its http(s) URL, of a backbone or of a whole model;
                no code in it is executed.
            strict: Whether the checkpoint must have all weights. False is for training on other
                ``bands``, of which those that it lacks start fresh.
            **arguments: Arguments of the class. They are needed if they cannot be inferred from the
                weights (``reduction_ratios``, for example), and override those that can (``arch``).

        Raises:
            FileNotFoundError: The file does not exist.
            ValueError: The file has no DynamicVis backbone or weights that are not finite, or an
                argument is invalid.
            RuntimeError: The weights do not fit the arguments, or are incomplete.
        """
        weights = backbone_weights(load_weights(path), str(path))
        refuse_broken(weights, path)
        strides = arguments.get('strides', (4,))
        inferred = infer_arguments(weights, strides[0])
        if not {'in_channels', 'bands', 'modalities'}.isdisjoint(arguments):
            del inferred['in_channels'], inferred['bands']
        backbone = cls(**{**inferred, **arguments})
        if backbone.post_norm is None:  # drop the norm of a classifier
            for name in [name for name in weights if name.startswith('post_norm.')]:
                del weights[name]
        backbone.load_state_dict(weights, strict=strict)
        return backbone.eval()

    @classmethod
    def from_pretrained(cls, name: str, **arguments: Any) -> DynamicVis:
        """Return a backbone with the weights of a name, in eval mode.

        Args:
            name: Of weights in the :mod:`~mmdynamicvis.zoo`, or an address that
                :func:`~mmdynamicvis.models.weights.local_file` takes.
            **arguments: As in :meth:`from_checkpoint`.

        Raises:
            ValueError: There are no weights of that name; the message names similar ones.
            OSError: They cannot be fetched.
        """
        return cls.from_checkpoint(name if '://' in name else zoo.SCHEME + name, **arguments)

    def init_weights(self) -> None:
        """Initialize by ``init_cfg``; no code in files of pretrained weights is executed."""
        if self.is_init:
            super().init_weights()  # warns
            return
        all_cfgs = self.init_cfg if isinstance(self.init_cfg, list) else [self.init_cfg or {}]
        # in pure Python configs, the type is the class
        pretrained = [cfg for cfg in all_cfgs if cfg.get('type') in ('Pretrained', PretrainedInit)]
        if pretrained:
            self.init_cfg = [cfg for cfg in all_cfgs if cfg not in pretrained]
        super().init_weights()
        for cfg in pretrained:
            state_dict = load_weights(cfg['checkpoint'], cfg.get('prefix'))
            if 'bands' in cfg:
                state_dict = with_bands(state_dict, {'': cfg['bands']})
            self.load_state_dict(state_dict, strict=False)

    def use_published_design(self) -> None:
        """Switch to the published design, keeping the parameters that both designs share."""
        if self.published:
            return
        self.published = True
        for stage in self.stages:
            stage.merger.use_published_design(self._norm_cfg)
            for unit in stage.units:
                unit.use_published_design()
        self.train(self.training)

    def get_layer_depth(self, param_name: str, prefix: str = '') -> tuple[int, int]:
        """Return the depth of a parameter and the number of depths, for layer-wise learning rates.

        This is the interface of mmpretrain's ``LearningRateDecayOptimWrapperConstructor``. The
        position embedding and the first patch merger have depth 0; each unit is one deeper than the
        unit before it; the merger of a later stage has the depth of the stage's first unit, and the
        norm of a stage that of its last unit; all other parameters have the largest depth.

        Args:
            param_name: Name of a parameter of the whole model.
            prefix: Prefix of the names of the backbone's parameters, for example 'backbone.'.
        """
        depths = [len(stage.units) for stage in self.stages]
        count = sum(depths) + 2
        name = param_name.removeprefix(prefix)
        if not param_name.startswith(prefix) or not name.startswith(('stages.', 'pos_embed')):
            return count - 1, count
        if name.startswith(('pos_embed', 'stages.0.merger')):
            return 0, count
        _, stage, part, unit, *_ = name.split('.')
        before = sum(depths[: int(stage)])
        last = depths[int(stage)]
        offset = int(unit) + 1 if part in ('units', 'experts') else last if part == 'norm' else 1
        return before + offset, count

    def train(self, mode: bool = True) -> DynamicVis:
        """Set the mode; frozen stages stay in eval mode."""
        super().train(mode)
        for stage in self.stages[: self.frozen_stages + 1]:
            stage.eval()
        return self

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, ...]:
        """Extract features.

        Args:
            x_BCHW: Normalized images (B, in_channels, H, W), H and W at least 32 pixels.

        Returns:
            One map (B, C, H', W') per out index; or a tuple of one (B, C) for 'avg_featmap'.

        Raises:
            ValueError: The number of channels is wrong or the images are too small; with the
                environment variable MMDYNAMICVIS_DEBUG=1 also if they are not floating point or not
                finite.
        """
        return self.forward_with_selection(x_BCHW)[0]

    def forward_with_selection(
        self, x_BCHW: Tensor
    ) -> tuple[tuple[Tensor, ...], list[StageSelection | None]]:
        """Return the outputs of :meth:`forward`, and each stage's selection (None if dense)."""
        self._check_input(x_BCHW)
        return self._run_stages(x_BCHW, [{}] * len(self.stages))

    def _run_stages(
        self, x_BCHW: Tensor, settings: Sequence[dict[str, Any]]
    ) -> tuple[tuple[Tensor, ...], list[StageSelection | None]]:
        """Run the stages, each with further arguments of its own."""
        outputs, selections = [], []
        for i, (stage, setting) in enumerate(zip(self.stages, settings, strict=True)):
            position_BCHW = self.pos_embed if i == 0 else None
            x_BCHW, selection = stage(
                x_BCHW, position_BCHW, self.interpolate_mode, self.with_cp, **setting
            )
            selections.append(selection)
            if i in self.out_indices and self.out_type == 'featmap':
                outputs.append(x_BCHW.contiguous())
        if self.post_norm is not None:
            outputs.append(self.post_norm(x_BCHW.mean((2, 3))))
        return tuple(outputs), selections

    def _freeze_stages(self) -> None:
        if self.frozen_stages >= 0 and self.pos_embed is not None:
            self.pos_embed.requires_grad_(False)
        for stage in self.stages[: self.frozen_stages + 1]:
            stage.eval().requires_grad_(False)

    def _check_input(self, x_BCHW: Tensor) -> None:
        if x_BCHW.dim() != 4 or x_BCHW.shape[1] != self.in_channels:
            raise ValueError(
                f'the images have shape {tuple(x_BCHW.shape)}; need (B, {self.in_channels}, H, W) '
                f'as in_channels={self.in_channels}'
            )
        self._check_images(x_BCHW, self.min_size, 'the images')

    def _check_images(self, x_BCHW: Tensor, min_size: int, images: str) -> None:
        height, width = x_BCHW.shape[2:]
        if min(height, width) < min_size:
            raise ValueError(
                f'{images} are {height} x {width} pixels; need at least {min_size} '
                'each way: resize or pad them'
            )
        if (
            self.training
            and not self.published
            and len(x_BCHW) == 1
            and max(height, width) <= min_size
        ):
            raise ValueError(
                f'training on one image of {height} x {width} pixels leaves the batch norm of the '
                'last stage a single token: train on larger images or more of them (drop_last=True '
                'leaves out a last batch of one), or call eval()'
            )
        if self._debug:
            if not x_BCHW.is_floating_point():
                raise ValueError(f'{images} are {x_BCHW.dtype}; normalize them to floating point')
            if not x_BCHW.isfinite().all():
                bad = (~x_BCHW.isfinite()).flatten(1).sum(1).tolist()
                raise ValueError(f'{images} hold NaN or infinite values: {bad} per image')


def _adapt_state_dict(
    module: DynamicVis, state_dict: dict, prefix: str, metadata, strict, missing, unexpected, errors
) -> None:
    """Load hook that accepts the published layout and other sizes, and logs what is loaded."""
    report = LoadReport.adapt(module, state_dict, prefix, metadata.get('bands'))
    report.log()
    missing += [f'{prefix}stages.0.merger.projection.weight of band {x}' for x in report.fresh]


def _name_bands(module: DynamicVis, state_dict: dict, prefix: str, metadata: dict) -> None:
    """State dict hook that adds the names of the bands to the backbone's metadata."""
    if module.bands is not None:
        metadata['bands'] = list(module.bands)


def _parse_arch(arch: str | dict) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(arch, str):
        if arch not in ARCHS:
            raise ValueError(f'arch is {arch!r}; choose one of {sorted(ARCHS)}, or give a dict')
        arch = ARCHS[arch]
    if set(arch) != {'embed_dims', 'depths'} or len(arch['embed_dims']) != len(arch['depths']):
        raise ValueError(f'arch is {arch}; need embed_dims and depths, one of each per stage')
    return tuple(arch['embed_dims']), tuple(arch['depths'])


def _parse_pretrained(pretrained: str, init_cfg: dict | list[dict] | None) -> dict:
    if init_cfg is not None:
        raise ValueError(f'pretrained is {pretrained!r} and init_cfg {init_cfg}; give one of them')
    if '://' in pretrained and not pretrained.startswith(('http://', 'https://')):
        raise ValueError(
            f'pretrained is {pretrained!r}, weights of another backbone: set pretrained=None in '
            'the model, or give the file of a DynamicVis'
        )
    return dict(type='Pretrained', checkpoint=pretrained)


def _parse_out_indices(
    out_indices: Sequence[int] | None, out_type: str, n_stages: int
) -> tuple[int, ...]:
    if out_indices is None:
        return tuple(range(n_stages)) if out_type == 'featmap' else (n_stages - 1,)
    if not out_indices or not all(0 <= i < n_stages for i in out_indices):
        raise ValueError(f'out_indices is {out_indices}; choose from 0 to {n_stages - 1}')
    if out_type == 'avg_featmap' and len(out_indices) != 1:
        raise ValueError(f"out_indices is {out_indices}; out_type='avg_featmap' takes one stage")
    return tuple(out_indices)

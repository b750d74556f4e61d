"""Models for export, which include the normalization of images."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdynamicvis.embedding.embedder import Embedder, read_config
from mmdynamicvis.engine.config import load_config_file, metainfo_of, scope_of, test_dataset
from mmdynamicvis.engine.inputs import Inputs, read_inputs
from mmdynamicvis.inference.trained_model import load_model

# the only backend whose ops are available in torch and ONNX on all platforms
BACKEND = 'eager'
DEFAULT_SIZE = 512
SMALLEST = 64
"""Smallest height and width of an open size, if the coarsest map has stride 32."""


class ImageModel(nn.Module):
    """Normalizes images and runs a network on them.

    Args:
        network: Maps normalized images (B, bands, H, W) to a tuple of tensors.
        mean: Mean of each band.
        std: Standard deviation of each band.
        outputs: Names of the tensors that the network returns.
        size: (height, width) in pixels of the images that the network was trained on.
        facts: Information for users of an exported file, such as classes and bands; of JSON types.
        step: Heights and widths that are left open are multiples of this number of pixels.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] | Tensor,
        std: Sequence[float] | Tensor,
        outputs: Sequence[str],
        size: tuple[int, int],
        facts: dict[str, Any],
        step: int = 1,
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer('mean', torch.as_tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer('std', torch.as_tensor(std, dtype=torch.float32).view(-1, 1, 1))
        self.outputs = list(outputs)
        self.size = size
        self.facts = facts
        self.step = step
        self.eval()

    @property
    def smallest(self) -> int:
        """Smallest open height and width; below, the coarsest map would be one token wide."""
        return max(SMALLEST, 2 * self.step)

    @property
    def bands(self) -> int:
        """Number of bands of the images."""
        return len(self.mean)

    def forward(self, images: Tensor) -> tuple[Tensor, ...]:
        """Run on images (B, bands, H, W) in the units of the mean, colors as R, G, B."""
        return self.network((images - self.mean) / self.std)


class _Scores(nn.Module):
    def __init__(self, classifier: nn.Module, exclusive: bool) -> None:
        super().__init__()
        self.classifier = classifier
        self.exclusive = exclusive

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor]:
        logits_BK = self.classifier(x_BCHW, mode='tensor')
        return (logits_BK.softmax(-1) if self.exclusive else logits_BK.sigmoid(),)


def backbone(
    source: str | Path | Config, checkpoint: str | Path | None = None, **options: Any
) -> ImageModel:
    """Return the backbone of a checkpoint or config; outputs are ``stride4``, ``stride8``, etc.

    Args:
        source: See :class:`~mmdynamicvis.embedding.Embedder`.
        checkpoint: Weights for a config.
        **options: Further arguments of the Embedder.

    Raises:
        FileNotFoundError, ValueError, RuntimeError: See the Embedder.
    """
    options = dict(options, checkpoint=checkpoint, device='cpu', backend=BACKEND)
    embedder = Embedder(source, **options)
    return ImageModel(
        embedder.network,
        embedder.mean,
        embedder.std,
        [f'stride{stride}' for stride in embedder.model.strides],
        size_of(embedder.model),
        dict(bands=embedder.bands),
    )


def classifier(config: str | Path | Config, checkpoint: str | Path) -> ImageModel:
    """Return a classifier of mmpretrain; the output is ``scores``, (B, classes).

    Scores are the softmax of the logits, or their sigmoid for multi-label heads.

    Args:
        config: Config with a DynamicVis backbone.
        checkpoint: Complete weights of its model.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The config is not a classifier with a DynamicVis backbone, or the checkpoint
            does not fit the model.
    """
    from mmpretrain.models.heads import MultiLabelClsHead

    cfg = config if isinstance(config, Config) else load_config_file(config)
    if scope_of(cfg) != 'mmpretrain' or 'head' not in cfg.model:
        raise ValueError(f'config {cfg.filename} is not that of a classifier of mmpretrain')
    model, inputs = load_for_export(cfg, checkpoint)
    exclusive = not isinstance(model.head, MultiLabelClsHead)
    classes = metainfo_of(cfg, test_dataset(cfg)).get('classes')
    facts = dict(classes=list(classes or ()), bands=inputs.bands)
    network, size = inputs.network(_Scores(model, exclusive)), size_of(model.backbone)
    return ImageModel(network, inputs.mean, inputs.std, ['scores'], size, facts)


def load_for_export(cfg: Config, checkpoint: str | Path) -> tuple[nn.Module, Inputs]:
    """Return a config's model, with ops that can be exported, and the images that it takes.

    Args:
        cfg: Config of any host with a DynamicVis backbone.
        checkpoint: Complete weights of its model.

    Raises:
        FileNotFoundError: The checkpoint does not exist.
        ValueError: The backbone is another, the checkpoint does not fit the model, or the
            normalization is of another number of bands.
    """
    read_config(cfg)  # raises if the backbone is another
    cfg = copy.deepcopy(cfg)
    cfg.model.backbone.backend = BACKEND
    return load_model(cfg, checkpoint, 'cpu'), read_inputs(cfg)


def size_of(network: nn.Module) -> tuple[int, int]:
    """Return the (height, width) in pixels that the position embedding was trained for."""
    if network.pos_embed is None:
        return DEFAULT_SIZE, DEFAULT_SIZE
    return tuple(network.strides[0] * tokens for tokens in network.pos_embed.shape[2:])

"""What is exported: models that take images as they are stored."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from mmengine.config import Config
from torch import Tensor, nn

from mmdynamicvis.embedding.embedder import Embedder, read_config
from mmdynamicvis.engine.config import load_config_file, metainfo_of, scope_of, test_dataset
from mmdynamicvis.inference.trained_model import load_model

# the only backend whose ops torch and ONNX have everywhere
BACKEND = 'eager'
DEFAULT_SIZE = 512


class ImageModel(nn.Module):
    """Normalizes images, and runs a network on them.

    Args:
        network: Takes normalized images (B, bands, H, W), returns a tuple of tensors.
        mean: Mean of each band.
        std: Standard deviation of each band.
        outputs: Name of each tensor that the network returns.
        size: Height and width in pixels of the images that the network is made for.
        facts: What users of an exported file should know of it, by name.
    """

    def __init__(
        self,
        network: nn.Module,
        mean: Sequence[float] | Tensor,
        std: Sequence[float] | Tensor,
        outputs: Sequence[str],
        size: tuple[int, int],
        facts: dict[str, Any],
    ) -> None:
        super().__init__()
        self.network = network
        self.register_buffer('mean', torch.as_tensor(mean, dtype=torch.float32).view(-1, 1, 1))
        self.register_buffer('std', torch.as_tensor(std, dtype=torch.float32).view(-1, 1, 1))
        self.outputs = list(outputs)
        self.size = size
        self.facts = facts
        self.eval()

    @property
    def bands(self) -> int:
        """Bands of the images."""
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
    """Return the backbone of a checkpoint or config: maps ``stride4`` and so on.

    Args:
        source: See :class:`~mmdynamicvis.embedding.Embedder`.
        checkpoint: Weights for a config.
        **options: Further arguments of the Embedder.

    Raises:
        FileNotFoundError, ValueError, RuntimeError: As the Embedder does.
    """
    options = dict(options, checkpoint=checkpoint, device='cpu', backend=BACKEND)
    embedder = Embedder(source, **options)
    return ImageModel(
        embedder.model,
        embedder.mean,
        embedder.std,
        [f'stride{stride}' for stride in embedder.model.strides],
        _size(embedder.model),
        dict(bands=embedder.bands),
    )


def classifier(config: str | Path | Config, checkpoint: str | Path) -> ImageModel:
    """Return a classifier of mmpretrain: ``scores`` (B, classes).

    Scores are softmax of the logits; of heads for several labels per image, sigmoid.

    Args:
        config: Config with a DynamicVis backbone.
        checkpoint: All weights of its model.

    Raises:
        FileNotFoundError: A file does not exist.
        ValueError: The config is of no classifier with a DynamicVis backbone, or the checkpoint is
            of another model.
    """
    from mmpretrain.models.heads import MultiLabelClsHead

    cfg = config.copy() if isinstance(config, Config) else load_config_file(config)
    _, settings = read_config(cfg)
    if scope_of(cfg) != 'mmpretrain' or 'head' not in cfg.model:
        raise ValueError(f'config {cfg.filename} is of no classifier of mmpretrain')
    cfg.model.backbone.backend = BACKEND
    model = load_model(cfg, checkpoint, 'cpu')
    exclusive = not isinstance(model.head, MultiLabelClsHead)
    classes = metainfo_of(cfg, test_dataset(cfg)).get('classes')
    facts = dict(classes=list(classes or ()), bands=settings['bands'])
    network, size = _Scores(model, exclusive), _size(model.backbone)
    return ImageModel(network, settings['mean'], settings['std'], ['scores'], size, facts)


def _size(network: nn.Module) -> tuple[int, int]:
    """Return the image size that the position embedding is trained for."""
    if network.pos_embed is None:
        return DEFAULT_SIZE, DEFAULT_SIZE
    return tuple(network.strides[0] * tokens for tokens in network.pos_embed.shape[2:])

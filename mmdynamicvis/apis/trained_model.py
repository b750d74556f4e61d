"""Models of the hosts with all of their weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.device import get_device
from mmengine.registry import DATASETS, MODELS, init_default_scope
from torch import Tensor, nn

from mmdynamicvis.models.checkpoint import load_weights

SHOWN = 4


def load_model(cfg: Config, checkpoint: str | Path, device: str | None = None) -> nn.Module:
    """Return a config's model in eval mode, with every weight from a checkpoint.

    Args:
        cfg: Config of any host; its scope becomes the default one.
        checkpoint: Weights, published names among them; nothing in the file is executed.
        device: An accelerator by default, if there is one.

    Raises:
        FileNotFoundError: The checkpoint does not exist.
        ValueError: It is of another model, or not complete.
    """
    init_default_scope(cfg.get('default_scope', 'mmengine'))
    settings = dict(cfg.model)
    if 'data_preprocessor' in cfg:
        settings.setdefault('data_preprocessor', cfg.data_preprocessor)
    model = MODELS.build(settings)
    load_all(model, load_weights(checkpoint), checkpoint, cfg)
    return model.to(device or get_device()).eval()


def load_all(
    model: nn.Module, weights: dict[str, Tensor], checkpoint: str | Path, cfg: Config
) -> None:
    """Load every weight of a config's model, as read from a checkpoint.

    Raises:
        ValueError: The weights are of another model, or not complete.
    """
    differences = _load(model, weights)
    if differences:
        rest = f' and {len(differences) - SHOWN} more' if len(differences) > SHOWN else ''
        raise ValueError(
            f'checkpoint {checkpoint} is not of the model of {cfg.filename}: '
            f'{"; ".join(differences[:SHOWN])}{rest}. Give the config that it was trained by'
        )


def metainfo_of(cfg: Config, dataset: ConfigDict) -> dict[str, Any]:
    """Return what a data set of a config says of its classes, without its files."""
    with DATASETS.switch_scope_and_registry(cfg.default_scope) as datasets:
        return {**datasets.get(dataset.type).METAINFO, **dataset.get('metainfo', {})}


def _load(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Load weights, published names among them; return what does not fit."""
    try:
        outcome = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # other shapes, or nothing for the backbone
        return [line.strip() for line in str(error).splitlines()]
    missing = [f'{name} is missing' for name in outcome.missing_keys]
    return missing + [f'{name} is not in the model' for name in outcome.unexpected_keys]

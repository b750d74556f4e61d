"""Host models with complete weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mmengine.config import Config
from mmengine.hooks import Hook
from mmengine.model import BaseTTAModel, is_model_wrapper
from mmengine.registry import MODELS
from mmengine.runner import Runner
from torch import Tensor, nn

from mmdynamicvis.engine.config import metainfo_of, preprocessor_of, test_dataset, use_scope
from mmdynamicvis.engine.device import choose_device
from mmdynamicvis.fileio import shorten
from mmdynamicvis.models.weights import Checkpoint, as_checkpoint, read_checkpoint, refuse_broken


def load_model(cfg: Config, checkpoint: str | Path, device: str | None = None) -> nn.Module:
    """Return a config's model in eval mode, with all weights loaded from a checkpoint.

    Args:
        cfg: Config of any host; its scope becomes the default scope.
        checkpoint: Weights, which may have the published parameter names; no code in the file is
            executed.
        device: Device of the model; by default an accelerator if there is one.

    Raises:
        FileNotFoundError: The checkpoint does not exist.
        ValueError: The checkpoint does not fit the model or is incomplete, or the device does not
            exist.
    """
    place = choose_device(device)
    use_scope(cfg)
    settings = dict(cfg.model)
    if preprocessor := preprocessor_of(cfg):
        settings['data_preprocessor'] = preprocessor
    model = MODELS.build(settings)
    load_all(model, read_checkpoint(checkpoint), cfg)
    return model.to(place).eval()


def load_all(model: nn.Module, checkpoint: Checkpoint, cfg: Config) -> None:
    """Load all weights of a config's model.

    Args:
        model: The model of ``cfg``.
        checkpoint: What was read of it.
        cfg: The config, whose classes are compared with the checkpoint's.

    Raises:
        ValueError: The weights do not fit the model, are incomplete or not finite, or were trained
            on the classes of the config's dataset in another order.
    """
    _check_order(checkpoint, cfg)
    refuse_broken(checkpoint.weights, checkpoint.path)
    differences = _load(model, checkpoint.weights)
    if differences:
        raise ValueError(
            f'checkpoint {checkpoint.path} is not of the model of {cfg.filename}: '
            f'{shorten(differences, 4, "; ")}. Give the config that it was trained by'
        )


class CompleteWeightsHook(Hook):
    """Makes a Runner refuse what :func:`load_all` refuses; the file is not read again.

    Args:
        cfg: Config of the Runner, with ``load_from``.
    """

    def __init__(self, cfg: Config) -> None:
        self._cfg = cfg

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict[str, Any]) -> None:
        """Load all weights, or raise an error; the Runner then loads the same weights."""
        model = runner.model
        while is_model_wrapper(model) or isinstance(model, BaseTTAModel):
            model = model.module
        load_all(model, as_checkpoint(self._cfg.load_from, checkpoint), self._cfg)


def _check_order(checkpoint: Checkpoint, cfg: Config) -> None:
    """Raise a ValueError if a config has the classes of a checkpoint in another order."""
    trained = checkpoint.classes
    if not trained or 'test_dataloader' not in cfg:
        return
    classes = list(metainfo_of(cfg, test_dataset(cfg)).get('classes') or ())
    if trained != classes and sorted(trained) == sorted(classes):
        raise ValueError(
            f'checkpoint {checkpoint.path} was trained on the classes {shorten(trained)}, and '
            f'{cfg.filename} has them in another order, {shorten(classes)}: what is found would '
            'have the name of another class. Give the config that it was trained by'
        )


def _load(model: nn.Module, weights: dict[str, Tensor]) -> list[str]:
    """Load weights, which may have the published parameter names; return the mismatches."""
    try:
        outcome = model.load_state_dict(weights, strict=False)
    except RuntimeError as error:  # shapes differ, or there are no weights for the backbone
        return [line.strip() for line in str(error).splitlines()]
    missing = [f'{name} is missing' for name in outcome.missing_keys]
    return missing + [f'{name} is not in the model' for name in outcome.unexpected_keys]

"""Read host, test dataset and normalization from a config.

Works for configs of any host, both text configs and pure Python configs, where ``type`` is a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, init_default_scope

CONFIGS = ('.py', '.json', '.yaml', '.yml')
"""Suffixes of config files."""
HOSTS = ('mmpretrain', 'mmdet', 'mmrotate', 'mmseg', 'opencd')
_WRAPPED = ('dataset', 'datasets', 'queries', 'database')
"""Arguments in which wrapping datasets hold the wrapped ones."""


def load_config_file(path: str | Path) -> Config:
    """Read a config file.

    Raises:
        FileNotFoundError: The file does not exist.
        ValueError: The file is not a config; the message names it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no config file {path}')
    if Path(path).suffix not in CONFIGS:
        raise ValueError(
            f'{path} is no config file ({", ".join(CONFIGS)}): are config and checkpoint in the '
            'wrong order?'
        )
    return Config.fromfile(path)


def type_name(step: dict) -> str:
    """Return the name of a component's class, without its scope."""
    kind = step['type']
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]


def scope_of(cfg: Config) -> str | None:
    """Return a config's ``default_scope``, else the host of its model's class, else None.

    The host of a class is the package of its first base that belongs to one, or its own package.
    """
    scope = cfg.get('default_scope')
    kind = (cfg.get('model') or {}).get('type')
    if scope is None and isinstance(kind, type):
        packages = [base.__module__.partition('.')[0] for base in kind.__mro__]
        return next((package for package in packages if package in HOSTS), packages[0])
    return scope


def use_scope(cfg: Config) -> None:
    """Make the config's scope the default scope, replacing that of an earlier config."""
    init_default_scope(scope_of(cfg) or 'mmengine')


def leaf_datasets(dataset: ConfigDict) -> Iterator[ConfigDict]:
    """Yield the datasets that read files: the dataset itself, or those that it wraps."""
    wrapped = [dataset[key] for key in _WRAPPED if key in dataset]
    if not wrapped:
        yield dataset
    for part in wrapped:
        for inner in part if isinstance(part, (list, tuple)) else [part]:
            yield from leaf_datasets(inner)


def test_dataset(cfg: Config) -> ConfigDict:
    """Return the first test dataset of a config, without wrappers."""
    return next(leaf_datasets(cfg.test_dataloader.dataset))


def metainfo_of(cfg: Config, dataset: ConfigDict) -> dict[str, Any]:
    """Return the metainfo (classes, palette) of a config's dataset, without reading its files."""
    kind = dataset.type
    if not isinstance(kind, type):
        with DATASETS.switch_scope_and_registry(scope_of(cfg)) as datasets:
            kind = datasets.get(kind)
    return {**getattr(kind, 'METAINFO', {}), **dataset.get('metainfo', {})}


def preprocessor_of(cfg: Config) -> dict[str, Any]:
    """Return the settings of a config's data preprocessor; empty if it has none."""
    return cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}


def turns_channels(preprocessor: dict[str, Any]) -> bool:
    """Return whether a preprocessor reverses channels: images are loaded as B, G, R."""
    return bool(preprocessor.get('bgr_to_rgb') or preprocessor.get('to_rgb'))

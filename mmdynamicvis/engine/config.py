"""What a config says of its host, its test and its normalization.

For configs of any host, of text and of pure Python, where a ``type`` is a class.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mmengine.config import Config, ConfigDict
from mmengine.registry import DATASETS, init_default_scope

CONFIGS = ('.py', '.json', '.yaml', '.yml')
"""Endings of config files."""
_WRAPPED = ('dataset', 'datasets', 'queries', 'database')
"""Where datasets that wrap others hold them."""


def load_config_file(path: str | Path) -> Config:
    """Read a config file.

    Raises:
        FileNotFoundError: There is none.
        ValueError: The file is no config; the message names it.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f'there is no config file {path}')
    if Path(path).suffix not in CONFIGS:
        raise ValueError(
            f'{path} is no config, which ends with {", ".join(CONFIGS)}: config and checkpoint may '
            'have changed places'
        )
    return Config.fromfile(path)


def type_name(step: dict) -> str:
    """Return the name of a component's class, without its scope."""
    kind = step['type']
    return kind.__name__ if isinstance(kind, type) else str(kind).rpartition('.')[2]


def scope_of(cfg: Config) -> str | None:
    """Return the scope of a config's components: its ``default_scope``, or its model's package."""
    scope = cfg.get('default_scope')
    kind = (cfg.get('model') or {}).get('type')
    if scope is None and isinstance(kind, type):
        return kind.__module__.partition('.')[0]
    return scope


def use_scope(cfg: Config) -> None:
    """Make the config's scope the default one, whatever an earlier config has set."""
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
    """Return the dataset of a config's test; of several, the first."""
    return next(leaf_datasets(cfg.test_dataloader.dataset))


def metainfo_of(cfg: Config, dataset: ConfigDict) -> dict[str, Any]:
    """Return what a dataset of a config says of its classes, without its files."""
    kind = dataset.type
    if not isinstance(kind, type):
        with DATASETS.switch_scope_and_registry(scope_of(cfg)) as datasets:
            kind = datasets.get(kind)
    return {**kind.METAINFO, **dataset.get('metainfo', {})}


def preprocessor_of(cfg: Config) -> dict[str, Any]:
    """Return the settings of a config's data preprocessor; empty if it has none."""
    return cfg.model.get('data_preprocessor') or cfg.get('data_preprocessor') or {}


def turns_channels(preprocessor: dict[str, Any]) -> bool:
    """Return whether a preprocessor turns B, G, R, as images are loaded, to R, G, B."""
    return bool(preprocessor.get('bgr_to_rgb') or preprocessor.get('to_rgb'))

"""Trained weights by name: each has a model card, from which everything here is read.

A card is a Markdown file in this folder whose YAML front matter has the fields of :class:`Weights`.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import yaml
from mmengine.logging import print_log

from mmdynamicvis.fileio import digest

SCHEME = 'mmdynamicvis://'
FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Weights:
    """What a model card says of trained weights."""

    name: str
    source: str
    """File in the folder of the cards, or ``hf://OWNER/REPOSITORY/FILE``, or an http(s) address."""
    sha256: str | None
    """Of the file; None where nobody could verify it yet."""
    task: str
    """'backbone', or what the whole model does, 'classification' for example."""
    arch: str
    bands: list[str]
    """Names of the bands in the order of the network's channels."""
    units: str
    """Of the pixels that ``mean`` and ``std`` are in."""
    mean: list[float]
    std: list[float]
    size: int
    """Side in pixels of the training images."""
    ground_sampling_distance: float | None
    """Meters per pixel of the training images."""
    classes: list[str]
    config: str | None
    """Basename of the config that trained the whole model."""
    data: str
    license: str
    """Of the weights, as the license of the data allows."""
    metrics: dict[str, Any]
    """Name of a metric -> value with its interval, and what it was measured on."""
    commit: str | None
    """Of this project, by which they were trained."""

    def check(self, path: str | Path) -> None:
        """Raise an error if a file is not the one that the card describes.

        Of a card without a digest, the file's is logged.

        Raises:
            ValueError: The digests differ.
        """
        if self.sha256 is None:
            message = f'{self.name}: nobody has verified this file yet; its SHA-256 is '
            print_log(message + digest(path), logger='current')
        elif digest(path) != self.sha256:
            raise ValueError(
                f'{path} is not the file of the weights {self.name}: its SHA-256 is '
                f'{digest(path)}, the card says {self.sha256}. Delete it, and load again'
            )


@cache
def cards() -> dict[str, Weights]:
    """Return all weights by their names."""
    found = [_read(path) for path in sorted(FOLDER.glob('*.md'))]
    return {weights.name: weights for weights in found}


def address(source: str | Path) -> str:
    """Return ``mmdynamicvis://NAME`` for the name of weights, and anything else as it is."""
    source = str(source)
    return SCHEME + source if source in cards() else source


def find(name: str) -> Weights:
    """Return the weights of a name, with or without ``mmdynamicvis://``.

    Raises:
        ValueError: There are none; the message names similar ones.
    """
    name = name.removeprefix(SCHEME)
    if name not in cards():
        similar = difflib.get_close_matches(name, cards()) or sorted(cards())
        raise ValueError(f'there are no weights {name!r}; there are {", ".join(similar)}')
    return cards()[name]


def _read(path: Path) -> Weights:
    _, front_matter, _ = path.read_text(encoding='utf-8').split('---\n', 2)
    content = yaml.safe_load(front_matter)
    expected = {field.name for field in fields(Weights)}
    if content.keys() != expected:
        raise ValueError(f'{path}: fields {sorted(content.keys() ^ expected)} are wrong or missing')
    return Weights(**content)

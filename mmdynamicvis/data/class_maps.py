"""Several maps of classes of the same pixels, of which some lie within others.

Land cover lies within change, and damage within buildings: the map has class 0 outside. A model has
no score of that class, so that its scores are those of the classes from 1 on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from torch import Tensor

Array = TypeVar('Array', np.ndarray, Tensor)


class MapOutput(Protocol):
    """A map: its name, and the name of the map that it lies within, if any."""

    @property
    def name(self) -> str: ...  # noqa: D102

    @property
    def within(self) -> str | None: ...  # noqa: D102


@dataclass(frozen=True)
class ClassMap:
    """A map of classes that a model predicts.

    Args:
        name: Name of the map, also that of its band.
        classes: Names of the classes.
        palette: R, G, B of each class.
        within: Name of another map of the model, outside of which this one has class 0. The model
            then has no logits of class 0.
    """

    name: str
    classes: Sequence[str]
    palette: Sequence[Sequence[int]] | None = None
    within: str | None = None

    @property
    def num_logits(self) -> int:
        """Number of logits of the model."""
        return len(self.classes) - (self.within is not None)


def class_maps(outputs: Sequence[MapOutput], scores: Mapping[str, Array]) -> dict[str, Array]:
    """Return the class of each pixel for each map.

    Args:
        outputs: The maps.
        scores: Logits or probabilities of each map, (classes, H, W), of NumPy or torch.

    Returns:
        (H, W) int64 of each map, 0 outside of the map that ``within`` names.
    """
    maps = {output.name: scores[output.name].argmax(0) for output in outputs}
    for output in outputs:
        if output.within is not None:
            maps[output.name] = (maps[output.name] + 1) * (maps[output.within] > 0)
    return maps


def class_probabilities(
    outputs: Sequence[MapOutput], probabilities: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    r"""Return the probability of each class, with class 0 also of maps that lie within others.

    With the map :math:`m` that a map lies within, :math:`P(0) = P(m = 0)`, and of the other classes
    :math:`P(k) = P(m \neq 0) P(k | m \neq 0)`, the last factor being what the model gives.

    Args:
        outputs: The maps.
        probabilities: Of the classes that the model has scores of, (classes, H, W) for each map.
    """
    complete = dict(probabilities)
    for output in outputs:
        if output.within is not None:
            outside = probabilities[output.within][:1]
            inside = (1 - outside) * probabilities[output.name]
            complete[output.name] = np.concatenate([outside, inside])
    return complete

"""Categories that are held out of a training."""

from __future__ import annotations

from collections.abc import Sequence


def held_out_labels(classes: Sequence[str], held_out: Sequence[str]) -> list[int]:
    """Return the labels of held-out categories, in the order of the labels.

    Args:
        classes: Names of all categories, in the order of their labels.
        held_out: Names of those that are held out.

    Raises:
        ValueError: A held-out category is unknown or repeated, or all are held out.
    """
    unknown = sorted(set(held_out) - set(classes))
    if unknown or len(set(held_out)) < len(held_out):
        wrong = f'{unknown} are none' if unknown else 'a name is repeated'
        raise ValueError(
            f'held_out is {list(held_out)}: {wrong}; give some of the classes {list(classes)}, '
            'each once'
        )
    if held_out and len(held_out) == len(classes):
        raise ValueError(f'held_out has all {len(classes)} classes: leave some to train on')
    return [label for label, name in enumerate(classes) if name in held_out]

"""Names of a backbone's input bands, in weights and in the stem.

The names are part of a state dict's ``_metadata``, where torch keeps the versions of modules: the
entry of the backbone has them as ``bands``. mmengine preserves it when it writes checkpoints.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping, Sequence

from torch import Tensor

from mmdynamicvis.band_names import spelling

Bands = dict[str, list[str]]
"""Path of a backbone in the model, '' for the backbone itself -> names of its bands."""


def bands_of(state_dict: Mapping[str, Tensor]) -> Bands:
    """Return the names of the bands of each backbone in a state dict that has them."""
    metadata = getattr(state_dict, '_metadata', None) or {}
    return {path: list(entry['bands']) for path, entry in metadata.items() if 'bands' in entry}


def with_bands(weights: Mapping[str, Tensor], bands: Bands) -> OrderedDict[str, Tensor]:
    """Return weights as a state dict with names of bands."""
    state_dict = OrderedDict(weights)
    state_dict._metadata = {path: dict(bands=list(names)) for path, names in bands.items()}
    return state_dict


def without_prefix(bands: Bands, prefix: str) -> Bands:
    """Return the entries below a prefix such as 'backbone.', with paths relative to it."""
    return {
        f'{path}.'.removeprefix(prefix).removesuffix('.'): names
        for path, names in bands.items()
        if not prefix or f'{path}.'.startswith(prefix)
    }


def check_names(bands: Sequence[str]) -> None:
    """Raise a ValueError unless bands are named differently."""
    spelled = [spelling(band) for band in bands]
    if isinstance(bands, str) or not all(spelled) or len(set(spelled)) < len(spelled):
        raise ValueError(f'bands is {bands!r}; give a different name for each channel')


def take_by_name(
    weight: Tensor, names: Sequence[str], own: Tensor, own_names: Sequence[str]
) -> tuple[Tensor, list[str]]:
    """Return a stem that has the weights of the bands with the same names.

    Args:
        weight: Weight of a convolution, (out, len(names), kernel, kernel).
        names: Names of its bands.
        own: Weight with the values of the bands that start fresh, (out, len(own_names), ...).
        own_names: Names of the bands of the result.

    Returns:
        The stem, in the dtype and on the device of ``weight``, and the names that start fresh.
    """
    channels = {spelling(name): i for i, name in enumerate(names)}
    stem, fresh = own.detach().to(weight, copy=True), []
    for i, name in enumerate(own_names):
        if spelling(name) in channels:
            stem[:, i] = weight[:, channels[spelling(name)]]
        else:
            fresh.append(name)
    return stem, fresh

"""Patch embedding of a modality, with names of its bands."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor

from mmdynamicvis.models.patch_merger import PatchMerger
from mmdynamicvis.models.stem_bands import take_by_name


class Tokenizer(PatchMerger):
    """Patch merger of images that saves the names of its bands, and loads weights by name.

    Bands that a state dict does not have keep their values, and count as missing.

    Args:
        bands: Names of the bands.
        embed_dim: Number of channels of the tokens.
        patch_size: Kernel size.
        stride: Stride of the convolution.
        norm_cfg: Norm of the published design; None for the default.
    """

    def __init__(
        self,
        bands: Sequence[str],
        embed_dim: int,
        patch_size: int,
        stride: int,
        norm_cfg: dict | None = None,
    ) -> None:
        super().__init__(len(bands), embed_dim, patch_size, stride, norm_cfg)
        self.bands = tuple(bands)
        self._register_state_dict_hook(_name_bands)

    def _load_from_state_dict(
        self,
        state_dict: dict[str, Tensor],
        prefix: str,
        local_metadata: dict[str, Any],
        strict: bool,
        missing_keys: list[str],
        *arguments: Any,
    ) -> None:
        name, names = f'{prefix}projection.weight', local_metadata.get('bands')
        if name in state_dict and names is not None:
            own = self.projection.weight
            weight, fresh = take_by_name(state_dict[name], names, own, self.bands)
            state_dict[name] = weight
            missing_keys += [f'{name} of band {band}' for band in fresh]
        super()._load_from_state_dict(
            state_dict, prefix, local_metadata, strict, missing_keys, *arguments
        )


def _name_bands(
    module: Tokenizer, state_dict: dict[str, Tensor], prefix: str, metadata: dict[str, Any]
) -> None:
    """State dict hook that adds the names of the bands to the metadata."""
    metadata['bands'] = list(module.bands)
